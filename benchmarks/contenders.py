"""The training loops that a user would otherwise write, of the same network and data.

Each *_steps is a function of a batch size and a number of steps that returns what runs
so many steps, on shuffled samples of MNIST; each *_draws takes gradient draws.
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional
from torch.utils.data import DataLoader, Subset

from raybs.config import Phase, TrainConfig
from raybs.config.gradient_sweep import Cell
from raybs.config.keys import Epoch
from raybs.datasets.dataset import Arrays
from raybs.datasets.tensors import Dataset
from raybs.gradients.draw import draw
from raybs.gradients.references import References, sample_order
from raybs.models.base import make_step, samples_per_call
from raybs.models.cnn import make_cnn
from raybs.models.mlp import init_state
from raybs.models.module import ModuleModel
from raybs.models.state import take_steps

LEARNING_RATE = 0.01

Run = Callable[[], object]


def raybs_steps(
    data: Dataset, batch_size: int, num_steps: int, *, replicas: int = 1, **fields: Any
) -> Run:
    """Ours, by the loop of `raybs.train.loop.train_epoch`."""
    phase = Phase(batch_size=batch_size, learning_rate=LEARNING_RATE, epochs=1)
    configs = [TrainConfig(phases=(phase,), seed=r, **fields) for r in range(replicas)]
    state = init_state(configs, data.train_images.shape[1], data.num_classes, "cpu")
    step = make_step(configs, state)
    at_once = samples_per_call(configs[0], batch_size)
    rates = [LEARNING_RATE] * replicas
    rng = np.random.default_rng(0)

    def run() -> None:
        num_samples = batch_size * num_steps
        orders = [rng.permutation(data.num_samples)[:num_samples] for _ in configs]
        order = torch.from_numpy(np.stack(orders))
        take_steps(data, order, step, batch_size, rates, at_once)

    return torch.no_grad()(run)


def module_steps(
    data: Dataset, batch_size: int, num_steps: int, network: str, *, replicas: int = 1
) -> Run:
    """Ours of the cnn, or of the MLP as if its gradients had no closed form."""
    phase = Phase(batch_size=batch_size, learning_rate=LEARNING_RATE, epochs=1)
    configs = [
        TrainConfig(phases=(phase,), seed=r, model=network) for r in range(replicas)
    ]
    model = ModuleModel(configs[0], data)
    train_epoch = torch.no_grad()(model.steps(configs, model.init(configs)))
    epoch, rates = Epoch(batch_size, LEARNING_RATE), [LEARNING_RATE] * replicas
    rng = np.random.default_rng(0)

    def run() -> None:
        num_samples = batch_size * num_steps
        orders = [rng.permutation(data.num_samples)[:num_samples] for _ in configs]
        train_epoch(torch.from_numpy(np.stack(orders)), epoch, rates, 1)

    return run


def autograd_steps(
    data: Dataset, batch_size: int, num_steps: int, network: str = "mlp"
) -> Run:
    """Tensors in memory, torch.nn, autograd and torch's fused SGD."""
    model, optimizer = make_model(data, network)

    def run() -> None:
        order = torch.randperm(data.num_samples)[: batch_size * num_steps]
        for start in range(0, len(order), batch_size):
            picked = order[start : start + batch_size]
            images = data.train_images[picked].view(-1, *data.shape)
            _step(model, optimizer, images, data.train_labels[picked])

    return run


def loader_steps(
    data: Dataset, folder: Path, batch_size: int, num_steps: int, network: str = "mlp"
) -> Run:
    """MNIST and transforms of torchvision, a DataLoader, torch.nn and autograd."""
    from torchvision import datasets, transforms

    model, optimizer = make_model(data, network)
    normalize = transforms.Normalize((0.1307,), (0.3081,))
    transform = transforms.Compose([transforms.ToTensor(), normalize])
    images = datasets.MNIST(str(folder), train=True, transform=transform)

    def run() -> None:
        picked = torch.randperm(len(images))[: batch_size * num_steps].tolist()
        loader = DataLoader(Subset(images, picked), batch_size, shuffle=True)
        for batch, labels in loader:
            _step(model, optimizer, batch, labels)

    return run


