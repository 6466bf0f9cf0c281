"""Larger batches take larger summed steps through the same samples, or do they?

Article: "Hypothesis: gradient competition"
Run:     python -m raybs.sweep gradient_competition
Expect:  the sample-weighted norm grows with the batch size, early above late
Cost:    30 epochs and 30,000 draws: 72 minutes on two cores; five with --draws 20
"""

from raybs.config import Phase, TrainConfig
from raybs.config.gradient_sweep import GradientSweep


def _after(epochs: int) -> TrainConfig:
    phase = Phase(batch_size=1024, learning_rate=0.01, epochs=epochs)
    return TrainConfig(phases=(phase,))


SWEEP = GradientSweep(
    regimes={"early": _after(2), "late": _after(30)},
    batch_sizes=(1, 2, 3, 4, 5, 6, 7, 8, 16, 32, 64, 128, 256, 512, 1024),
)
