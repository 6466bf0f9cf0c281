"""One gradient draw on one CPU thread, beside the loop that a user would write.

Run: python -m benchmarks.draws
Time: 4 minutes. Leave the machine alone meanwhile.
"""

from collections.abc import Callable

import click
import pandas as pd

from benchmarks.report import finish, machine, markdown, paired, spread
from benchmarks.step import alone_on_one_core

OURS, AUTOGRAD = "raybs", "autograd"
NUM_DRAWS = 4
"""In a row, of each: a chunk of a sweep has tens."""


@click.command()
@click.option("--rounds", default=3, show_default=True, help="Paired runs of each.")
@click.option("--quick", is_flag=True, help="Two batch sizes, one round: does it run?")
def main(rounds: int, quick: bool) -> None:
    """Time one draw of every batch size of the article, ours and by autograd."""
    alone_on_one_core("benchmarks.draws")
    from raybs.models.device import prepare

    prepare(1)
    frames = []
    for batch_size, contenders in draws(quick):
        times = paired(
            {
                name: (run, 1 if quick else NUM_DRAWS)
                for name, run in contenders.items()
            },
            1 if quick else rounds,
        )
        frames.append(times.assign(batch_size=batch_size))
    frame = pd.concat(frames, ignore_index=True)
    if quick:
        return click.echo(text(frame))
    finish("draws", frame, text(frame))


def draws(quick: bool) -> list[tuple[int, dict[str, Callable[[], object]]]]:
    """Return what takes a draw, ours and by autograd, of every batch size."""
    from benchmarks.contenders import autograd_draws, raybs_draws
    from raybs.config.catalog import find_sweep
    from raybs.config.gradient_sweep import cells
    from raybs.datasets.dataset import describe, load_arrays
    from raybs.datasets.tensors import to_device
    from raybs.gradients.references import References
    from raybs.models.base import make_model
    from raybs.models.mlp import init_state

    article = cells(
        find_sweep("gradient_competition")[2],  # type: ignore[arg-type]
        {"mnist": describe("mnist").fingerprint},
    )
    early = [cell for cell in article if cell.regime == "early"]
    data = to_device(load_arrays("mnist"), "cpu")
    start = init_state([early[0].config], data.train_images.shape[1], 10, "cpu")
    # Gradients at the start are shared by all batch sizes, as in a sweep.
    model = make_model(early[0].config, data)
    references = References(start=start, data=data, cell=early[0], model=model)
    num_draws = 1 if quick else NUM_DRAWS
    _ = references.of_all, [references.of_samples(n) for n in range(num_draws)]
    return [
        (
            cell.batch_size,
            {
                OURS: raybs_draws(references, cell, num_draws),
                AUTOGRAD: autograd_draws(references, cell, num_draws),
            },
        )
        for cell in early
        if not quick or cell.batch_size >= 512
    ]


def text(frame: pd.DataFrame) -> str:
    """Return a table: a row per batch size, and all of them together."""
    times = frame.pivot(
        index=["batch_size", "round"], columns="contender", values="seconds"
    )
    rows = []
    for batch_size, group in times.groupby("batch_size"):
        rows.append(
            {
                "batch size": batch_size,
                "raybs, ms": spread(1e3 * group[OURS], 0),
                "autograd, ms": spread(1e3 * group[AUTOGRAD], 0),
                "autograd / raybs": spread(group[AUTOGRAD] / group[OURS]),
            }
        )
    total = times.groupby("round").sum()
    rows.append(
        {
            "batch size": "all",
            "raybs, ms": spread(1e3 * total[OURS], 0),
            "autograd, ms": spread(1e3 * total[AUTOGRAD], 0),
            "autograd / raybs": spread(total[AUTOGRAD] / total[OURS]),
        }
    )
    return "\n\n".join(
        [
            f"One draw of 1024 samples, of {NUM_DRAWS} in a row, one thread on one "
            f"core:\nmedian (quartiles) of {frame['round'].max()} paired rounds. "
            f"{machine('torch')}.",
            markdown(pd.DataFrame(rows)),
        ]
    )


if __name__ == "__main__":
    main()
