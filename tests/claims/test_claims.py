"""Claims as data: the article's, a reader's own, and what is wrong with a file."""

import re
from pathlib import Path

import pytest

from analysis.claims.claim import Claim, Contrast, article, load_claims, printed_numbers
from raybs.config.catalog import find_sweep
from raybs.config.gradient_sweep import GradientSweep
from raybs.config.sweep import TrainSweep
from raybs.config.trial import label

SHARED = {"sentence": "It is so.", "sweep": "mine"}


def written(text: str) -> str:
    Path("mine.toml").write_text(text)
    return "mine.toml"


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def own(text: str) -> list[Claim]:
    return [claim for claim in load_claims(written(text)).claims if claim.kind == "own"]


def test_the_article_has_thirteen_findings_in_six_sections():
    claims = article()
    numbers = [claim.finding for claim in claims.claims if claim.kind == "finding"]
    assert numbers == list(range(1, 14))
    assert [section.sweep for section in claims.sections] == [
        *("batch_size", "lr_compensation", "recovery", "gradient_competition"),
        *("far_enough", "adam_vs_sgd"),
    ]
    assert all(claim.protocol for claim in claims.claims)


def test_every_config_claimed_of_is_one_of_its_sweep():
    for claim in article().claims:
        sweep = find_sweep(claim.sweep)[2]
        if isinstance(sweep, TrainSweep):
            assert claim.unit == "seeds"
            known = {label(config) for config in sweep.configs}
        else:
            assert isinstance(sweep, GradientSweep)
            assert claim.unit == "draws"
            assert claim.num_needed == sweep.num_draws
            known = set(map(str, sweep.batch_sizes))
            regimes = {c.regime for c in claim.contrasts}
            regimes |= {c.minus_regime for c in claim.contrasts} - {""}
            assert regimes <= set(sweep.regimes)
        for contrast in claim.contrasts:
            assert set(contrast.configs) <= known, claim.sentence


def test_every_printed_number_stands_in_the_sentence_it_is_from():
    """Cosines to three places, the rest as printed."""
    for claim in article().claims:
        for number in claim.printed:
            written = re.findall(r"\d*\.?\d+", claim.sentence)
            assert number in map(float, written), claim.sentence


def test_printed_numbers_are_those_of_the_tables():
    numbers = printed_numbers()
    assert numbers["1024 @ 0.01 x 30"] == {
        "final_test_accuracy": (95.0,),  # of its table; 96 stands in the text
        "final_weight_distance": (2.69,),
        "final_bias_distance": (0.07,),
        "final_weight_norm": (44.1,),
        "final_cosine_to_init": (0.998, 0.998, 0.978),
    }
    assert numbers["64 @ 0.01 x 30, adam"]["final_weight_distance"] == (254.3,)


def test_a_reader_adds_a_claim_in_the_same_form():
    [claim] = own(
        """
        [[claim]]
        sentence = "Warm starts help."
        sweep = "mine"
        metric = "final_test_accuracy"
        seeds = 3
        contrasts = [
            { of = "a", minus = "b", tolerance = 0.5 },
            { rising = ["a", "b", "c"] },
        ]
        """
    )
    accuracy = "final_test_accuracy"
    assert claim.contrasts == (
        Contrast(metric=accuracy, of="a", minus="b", low=-0.5, high=0.5),
        Contrast(metric=accuracy, of="b", minus="a", low=0),
        Contrast(metric=accuracy, of="c", minus="b", low=0),
    )
    assert (claim.unit, claim.num_needed) == ("seeds", 3)
    assert len(load_claims("mine.toml").claims) == len(load_claims().claims) + 1


def test_numbers_become_a_claim_each_by_the_tolerances():
    one, two = own(
        """
        [tolerances]
        final_weight_norm = { relative = 0.1 }
        final_cosine_to_init = { absolute = 0.25 }
        [[numbers]]
        sentence = "Norm 40, cosines .5 and .75"
        sweep = "mine"
        of = "a"
        final_weight_norm = 40
        final_cosine_to_init = [0.5, 0.75]
        """
    )
    assert [(c.low, c.high, c.layer) for c in one.contrasts] == [(36, 44, None)]
    assert [(c.low, c.high, c.layer) for c in two.contrasts] == [
        (0.25, 0.75, 1),
        (0.5, 1.0, 2),
    ]


