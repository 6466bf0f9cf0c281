"""Replicas of a module side by side by torch.func, where that is the same training."""

import re
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap

from raybs.config.keys import Epoch, path, resolved
from raybs.config.trial import TrainConfig
from raybs.datasets.tensors import Dataset
from raybs.models.cuda_graphs import Captured, cuda_graph
from raybs.models.optimizers import Update
from raybs.models.seeding import MODULE_TRAINING_STREAM, random_states, seeded
from raybs.models.state import Step, Steps, take_steps

Losses = Callable[[Callable[[Tensor], Tensor], Tensor, Tensor], Tensor]
"""From what gives logits (B, C), stored samples (B, features) and labels (B,) to one
value per sample."""

TOLERANCE, HALF_TOLERANCE = (1e-3, 1e-6), (5e-2, 5e-3)
"""Of the norm of a gradient, and of that of all gradients of a replica: float32, or
bfloat16, rounds to less; another computation would differ by more."""

UNBATCHED = re.compile(r"batching rule for ([\w:.]+)\. ")
"""How torch warns that it takes one replica after the other."""


@dataclass(frozen=True, kw_only=True)
class Replicas:
    """R modules in train mode, of which training changes the parameters `taught`.

    `tensors` are the parameters and buffers of all, (R, ...) by name; each module is
    bound to its own. `half` tells whether matmuls are in bfloat16.
    """

    modules: Sequence[nn.Module]
    tensors: Mapping[str, Tensor]
    taught: Sequence[str]
    losses: Losses
    half: bool = False

    @cached_property
    def places(self) -> list[tuple[str, str]]:
        """Return where the first module holds a tensor, and the name of that tensor.

        Tied ones have several places. torch's own way to find them leaves tensors of a
        step behind in a module that is held twice.
        """
        module = self.modules[0]
        tensors = [*module.named_parameters(), *module.named_buffers()]
        names = {id(tensor): name for name, tensor in tensors}
        places = []
        for owner, part in module.named_modules():
            for kind in (part.named_parameters, part.named_buffers):
                held = kind(owner, recurse=False, remove_duplicate=False)
                places += [(place, names[id(tensor)]) for place, tensor in held]
        return places


def gradients(replicas: Replicas, images: Tensor, labels: Tensor) -> list[Tensor]:
    """Return the gradients (R, ...) of mean losses by what is taught, all at once.

    Of stored samples (R, B, features) with labels (R, B). The first module stands for
    all, with their tensors in the place of its own.

    Raises:
        RuntimeError: It draws random numbers, or decides by the values of tensors.
    """
    taught = {name: replicas.tensors[name] for name in replicas.taught}
    still = {n: t for n, t in replicas.tensors.items() if n not in taught}
    module = replicas.modules[0]

    def loss(
        taught: dict[str, Tensor],
        still: dict[str, Tensor],
        images: Tensor,
        labels: Tensor,
    ) -> Tensor:
        every = {**taught, **still}
        placed = {place: every[name] for place, name in replicas.places}

        def logits(samples: Tensor) -> Tensor:
            found: Tensor = functional_call(
                module, placed, (samples,), tie_weights=False
            )
            return found

        return replicas.losses(logits, images, labels).mean()

    at_once = vmap(grad(loss), randomness="error")
    found = at_once(taught, still, images, labels)
    # torch's fused updates read gradients as if they were contiguous.
    return [found[name].contiguous() for name in replicas.taught]


def steps_together(replicas: Replicas, update: Update, data: Dataset) -> Steps:
    """Return what trains epochs of all replicas at once, and changes their tensors."""

    def step(
        images: Tensor, labels: Tensor, learning_rates: Sequence[float], batch_size: int
    ) -> None:
        update(gradients(replicas, images, labels), learning_rates)

    is_gpu = data.train_images.is_cuda
    taken: Step = Captured(step, cuda_graph) if is_gpu else step

    def train_epoch(
        order: Tensor, epoch: Epoch, learning_rates: Sequence[float], number: int
    ) -> None:
        replicas.modules[0].train()
        size = epoch.batch_size
        take_steps(data, order, taken, size, learning_rates, size)

    return train_epoch


