"""From stored rows to tidy frames, charts and tables."""

from typing import TYPE_CHECKING

from raybs.lazy import attach

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

__getattr__, __dir__ = attach(__name__, _MODULES)
