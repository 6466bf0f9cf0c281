"""From stored rows to tidy frames, charts and tables."""

import sys
from typing import TYPE_CHECKING

try:
    from raybs.lazy import attach
except ImportError:
    said = f"{sys.modules['raybs'].__file__} hides the raybs that analysis needs"
    # With this name, `python -m analysis` says no more than this line.
    raise ImportError(f"{said}; rename it", name=__name__) from None

if TYPE_CHECKING:
    from analysis.advice.compare import Advice, advise
    from analysis.advice.words import words
    from analysis.claims.judge import verdicts
    from analysis.claims.results import Verdict
    from analysis.frames.draws import Draws, load_draws, load_gradients
    from analysis.frames.trials import Frames, load, only

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
    "Draws": "analysis.frames.draws",
    "Frames": "analysis.frames.trials",
    "Verdict": "analysis.claims.results",
    "advise": "analysis.advice.compare",
    "load": "analysis.frames.trials",
    "load_draws": "analysis.frames.draws",
    "load_gradients": "analysis.frames.draws",
    "only": "analysis.frames.trials",
    "verdicts": "analysis.claims.judge",
    "words": "analysis.advice.words",
}

__getattr__, __dir__ = attach(__name__, _MODULES)
