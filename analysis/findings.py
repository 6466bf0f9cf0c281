"""Verdicts on claims: supported, contradicted, inconclusive or not run.

A claim says that quantities lie between bounds. Each is tested on what repeats, the
same seed's trials as pairs, by Student's t: against each bound for it, against the
farther side for its contrary. All contrasts must hold (so the largest p counts); one
that does not refutes the claim (the smallest p, times their number). Claims of a kind
are corrected for their number by Holm's method, for and against apart: at most one
time in twenty is any of them supported, or contradicted, by chance.
"""

from dataclasses import dataclass
from typing import Literal

from analysis.claims import Claim, Contrast

LEVEL = 0.05
"""Of all claims of a kind together: that one is judged wrongly."""

POWER = 0.8
"""With which the number of seeds that is advised would settle a claim."""


@dataclass(frozen=True, kw_only=True)
class Result:
    """What one contrast came to.

    `num` seeds or draws with a `mean` between `lower` and `upper` (95 %, each interval
    by itself; NaN for one), `standardized` by their deviation. `p_for` and `p_against`
    are not corrected. `num_diverged` trials have no number of their own: their accuracy
    counts as 0. `needed` seeds would settle it (0: it is settled; None: none can say).
    `missing` says why there is nothing.
    """

    contrast: Contrast
    num: int
    mean: float
    lower: float
    upper: float
    standardized: float
    p_for: float
    p_against: float
    num_diverged: int
    needed: int | None
    missing: str


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What a claim came to; `p_for` and `p_against` by Holm's method.

    `sentence` says so in plain English.
    """

    claim: Claim
    verdict: Literal["supported", "contradicted", "inconclusive", "not run"]
    sentence: str
    results: tuple[Result, ...]
    p_for: float
    p_against: float
