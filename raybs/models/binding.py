"""Which tensors of a module are which of a State, and the two bound to each other."""

import contextlib
from collections.abc import Iterator

from torch import Tensor, nn

from raybs.models.state import Names, State


def bind(module: nn.Module, state: State, replica: int) -> None:
    """Let the tensors of `module` be those of a replica of `state`."""
    assert state.names is not None
    for name, tensor in zip(
        parameter_names(state), state.weights + state.biases, strict=True
    ):
        tensor_of(module, name).data = tensor[replica]
    for name, tensor in zip(state.names.buffers, state.buffers, strict=True):
        _set_buffer(module, name, tensor[replica])


def write_back(module: nn.Module, state: State, replica: int) -> None:
    """Copy to `state` buffers that the module has replaced, and did not change."""
    assert state.names is not None
    for name, tensor in zip(state.names.buffers, state.buffers, strict=True):
        buffer = tensor_of(module, name)
        if buffer.data_ptr() != tensor[replica].data_ptr():
            tensor[replica].copy_(buffer)
            _set_buffer(module, name, tensor[replica])


@contextlib.contextmanager
def at_rest(module: nn.Module) -> Iterator[None]:
    """Put a module into eval mode; afterwards modes and buffers are as before."""
    modes = [(one, one.training) for one in module.modules()]
    buffers = [
        (name, buffer, buffer.clone()) for name, buffer in module.named_buffers()
    ]
    module.eval()
    try:
        yield
    finally:
        for one, mode in modes:
            one.training = mode
        for name, buffer, value in buffers:
            buffer.copy_(value)
            _set_buffer(module, name, buffer)


def names_of(module: nn.Module) -> Names:
    """Return the names of weights, of biases and of buffers, tied ones once."""
    parameters = list(module.named_parameters())
    return Names(
        weights=tuple(name for name, p in parameters if p.dim() >= 2),
        biases=tuple(name for name, p in parameters if p.dim() < 2),
        buffers=tuple(name for name, _ in module.named_buffers()),
    )


def parameter_names(state: State) -> tuple[str, ...]:
    """Return the names of weights, then of biases."""
    assert state.names is not None
    return (*state.names.weights, *state.names.biases)


def taught_of(module: nn.Module, state: State) -> list[int]:
    """Return which parameters training changes: all but frozen ones."""
    return [
        index
        for index, name in enumerate(parameter_names(state))
        if tensor_of(module, name).requires_grad
    ]


def tensor_of(module: nn.Module, name: str) -> Tensor:
    """Return a parameter or buffer by its name."""
    owner, _, last = name.rpartition(".")
    tensor: Tensor = getattr(module.get_submodule(owner), last)
    return tensor


def _set_buffer(module: nn.Module, name: str, tensor: Tensor) -> None:
    owner, _, last = name.rpartition(".")
    module.get_submodule(owner)._buffers[last] = tensor
