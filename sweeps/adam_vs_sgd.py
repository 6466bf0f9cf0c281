"""Adam ends with much larger weights than SGD, far from init, and generalizes worse.

Article: "ADAM vs SGD"
Run:     python -m raybs.sweep adam_vs_sgd
Expect:  weight norms near 44 for SGD and 258 for Adam, at 95 % test accuracy
Cost:    570 epochs after sharing; 75 minutes as the plan estimates (480 in one path)
"""

from raybs.config import Phase, TrainConfig, TrainSweep
from sweeps.far_enough import SWEEP as FAR_ENOUGH

small = Phase(batch_size=64, learning_rate=0.01, epochs=30)

SWEEP = TrainSweep(
    configs=(*FAR_ENOUGH.configs, TrainConfig(phases=(small,), optimizer="adam")),
)
