"""What the contrasts of claims come to, one value per seed or per sample set."""

import difflib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from analysis.claims.claim import Claim, Contrast
from analysis.frames.draws import ARTICLES_NORM, GROUP, Array, Draws, load_draws
from analysis.frames.sweeps import find_sweeps
from analysis.frames.trials import ENDED, Frames, load
from analysis.metrics import metric_of
from analysis.scales import REAL, Scale
from analysis.statistics.fits import power_values
from raybs.config.gradient_sweep import GradientSweep
from raybs.config.status import Status
from raybs.config.validation import any_of
from raybs.store.schemas import DRAW_COLUMNS
from raybs.store.store import Store


def scale_of(contrast: Contrast) -> Scale:
    """Return what the mean of a contrast lies between, whatever the runs say."""
    metric = metric_of(contrast.metric)
    if contrast.power_of or contrast.minus_regime:
        return REAL
    if contrast.minus:
        return metric.scale_of_difference
    return metric.scale_of_ratio if contrast.over else metric.scale


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """One value per seed or sample set; `missing` says why there is none.

    `is_mistaken`: since the claim asks for what no run has. `num_diverged`: of what is
    compared. `num_without`: left out, since they have no such number; a diverged
    trial's accuracy counts as 0.
    """

    values: Array
    num_diverged: int = 0
    num_without: int = 0
    missing: str = ""
    is_mistaken: bool = False


class Mistake(LookupError):
    """A claim asks for what trials and draws do not have."""


def read_evidence(store: Store) -> tuple[Frames, dict[str, Draws]]:
    """Return all trials, and the draws of all gradient sweeps by name."""
    draws = {
        name: load_draws(store, name)
        for name, sweep in find_sweeps(store).items()
        if isinstance(sweep, GradientSweep)
    }
    return load(store), draws


def gather(
    claim: Claim, training: Frames | None, draws: Mapping[str, Draws]
) -> list[Evidence]:
    """Return the evidence on every contrast of `claim`.

    Trials are known by their labels, whichever sweep asked for them: equal configs are
    trained once. Those that stop at a goal are left out.
    """
    try:
        if claim.unit == "seeds":
            trials = _trials(claim, training)
            # Of the article's configs, one is not another misspelt.
            known = list(trials["label"].unique()) if claim.kind == "own" else []
            return [_of_trials(c, trials, known) for c in claim.contrasts]
        drawn = draws.get(claim.sweep)
        if drawn is None:
            raise LookupError(f"the sweep {claim.sweep!r} is not in these results")
    except LookupError as error:
        return [_none(error)] * len(claim.contrasts)
    independent = drawn.draws[drawn.draws["independent"].astype(bool)]
    cells = dict(iter(independent.groupby(GROUP)))
    return [_of_draws(contrast, cells) for contrast in claim.contrasts]


def _trials(claim: Claim, training: Frames | None) -> pd.DataFrame:
    """Return the trials that claims are about, one per label and seed, with metrics."""
    if training is None or training.trials.empty:
        raise LookupError("no trial is in these results")
    trials = training.trials[training.trials["until"] == ""]
    ours = trials["sweep"] == claim.sweep
    ordered = pd.concat([trials[ours], trials[~ours]])
    # Of a file labels have the name alone: another folder's is another config.
    first = ordered.groupby("label")["dataset"].transform("first")
    return ordered[ordered["dataset"] == first].drop_duplicates(["label", "seed"])


def with_growth(training: Frames) -> Frames:
    """Add metrics to the trials that take their history.

    initial_weight_norm; weight_norm_growth, the final norm over it; and
    distance_over_halfway: the final weight distance over that after half of the
    epochs, 2 at a constant rate.
    """
    history, trials = training.history, training.trials
    start = history[history["epoch"] == 0]
    norms = start.drop_duplicates("trial").set_index("trial")["weight_norm"]
    half = history[2 * history["epoch"] == history["num_epochs"]]
    distances = half.drop_duplicates("trial").set_index("trial")["weight_distance"]
    initial = trials["trial"].map(norms).astype(float)
    halfway = trials["trial"].map(distances).astype(float)
    return Frames(
        trials=trials.assign(
            initial_weight_norm=initial,
            weight_norm_growth=trials["final_weight_norm"] / initial,
            distance_over_halfway=trials["final_weight_distance"] / halfway,
        ),
        history=history,
    )


def _of_trials(contrast: Contrast, trials: pd.DataFrame, known: list[str]) -> Evidence:
    try:
        held = [_by_seed(name, contrast, trials, known) for name in contrast.configs]
        seeds = held[0].index
        for other in held[1:]:
            seeds = seeds.intersection(other.index)
        if seeds.empty:
            raise LookupError("no seed has trials of both that have ended")
    except LookupError as error:
        return _none(error)
    pairs = [values.loc[seeds].to_numpy(float) for values in held]
    values = pairs[0]
    if contrast.minus:
        values = pairs[0] - pairs[1]
    elif contrast.over:
        values = pairs[0] / np.where(pairs[1] == 0, np.nan, pairs[1])
    gone = trials[trials["label"].isin(contrast.configs) & trials["seed"].isin(seeds)]
    num_diverged = int((gone["status"] == Status.DIVERGED).sum())
    sound = np.isfinite(values)
    return Evidence(
        values=values[sound],
        num_diverged=num_diverged,
        num_without=int((~sound).sum()),
    )


