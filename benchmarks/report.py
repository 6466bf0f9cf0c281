"""What all benchmarks share: paired rounds, a frame on disk, a table with hardware."""

import os
import platform
import time
from collections.abc import Callable, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pandas as pd
from rich.console import Console

from raybs.plan.processor import processor

RESULTS = Path(__file__).parent / "results"
DOCS = Path(__file__).parent.parent / "docs"


Contender = tuple[Callable[[], object], int]
"""What to run, and how many units (steps, say) that is."""


def paired(contenders: Mapping[str, Contender], rounds: int) -> pd.DataFrame:
    """Time every contender once a round, in turn, after one round of warming up.

    A round's times lie close together, so their ratio is that of one and the same
    moment of a noisy machine. Columns: contender, round, seconds (of one unit).
    """
    rows = []
    for number in range(rounds + 1):
        for name, (run, num_units) in contenders.items():
            start = time.perf_counter()
            run()
            seconds = (time.perf_counter() - start) / num_units
            if number:
                rows.append({"contender": name, "round": number, "seconds": seconds})
    return pd.DataFrame(rows)


def spread(values: pd.Series, digits: int = 2) -> str:
    """Return median and quartiles: '3.1 (3.0-3.3)'."""
    low, middle, high = values.quantile([0.25, 0.5, 0.75])
    return f"{middle:.{digits}f} ({low:.{digits}f}-{high:.{digits}f})"


def markdown(table: pd.DataFrame) -> str:
    """Return `table` without its index, as Markdown."""
    lines = [list(table.columns), ["---"] * len(table.columns)]
    lines += table.astype(str).values.tolist()
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def machine(*packages: str) -> str:
    """Return one line: processor, cores, Python and the versions of `packages`."""
    versions = [f"Python {platform.python_version()}"]
    for package in packages:
        try:
            versions.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            versions.append(f"{package} not installed")
    cores = f"{os.cpu_count() or 'unknown'} cores"
    return f"{processor()}, {cores}; {', '.join(versions)}"


def finish(name: str, frame: pd.DataFrame, text: str, folder: Path = RESULTS) -> None:
    """Print `text`; write it and `frame` as NAME.md and NAME.csv in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    frame.to_csv(folder / f"{name}.csv", index=False, float_format="%.6g")
    (folder / f"{name}.md").write_text(text + "\n", "utf-8")
    Console(highlight=False).print(text, markup=False, soft_wrap=True)
