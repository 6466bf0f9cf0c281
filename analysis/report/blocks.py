"""What the report holds of one sweep: figures, tables, advice, and what is missing."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

import pandas as pd

from analysis.advice.compare import advise
from analysis.advice.words import words
from analysis.charts.figures import draw_figures, figures
from analysis.charts.landscape import landscape
from analysis.claims.claim import printed_numbers
from analysis.frames.draws import ARTICLES_NORM, Draws
from analysis.frames.trials import Frames
from analysis.report import tables
from analysis.report.embed import Datasets, Figure, embed
from analysis.report.tables import FITS, NORM, SPLIT, TAILS

MAX_NUMBERS = 6
"""Of configs whose final numbers are in the words for a chart."""

SHOWN = {
    "curves": ("final_test_accuracy", "Test accuracy at the end, %", 100, ".2f"),
    "distance": ("final_weight_distance", "Distance at the end", 1, ".3g"),
}
"""By the name of a chart: what its lines end at, what that is called, its unit."""


@dataclass(frozen=True, kw_only=True)
class Advised:
    """Advice on one question: its title, sentences by heading, charts."""

    title: str
    words: Mapping[str, list[str]]
    figures: tuple[Figure, ...]


@dataclass(frozen=True, kw_only=True)
class Block:
    """A sweep as far as it is stored; `tables` by their captions, all text.

    `counts` are the trials, or the draws, by what became of them; `messages` say why
    some failed.
    """

    title: str
    figures: tuple[Figure, ...]
    tables: Mapping[str, pd.DataFrame]
    counts: Mapping[str, int]
    unit: str
    messages: tuple[str, ...]
    advice: tuple[Advised, ...] = field(default=())

    @property
    def is_whole(self) -> bool:
        """Whether nothing is missing that was asked for."""
        return not (self.counts["unfinished"] or self.counts["failed"])


def of_trials(
    found: Frames,
    datasets: Datasets,
    *,
    only: Collection[str] = (),
    advised: bool = False,
) -> Block:
    """Return what there is of a sweep of trials (`frames.only`).

    Its charts `only`, if any are named, add their data to `datasets`; `advised` asks
    for advice, too.
    """
    trials = found.trials
    name, title = str(trials["sweep"].iloc[0]), str(trials["title"].iloc[0])
    statuses = trials["status"].value_counts()
    ended = int(statuses.get("complete", 0) + statuses.get("diverged", 0))
    return Block(
        title=title,
        figures=tuple(
            embed(
                chart,
                kind,
                key=f"{name}-{kind}",
                title=title,
                datasets=datasets,
                shows=_ends(trials, kind),
            )
            for kind, chart in figures(found).items()
            if not only or kind in only
        ),
        tables={_final_caption(trials): tables.final_table(trials)},
        counts={
            "all": len(trials),
            "ended": ended,
            "diverged": int(statuses.get("diverged", 0)),
            "failed": int(statuses.get("failed", 0)),
            "unfinished": int(statuses.get("unfinished", 0)),
        },
        unit="trials",
        messages=tuple(dict.fromkeys(m for m in trials["message"] if m)),
        advice=_advice(found, name, title, datasets) if advised else (),
    )


def of_draws(found: Draws, datasets: Datasets, *, only: Collection[str] = ()) -> Block:
    """Return what there is of a gradient sweep; `datasets`, `only` as of trials."""
    # While trials are added, draws stay as they are, and take longest.
    key = (_digest(found), frozenset(only))
    if found.name not in _KEPT or _KEPT[found.name][0] != key:
        held: Datasets = {}
        _KEPT[found.name] = (key, _of_draws(found, held, only), held)
    _, block, held = _KEPT[found.name]
    datasets.update(held)
    return block


_KEPT: dict[str, tuple[object, Block, Datasets]] = {}
"""The block of each gradient sweep as last seen, by what it was made of."""


def _digest(found: Draws) -> tuple[object, ...]:
    held = [found.draws, found.histogram, found.cells]
    sums = [int(pd.util.hash_pandas_object(frame).sum()) for frame in held]
    return found.title, repr(found.sweep), *sums


def _of_draws(found: Draws, datasets: Datasets, only: Collection[str]) -> Block:
    cells = found.cells
    fits = tables.fits_table(found, [ARTICLES_NORM])
    written = {
        NORM: tables.draws_table(found),
        FITS: fits.drop(columns="of"),
        TAILS: tables.tails_table(found),
        SPLIT: tables.split_table(found),
    }
    failed = cells["message"] != ""
    missing = cells["asked"] - cells["stored"]
    return Block(
        title=found.title,
        figures=tuple(
            embed(
                chart,
                kind,
                key=f"{found.name}-{kind}",
                title=found.title,
                datasets=datasets,
            )
            for kind, chart in draw_figures(found).items()
            if not only or kind in only
        ),
        tables={caption: table for caption, table in written.items() if len(table)},
        counts={
            "all": int(cells["asked"].sum()),
            "ended": int(cells["stored"].sum()),
            "diverged": int(cells["diverged"].sum()),
            "failed": int(missing[failed].sum()),
            "unfinished": int(missing[~failed].sum()),
        },
        unit="draws",
        messages=tuple(dict.fromkeys(m for m in cells["message"] if m)),
    )


def _advice(
    found: Frames, name: str, title: str, datasets: Datasets
) -> tuple[Advised, ...]:
    advised = []
    for number, advice in enumerate(advise(found), 1):
        charts = landscape(advice, title)
        advised.append(
            Advised(
                title=advice.title,
                words=words(advice),
                figures=tuple(
                    embed(
                        chart,
                        kind,
                        key=f"{name}-{kind}-{number}",
                        title=title,
                        datasets=datasets,
                    )
                    for kind, chart in charts.items()
                ),
            )
        )
    return tuple(advised)


def _final_caption(trials: pd.DataFrame) -> str:
    said = "The end of training"
    if trials["seed"].nunique() > 1:
        said += ": mean ± deviation over seeds"
    if not printed_numbers().keys().isdisjoint(trials["label"]):
        said += "; in brackets the article's number"
    return said


def _ends(trials: pd.DataFrame, kind: str) -> str:
    """Say what the lines of a chart end at, config by config."""
    if kind not in SHOWN:
        return ""
    column, called, unit, form = SHOWN[kind]
    complete = trials[trials["status"] == "complete"]
    means = unit * complete.groupby("label", sort=False)[column].mean()
    said = [f"{label}: {value:{form}}" for label, value in means.items()]
    more = f"; and {len(said) - MAX_NUMBERS} more" if len(said) > MAX_NUMBERS else ""
    return f"{called}: {'; '.join(said[:MAX_NUMBERS])}{more}" if said else ""
