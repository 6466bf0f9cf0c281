"""How learning rates, and the moments of Adam, follow the batch size."""

import math
from collections.abc import Callable, Mapping
from typing import Any

from raybs.config.trial import ADAM_FIELDS
from raybs.config.validation import any_of, is_number

RULES: dict[str, Callable[[float], float]] = {
    "fixed": lambda times: 1.0,
    "linear": lambda times: times,
    "sqrt": math.sqrt,
    "adam_sde": math.sqrt,
    "half_life": lambda times: 1.0,
}
"""How the learning rate grows when the batch grows so many times."""

ADAM_RULES = ("adam_sde", "half_life")
"""Rules that change what only Adam and AdamW have, too (`scaled_moments`)."""


def scaled_rate(
    learning_rate: float, batch_size: int, base_batch_size: int, rule: str
) -> float:
    """Return the learning rate for `batch_size`, given that for `base_batch_size`.

    linear: in proportion to the batch (Goyal et al. 2017); sqrt: to its square root
    (Krizhevsky 2014); fixed: the same. adam_sde and half_life change moments, too
    (`scaled_moments`): their rates are those of sqrt and of fixed.

    Raises:
        ValueError: There is no such rule.
    """
    if str(rule) not in RULES:
        raise ValueError(f"learning_rate_rule={rule!r}; use {any_of(RULES)}.")
    return learning_rate * RULES[rule](batch_size / base_batch_size)


def scaled_moments(
    moments: Mapping[str, float], times: float, rule: str
) -> dict[str, float]:
    """Return beta1, beta2 and epsilon of Adam for a batch `times` as large.

    adam_sde: 1 - beta grows as the batch does, epsilon with its square root falls
    (Malladi et al. 2022); half_life: beta2 to the power `times`, so that the second
    moment forgets half after as many samples (Marek et al. 2025).

    Raises:
        ValueError: A beta would not stay above 0.
    """
    if rule == "half_life":
        return {"beta2": moments["beta2"] ** times}
    # Rounded, since 1 - 10 x (1 - 0.9) is 2e-16.
    scaled = {n: round(1 - (1 - moments[n]) * times, 12) for n in ("beta1", "beta2")}
    for name, beta in scaled.items():
        if beta <= 0:
            raise ValueError(
                f"learning_rate_rule='adam_sde': at {times:g} times the base batch "
                f"size {name}={moments[name]:g} would be {beta:g}; it must stay above "
                "0: use batch sizes nearer to base_batch_size, or another rule."
            )
    return scaled | {"epsilon": moments["epsilon"] / math.sqrt(times)}


def moments_of(point: Mapping[str, Any], times: float, rule: str) -> dict[str, float]:
    """Return what a rule of Adam makes of its moments.

    Raises:
        ValueError: The optimizer has none.
    """
    if point["optimizer"] == "sgd":
        raise ValueError(
            f"learning_rate_rule={rule!r} is for adam and adamw; give optimizer, or "
            "another rule."
        )
    moments = {name: point[name] for name in ADAM_FIELDS}
    if not all(map(is_number, moments.values())):  # TrainConfig says so
        return {}
    return scaled_moments(moments, times, rule)
