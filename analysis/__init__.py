"""From stored rows to tidy frames, charts and tables."""

from analysis.draws import Draws, load_draws, load_gradients
from analysis.frames import Frames, load

__all__ = ["Draws", "Frames", "load", "load_draws", "load_gradients"]
