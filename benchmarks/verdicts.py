"""How often verdicts are wrong: claims judged on trials of which the truth is known.

Run: python -m benchmarks.verdicts         (10 minutes)
"""

import gc
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import click
import numpy as np
import pandas as pd

from analysis.claims.claim import Claim, Claims, Contrast
from analysis.claims.judge import judge
from analysis.frames.trials import Frames
from benchmarks.report import finish, machine, markdown

NUM_SEEDS = 5
DEVIATION = 0.1
"""Of the test accuracy over seeds, in points; half of its variance is the seed's, which
all configs of a seed share."""
SKEWED = 0.3
"""Deviation of the logarithm of the test loss over seeds."""


def trials(means: Sequence[float], num_seeds: int, rng: np.random.Generator) -> Frames:
    """Return finished trials: config "c0" has the mean accuracy `means[0]`, and so on.

    Accuracies are counted in images of 10,000, as MNIST's are; those near 100 % are
    skewed, as they cannot be above. The test loss of all has the mean 1, and is
    lognormal.
    """
    shared, own = rng.normal(0, DEVIATION / 2**0.5, (2, len(means), num_seeds))
    accuracies = np.asarray(means)[:, None] + shared[0] + own
    for config, mean in enumerate(means):
        if mean > 99.5:
            many = mean * (100 - mean) / DEVIATION**2
            shape = many * mean / 100, many * (100 - mean) / 100
            accuracies[config] = 100 * rng.beta(*shape, num_seeds)
    losses = rng.lognormal(-(SKEWED**2) / 2, SKEWED, accuracies.shape)
    rows = [
        {
            "sweep": "simulated",
            "trial": f"{config}-{seed}",
            "label": f"c{config}",
            "seed": seed,
            "status": "complete",
            "dataset": "mnist",
            "until": "",
            "final_test_accuracy": round(100 * accuracies[config, seed]) / 1e4,
            "final_test_loss": losses[config, seed],
            "final_weight_norm": 1.0,
            "final_weight_distance": 1.0,
        }
        for config in range(len(means))
        for seed in range(num_seeds)
    ]
    columns = ["trial", "epoch", "num_epochs", "weight_norm", "weight_distance"]
    return Frames(trials=pd.DataFrame(rows), history=pd.DataFrame(columns=columns))


def claim(*contrasts: Contrast) -> Claim:
    """Return a claim about simulated accuracies."""
    return Claim(
        kind="finding",
        sentence="simulated",
        sweep="simulated",
        contrasts=contrasts,
        num_needed=2,
    )


def above(one: int, other: int, bound: float = 0.0) -> Contrast:
    """Config `one` is more accurate than `other`."""
    metric = "final_test_accuracy"
    return Contrast(metric=metric, of=f"c{one}", minus=f"c{other}", low=bound)


def alike(one: int, other: int, tolerance: float) -> Contrast:
    """Config `one` is as accurate as `other`, within the tolerance."""
    bounds = {"low": -tolerance, "high": tolerance}
    metric = "final_test_accuracy"
    return Contrast(metric=metric, of=f"c{one}", minus=f"c{other}", **bounds)


class Case(NamedTuple):
    """What is claimed, whether it holds, the claims, the configs' mean accuracies.

    `seen` is the verdict that five seeds hardly miss.
    """

    text: str
    holds: bool
    claims: list[Claim]
    means: list[float]
    seen: str = ""


