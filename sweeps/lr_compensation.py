"""A higher learning rate recovers the accuracy that a larger batch size lost.

Article: "Effect of Learning Rate"
Run:     python -m raybs.sweep lr_compensation
Expect:  about 98, 95 and 98 % test accuracy
Cost:    90 epochs; 11 minutes measured on two cores, beside other work
"""

from raybs.config import Phase, TrainConfig, TrainSweep

small = Phase(batch_size=64, learning_rate=0.01, epochs=30)
large = Phase(batch_size=1024, learning_rate=0.01, epochs=30)
fast = Phase(batch_size=1024, learning_rate=0.1, epochs=30)

SWEEP = TrainSweep(
    configs=(
        TrainConfig(phases=(small,)),  # reference
        TrainConfig(phases=(large,)),  # reference
        TrainConfig(phases=(fast,)),
    ),
)
