"""Good solutions are far from init; large batches need more epochs or a higher rate.

Article: "Getting Far Enough"
Run:     python -m raybs.sweep far_enough
Expect:  weight distances of 6.71, 2.69, 5.89 and 6.63
Cost:    540 epochs after sharing; 75 minutes as the plan estimates (480 in one path)
"""

from raybs.config import Phase, TrainConfig, TrainSweep

small = Phase(batch_size=64, learning_rate=0.01, epochs=30)
large = Phase(batch_size=1024, learning_rate=0.01, epochs=30)
fast = Phase(batch_size=1024, learning_rate=0.1, epochs=30)
# (1024 / 64) x 30 epochs: as many steps as batch size 64 takes in 30.
long = Phase(batch_size=1024, learning_rate=0.01, epochs=480)

SWEEP = TrainSweep(
    configs=tuple(TrainConfig(phases=(phase,)) for phase in (small, large, fast, long)),
)
