"""What is asked, as values, and the names of states; without torch and Ray."""

from raybs.config.sweep import TrainSweep
from raybs.config.trial import Phase, TrainConfig

__all__ = ["Phase", "TrainConfig", "TrainSweep"]
