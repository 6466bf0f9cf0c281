"""From stored rows to tidy frames, charts and tables."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from analysis.advice import Advice, advise
    from analysis.draws import Draws, load_draws, load_gradients
    from analysis.findings import Verdict, verdicts
    from analysis.frames import Frames, load, only
    from analysis.wording import words

__all__ = [
    "Advice",
    "Draws",
    "Frames",
    "Verdict",
    "advise",
    "load",
    "load_draws",
    "load_gradients",
    "only",
    "verdicts",
    "words",
]

# Imported once they are used: a command answers Ctrl-C before it imports much.
_MODULES = {
    "Advice": "analysis.advice",
    "Draws": "analysis.draws",
    "Frames": "analysis.frames",
    "Verdict": "analysis.findings",
    "advise": "analysis.advice",
    "load": "analysis.frames",
    "load_draws": "analysis.draws",
    "load_gradients": "analysis.draws",
    "only": "analysis.frames",
    "verdicts": "analysis.findings",
    "words": "analysis.wording",
}


def __getattr__(name: str) -> Any:
    if f"analysis.{name}" in _MODULES.values():  # as in analysis.frames.curves
        return importlib.import_module(f"analysis.{name}")
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_MODULES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
