"""From stored rows to tidy frames, charts and tables."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from analysis.advice.compare import Advice, advise
    from analysis.advice.words import words
    from analysis.draws import Draws, load_draws, load_gradients
    from analysis.findings import Verdict, verdicts
    from analysis.frames import Frames, load, only

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
    "Advice": "analysis.advice.compare",
    "Draws": "analysis.draws",
    "Frames": "analysis.frames",
    "Verdict": "analysis.findings",
    "advise": "analysis.advice.compare",
    "load": "analysis.frames",
    "load_draws": "analysis.draws",
    "load_gradients": "analysis.draws",
    "only": "analysis.frames",
    "verdicts": "analysis.findings",
    "words": "analysis.advice.words",
}


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return getattr(importlib.import_module(_MODULES[name]), name)
    try:  # as in analysis.frames.curves
        return importlib.import_module(f"analysis.{name}")
    except ModuleNotFoundError:
        raise AttributeError(f"module 'analysis' has no attribute {name!r}") from None


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
