"""Sweeps over batch sizes: real training runs on a laptop or a Ray cluster."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from raybs.config.gradient_sweep import GradientSweep
    from raybs.config.grid import grid
    from raybs.config.sweep import TrainSweep
    from raybs.config.trial import Phase, TrainConfig
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

# Imported once they are used: a command answers Ctrl-C before it imports much.
_MODULES = {
    "GradientSweep": "raybs.config.gradient_sweep",
    "Phase": "raybs.config",
    "Resources": "raybs.launch",
    "TrainConfig": "raybs.config",
    "TrainSweep": "raybs.config",
    "grid": "raybs.config.grid",
    "run": "raybs.runner",
}


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return getattr(importlib.import_module(_MODULES[name]), name)
    try:  # as in raybs.config
        return importlib.import_module(f"raybs.{name}")
    except ModuleNotFoundError:
        raise AttributeError(f"module 'raybs' has no attribute {name!r}") from None


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
