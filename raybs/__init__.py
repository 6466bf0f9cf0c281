"""Sweeps over batch sizes: real training runs on a laptop or a Ray cluster."""

from raybs.config import Phase, TrainConfig, TrainSweep

__all__ = ["Phase", "TrainConfig", "TrainSweep"]
