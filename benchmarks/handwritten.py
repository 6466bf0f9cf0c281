"""The script that a user would write from Ray Tune's documentation, for one sweep.

A function trainable with DataLoaders and torchvision's transforms, a grid search, the
default loggers; the same network, configs and exact metrics of every epoch as raybs.

Run: python -m benchmarks.handwritten lr_compensation --max-epochs 30 --folder FOLDER
"""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
import torch
from ray import tune
from torch import nn
from torch.nn import functional
from torch.utils.data import DataLoader
from torchvision import datasets, transforms

from benchmarks.contenders import write_idx
from raybs.config.catalog import find_sweep
from raybs.config.sweep import truncated
from raybs.datasets.dataset import load_arrays


def make_model() -> nn.Sequential:
    """Build the article's network."""
    model = nn.Sequential(
        nn.Flatten(),
        nn.Linear(784, 1024),
        nn.ReLU(),
        nn.Linear(1024, 1024),
        nn.ReLU(),
        nn.Linear(1024, 10),
    )
    for layer in model:
        if isinstance(layer, nn.Linear):
            nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(layer.bias)
    return model


@torch.no_grad()
def evaluate(model: nn.Module, loader: DataLoader[Any]) -> tuple[float, float]:
    """Return mean loss and accuracy over all of `loader`."""
    model.eval()
    loss, hits, total = 0.0, 0, 0
    for images, labels in loader:
        logits = model(images)
        loss += functional.cross_entropy(logits, labels, reduction="sum").item()
        hits += int((logits.argmax(1) == labels).sum().item())
        total += len(labels)
    return loss / total, hits / total


def train(config: dict[str, Any]) -> None:
    """Train one trial; report every epoch."""
    config = config["trial"]
    normalize = transforms.Normalize((0.1307,), (0.3081,))
    transform = transforms.Compose([transforms.ToTensor(), normalize])
    train_set, test_set = (
        datasets.MNIST(config["folder"], train=part, transform=transform)
        for part in (True, False)
    )
    torch.manual_seed(config["seed"])
    model = make_model()
    start = [parameter.detach().clone() for parameter in model.parameters()]
    first = config["phases"][0]["learning_rate"]
    kind = torch.optim.Adam if config["optimizer"] == "adam" else torch.optim.SGD
    optimizer = kind(model.parameters(), lr=first)
    train_loader = DataLoader(train_set, batch_size=1024)
    test_loader = DataLoader(test_set, batch_size=1024)
    for phase in config["phases"]:
        loader = DataLoader(train_set, batch_size=phase["batch_size"], shuffle=True)
        for group in optimizer.param_groups:
            group["lr"] = phase["learning_rate"]
        for _ in range(phase["epochs"]):
            model.train()
            for images, labels in loader:
                loss = functional.cross_entropy(model(images), labels)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            train_loss, train_accuracy = evaluate(model, train_loader)
            test_loss, test_accuracy = evaluate(model, test_loader)
            metrics = {
                "train_loss": train_loss,
                "train_accuracy": train_accuracy,
                "test_loss": test_loss,
                "test_accuracy": test_accuracy,
            }
            for name, now, init in zip(
                ("w1", "b1", "w2", "b2", "w3", "b3"),
                model.parameters(),
                start,
                strict=True,
            ):
                flat, flat_init = now.detach().flatten(), init.flatten()
                metrics[f"distance_{name}"] = (flat - flat_init).norm().item()
                metrics[f"norm_{name}"] = flat.norm().item()
                metrics[f"cosine_{name}"] = functional.cosine_similarity(
                    flat, flat_init, dim=0
                ).item()
            tune.report(metrics)


@click.command()
@click.argument("name")
@click.option("--max-epochs", default=30, show_default=True)
@click.option("--folder", required=True, type=click.Path(path_type=Path))
def main(name: str, max_epochs: int, folder: Path) -> None:
    """Run the sweep NAME as one would without raybs."""
    folder = folder.resolve()
    write_idx(load_arrays("mnist"), folder)
    _, _, sweep = find_sweep(name)
    trials = [asdict(config) for config in truncated(sweep, max_epochs).configs]
    trials = [trial | {"folder": str(folder)} for trial in trials]
    tuner = tune.Tuner(
        tune.with_resources(train, {"cpu": 1}),
        param_space={"trial": tune.grid_search(trials)},
        run_config=tune.RunConfig(
            name=Path(name).stem, storage_path=str(folder / "tune")
        ),
    )
    results = tuner.fit()
    if results.num_errors:
        raise SystemExit(f"{results.num_errors} trials failed")


if __name__ == "__main__":
    main()
