"""What became of a measured epoch, a draw or a trial."""

from enum import StrEnum


class Status(StrEnum):
    """As results folders store it, and frames show it.

    Rows and draws are complete or diverged; a trial may also have failed, or have
    epochs that nobody has measured yet.
    """

    COMPLETE = "complete"
    DIVERGED = "diverged"
    FAILED = "failed"
    UNFINISHED = "unfinished"
