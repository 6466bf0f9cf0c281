"""Sweeps from lists of values: products, lists walked together, dependent values."""

import difflib
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import product
from typing import Any, TypeAlias, TypeVar

from raybs.config import schedules
from raybs.config.schedules import SCHEDULES, Schedule
from raybs.config.sweep import TrainSweep, with_seeds
from raybs.config.trial import LENGTHS, Phase, TrainConfig, canonical
from raybs.config.validation import any_of, is_integer, is_number, plain

MAX_TRIALS = 100_000
"""More are likely a mistake: they must be confirmed."""

TIMED_EPOCHS = 1000
"""Of a trial that ends after so many seconds, unless something else is asked for."""

RULES: dict[str, Callable[[float], float]] = {
    "fixed": lambda times: 1.0,
    "linear": lambda times: times,
    "sqrt": math.sqrt,
}
"""How the learning rate grows when the batch grows so many times."""

T = TypeVar("T")
Values: TypeAlias = T | Sequence[T] | Callable[[Mapping[str, Any]], T]
"""One value, several, or a function of the point's other values."""

Point = Mapping[str, Any]


def scaled_rate(
    learning_rate: float, batch_size: int, base_batch_size: int, rule: str
) -> float:
    """Return the learning rate for `batch_size`, given that for `base_batch_size`.

    linear: in proportion to the batch (Goyal et al. 2017); sqrt: to its square root
    (Krizhevsky 2014); fixed: the same.

    Raises:
        ValueError: There is no such rule.
    """
    if str(rule) not in RULES:
        raise ValueError(f"learning_rate_rule={rule!r}; use {any_of(RULES)}.")
    return learning_rate * RULES[rule](batch_size / base_batch_size)


def grid(
    *,
    batch_size: Values[int] | None = None,
    learning_rate: Values[float] | None = None,
    epochs: Values[int] | None = None,
    steps: Values[int] | None = None,
    samples: Values[int] | None = None,
    seconds: float | None = None,
    learning_rate_rule: str | Sequence[str] = "fixed",
    base_batch_size: int = 64,
    schedule: str | Schedule | Sequence[str | Schedule] = "constant",
    warm_up: Values[int] = 0,
    optimizer: Values[str] = "sgd",
    momentum: Values[float] = 0.0,
    nesterov: Values[bool] = False,
    weight_decay: Values[float] = 0.0,
    hidden: Sequence[int] | Sequence[Sequence[int]] = (1024, 1024),
    init: Values[str] = "glorot_uniform",
    dataset: Values[str] = "mnist",
    precision: Values[str] = "float32",
    zipped: Sequence[str] = (),
    points: Sequence[Point] = (),
    seeds: int | Sequence[int] = 1,
    until: Mapping[str, float] | None = None,
    evaluate_every: int = 1,
    max_trials: int | None = MAX_TRIALS,
) -> TrainSweep:
    """Return the sweep of all combinations of these values.

    A list is an axis of the grid. The axes named in `zipped` are walked together, not
    multiplied: their lists have one length. `points` is an axis, too: mappings, each
    with values of some of these arguments. A function is called with the other values
    of its point: `learning_rate=lambda point: 0.01 * point["batch_size"] / 64`.

    Give one of the budgets `epochs`, `steps` and `samples` per trial; or `seconds` of
    training, which end a trial at its first measured epoch that has taken so long (or
    after `epochs`, 1000 of them if not given). Steps and samples may end in the middle
    of an epoch. `until` ends trials as well, as in {"test_accuracy": 0.97}.

    `learning_rate` is that at `base_batch_size`; others follow `learning_rate_rule`
    (fixed, linear, sqrt: `scaled_rate`). `schedule` is constant, decay_rate,
    grow_batch, cosine, or a function from the trial's one phase to its phases
    (`raybs.config.schedules`); `warm_up` counts epochs within it. `momentum` and
    `nesterov` go to sgd alone. `hidden` is one list of widths, or a list of such.
    `seeds` is how many (3: 0, 1, 2), or which ones.

    Raises:
        ValueError: A value is missing, empty, unknown or invalid; or there are more
            than `max_trials` combinations (None: no limit).
    """
    given = {
        "batch_size": batch_size,
        "learning_rate": learning_rate,
        "epochs": epochs,
        "steps": steps,
        "samples": samples,
        "learning_rate_rule": learning_rate_rule,
        "schedule": schedule,
        "warm_up": warm_up,
        "optimizer": optimizer,
        "momentum": momentum,
        "nesterov": nesterov,
        "weight_decay": weight_decay,
        "hidden": _widths(hidden),
        "init": init,
        "dataset": dataset,
        "precision": precision,
    }
    several = {
        name: _values(name, value)
        for name, value in given.items()
        if value is not None or name not in _NEEDED
    }
    if seconds is not None:
        until = _timed(until, seconds)
        several |= _length_of_timed(several)
    if not is_integer(plain(base_batch_size)) or base_batch_size < 1:
        raise ValueError(f"base_batch_size={base_batch_size!r}; use 1 or more.")
    axes = _axes(several, zipped, points, known=tuple(given))
    chosen = _seeds(seeds)
    num_trials = math.prod(map(len, axes)) * len(chosen)
    if max_trials is not None and num_trials > max_trials:
        raise ValueError(
            f"The grid has {num_trials:,} trials, more than {max_trials:,}; make it "
            "smaller, or confirm it with --yes (max_trials=None)."
        )
    configs: dict[TrainConfig, TrainConfig] = {}
    for combination in product(*axes):
        config = _config(_merged(combination), base_batch_size)
        configs.setdefault(canonical(config), config)
    sweep = TrainSweep(
        configs=tuple(configs.values()),
        evaluate_every=evaluate_every,
        until=until or {},
    )
    return with_seeds(sweep, chosen)


