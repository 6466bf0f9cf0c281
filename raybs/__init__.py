"""Sweeps over batch sizes: real training runs on a laptop or a Ray cluster."""

import importlib
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
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

# Imported once they are used: a command answers Ctrl-C before it imports much.
_MODULES = {
    "GradientSweep": "raybs.draws",
    "Phase": "raybs.config",
    "Resources": "raybs.launch",
    "TrainConfig": "raybs.config",
    "TrainSweep": "raybs.config",
    "grid": "raybs.grid",
    "run": "raybs.runner",
}


class _Package(ModuleType):
    """`raybs.grid` is the function, though Python binds the module of that name."""

    def __setattr__(self, name: str, value: object) -> None:
        if name == "grid" and isinstance(value, ModuleType):
            value = value.grid
        super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return getattr(importlib.import_module(_MODULES[name]), name)
    try:  # as in raybs.config
        return importlib.import_module(f"raybs.{name}")
    except ModuleNotFoundError:
        raise AttributeError(f"module 'raybs' has no attribute {name!r}") from None


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