def jax_steps(data: Dataset, batch_size: int, num_steps: int) -> Run:
    """JAX: all steps in one jitted scan, weights donated; the gather inside it."""
    import jax
    import jax.numpy as jnp

    model, _ = make_model(data, "mlp")
    weights = [
        (jnp.asarray(layer.weight.detach().numpy().T), jnp.zeros(layer.out_features))
        for layer in model.modules()
        if isinstance(layer, nn.Linear)
    ]
    all_images = jnp.asarray(data.train_images.numpy())
    all_labels = jnp.asarray(data.train_labels.numpy())

    def loss(weights: Any, images: Any, labels: Any) -> Any:
        for layer, (weight, bias) in enumerate(weights):
            images = images @ weight + bias
            images = jax.nn.relu(images) if layer < len(weights) - 1 else images
        chosen = jnp.take_along_axis(jax.nn.log_softmax(images), labels[:, None], 1)
        return -chosen.mean()

    @partial(jax.jit, donate_argnums=0)
    def steps(weights: Any, order: Any, images: Any, labels: Any) -> Any:
        def step(weights: Any, picked: Any) -> Any:
            gradients = jax.grad(loss)(weights, images[picked], labels[picked])
            stepped = jax.tree.map(
                lambda w, g: w - LEARNING_RATE * g, weights, gradients
            )
            return stepped, None

        return jax.lax.scan(step, weights, order)[0]

    rng = np.random.default_rng(0)

    def run() -> None:
        nonlocal weights
        order = rng.permutation(data.num_samples)[: batch_size * num_steps]
        order = jnp.asarray(order.reshape(num_steps, batch_size))
        weights = jax.block_until_ready(steps(weights, order, all_images, all_labels))

    return run


def raybs_draws(references: References, cell: Cell, num_draws: int) -> Run:
    """Ours, with all that a sweep records of each draw."""

    def run() -> list[tuple[float, ...]]:
        pairs = [(number, number) for number in range(num_draws)]
        norms = ("sample_weighted_norm", "summed_gradient_norm", "path_length")
        rows = [row for row, _ in draw(references, cell, pairs)]
        return [tuple(row[name] for name in norms) for row in rows]

    return run


def autograd_draws(references: References, cell: Cell, num_draws: int) -> Run:
    """The same draws as a user would take them: torch.nn, autograd, torch's fused SGD.

    Each gives |sum n g|, |sum g| and sum |g|: what needs every step.
    """
    data, start = references.data, references.start
    model, optimizer = make_model(data, "mlp")
    layers = [layer for layer in model.modules() if isinstance(layer, nn.Linear)]
    last = layers[-1].weight

    def run_one(number: int) -> tuple[float, ...]:
        with torch.no_grad():
            for i, layer in enumerate(layers):
                layer.weight.copy_(start.weights[i][0])
                layer.bias.copy_(start.biases[i][0, 0])
        summed, weighted = torch.zeros_like(last), torch.zeros_like(last)
        path = torch.zeros(())
        order = torch.from_numpy(sample_order(cell, (number, number), data.num_samples))
        for picked in order.split(cell.batch_size):
            images, labels = data.train_images[picked], data.train_labels[picked]
            _step(model, optimizer, images, labels)
            assert last.grad is not None  # of before the step
            summed += last.grad
            weighted += len(picked) * last.grad
            path += last.grad.norm()
        return float(weighted.norm()), float(summed.norm()), float(path)

    return lambda: [run_one(number) for number in range(num_draws)]


def write_idx(arrays: Arrays, folder: Path) -> None:
    """Write MNIST as the files that torchvision reads without downloading them."""
    raw = folder / "MNIST" / "raw"
    raw.mkdir(parents=True, exist_ok=True)
    for name, images, labels in (
        ("train", arrays.x_train, arrays.y_train),
        ("t10k", arrays.x_test, arrays.y_test),
    ):
        for kind, array in (("images-idx3", images), ("labels-idx1", labels)):
            pixels = np.ascontiguousarray(array, np.uint8)
            header = np.array([0x800 + pixels.ndim, *pixels.shape], ">i4").tobytes()
            (raw / f"{name}-{kind}-ubyte").write_bytes(header + pixels.tobytes())


def make_model(data: Dataset, network: str) -> tuple[nn.Module, torch.optim.SGD]:
    """Build the article's network or the cnn of raybs, and the optimizer of weights."""
    if network == "cnn":
        model = make_cnn(data.shape, data.num_classes)
    else:
        model = nn.Sequential(
            nn.Flatten(),
            nn.Linear(data.num_features, 1024),
            nn.ReLU(),
            nn.Linear(1024, 1024),
            nn.ReLU(),
            nn.Linear(1024, data.num_classes),
        )
    return model, torch.optim.SGD(model.parameters(), lr=LEARNING_RATE, fused=True)


def _step(
    model: nn.Module, optimizer: torch.optim.Optimizer, images: Any, labels: Any
) -> None:
    loss = functional.cross_entropy(model(images), labels)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