_NEEDED = ("batch_size", "learning_rate", *LENGTHS)
"""Of which some must be given: they have no default."""


def _timed(until: Mapping[str, float] | None, seconds: float) -> dict[str, float]:
    """Return the goals of trials that end after so many seconds as well."""
    if until and "seconds" in until:
        raise ValueError("seconds are given twice, by themselves and in until.")
    return {**(until or {}), "seconds": seconds}


def _length_of_timed(several: Mapping[str, list[Any]]) -> dict[str, list[Any]]:
    """Return how long trials are at most that end after so many seconds."""
    if any(name in several for name in LENGTHS):
        return {}
    if set(several["schedule"]) != {"constant"}:
        raise ValueError("A schedule needs a length: give epochs besides seconds.")
    return {"epochs": [TIMED_EPOCHS]}


def _seeds(seeds: Any) -> list[int]:
    given: Any = plain(seeds) if not isinstance(seeds, Sequence) else seeds
    if is_integer(given) and given > 0:
        return list(range(given))
    if not isinstance(given, Iterable) or isinstance(given, str) or not list(given):
        raise ValueError(f"seeds={seeds!r}; give how many, or a list of them.")
    return [plain(seed) for seed in given]  # type: ignore[misc]  # with_seeds checks


def _values(name: str, value: Any) -> list[Any]:
    """Return the values of an axis, of which a scalar has one."""
    if isinstance(value, str | Mapping) or not isinstance(value, Iterable):
        return [value]
    values = [plain(item) for item in value]
    if not values:
        raise ValueError(f"{name}={value!r}; give at least one value.")
    return values


def _widths(hidden: Any) -> Any:
    """Return a list of lists of widths; [256, 256] is one list, and so is []."""
    if callable(hidden):
        return hidden
    if isinstance(hidden, str) or not isinstance(hidden, Iterable):
        raise ValueError(f"hidden={hidden!r}; give a list of widths.")
    widths = [w.tolist() if hasattr(w, "tolist") else w for w in hidden]
    return widths if widths and not is_integer(plain(widths[0])) else [tuple(widths)]


