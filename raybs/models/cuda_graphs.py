"""Steps captured as CUDA graphs."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor

from raybs.models.state import Step


class Captured:
    """A Step that is recorded once per shape and then replayed, as one launch.

    `record` returns what repeats, on the same tensors, all that its argument does on
    the device; it does not do it. On a GPU this network is bound by the launches of its
    kernels.
    """

    def __init__(
        self, step: Step, record: Callable[[Callable[[], None]], Callable[[], None]]
    ) -> None:
        """Record nothing yet."""
        self.step = step
        self.record = record
        self.phase: tuple[float, ...] = ()
        self.recordings: dict[torch.Size, _Recording | None] = {}

    def __call__(
        self,
        images: Tensor,
        labels: Tensor,
        learning_rates: Sequence[float],
        batch_size: int,
    ) -> None:
        """Take the step; anew for other learning rates, which are in what is recorded.

        The first time for real: it sets up libraries, and copies step sizes.
        """
        phase = (*learning_rates, batch_size)
        if phase != self.phase:
            self.phase = phase
            self.recordings.clear()
        if images.shape not in self.recordings:
            self.step(images, labels, learning_rates, batch_size)
            self.recordings[images.shape] = None
            return
        recording = self.recordings[images.shape]
        if recording is None:
            copies = images.clone(), labels.clone()
            call = partial(self.step, *copies, learning_rates, batch_size)
            recording = _Recording(*copies, self.record(call))
            self.recordings[images.shape] = recording
        recording.images.copy_(images)
        recording.labels.copy_(labels)
        recording.replay()


class _Recording(NamedTuple):
    """What a replay reads, and what starts it."""

    images: Tensor
    labels: Tensor
    replay: Callable[[], None]


def cuda_graph(call: Callable[[], None]) -> Callable[[], None]:
    """Record `call` as a CUDA graph."""
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        call()
    return graph.replay
