"""Packages whose names are imported once they are used.

A command answers Ctrl-C before it imports much.
"""

import importlib
import sys
from collections.abc import Callable, Mapping
from typing import Any


def attach(
    package: str, modules: Mapping[str, str]
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Return `__getattr__` and `__dir__` of a package (PEP 562).

    `modules` says where each name that it offers is defined. Its modules are there as
    well, as in raybs.config.
    """

    def get(name: str) -> Any:
        if name in modules:
            return getattr(importlib.import_module(modules[name]), name)
        try:
            return importlib.import_module(f"{package}.{name}")
        except ModuleNotFoundError:
            said = f"module {package!r} has no attribute {name!r}"
            raise AttributeError(said) from None

    def names() -> list[str]:
        return sorted({*vars(sys.modules[package]), *modules})

    return get, names