def test_claims_about_draws_name_batch_sizes_and_regimes():
    [claim] = own(
        """
        [[claim]]
        sentence = "x"
        sweep = "mine"
        metric = "largest_entry"
        draws = 10
        contrasts = [
            { regime = "early", falling = [8, 2] },
            { regime = "early", power_of = [1, 2, 4], near = 0.5, tolerance = 0.1 },
            { regime = "early", of = 4, minus_regime = "late", below = 0 },
        ]
        """
    )
    assert claim.unit == "draws"
    fall, power, other = claim.contrasts
    assert (fall.of, fall.minus, fall.high) == ("2", "8", 0)
    assert power.configs == ("1", "2", "4")
    assert (other.configs, other.minus_regime) == (("4",), "late")


GOOD = 'sentence = "x"\nsweep = "mine"\nmetric = "m"\nseeds = 3\n'


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[[claim]", "is no TOML file"),
        ("", "there is no [[claim]]"),
        ("[[claim]]\nsentence = 'x'", "claim 1 sweep: Field required"),
        (f"[[claim]]\n{GOOD}contrasts = []", "at least 1 item"),
        (
            f"[[claim]]\n{GOOD}contrast = [{{of='a', above=0}}]",
            "claim 1 contrast: Extra",
        ),
        (f"[[claim]]\n{GOOD}contrasts = [{{of='a'}}]", "give bounds"),
        (
            f"[[claim]]\n{GOOD}contrasts = [{{of='a', near=1}}]",
            "near needs a tolerance",
        ),
        (f"[[claim]]\n{GOOD}contrasts = [{{of='a', tolerance=-1}}]", "greater than 0"),
        (f"[[claim]]\n{GOOD}contrasts = [{{of='a', above=nan}}]", "number"),
        (f"[[claim]]\n{GOOD}contrasts = [{{of='a', above=2, below=1}}]", "nothing is"),
        (f"[[claim]]\n{GOOD}contrasts = [{{above=2}}]", "give one of: of, rising"),
        (f"[[claim]]\n{GOOD}contrasts = [{{rising=['a']}}]", "at least 2 items"),
        (f"[[claim]]\n{GOOD}contrasts = [{{of=64, above=0}}]", "compares labels"),
        (
            f"[[claim]]\n{GOOD}contrasts = [{{of='a', regime='early', above=0}}]",
            "draws have a regime",
        ),
        (
            f"[[claim]]\n{GOOD}contrasts = [{{of='a', minus='b', over='c', above=0}}]",
            "at most one of",
        ),
        (
            f"[[claim]]\n{GOOD.replace('seeds', '#')}contrasts = [{{of='a', above=0}}]",
            "give one of: seeds, draws",
        ),
        (
            f"[[claim]]\n{GOOD.replace('3', '1')}contrasts = [{{of='a', above=0}}]",
            "greater than or equal to 2",
        ),
        (
            f"[[claim]]\n{GOOD.replace('metr', '#')}contrasts = [{{of='a', above=0}}]",
            "contrast 1 has no metric",
        ),
        (
            "[[numbers]]\nsentence='x'\nsweep='s'\nof='a'\nfinal_weight_norm=4",
            "[tolerances] has none for final_weight_norm",
        ),
        (f'[[claim]]\n{GOOD}contrasts = [{{of="a\\u001b[2J", above=0}}]', "one line"),
        ("[[claims]]\nx = 1", "claims: Extra inputs"),
        (
            f"[[claim]]\nfinding = 1\n{GOOD}contrasts = [{{of='a', above=0}}]",
            "finding and network are the article's alone",
        ),
    ],
)
def test_what_is_wrong_with_a_file_is_said(text, words):
    with pytest.raises(ValueError, match="mine.toml") as error:
        load_claims(written(text))
    assert words in str(error.value)
    assert "\n" not in str(error.value)


def test_all_that_is_wrong_is_listed_at_once():
    text = f"[[claim]]\n{GOOD}contrasts = [{{of='a'}}]\n[[claim]]\nsweep = 3"
    with pytest.raises(ValueError, match="claim 1 .*claim 2 sentence.*claim 2 sweep"):
        load_claims(written(text))
