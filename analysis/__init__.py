"""From stored rows to tidy frames, charts and tables."""

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