def _by_seed(
    label: str, contrast: Contrast, trials: pd.DataFrame, known: list[str]
) -> "pd.Series[float]":
    """Return a metric of the trials of `label` that have ended, by seed.

    Raises:
        LookupError: There are none, in words.
        Mistake: Trials have no such number.
    """
    asked = trials[trials["label"] == label]
    if asked.empty:
        hint = _hint(label, known)
        raise LookupError(f"no sweep in these results has the config {label!r}{hint}")
    ended = asked[asked["status"].isin(ENDED)]
    if ended.empty:
        raise LookupError(f"no trial of {label!r} has ended yet")
    metric = contrast.metric
    if metric not in trials or not _is_number(trials[metric]):
        others = [str(n) for n in trials if _is_number(trials[n])]
        raise Mistake(f"trials have no number {metric!r}{_hint(metric, others)}")
    values = ended.set_index("seed")[metric]
    if contrast.layer is not None or values.map(np.ndim).any():
        values = values.map(lambda layers: _layer(layers, contrast))
    values = values.astype(float)
    if metric_of(metric).is_accuracy:
        # As wrong as can be: a config is not better for the seeds that it lost.
        values = values.where(ended.set_index("seed")["status"] == Status.COMPLETE, 0)
    return metric_of(metric).factor * values


def _is_number(values: "pd.Series[Any]") -> bool:
    """Tell whether a column holds numbers, or lists of them."""
    held = values.dropna()
    return pd.api.types.is_numeric_dtype(values) or bool(
        len(held) and held.map(lambda value: isinstance(value, list | np.ndarray)).all()
    )


def _layer(layers: Any, contrast: Contrast) -> float:
    """Return the number of one layer; NaN of a trial that has none.

    Raises:
        Mistake: There is no such layer, or none was named.
    """
    if np.ndim(layers) == 0:
        if layers == layers:
            raise Mistake(f"{contrast.metric!r} has no layers; leave layer out")
        return math.nan
    if contrast.layer is None:
        raise Mistake(f"{contrast.metric!r} has a number per layer: give layer")
    if contrast.layer > len(layers):
        raise Mistake(f"there are {len(layers)} layers, not {contrast.layer}")
    return float(layers[contrast.layer - 1])


Cells = Mapping[tuple[Any, ...], pd.DataFrame]
"""Independent draws by regime and batch size."""


def _of_draws(contrast: Contrast, draws: Cells) -> Evidence:
    sizes = [int(name) for name in contrast.configs]
    cells = [(contrast.regime, size) for size in sizes]
    if contrast.minus_regime:
        cells.append((contrast.minus_regime, sizes[0]))
    try:
        held = [_by_set(cell, contrast.metric, draws) for cell in cells]
        together = pd.concat(held, axis=1, join="inner").to_numpy(float)
        num_diverged = sum(
            int((draws[c]["status"] == Status.DIVERGED).sum()) for c in cells
        )
        if not (len(together) or num_diverged):
            raise LookupError("no sample set was drawn under both")
    except LookupError as error:
        return _none(error)
    if contrast.power_of:
        values = power_values(np.array(sizes, float), together)
    else:
        values = together[:, 0]
        if len(cells) > 1:
            values = values - together[:, 1]
    return Evidence(values=values, num_diverged=num_diverged, num_without=num_diverged)


def _by_set(cell: tuple[str, int], metric: str, draws: Cells) -> "pd.Series[float]":
    """Return a metric of the complete draws of a cell, by sample set.

    relative_spread is how far the norm is from the cell's median, over that median:
    what Brown and Forsythe (1974) compare.

    Raises:
        LookupError: There are no draws, in words.
        Mistake: Draws have no such number.
    """
    regime, size = cell
    known = [*DRAW_COLUMNS, "relative_spread"]
    if metric not in known:
        raise Mistake(f"draws have no number {metric!r}{_hint(metric, known)}")
    if cell not in draws:
        raise LookupError(f"no draw at batch size {size}, regime {regime!r}, is stored")
    mine = draws[cell]
    mine = mine[mine["status"] == Status.COMPLETE]
    is_spread = metric == "relative_spread"
    column = ARTICLES_NORM if is_spread else metric
    values = mine.set_index("sample_set")[column].astype(float)
    return (values / values.median() - 1).abs() if is_spread else values


def _hint(name: str, known: list[str]) -> str:
    close = [repr(other) for other in difflib.get_close_matches(name, known, 3)]
    return f" (did you mean {any_of(close)}?)" if close else ""


def _none(error: LookupError) -> Evidence:
    return Evidence(
        values=np.array([]),
        missing=str(error.args[0]),
        is_mistaken=isinstance(error, Mistake),
    )
