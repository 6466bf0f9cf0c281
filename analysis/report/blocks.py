"""What the report holds of one sweep: figures, tables, advice, and what is missing."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

import altair as alt
import pandas as pd

from analysis.advice.compare import advise
from analysis.advice.words import words
from analysis.charts.figures import draw_figures, figures
from analysis.charts.landscape import landscape
from analysis.claims.claim import printed_numbers
from analysis.frames.draws import ARTICLES_NORM, Draws
from analysis.frames.trials import Frames
from analysis.metrics import metric_of
from analysis.report import tables
from analysis.report.embed import Datasets, Figure, embed
from analysis.report.tables import FITS, NORM, SPLIT, TAILS
from raybs.config.status import Status

MAX_NUMBERS = 6
"""Of configs whose final numbers are in the words for a chart."""

SHOWN = {
    "curves": ("final_test_accuracy", "Test accuracy at the end, %"),
    "distance": ("final_weight_distance", "Distance at the end"),
}
"""By the name of a chart: what its lines end at, and what that is called."""

BESIDES = (Status.DIVERGED, Status.FAILED, Status.UNFINISHED)
"""What is counted of trials and draws besides those that ended."""


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
        return not (self.counts[Status.UNFINISHED] or self.counts[Status.FAILED])


def of_trials(
    frames: Frames,
    datasets: Datasets,
    *,
    only: Collection[str] = (),
    advised: bool = False,
) -> Block:
    """Return what there is of a sweep of trials (`frames.only`).

    Its charts `only`, if any are named, add their data to `datasets`; `advised` asks
    for advice, too.
    """
    trials = frames.trials
    name, title = str(trials["sweep"].iloc[0]), str(trials["title"].iloc[0])
    charts = _only(figures(frames), only)
    shows = {kind: _ends(trials, kind) for kind in charts}
    return Block(
        title=title,
        figures=_embedded(charts, name, title, datasets, shows=shows),
        tables={_final_caption(trials): tables.final_table(trials)},
        counts=_counts(trials),
        unit="trials",
        messages=_messages(trials),
        advice=_advice(frames, name, title, datasets) if advised else (),
    )


def _counts(trials: pd.DataFrame) -> dict[str, int]:
    statuses = trials["status"].value_counts()
    num = {status: int(statuses.get(status, 0)) for status in Status}
    return {
        "all": len(trials),
        "ended": num[Status.COMPLETE] + num[Status.DIVERGED],
        **{status: num[status] for status in BESIDES},
    }


def _only(
    charts: Mapping[str, alt.TopLevelMixin], names: Collection[str]
) -> dict[str, alt.TopLevelMixin]:
    """Return the charts of these names, or all if none is named."""
    return {kind: chart for kind, chart in charts.items() if not names or kind in names}


def _embedded(
    charts: Mapping[str, alt.TopLevelMixin],
    name: str,
    title: str,
    datasets: Datasets,
    *,
    number: str = "",
    shows: Mapping[str, str] | None = None,
) -> tuple[Figure, ...]:
    """Return charts of the sweep `name` as figures; their data go to `datasets`."""
    return tuple(
        embed(
            chart,
            kind,
            key=f"{name}-{kind}{number}",
            title=title,
            datasets=datasets,
            shows=(shows or {}).get(kind, ""),
        )
        for kind, chart in charts.items()
    )


def _messages(frame: pd.DataFrame) -> tuple[str, ...]:
    """Return why trials, or cells, failed: each reason once."""
    return tuple(dict.fromkeys(message for message in frame["message"] if message))


def of_draws(drawn: Draws, datasets: Datasets, *, only: Collection[str] = ()) -> Block:
    """Return what there is of a gradient sweep; `datasets`, `only` as of trials."""
    # While trials are added, draws stay as they are, and take longest.
    key = (_digest(drawn), frozenset(only))
    if drawn.name not in _KEPT or _KEPT[drawn.name][0] != key:
        held: Datasets = {}
        _KEPT[drawn.name] = (key, _of_draws(drawn, held, only), held)
    _, block, held = _KEPT[drawn.name]
    datasets.update(held)
    return block


_KEPT: dict[str, tuple[object, Block, Datasets]] = {}
"""The block of each gradient sweep as last seen, by what it was made of."""


def _digest(drawn: Draws) -> tuple[object, ...]:
    held = [drawn.draws, drawn.histogram, drawn.cells]
    sums = [int(pd.util.hash_pandas_object(frame).sum()) for frame in held]
    return drawn.title, repr(drawn.sweep), *sums


def _of_draws(drawn: Draws, datasets: Datasets, only: Collection[str]) -> Block:
    cells = drawn.cells
    fits = tables.fits_table(drawn, [ARTICLES_NORM])
    written = {
        NORM: tables.draws_table(drawn),
        FITS: fits.drop(columns="of"),
        TAILS: tables.tails_table(drawn),
        SPLIT: tables.split_table(drawn),
    }
    charts = _only(draw_figures(drawn), only)
    failed = cells["message"] != ""
    missing = cells["asked"] - cells["stored"]
    return Block(
        title=drawn.title,
        figures=_embedded(charts, drawn.name, drawn.title, datasets),
        tables={caption: table for caption, table in written.items() if len(table)},
        counts={
            "all": int(cells["asked"].sum()),
            "ended": int(cells["stored"].sum()),
            Status.DIVERGED: int(cells["diverged"].sum()),
            Status.FAILED: int(missing[failed].sum()),
            Status.UNFINISHED: int(missing[~failed].sum()),
        },
        unit="draws",
        messages=_messages(cells),
    )


def _advice(
    frames: Frames, name: str, title: str, datasets: Datasets
) -> tuple[Advised, ...]:
    advised = []
    for number, advice in enumerate(advise(frames), 1):
        charts = landscape(advice, title)
        figures = _embedded(charts, name, title, datasets, number=f"-{number}")
        advised.append(
            Advised(title=advice.title, words=words(advice), figures=figures)
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
    column, called = SHOWN[kind]
    metric = metric_of(column)
    complete = trials[trials["status"] == Status.COMPLETE]
    means = metric.factor * complete.groupby("label", sort=False)[column].mean()
    said = [f"{label}: {value:{metric.format}}" for label, value in means.items()]
    more = f"; and {len(said) - MAX_NUMBERS} more" if len(said) > MAX_NUMBERS else ""
    return f"{called}: {'; '.join(said[:MAX_NUMBERS])}{more}" if said else ""