def cases() -> Iterator[Case]:
    """Yield claims beside the truth, at the edge and away from it.

    Differences are in deviations of a pair's difference, which is DEVIATION.
    """
    for effect in (0.0, 1.0, 2.0, 3.0, -1.0, -2.0, -3.0):
        text = f"A is above B; it is by {effect:g} deviations"
        means = [98 + effect * DEVIATION, 98.0]
        seen = {3.0: "supported", -3.0: "contradicted"}.get(effect, "")
        yield Case(text, effect > 0, [claim(above(0, 1))], means, seen)
    for effect in (0.0, 2.0, 5.0, 7.0, 10.0):
        text = f"A is within 5 deviations of B; it is off by {effect:g}"
        means = [98 + effect * DEVIATION, 98.0]
        within = claim(alike(0, 1, 5 * DEVIATION))
        seen = {0.0: "supported", 2.0: "supported", 10.0: "contradicted"}
        yield Case(text, effect < 5, [within], means, seen.get(effect, ""))
    metric = "final_test_accuracy"
    for side, bounds in (("above", {"low": 99.8}), ("below", {"high": 99.8})):
        bound = claim(Contrast(metric=metric, of="c0", **bounds))
        text = f"A's accuracy is {side} 99.8 %; it is 99.8 %"
        yield Case(text, False, [bound], [99.8])
    for side, bounds in (("above", {"low": 1.0}), ("below", {"high": 1.0})):
        bound = claim(Contrast(metric="final_test_loss", of="c0", **bounds))
        text = f"A's loss is {side} 1; it is 1, and varies by 30 %"
        yield Case(text, False, [bound], [98.0])
    chain = claim(above(0, 1), above(1, 2))
    yield Case("A > B > C, but B = C", False, [chain], [98.3, 98.0, 98.0])
    means = [98.6, 98.3, 98.0]
    yield Case("A > B > C, by 3 each", True, [chain], means, "supported")
    pairs = [claim(above(2 * i, 2 * i + 1)) for i in range(13)]
    yield Case("13 claims A > B; all are equal", False, pairs, [98.0] * 26)
    means = [98.3, 98.0] * 13
    yield Case("13 claims A > B; all by 3", True, pairs, means, "supported")


def rates(case: Case, num: int) -> dict[str, object]:
    """Judge a case `num` times; a family counts as wrong if any of its claims is.

    Columns: supported, contradicted, inconclusive (shares of claims), false_supported
    and false_contradicted (of families with any such error).
    """
    text, holds, claims, means, _ = case
    rng = np.random.default_rng(0)
    gc.freeze()  # statsmodels collects garbage every time: most of the seconds
    counts: Counter[str] = Counter()
    wrong: Counter[str] = Counter()
    for _ in range(num):
        family = Claims(sections=(), claims=tuple(claims))
        verdicts = [v.verdict for v in judge(family, trials(means, NUM_SEEDS, rng), {})]
        counts.update(verdicts)
        wrong["supported"] += not holds and "supported" in verdicts
        wrong["contradicted"] += holds and "contradicted" in verdicts
    gc.unfreeze()
    shares = {
        word: counts[word] / (num * len(claims))
        for word in ("supported", "contradicted", "inconclusive")
    }
    wrongs = {f"false_{word}": wrong[word] / num for word in list(shares)[:2]}
    return {"case": text, "holds": holds, "num": num, **shares, **wrongs}


@click.command()
@click.option("--num", default=1000, show_default=True, help="Simulations a case.")
def main(num: int) -> None:
    """Simulate all cases; write their rates."""
    frame = pd.DataFrame([rates(case, num) for case in cases()])
    finish("verdicts", frame, text(frame))


def text(frame: pd.DataFrame) -> str:
    """Return the table that docs/findings.md has."""
    shown = pd.DataFrame(
        {
            "claimed, and true": frame["case"],
            "holds": frame["holds"].map({True: "yes", False: "no"}),
            **{
                word: frame[word].map("{:.1%}".format)
                for word in ("supported", "contradicted", "inconclusive")
            },
            "any wrong": (frame["false_supported"] + frame["false_contradicted"]).map(
                "{:.1%}".format
            ),
        }
    )
    each = f"{NUM_SEEDS} seeds, {frame['num'].min():,} simulations a line"
    note = f"{each}; {machine('scipy', 'statsmodels')}"
    return f"{markdown(shown)}\n\n{note}\n"


if __name__ == "__main__":
    main()
