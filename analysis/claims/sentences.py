"""Verdicts on claims in plain English."""

import math
from collections.abc import Sequence

from analysis.claims.claim import Claim, Contrast
from analysis.claims.results import MAX_NEEDED, Result, Verdict
from analysis.commands import again
from analysis.metrics import PER_CENT, metric_of
from analysis.text import capitalized


def describe(contrast: Contrast) -> str:
    """Say what a contrast is about: "test accuracy of A less that of B"."""
    name = quantity(contrast)
    if contrast.regime:
        if contrast.power_of:
            return (
                f"{contrast.regime}: exponent of the {name} as a power of the batch "
                f"size, {contrast.power_of[0]} to {contrast.power_of[-1]}"
            )
        said = f"{contrast.regime}: {name} at batch size {contrast.of}"
        if contrast.minus_regime:
            return f"{said}, less that in the regime {contrast.minus_regime}"
        return said + (f" less that at {contrast.minus}" if contrast.minus else "")
    said = f"{name} of {contrast.of}"
    if contrast.minus:
        return f"{said} less that of {contrast.minus}"
    return said + (f" over that of {contrast.over}" if contrast.over else "")


def quantity(contrast: Contrast) -> str:
    """Name a contrast's metric, and its layer."""
    name = metric_of(contrast.metric).words
    return name + (f" of layer {contrast.layer}" if contrast.layer else "")


def bounds(contrast: Contrast) -> str:
    """Say what is claimed of a contrast: "above 0", "between -0.5 and 0.5"."""
    low, high = (f"{bound:.4g}" for bound in (contrast.low, contrast.high))
    if math.isinf(contrast.high):
        return f"above {low}"
    if math.isinf(contrast.low):
        return f"below {high}"
    return f"between {low} and {high}"


def measured(result: Result) -> str:
    """Write the mean of a contrast with its interval: "+0.71 points (0.6 to 0.8)"."""
    contrast, metric = result.contrast, metric_of(result.contrast.metric)
    form = ".3f" if contrast.power_of or contrast.over else metric.format
    unit = ""
    if metric.unit == PER_CENT and not contrast.over:
        unit = " points" if contrast.minus else " %"
    sign = "+" if contrast.minus or contrast.minus_regime else ""
    text = f"{result.mean:{sign}{form}}{unit}"
    if math.isnan(result.lower):
        return text
    return f"{text} ({result.lower:{form}} to {result.upper:{form}})"


def sentence(verdict: Verdict) -> str:
    """Say what a claim came to, by the contrast that decides."""
    claim, results = verdict.claim, verdict.results
    if verdict.verdict == "not run":
        return _not_run(claim, results)
    if verdict.verdict == "supported":
        result = max(results, key=lambda result: result.p_for)
        return f"{_fact(result)}{_others(results)}, over {_units(claim, results)}."
    if verdict.verdict == "contradicted":
        result = min(results, key=lambda result: result.p_against)
        return (
            f"{_fact(result)}, not {bounds(result.contrast)}, over "
            f"{_units(claim, [result])}.{_some_hold(results)}"
        )
    return _inconclusive(claim, results)


def _not_run(claim: Claim, results: Sequence[Result]) -> str:
    # No run mends a mistake of the claim, so it is said first.
    gone = sorted((r for r in results if r.missing), key=lambda r: not r.is_mistaken)
    missing = list(dict.fromkeys(result.missing for result in gone))
    more = f" (and {len(missing) - 1} more)" if len(missing) > 1 else ""
    mend = "" if gone[0].is_mistaken else f"; {command(claim)}"
    return f"Not run: {missing[0]}{more}{mend}"


def command(claim: Claim) -> str:
    """Say how to get what a claim needs: by a command, if it is of a bundled sweep."""
    return again(claim.sweep, f"--{claim.unit}", claim.num_needed)


def _inconclusive(claim: Claim, results: Sequence[Result]) -> str:
    alone = [r for r in results if r.num == 1]
    few = [r for r in results if r.num < claim.num_needed]
    without = [r for r in results if r.num_without]
    if without:
        return _partial(without[0], claim)
    if alone:
        result, unit = alone[0], claim.unit.removesuffix("s")
        within = "as claimed" if result.is_within else f"not {bounds(result.contrast)}"
        return (
            f"One {unit}: {describe(result.contrast)} is {measured(result)}, {within}. "
            f"How far another {unit} may lie from it, one cannot show; "
            f"it takes {claim.num_needed}: {command(claim)}"
        )
    if few:
        result = few[0]
        return (
            f"{_fact(result)}, over {result.num} of the {claim.num_needed} "
            f"{claim.unit} that it takes: {command(claim)}"
        )
    outside = [r for r in results if not r.is_within]
    if outside:  # one that surely is would settle it
        result = min(outside, key=lambda result: result.needed or math.inf)
    else:
        result = max(results, key=lambda result: (result.needed or 0, result.p_for))
    told = result.needed or 0
    most = MAX_NEEDED * claim.num_needed
    number = f"more than {most:,}" if told >= most else f"about {told:,}"
    return (
        f"{_fact(result)}: over {_units(claim, [result])} that is neither surely "
        f"{bounds(result.contrast)} nor surely not; {number} {claim.unit} would tell."
    )


def _partial(result: Result, claim: Claim) -> str:
    """Say that some trials, or draws, have no number, or that none has."""
    num, whole = result.num_without, result.num + result.num_without
    diverged = f" ({result.num_diverged} diverged)" if result.num_diverged else ""
    if claim.unit == "draws":
        lost, diverged = f"{num:,} diverged", ""
    else:
        lost = f"{num:,} of {whole:,} seeds {_have(num)} none"
    if not result.num:
        what = describe(result.contrast)
        return f"There is no {what}: {lost}{diverged}."
    return (
        f"{_fact(result)}, where there is one: {lost}{diverged}, so that nothing can "
        "be said of all."
    )


def _fact(result: Result) -> str:
    return f"{capitalized(describe(result.contrast))} is {measured(result)}"


def _others(results: Sequence[Result]) -> str:
    num = len(results) - 1
    if not num:
        return ""
    if num == 1:
        return "; the other contrast is clearer"
    return f"; the {num} other contrasts are clearer"


def _some_hold(results: Sequence[Result]) -> str:
    if len(results) == 1:
        return ""
    num = sum(result.is_within for result in results)
    gone = sum(not result.num for result in results)
    more = f"; {gone} {_have(gone)} no number" if gone else ""
    return f" {num} of the {len(results)} contrasts lie where they should{more}."


def _units(claim: Claim, results: Sequence[Result]) -> str:
    few, many = min(r.num for r in results), max(r.num for r in results)
    count = f"{few:,}" if few == many else f"{few:,} to {many:,}"
    return f"{count} {claim.unit}"


def _have(num: int) -> str:
    return "has" if num == 1 else "have"