def why_alone(
    replicas: Replicas, configs: Sequence[TrainConfig], data: Dataset, epoch: int
) -> str:
    """Say why replicas after `epoch` epochs are trained one at a time.

    "" if they can be trained side by side. Tries a step of every size that is left to
    take: of each replica alone, then of all at once, without updating. The modules and
    their buffers may change.
    """
    num_samples, sizes = data.num_samples, set[int]()
    for left in path(resolved(configs[0], num_samples))[epoch:]:
        taken = left.samples or num_samples
        sizes |= {min(left.batch_size, taken), taken % left.batch_size} - {0}
    device, seeds = data.train_images.device, [config.seed for config in configs]
    for size in sorted(sizes):
        picked = torch.arange(len(configs) * size, device=device) % num_samples
        picked = picked.view(len(configs), size)
        images, labels = data.train_images[picked], data.train_labels[picked]
        decays = configs[0].weight_decay > 0
        why = _why_alone(replicas, seeds, epoch + 1, images, labels, decays=decays)
        if why:
            name = configs[0].model
            return f"Replicas of {name} are trained one at a time: {why}."
    return ""


def _why_alone(
    replicas: Replicas,
    seeds: Sequence[int],
    number: int,
    images: Tensor,
    labels: Tensor,
    *,
    decays: bool,
) -> str:
    """Say it of one batch for each, in epoch `number`; `decays`: with weight decay."""
    before = {name: tensor.clone() for name, tensor in replicas.tensors.items()}
    alone = []
    for replica, seed in enumerate(seeds):
        with seeded(seed, MODULE_TRAINING_STREAM, number):
            random = random_states()
            alone.append(_gradients_alone(replicas, replica, images, labels))
            if random_states() != random:
                return "it draws random numbers in training"
        if decays and any(gradient is None for gradient in alone[-1]):
            return "weight decay would move parameters that its loss does not use"
    for replica, module in enumerate(replicas.modules):
        for name, buffer in module.named_buffers():
            if not torch.equal(buffer, before[name][replica]):
                return f"training changes its buffer {name}"
    try:
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            together = gradients(replicas, images, labels)
    except Exception as error:  # it did work alone
        return f"torch.func refuses it ({_first_sentence(error)})"
    looped = [UNBATCHED.search(str(warning.message)) for warning in said]
    if names := sorted({match[1] for match in looped if match}):
        return f"torch.func does not batch {', '.join(names)}"
    tolerance = HALF_TOLERANCE if replicas.half else TOLERANCE
    for replica, expected in enumerate(alone):
        if not _agree([g[replica] for g in together], expected, tolerance):
            return "its gradients by torch.func differ from those of a replica alone"
    return ""


def _gradients_alone(
    replicas: Replicas, replica: int, images: Tensor, labels: Tensor
) -> list[Tensor | None]:
    """Return the gradients of one replica; none of what its loss does not use."""
    module = replicas.modules[replica]
    parameters = dict(module.named_parameters())
    with torch.enable_grad():
        loss = replicas.losses(module, images[replica], labels[replica]).mean()
        own = [parameters[name] for name in replicas.taught]
        return list(torch.autograd.grad(loss, own, allow_unused=True))


def _agree(
    together: Sequence[Tensor],
    found: Sequence[Tensor | None],
    tolerance: tuple[float, float],
) -> bool:
    """Tell whether gradients of one replica are equal within rounding, in L2 norms.

    One may be all rounding, such as that of a bias before batch norm: what counts then
    is how small it is beside all of them.
    """
    pairs = zip(together, found, strict=True)
    alone = [torch.zeros_like(one) if other is None else other for one, other in pairs]
    norms = torch.stack([gradient.norm() for gradient in alone])
    if not torch.isfinite(norms).all():  # it diverges, and is about to leave
        return True
    both = zip(together, alone, strict=True)
    differences = torch.stack([(one - other).norm() for one, other in both])
    bounds = tolerance[0] * norms + tolerance[1] * norms.norm()
    return bool((differences <= bounds).all())


def _first_sentence(error: Exception) -> str:
    words, _, _ = " ".join(str(error).split()).partition(". ")
    return f"{type(error).__name__}: {words[:200].rstrip('.')}"
