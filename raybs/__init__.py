"""Sweeps over batch sizes: real training runs on a laptop or a Ray cluster."""

from raybs.config import Phase, TrainConfig, TrainSweep
from raybs.draws import GradientSweep

__all__ = ["GradientSweep", "Phase", "TrainConfig", "TrainSweep"]
