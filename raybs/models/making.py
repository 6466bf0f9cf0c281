"""Makes the module that a config names, and refuses what cannot be trained."""

import inspect
import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn

from raybs.code.loading import load
from raybs.config.trial import TrainConfig
from raybs.models.cnn import make_cnn
from raybs.models.mlp import make_sequential
from raybs.models.seeding import MODULE_IMPORT_STREAM, seeded

BUFFER_TYPES = (
    torch.float32,
    torch.float64,
    torch.float16,
    torch.int64,
    torch.int32,
    torch.int16,
    torch.int8,
    torch.uint8,
    torch.bool,
)
"""Of buffers: what is stored."""


def load_code(name: str) -> Callable[..., Any]:
    """Import a user's code; what it draws meanwhile is the same in every process.

    Raises:
        ValueError: It cannot be imported.
    """
    with seeded(0, MODULE_IMPORT_STREAM):
        return load(name)


def make_module(
    config: TrainConfig,
    own: Callable[..., Any] | None,
    shape: Sequence[int],
    num_classes: int,
) -> nn.Module:
    """Make the module of `config`, or call `own`, for samples of `shape`, on the CPU.

    Raises:
        ValueError: What makes it is not as it must be, or the samples are of no use.
    """
    if own:
        module = _call(own, config.model, num_classes)
        _check(config.model, module)
        made: nn.Module = module
        _materialize(config.model, made, shape)
        return made
    if config.model == "cnn":
        return make_cnn(shape, num_classes)
    return make_sequential(config, math.prod(shape), num_classes)


def _call(make: Callable[..., Any], name: str, num_classes: int) -> Any:
    """Call what makes a network, with the number of classes if it takes it.

    Raises:
        ValueError: It cannot be called so, or raises.
    """
    try:
        parameters = [*inspect.signature(make).parameters.values()]
    except (TypeError, ValueError):
        parameters = []
    takes = any(
        p.kind is p.VAR_KEYWORD
        or (p.name == "num_classes" and p.kind is not p.POSITIONAL_ONLY)
        for p in parameters
    )
    needed = [
        p.name
        for p in parameters
        if p.default is p.empty
        and p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)
        and p.name != "num_classes"
    ]
    if needed:
        raise ValueError(
            f"{name} needs {', '.join(needed)}; it is called with num_classes alone, "
            "or with nothing: give the others defaults."
        )
    try:
        return make(num_classes=num_classes) if takes else make()
    except (SystemExit, Exception) as error:
        raise ValueError(f"{name} raised {type(error).__name__}: {error}") from error


def _check(name: str, module: Any) -> None:
    """Refuse what cannot be trained.

    Raises:
        ValueError: It cannot.
    """
    if not isinstance(module, nn.Module):
        raise ValueError(
            f"{name} returned {type(module).__name__}, not a torch.nn.Module."
        )
    parameters = dict(module.named_parameters())
    if not parameters:
        raise ValueError(f"{name}: the module has no parameters to train.")
    buffers = dict(module.named_buffers())
    for own, tensor in (parameters | buffers).items():
        if tensor.layout is not torch.strided:
            raise ValueError(f"{name}: {own} is sparse; only dense tensors are stored.")
        if tensor.device.type != "cpu":
            raise ValueError(
                f"{name}: {own} is on {tensor.device}; make the module on the CPU, "
                "raybs moves it."
            )
    places = [own for own, _ in module.named_buffers(remove_duplicate=False)]
    if len(places) > len(buffers):
        shared = next(own for own in places if own not in buffers)
        raise ValueError(
            f"{name}: {shared} is also another module's buffer; give each its own."
        )
    for own, parameter in parameters.items():
        if parameter.dtype != torch.float32:
            raise ValueError(
                f"{name}: {own} is {parameter.dtype}; parameters must be float32 "
                "(--precision bfloat16 computes in it)."
            )
    for own, buffer in buffers.items():
        if buffer.dtype not in BUFFER_TYPES:
            raise ValueError(
                f"{name}: {own} is {buffer.dtype}; buffers that can be stored are real "
                "numbers, integers or bool."
            )


def _materialize(name: str, module: nn.Module, shape: Sequence[int]) -> None:
    """Let lazy layers see the shape of a sample, in eval mode: no statistics run.

    Raises:
        ValueError: Samples of this shape are not for it.
    """
    tensors = [*module.parameters(), *module.buffers()]
    if not any(map(nn.parameter.is_lazy, tensors)):
        return
    modes = [(one, one.training) for one in module.modules()]
    module.eval()
    try:
        with torch.no_grad():
            module(torch.zeros(2, *shape))
    except Exception as error:
        raise fails_on((2, *shape), name, error) from error
    for one, mode in modes:
        one.training = mode


def fails_on(shape: Sequence[int], name: str, error: Exception) -> ValueError:
    """Say that the forward of `name` failed on a batch of `shape`."""
    return ValueError(
        f"{name} fails on a batch of shape {tuple(shape)}, samples of "
        f"{tuple(shape[1:])}: {type(error).__name__}: {error}"
    )
