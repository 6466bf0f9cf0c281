"""Growing the batch ends where decaying the learning rate does, in fewer steps.

Source:  Smith et al. 2018, "Don't Decay the Learning Rate, Increase the Batch Size"
Run:     python -m raybs.sweep grow_batch --seeds 3
Expect:  the two schedules equal within 0.0001 in test loss, at 41 % of the steps
Cost:    70 epochs a seed after sharing; 18 minutes for three as the plan estimates
"""

from raybs.config import Phase, TrainConfig, TrainSweep
from raybs.config.schedules import decay_rate, grow_batch

start = Phase(batch_size=64, learning_rate=0.1, epochs=30)

SWEEP = TrainSweep(
    configs=(
        TrainConfig(phases=(start,)),  # control: neither
        TrainConfig(phases=decay_rate(start)),  # 0.1, 0.02, 0.004
        TrainConfig(phases=grow_batch(start)),  # 64, 320, 1600
    ),
)
