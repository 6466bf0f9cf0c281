"""Steps captured as CUDA graphs."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor

from raybs.models.state import Step


def captured(
    step: Step, record: Callable[[Callable[[], None]], Callable[[], None]]
) -> Step:
    """Replay `step`, recorded once per shape, anew for other learning rates.

    `record` returns what repeats, on the same tensors, all that its argument does on
    the device; it does not do it. On a GPU this network is bound by the launches of its
    kernels, and a replay is one launch.
    """
    seen: dict[torch.Size, Any] = {}
    phase: tuple[object, ...] = ()

    def replayed(
        images: Tensor, labels: Tensor, learning_rates: Sequence[float], batch_size: int
    ) -> None:
        nonlocal phase
        if phase != (*learning_rates, batch_size):
            phase = (*learning_rates, batch_size)
            seen.clear()
        key = images.shape
        if key not in seen:  # for real: it sets up libraries, and copies step sizes
            step(images, labels, learning_rates, batch_size)
            seen[key] = None
            return
        if seen[key] is None:
            static = images.clone(), labels.clone()
            call = partial(step, *static, learning_rates, batch_size)
            seen[key] = (*static, record(call))
        static_images, static_labels, replay = seen[key]
        static_images.copy_(images)
        static_labels.copy_(labels)
        replay()

    return replayed


def cuda_graph(call: Callable[[], None]) -> Callable[[], None]:
    """Record `call` as a CUDA graph."""
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        call()
    return graph.replay
