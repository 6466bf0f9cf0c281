"""From stored rows to tidy frames, charts and tables."""

from analysis.frames import Frames, load

__all__ = ["Frames", "load"]