def _axes(
    several: Mapping[str, list[Any]],
    zipped: Sequence[str],
    points: Sequence[Point],
    known: Sequence[str],
) -> list[list[Point]]:
    """Return the axes of the grid, each a list of partial points."""
    _check_axes(several, zipped, points, known)
    axes: list[list[Point]] = [
        [{name: value} for value in values]
        for name, values in several.items()
        if name not in zipped
    ]
    if zipped:
        columns = [several[name] for name in zipped]
        walked = zip(*columns, strict=True)
        axes.append([dict(zip(zipped, row, strict=True)) for row in walked])
    if points:  # the last ones, so that they overrule defaults
        axes.append([{n: plain(value) for n, value in p.items()} for p in points])
    return axes


def _check_axes(
    several: Mapping[str, list[Any]],
    zipped: Sequence[str],
    points: Sequence[Point],
    known: Sequence[str],
) -> None:
    """Refuse names that are not `known`, or given twice, and lists of other lengths."""
    wrong = [point for point in points if not isinstance(point, Mapping)]
    if wrong:
        raise ValueError(f"points: {wrong[0]!r}; give mappings from names to values.")
    for name in [*zipped, *(name for point in points for name in point)]:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f" Did you mean '{near[0]}'?" if near else ""
            raise ValueError(f"'{name}' is not known.{hint} Use {any_of(known)}.")
    lengths = {name: len(several.get(name, ())) for name in zipped}
    if len({*lengths.values()}) > 1 or 0 in lengths.values():
        said = ", ".join(f"{name} {num}" for name, num in lengths.items())
        raise ValueError(f"zipped lists must have one length, these have {said}.")
    in_points = {name for point in points for name in point}
    # What has a default can be given once more: points overrule it.
    twice = [
        name
        for name in sorted(in_points)
        if name in zipped
        or len(several.get(name, ())) > 1
        or (name in _NEEDED and name in several)
    ]
    if twice:
        raise ValueError(f"'{twice[0]}' is in points and besides; give it once.")


def _merged(combination: Iterable[Point]) -> dict[str, Any]:
    """Join partial points, and call what depends on the other values."""
    point = {name: value for part in combination for name, value in part.items()}
    known = {n: v for n, v in point.items() if n == "schedule" or not callable(v)}
    for name, value in point.items():
        if name not in known:
            try:
                point[name] = plain(value(known))
            except KeyError as error:
                raise ValueError(
                    f"the function of {name} asks for {error}; it gets "
                    f"{any_of(known)}, of which none is a function itself."
                ) from None
    return point


def _config(point: dict[str, Any], base_batch_size: int) -> TrainConfig:
    missing = [name for name in ("batch_size", "learning_rate") if name not in point]
    if missing:
        raise ValueError(f"{missing[0]}: give at least one value.")
    lengths = {name: point.pop(name) for name in LENGTHS if name in point}
    if len(lengths) != 1:
        raise ValueError(
            "Say how long a trial is by one of epochs, steps, samples or seconds, not "
            f"by {' and '.join(lengths) or 'none'}."
        )
    batch_size, rate = point.pop("batch_size"), point.pop("learning_rate")
    rule = point.pop("learning_rate_rule")
    if is_integer(batch_size) and batch_size > 0 and is_number(rate):  # else Phase says
        rate = scaled_rate(rate, batch_size, base_batch_size, rule)
    shape = point.pop("schedule")
    if not callable(shape) and str(shape) not in SCHEDULES:
        raise ValueError(f"schedule={shape!r}; use {any_of(SCHEDULES)}.")
    phase = Phase(batch_size=batch_size, learning_rate=rate, **lengths)
    phases = (shape if callable(shape) else SCHEDULES[shape])(phase)
    num_epochs = point.pop("warm_up")
    if not is_integer(num_epochs):
        raise ValueError(f"warm_up={num_epochs!r}; use a whole number of epochs.")
    if num_epochs:
        phases = schedules.warm_up(phases, num_epochs)
    if point["optimizer"] != "sgd":
        point |= {"momentum": 0.0, "nesterov": False}
    return TrainConfig(phases=phases, **point)
