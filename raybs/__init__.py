"""Sweeps over batch sizes: real training runs on a laptop or a Ray cluster."""

from typing import TYPE_CHECKING

from raybs.lazy import attach

if TYPE_CHECKING:
    from raybs.config.gradient_sweep import GradientSweep
    from raybs.config.grid import grid
    from raybs.config.sweep import TrainSweep
    from raybs.config.trial import Phase, TrainConfig
    from raybs.launch.resources import Resources
    from raybs.runner import run
    from raybs.trained import load_model

__all__ = [
    "GradientSweep",
    "Phase",
    "Resources",
    "TrainConfig",
    "TrainSweep",
    "grid",
    "load_model",
    "run",
]

_MODULES = {
    "GradientSweep": "raybs.config.gradient_sweep",
    "Phase": "raybs.config",
    "Resources": "raybs.launch.resources",
    "TrainConfig": "raybs.config",
    "TrainSweep": "raybs.config",
    "grid": "raybs.config.grid",
    "load_model": "raybs.trained",
    "run": "raybs.runner",
}

__getattr__, __dir__ = attach(__name__, _MODULES)
