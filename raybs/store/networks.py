"""What is known of a network that is not the built-in MLP, as results folders keep it.

Its sizes and speed, for plans; and what it gives on a fixed probe batch, by which code
that has changed, where its files do not show it, is told.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from raybs.config.keys import hash_of
from raybs.config.own import is_own
from raybs.config.trial import TrainConfig

TOLERANCE = 1e-3
"""Relative, of probe values: between kinds of machines they differ by 1e-5 or so."""


@dataclass(frozen=True, kw_only=True)
class Network:
    """A network on a dataset.

    `weights` are the names and shapes of its parameters of two or more dimensions, from
    input to output; `num_parameters` counts all of them, `num_buffers` what else is
    stored, in float32 values. `step_seconds` holds (batch_size, seconds) of one step of
    plain SGD, `sample_seconds` is what measuring one sample takes. `probe` holds what
    it gives at init on the probe batch, by what that is: losses, and gradient norms.
    """

    weights: tuple[tuple[str, tuple[int, ...]], ...]
    num_parameters: int
    num_buffers: int
    step_seconds: tuple[tuple[int, float], ...]
    sample_seconds: float
    probe: Mapping[str, float]

    def differs(self, other: "Network") -> str:
        """Say what of `other`, which has the same code, is not as it was; or ""."""
        if self.weights != other.weights:
            return "the shapes of its weights"
        if self.num_parameters != other.num_parameters:
            return "how many parameters it has"
        if self.probe.keys() != other.probe.keys():
            return "which of its parameters are trained"
        for name, value in self.probe.items():
            now = other.probe[name]
            if not math.isclose(value, now, rel_tol=TOLERANCE, abs_tol=1e-12):
                return f"{name}: {value:.6g} before, {now:.6g} now"
        return ""


def network_key(config: TrainConfig, fingerprint: str) -> str:
    """Name the network of `config` on the dataset and code of a `fingerprint`.

    As state keys do, by the content of a user's code and not by where it lies.
    """
    model, loss = (
        "own" if is_own(name) else name for name in (config.model, config.loss)
    )
    return hash_of(f"{model} {loss} {config.hidden} {config.init} {fingerprint}")


def network_from_json(value: Mapping[str, Any]) -> Network:
    """Read what dataclasses.asdict gave, by way of JSON.

    Raises:
        ValueError: It is not as it must be.
    """
    try:
        network = Network(
            weights=tuple((str(n), tuple(map(int, s))) for n, s in value["weights"]),
            num_parameters=int(value["num_parameters"]),
            num_buffers=int(value["num_buffers"]),
            step_seconds=tuple((int(b), float(x)) for b, x in value["step_seconds"]),
            sample_seconds=float(value["sample_seconds"]),
            probe={str(n): float(x) for n, x in value["probe"].items()},
        )
    except (AttributeError, KeyError, TypeError, ValueError, OverflowError) as error:
        raise ValueError(f"not a network: {error}") from None
    seconds = [x for _, x in network.step_seconds] + [network.sample_seconds]
    if not network.step_seconds or not all(0 < x < math.inf for x in seconds):
        raise ValueError("not a network")
    return network
