"""Verdicts on claims: supported, contradicted, inconclusive or not run.

A claim says that means lie between bounds. Each is tested on what repeats, the same
seed's trials as pairs, by Student's t: for it against every bound (so the larger p
counts), for its contrary beyond either (the smaller, twice if there are two). All
contrasts must hold: the largest p counts for the claim, the smallest, times their
number, against it. Claims of a kind that could be tested at all are corrected for their
number by Holm's method, for and against apart: with a chance of 5 % at most any of them
is supported that does not hold, and with another any contradicted that does.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from scipy import stats

from analysis.claims.claim import Claim, Claims, Contrast, load_claims
from analysis.claims.evidence import (
    Evidence,
    gather,
    read_evidence,
    scale_of,
    with_growth,
)
from analysis.claims.results import LEVEL, MAX_NEEDED, POWER, Result, Verdict, Word
from analysis.claims.sentences import sentence
from analysis.frames.draws import Array, Draws
from analysis.frames.sweeps import check_any, find_sweeps
from analysis.frames.trials import Frames
from analysis.scales import Scale
from analysis.statistics.intervals import half_width
from raybs.store.opening import Place, as_store
from raybs.store.store import Store


def verdicts(results: Place | Store, claims: str | None = None) -> list[Verdict]:
    """Judge the article's claims, and those of the file `claims`, on a results folder.

    Raises:
        ValueError: It is no results folder, or holds no sweep; the file is wrong.
        OSError: The file cannot be read.
    """
    known = load_claims(claims)
    store = as_store(results)
    check_any(store, find_sweeps(store))
    return judge(known, *read_evidence(store))


def judge(
    claims: Claims, training: Frames | None, draws: Mapping[str, Draws]
) -> list[Verdict]:
    """Return a verdict on each of the claims, in their order.

    `training` are the trials of all sweeps, `draws` the gradient sweeps by name. Claims
    about other networks are left out where their sweep was not run.
    """
    asked = [claim for claim in claims.claims if _is_asked(claim, training)]
    known = with_growth(training) if training is not None else None
    results = [
        [
            _test(contrast, evidence, claim)
            for contrast, evidence in zip(
                claim.contrasts, gather(claim, known, draws), strict=True
            )
        ]
        for claim in asked
    ]
    judged: dict[int, Verdict] = {}
    for kind in dict.fromkeys(claim.kind for claim in asked):
        places = [i for i, claim in enumerate(asked) if claim.kind == kind]
        family = [(asked[i], results[i]) for i in places]
        judged |= zip(places, _verdicts(family), strict=True)
    return [judged[i] for i in range(len(results))]


def _is_asked(claim: Claim, training: Frames | None) -> bool:
    """Tell whether a claim is to be judged, be it as not run."""
    if claim.kind != "network":
        return True
    return training is not None and claim.sweep in set(training.trials["sweep"])


def _test(contrast: Contrast, evidence: Evidence, claim: Claim) -> Result:
    """Test one contrast by itself."""
    values = evidence.values
    result = Result(
        contrast=contrast,
        num=len(values),
        num_diverged=evidence.num_diverged,
        num_without=evidence.num_without,
        missing=evidence.missing,
        is_mistaken=evidence.is_mistaken,
    )
    if not len(values):
        return result
    mean = float(values.mean())
    if len(values) < 2:
        return replace(result, mean=mean)
    deviation = float(values.std(ddof=1))
    half = float(half_width(deviation, len(values)))
    scale = scale_of(contrast)
    lower, upper = map(float, scale.interval(mean, half))
    result = replace(result, mean=mean, lower=lower, upper=upper, deviation=deviation)
    # What was left out is not missing by chance: nothing can be said for all.
    if len(values) < claim.num_needed or evidence.num_without:
        return result
    bounds = [b for b in (contrast.low, contrast.high) if math.isfinite(b)]
    p_for = [_p(values, b, scale, above=b == contrast.low) for b in bounds]
    p_against = [_p(values, b, scale, above=b == contrast.high) for b in bounds]
    return replace(
        result,
        p_for=max(p_for),
        p_against=min(1.0, len(bounds) * min(p_against)),
        is_tested=True,
    )


def _p(values: Array, bound: float, scale: Scale, *, above: bool) -> float:
    """Return how likely such values are if their mean is not above (below) `bound`.

    By Student's t on `scale`, as the interval: it holds the bound where p is large.
    """
    if np.ptp(values) <= 1e-12 * max(1.0, abs(float(values[0]))):
        # Student's t knows nothing of values that are all the same; signs do.
        beyond = values[0] > bound if above else values[0] < bound
        return float(0.5 ** len(values)) if beyond else 1.0
    error = float(values.std(ddof=1)) / len(values) ** 0.5
    t = _distance(float(values.mean()), bound, scale) / error
    return float(stats.t.sf(t if above else -t, len(values) - 1))


def _distance(mean: float, bound: float, scale: Scale) -> float:
    """Return how far above `bound` a mean is, in its own units at the mean."""
    if not scale.low < mean < scale.high:  # no such mean can be: a stranger's rows
        return mean - bound
    place = min(max(bound, scale.low), scale.high)
    return float((scale.to_line(mean) - scale.to_line(place)) / scale.slope(mean))


def _verdicts(family: Sequence[tuple[Claim, list[Result]]]) -> list[Verdict]:
    """Judge the claims of one kind together."""
    p_for = [max(result.p_for for result in results) for _, results in family]
    p_against = [
        min(1.0, len(results) * min(result.p_against for result in results))
        for _, results in family
    ]
    # Whether a claim can be tested depends on how many there are, not on what they say.
    tested = [any(result.is_tested for result in results) for _, results in family]
    # And with more seeds all of which there is anything could be.
    level = LEVEL / max(sum(any(r.num for r in results) for _, results in family), 1)
    p_for, p_against = _holm(p_for, tested), _holm(p_against, tested)
    judged = []
    for i, (claim, results) in enumerate(family):
        verdict: Word = "inconclusive"
        if p_against[i] <= LEVEL:
            verdict = "contradicted"
        elif p_for[i] <= LEVEL:
            verdict = "supported"
        elif any(result.missing for result in results):
            verdict = "not run"
        if verdict == "inconclusive":
            results = [_with_needed(result, claim, level) for result in results]
        made = Verdict(
            claim=claim,
            verdict=verdict,
            results=tuple(results),
            p_for=p_for[i],
            p_against=p_against[i],
        )
        judged.append(replace(made, sentence=sentence(made)))
    return judged


def _holm(values: list[float], tested: list[bool]) -> list[float]:
    """Correct those of `values` that were tested for their number (Holm 1979)."""
    if not any(tested):
        return values
    from statsmodels.stats.multitest import multipletests

    picked = [p for p, was_tested in zip(values, tested, strict=True) if was_tested]
    corrected = iter(multipletests(picked, method="holm")[1])
    return [
        float(next(corrected)) if was_tested else p
        for p, was_tested in zip(values, tested, strict=True)
    ]


def _with_needed(result: Result, claim: Claim, level: float) -> Result:
    """Add how many seeds would settle a contrast, if its mean and deviation stay.

    By the power of the t test against the bound that is nearest.
    """
    if result.num_without or result.missing:
        return result
    needed = max(claim.num_needed, result.num + 1)
    contrast = result.contrast
    finite = [b for b in (contrast.low, contrast.high) if math.isfinite(b)]
    is_against = result.p_against * len(claim.contrasts) <= level
    if result.num < 2 or (result.is_tested and (result.p_for <= level or is_against)):
        return replace(result, needed=max(claim.num_needed, result.num))
    from statsmodels.stats.power import TTestPower

    scale = scale_of(contrast)
    distance = min(abs(_distance(result.mean, bound, scale)) for bound in finite)
    most = MAX_NEEDED * claim.num_needed
    if result.deviation == 0 or math.isinf(distance):
        return replace(result, needed=needed)
    power = TTestPower()
    # As `_test` and `_verdicts` correct what speaks against a claim.
    num_against = len(finite) * len(claim.contrasts)
    alpha = level if result.is_within else level / num_against

    def is_enough(num: int) -> bool:
        size = distance / result.deviation
        reached = power.power(size, num, alpha, alternative="larger")
        return bool(reached >= POWER)

    # Bisection: the library's own search fails where two are enough.
    if not is_enough(most):
        return replace(result, needed=most)
    low, high = 1, most
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if is_enough(middle) else (middle, high)
    return replace(result, needed=max(needed, high))
