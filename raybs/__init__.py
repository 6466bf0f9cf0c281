"""Sweeps over batch sizes: real training runs on a laptop or a Ray cluster."""

from raybs.config import Phase, TrainConfig, TrainSweep
from raybs.draws import GradientSweep
from raybs.grid import grid
from raybs.launch import Resources
from raybs.runner import run

__all__ = [
    "GradientSweep",
    "Phase",
    "Resources",
    "TrainConfig",
    "TrainSweep",
    "grid",
    "run",
]
