"""Larger batch sizes end at a lower test accuracy.

Article: "Effect of batch size"
Run:     python -m raybs.sweep batch_size
Expect:  98 % test accuracy at batch size 64, 99 % at 2, less at 256 and 1024
Cost:    120 epochs; 13 minutes on two cores as the plan estimates
"""

from raybs.config import Phase, TrainConfig, TrainSweep

SWEEP = TrainSweep(
    configs=tuple(
        TrainConfig(
            phases=(Phase(batch_size=batch_size, learning_rate=0.01, epochs=30),)
        )
        for batch_size in (64, 256, 1024, 2)
    ),
)
