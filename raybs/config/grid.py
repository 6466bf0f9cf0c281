"""Sweeps from lists of values."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import product
from typing import Any, TypeAlias

from raybs.config import schedules
from raybs.config.axes import NEEDED, Point, Values, make_axes, merged, values_of
from raybs.config.own import own_name
from raybs.config.rules import ADAM_RULES, moments_of, scaled_rate
from raybs.config.schedules import SCHEDULES, Schedule
from raybs.config.sweep import TrainSweep, with_seeds
from raybs.config.trial import ADAM_FIELDS, LENGTHS, Phase, TrainConfig, canonical
from raybs.config.validation import any_of, is_integer, is_number, plain

MAX_TRIALS = 100_000
"""More are likely a mistake: they must be confirmed."""

TIMED_EPOCHS = 1000
"""Of a trial that ends after so many seconds, unless something else is asked for."""

Code: TypeAlias = str | Callable[..., Any] | Sequence[str | Callable[..., Any]]
"""A name of a model or loss, or the function itself, or several."""


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
    beta1: Values[float] = ADAM_FIELDS["beta1"],
    beta2: Values[float] = ADAM_FIELDS["beta2"],
    epsilon: Values[float] = ADAM_FIELDS["epsilon"],
    model: Code = "mlp",
    loss: Code = "cross_entropy",
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
    (fixed, linear, sqrt, and for Adam adam_sde and half_life: `scaled_rate`,
    `scaled_moments`). `model` and `loss` are names, or functions that a file holds
    (`raybs.TrainConfig`). `schedule` is constant, decay_rate, grow_batch, cosine, or a
    function from the trial's one phase to its phases (`raybs.config.schedules`);
    `warm_up` counts epochs within it. `momentum` and `nesterov` go to sgd alone,
    `beta1`, `beta2` and `epsilon` to adam and adamw, `hidden` and `init` to mlp.
    `hidden` is one list of widths, or a list of such. `seeds` is how many (3: 0, 1, 2),
    or which ones.

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
        "beta1": beta1,
        "beta2": beta2,
        "epsilon": epsilon,
        "model": _code(model),
        "loss": _code(loss),
        "hidden": _widths(hidden),
        "init": init,
        "dataset": dataset,
        "precision": precision,
    }
    several = {
        name: values_of(name, value)
        for name, value in given.items()
        if value is not None or name not in NEEDED
    }
    if seconds is not None:
        until = _timed(until, seconds)
        several |= _length_of_timed(several)
    if not is_integer(plain(base_batch_size)) or base_batch_size < 1:
        raise ValueError(f"base_batch_size={base_batch_size!r}; use 1 or more.")
    named = [_named(point) for point in points]
    axes = make_axes(several, zipped, named, known=tuple(given))
    has_mlp = any(point.get("model") == "mlp" for axis in axes for point in axis)
    _check_of_adam(axes)
    chosen = _seeds(seeds)
    num_trials = math.prod(map(len, axes)) * len(chosen)
    if max_trials is not None and num_trials > max_trials:
        raise ValueError(
            f"The grid has {num_trials:,} trials, more than {max_trials:,}; make it "
            "smaller, or confirm it with --yes (max_trials=None)."
        )
    configs: dict[TrainConfig, TrainConfig] = {}
    for combination in product(*axes):
        config = _config(merged(combination), base_batch_size, has_mlp=has_mlp)
        configs.setdefault(canonical(config), config)
    sweep = TrainSweep(
        configs=tuple(configs.values()),
        evaluate_every=evaluate_every,
        until=until or {},
    )
    return with_seeds(sweep, chosen)


def _check_of_adam(axes: Sequence[Sequence[Point]]) -> None:
    """Refuse what belongs to Adam where no trial has it.

    Raises:
        ValueError: It is given, and would be left out without a word.
    """
    points = [point for axis in axes for point in axis]
    if any(point.get("optimizer") in ("adam", "adamw") for point in points):
        return
    for name, default in ADAM_FIELDS.items():
        if any(name in point and point[name] != default for point in points):
            raise ValueError(f"{name} belongs to adam and adamw; add --optimizer adam.")


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


def _code(value: Code) -> Any:
    """Return the name, or names, of networks or losses.

    Raises:
        ValueError: No file holds a function.
    """
    if isinstance(value, Iterable) and not isinstance(value, str | type):
        return [own_name(item) for item in value]
    return own_name(value)


def _named(point: Point) -> Point:
    """Return a point with the names of networks and losses in place of functions."""
    if not isinstance(point, Mapping):  # which is refused with the others
        return point
    codes = {name: _code(point[name]) for name in ("model", "loss") if name in point}
    return {**point, **codes}


def _widths(hidden: Any) -> Any:
    """Return a list of lists of widths; [256, 256] is one list, and so is []."""
    if callable(hidden):
        return hidden
    if isinstance(hidden, str) or not isinstance(hidden, Iterable):
        raise ValueError(f"hidden={hidden!r}; give a list of widths.")
    widths = [w.tolist() if hasattr(w, "tolist") else w for w in hidden]
    return widths if widths and not is_integer(plain(widths[0])) else [tuple(widths)]


def _config(
    point: dict[str, Any], base_batch_size: int, *, has_mlp: bool
) -> TrainConfig:
    """Return the config of a point; what belongs to mlp goes there, if it `has_mlp`.

    Else TrainConfig refuses it.
    """
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
        if rule in ADAM_RULES:
            point |= moments_of(point, batch_size / base_batch_size, rule)
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
    if point["optimizer"] == "sgd":
        point |= ADAM_FIELDS
    else:
        point |= {"momentum": 0.0, "nesterov": False}
    if has_mlp and point["model"] != "mlp":
        for name in ("hidden", "init"):
            del point[name]
    return TrainConfig(phases=phases, **point)
