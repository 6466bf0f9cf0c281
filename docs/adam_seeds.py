"""How far five seeds of the article's Adam trial lie apart.

Run:     python -m raybs.sweep docs/adam_seeds.py --seeds 5
"""

from raybs import Phase, TrainConfig, TrainSweep

SWEEP = TrainSweep(
    configs=(
        TrainConfig(
            phases=(Phase(batch_size=64, learning_rate=0.01, epochs=30),),
            optimizer="adam",
        ),
    ),
)
