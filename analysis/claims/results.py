"""What a contrast came to, and the verdict on a claim."""

import math
from dataclasses import dataclass
from typing import Literal, get_args

from analysis.claims.claim import Claim, Contrast

LEVEL = 0.05
"""Of all claims of a kind together, for and against each."""

POWER = 0.8
"""With which as many seeds as are advised would settle a claim."""

MAX_NEEDED = 1000
"""Times what a claim needs: more are not worth counting."""

Word = Literal["supported", "contradicted", "inconclusive", "not run"]

VERDICTS: tuple[Word, ...] = get_args(Word)


@dataclass(frozen=True, kw_only=True)
class Result:
    """What one contrast came to.

    `num` seeds, or draws, with a `mean` between `lower` and `upper` (95 %, each
    interval by itself; NaN for one), and their `deviation`. `p_for` and `p_against` are
    not corrected, and 1 unless it `is_tested`. `num_diverged` trials or draws;
    `num_without` have no such number and are left out; a diverged trial's accuracy
    counts as 0. So many as `needed` would settle it (None: there is no saying).
    `missing` says why there is nothing, `is_mistaken` that no run would mend it.
    """

    contrast: Contrast
    num: int = 0
    mean: float = math.nan
    lower: float = math.nan
    upper: float = math.nan
    deviation: float = math.nan
    p_for: float = 1.0
    p_against: float = 1.0
    num_diverged: int = 0
    num_without: int = 0
    needed: int | None = None
    missing: str = ""
    is_mistaken: bool = False
    is_tested: bool = False

    @property
    def standardized(self) -> float:
        """The mean in deviations (Cohen's d); NaN where there is none."""
        return self.mean / self.deviation if self.deviation else math.nan

    @property
    def is_within(self) -> bool:
        """Whether the mean lies between the bounds."""
        return self.contrast.low < self.mean < self.contrast.high


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What a claim came to, and a `sentence` on it in plain English.

    `p_for` and `p_against` are corrected by Holm's method.
    """

    claim: Claim
    verdict: Word
    results: tuple[Result, ...]
    p_for: float = 1.0
    p_against: float = 1.0
    sentence: str = ""

    @property
    def is_lost(self) -> bool:
        """Whether the project states it as reproduced, and enough runs do not."""
        needed = self.claim.num_needed
        enough = all(r.num + r.num_without >= needed for r in self.results)
        judged = self.verdict == "contradicted" or enough
        return self.claim.reproduced and judged and self.verdict != "supported"
