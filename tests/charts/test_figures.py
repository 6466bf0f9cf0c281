"""Every figure on literal frames: what it reads, how it looks, what the mouse does."""

import json
import math
import re
import struct
import zlib

import altair as alt
import pandas as pd
import pytest
import vl_convert
from helpers import check_fields

from analysis.advice.compare import advise
from analysis.charts import directions, front, landscape, theme
from analysis.charts.curves import epoch_axis, subtitle, training_curves
from analysis.charts.figures import draw_figures, figures
from analysis.charts.norms import fit_lines, with_bars
from analysis.charts.panels import REGIME_COLORS
from analysis.frames import series
from analysis.frames.bins import bin_entries, bin_norms
from analysis.frames.draws import NORMS, Draws
from analysis.frames.trials import Frames
from analysis.statistics import moments, variance
from analysis.statistics.intervals import summarize_seeds
from raybs.config import Phase, TrainConfig
from raybs.config.gradient_sweep import GradientSweep

LEGENDS = {
    "curves": "label",
    "distance": "label",
    "norms": "regime",
    "normalized": "regime",
    "norm_rows": None,
    "norm_rows_raw": None,
    "spread": "regime",
    "three_norms": "regime",
    "direction": "regime",
    "entries": None,
    "split": "part",
    "heat_map": None,  # its legend is a gradient: nothing to pick
    "accuracy": "kind",
    "to_target": "setting",
    "front": "batch_size",
}
"""Every figure, and the field that its legend picks by."""

ACCURACIES = {
    (16, 0.1): ([0.1, 0.5, 0.8], [0.1, 0.5, 0.9]),
    (16, 0.2): ([0.1, 0.4, 0.7], [0.1, 0.4, 0.7]),
    (64, 0.1): ([0.1, 0.3, 0.6], [0.1, 0.3, 0.6]),
    (64, 0.2): ([0.1, 0.6, 0.75], [0.1, 0.6, 0.85]),
}
"""Of two seeds after 0, 1 and 2 epochs, by batch size and learning rate."""


def grid_frames(*optimizers, diverged=False):
    """Trials on 64 samples: 4 steps and seconds an epoch at 16, 1 at 64."""
    trials, history = [], []
    for optimizer in optimizers:
        for (size, rate), seeds in ACCURACIES.items():
            for seed, accuracies in enumerate(seeds):
                gone = diverged and (size, seed) == (64, 1)
                trial = {
                    "trial": f"{optimizer} {size} {rate} {seed}",
                    "label": f"{size} @ {rate:g} x 2, {optimizer}",
                    "seed": seed,
                    "optimizer": optimizer,
                    "num_epochs": 2,
                    "last_epochs": None,
                }
                rows = [
                    {
                        "epoch": epoch,
                        "step": epoch * 64 // size,
                        "samples_seen": epoch * 64,
                        "training_seconds": epoch * 64.0 / size,
                        "train_accuracy": accuracy,
                        "test_accuracy": accuracy,
                        "train_loss": 1 - accuracy,
                        "test_loss": 1 - accuracy,
                        "weight_distance": float(epoch),
                        "status": "diverged" if gone and epoch == 2 else "complete",
                    }
                    for epoch, accuracy in enumerate(accuracies)
                ]
                history += [trial | row for row in rows]
                last = {f"final_{name}": value for name, value in rows[-1].items()}
                sizes = {"batch_size": size, "start_batch_size": size}
                status = {"status": rows[-1]["status"], "peak_learning_rate": rate}
                trials.append(trial | sizes | status | last)
    same = {"sweep": "grid", "title": "Title", "num_samples": 64, "until": ""}
    same |= {"dataset": "mnist", "budget": "2 epochs", "schedule": "constant"}
    same |= {"momentum": 0.0, "nesterov": False, "weight_decay": 0.0}
    same |= {"model": "mlp", "loss": "cross_entropy"}
    same |= {"beta1": 0.9, "beta2": 0.999, "epsilon": 1e-8}
    same |= {"hidden": "8", "init": "default", "precision": "float32"}
    return Frames(
        trials=pd.DataFrame(trials).assign(**same), history=pd.DataFrame(history)
    )


def some_draws():
    """Four draws of two regimes at three batch sizes, and a crossed grid of 2 x 2."""
    columns = [*NORMS, *directions.DIRECTIONS]
    pairs = [(0, 0), (1, 1), (2, 2), (3, 3), (0, 1), (1, 0)]
    draws = [
        {
            "regime": regime,
            "batch_size": size,
            "sample_set": first,
            "order": second,
            "independent": first == second,
            "status": "complete",
            **dict.fromkeys(columns, scale * size**0.5 * (1 + 0.1 * first + second)),
        }
        for regime, scale in (("early", 0.1), ("late", 0.05))
        for size in (1, 4, 16)
        for first, second in pairs
    ]
    cells = pd.DataFrame(draws)[["regime", "batch_size"]].drop_duplicates()
    bins = pd.DataFrame(
        {"lower": [-1.0, 0.5], "upper": [-0.5, 1.0], "count": [3, 5], "num_draws": 4}
    )
    start = TrainConfig(phases=(Phase(batch_size=4, learning_rate=0.1, epochs=1),))
    return Draws(
        name="draws",
        title="Title",
        sweep=GradientSweep(
            regimes={"early": start, "late": start}, batch_sizes=(1, 4, 16)
        ),
        draws=pd.DataFrame(draws),
        histogram=cells.merge(bins, how="cross"),
        cells=cells.assign(diverged=[1, 0, 0, 0, 0, 0]),
    )


@pytest.fixture(scope="module")
def charts():
    frames = grid_frames("sgd", "adam")
    [advice] = advise(frames, target=0.7)
    return (
        figures(grid_frames("sgd", diverged=True))
        | draw_figures(some_draws())
        | landscape.landscape(advice, "Title")
    )


@pytest.fixture(scope="module")
def advice():
    [advice] = advise(grid_frames("sgd"), target=0.7)
    return advice


def units(spec):
    """What is drawn: every part of `spec` that has a mark, with its dataset."""
    if "mark" in spec:
        yield spec
    for name in ("layer", "hconcat", "vconcat"):
        for part in spec.get(name, []):
            yield from units({"data": spec.get("data")} | part)


def panels(spec):
    parts = [part for name in ("hconcat", "vconcat") for part in spec.get(name, [])]
    return [panel for part in parts for panel in panels(part)] or [spec]


def selections(spec, kind):
    return [p for p in spec.get("params", []) if p["select"]["type"] == kind]


def test_these_are_all_figures(charts):
    assert set(charts) == set(LEGENDS)


@pytest.mark.parametrize("name", LEGENDS)
def test_every_field_that_a_figure_reads_is_a_column_with_values(charts, name):
    check_fields(charts[name], 4)
    spec = charts[name].to_dict()
    for unit in units(spec):
        columns = spec["datasets"][unit["data"]["name"]][0].keys()
        expressions = json.dumps([unit["mark"], unit.get("transform", [])])
        assert columns >= set(re.findall(r"datum\.(\w+)", expressions))


@pytest.mark.parametrize("name", LEGENDS)
def test_every_figure_says_values_under_the_mouse(charts, name):
    for panel in panels(charts[name].to_dict()):
        said = [unit["encoding"].get("tooltip", []) for unit in units(panel)]
        assert max(map(len, said)) > 2


@pytest.mark.parametrize(("name", "field"), LEGENDS.items())
def test_a_legend_picks_all_marks_of_its_field_once_for_all_panels(charts, name, field):
    spec = charts[name].to_dict()
    picked = selections(spec, "point")
    if field is None:
        assert picked == []
        return
    [one] = picked
    assert (one["name"], one["bind"]) == ("picked", "legend")
    assert one["select"]["fields"] == [field]
    assert len(one["views"]) == 1
    for unit in units(spec):
        opacity = unit["encoding"].get("opacity")
        if unit["encoding"].get("color", {}).get("field") == field:
            usual = opacity["condition"]["value"]
            assert opacity["condition"]["param"] == "picked"
            assert opacity["value"] == pytest.approx(0.08 * usual)
        if opacity:
            assert field in spec["datasets"][unit["data"]["name"]][0]


@pytest.mark.parametrize("name", LEGENDS)
def test_axes_of_quantities_zoom_and_marks_stay_inside(charts, name):
    spec = charts[name].to_dict()
    zooms = selections(spec, "interval")
    if name == "heat_map":
        assert zooms == []
        return
    assert [zoom["name"] for zoom in zooms] == [
        f"zoom_{number}" for number in range(len(panels(spec)))
    ]
    axes = {"split": ["y"]} | dict.fromkeys(("entries", "norm_rows"), ["x"])
    for zoom in zooms:
        assert zoom["bind"] == "scales"
        assert zoom["select"]["encodings"] == axes.get(
            name.removesuffix("_raw"), ["x", "y"]
        )
        # The wheel alone scrolls the page.
        assert zoom["select"]["zoom"] == "wheel![event.ctrlKey]"
    for unit in units(spec):
        clip = unit["mark"]["clip"]
        x = unit["encoding"]["x"]["field"]
        assert clip is True or re.fullmatch(rf"isValid\(zoom_\d\.{x}\)", clip["expr"])


@pytest.mark.parametrize("name", LEGENDS)
def test_every_figure_compiles(charts, name):
    text = json.dumps(vl_convert.vegalite_to_vega(charts[name].to_dict()))
    assert ("picked_store" in text) == bool(LEGENDS[name])


def test_of_one_setting_there_is_no_legend_and_nothing_to_pick(advice):
    spec = landscape.landscape(advice, "Title")["to_target"].to_dict()
    vl_convert.vegalite_to_vega(spec)
    assert selections(spec, "point") == []
    assert theme.PICKED not in json.dumps(spec)


def test_the_same_frames_give_the_same_file(charts):
    again = draw_figures(some_draws())
    assert again["norms"].to_json() == charts["norms"].to_json()


def test_a_sweep_of_which_all_diverged_still_compiles():
    nothing = series.curves(grid_frames("sgd").history[:0])
    gone = pd.DataFrame({"label": ["a"], "seed": [0], "epoch": [1]})
    summary = summarize_seeds(nothing, series.SCALES)
    chart = training_curves(nothing, summary, gone, {"a": 64}, "t")
    vl_convert.vegalite_to_vega(chart.to_dict())


def test_long_trials_of_many_configs_are_drawn():
    """7,200 rows a panel, of which altair by itself would draw none."""
    labels = {f"label {number}": 2**number for number in range(24)}
    epochs = range(1, 301)
    rows = [(label, 0, epoch) for label in labels for epoch in epochs]
    one = pd.DataFrame(rows, columns=["label", "seed", "epoch"])
    long = one.assign(metric="test_accuracy", value=50.0)
    gone = one[:0]
    chart = training_curves(
        long, summarize_seeds(long, series.SCALES), gone, labels, "t"
    )
    assert max(map(len, chart.to_dict()["datasets"].values())) == 7200


BACKGROUNDS = ("#ffffff", "#16181d")
COLORS = {
    *theme.HUES,
    *REGIME_COLORS,
    *directions.PART_COLORS.values(),
    *landscape.KINDS,
    *landscape.SETTINGS,
    theme.NEUTRAL,
    theme.BAD,
}


def contrast(one, other):
    """The WCAG 2 contrast ratio of two colors, 1 to 21."""
    luminances = []
    for color in (one, other):
        parts = [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [
            part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4
            for part in parts
        ]
        red, green, blue = linear
        luminances.append(0.2126 * red + 0.7152 * green + 0.0722 * blue)
    return (max(luminances) + 0.05) / (min(luminances) + 0.05)


def test_contrast_is_the_one_of_the_standard():
    assert contrast("#ffffff", "#000000") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.005)


@pytest.mark.parametrize("background", BACKGROUNDS)
@pytest.mark.parametrize("color", sorted(COLORS))
def test_marks_are_seen_on_white_and_on_dark_pages(color, background):
    assert contrast(color, background) >= 3


@pytest.mark.parametrize("name", LEGENDS)
def test_no_figure_has_colors_but_these(charts, name):
    spec = charts[name].to_dict()
    drawn = {k: v for k, v in spec.items() if k not in ("config", "datasets")}
    assert set(re.findall("#[0-9a-fA-F]{6}", json.dumps(drawn))) <= COLORS


def test_text_on_a_dark_page_is_light_and_that_of_a_chart_has_no_color_of_its_own(
    charts,
):
    words = {"color", "subtitleColor", "labelColor", "titleColor"}
    parts = [part for part in theme.DARK.values() if isinstance(part, dict)]
    texts = [part[name] for part in parts for name in words & part.keys()]
    assert len(texts) == 9
    for color in texts:
        assert contrast(color, "#16181d") >= 7
    assert theme.DARK["background"] == "transparent"
    names = [u for u in units(charts["front"].to_dict()) if u["mark"]["type"] == "text"]
    assert [set(mark["mark"]) & {"color", "fill"} for mark in names] == [set()]


@pytest.mark.drawing
def test_a_file_of_each_kind_is_sound_and_made_again_only_where_it_must_be(tmp_path):
    chart = theme.alt.Chart(pd.DataFrame({"x": [1.0]})).mark_point().encode(x="x:Q")
    kinds = ("html", "png", "svg", "pdf")
    theme.save(chart, tmp_path, "c", ["png"])
    theme.save(chart, tmp_path, "c", kinds)
    paths = {kind: tmp_path / f"c.{kind}" for kind in kinds}
    assert sorted(tmp_path.iterdir()) == sorted(paths.values())
    assert chunks(paths["png"].read_bytes())[-2:] == [b"tEXt", b"IEND"]
    assert paths["pdf"].read_bytes().startswith(b"%PDF-")
    assert paths["svg"].read_text("utf-8").startswith("<svg")
    before = {kind: path.stat().st_mtime_ns for kind, path in paths.items()}
    paths["pdf"].unlink()
    theme.save(chart, tmp_path, "c", kinds)
    after = {kind: path.stat().st_mtime_ns for kind, path in paths.items()}
    assert [kind for kind in kinds if after[kind] != before[kind]] == ["pdf"]
    theme.save(chart.properties(title="other"), tmp_path, "c", ["svg"])
    assert paths["svg"].stat().st_mtime_ns > after["svg"]
    assert paths["html"].stat().st_mtime_ns == after["html"]


def chunks(content):
    """The names of a PNG's chunks, whose checksums hold."""
    position, names = 8, []
    while position < len(content):
        [size] = struct.unpack_from(">I", content, position)
        chunk = content[position + 4 : position + 8 + size]
        [checksum] = struct.unpack_from(">I", content, position + 8 + size)
        assert zlib.crc32(chunk) == checksum
        names.append(chunk[:4])
        position += 12 + size
    return names


def test_distances_share_a_panel_with_their_optimizer_and_order_of_magnitude():
    rows = [
        ("a", "sgd", 2, 1.0, "complete"),
        ("b", "sgd", 8, 2.0, "complete"),  # four times the shortest: not long yet
        ("c", "sgd", 9, 3.0, "complete"),
        ("d", "adam", 2, 4.0, "complete"),
        ("e", "adam", 2, 5.0, "diverged"),
    ]
    columns = ["label", "optimizer", "num_epochs", "weight_distance", "status"]
    history = pd.DataFrame(rows, columns=columns).assign(seed=0, epoch=1)
    assert series.distances(history)[["label", "panel", "value"]].values.tolist() == [
        ["a", "sgd, 8 epochs", 1.0],
        ["b", "sgd, 8 epochs", 2.0],
        ["c", "sgd, 9 epochs", 3.0],
        ["d", "adam, 2 epochs", 4.0],
    ]


def test_bars_span_a_deviation_and_end_above_0_on_log_axes():
    summary = pd.DataFrame(
        {
            "mean": [10.0, 1.0],
            "deviation": [2.0, 2.0],
            "normalized_mean": [20.0, 20.0],
            "normalized_deviation": [4.0, 40.0],
        }
    )
    bars = with_bars(summary)
    assert bars["below"].tolist() == [8, -1]
    assert bars["below_log"].tolist() == [8, 0.01]
    assert bars["above"].tolist() == [12, 3]
    assert bars["normalized_below"].tolist() == [16, -20]
    assert bars["normalized_above"].tolist() == [24, 60]


def test_fitted_lines_span_the_batch_sizes_and_the_root_ends_at_the_largest_mean():
    fit = {"exponent": 0.5, "lower": 0.4, "upper": 0.6, "factor": 3.0}
    fits = pd.DataFrame(
        [{"regime": "a", "quantity": name} | fit for name in ("mean", "deviation")]
    )
    summary = pd.DataFrame({"regime": "a", "batch_size": [1, 4], "mean": [5.0, 12.0]})
    lines = fit_lines(fits, summary, square_root=True)
    ends = lines.groupby(["quantity", "line"])[["batch_size", "value"]]
    rows = ends.agg(["first", "last", "size"]).to_dict("index")
    keys = [("batch_size", "first"), ("batch_size", "last"), ("value", "size")]
    keys += [("value", "first"), ("value", "last")]
    assert {line: [row[key] for key in keys] for line, row in rows.items()} == {
        ("mean", "fit"): pytest.approx([1, 4, 60, 3, 6]),
        ("mean", "square root"): pytest.approx([1, 4, 60, 6, 12]),
        ("deviation", "fit"): pytest.approx([1, 4, 60, 3, 6]),
    }
    assert lines["text"].unique().tolist() == [
        "a: mean ~ b^0.500 (0.400 to 0.600)",
        "a: the article's square root",
        "a: deviation ~ b^0.500 (0.400 to 0.600)",
    ]


def norms(values):
    rows = [("a", size, value) for size, norms in values.items() for value in norms]
    return pd.DataFrame(rows, columns=["regime", "batch_size", "norm"])


def test_norms_are_binned_in_sixty_that_all_batch_sizes_share():
    frame = norms({1: [1.0, 1.5, 61.0], 2: [2.5, 2.7]})
    bins = bin_norms(frame, "norm", normalized=False)
    assert bins.to_numpy().tolist() == [
        ["a", 1, 1.0, 2.0, pytest.approx(2 / 3)],
        ["a", 1, 60.0, 61.0, pytest.approx(1 / 3)],
        ["a", 2, 2.0, 3.0, 1.0],
    ]


def test_normalized_norms_are_binned_around_the_mean_of_the_largest_batch_size():
    bins = bin_norms(norms({1: [1.0, 3.0], 2: [10.0, 30.0]}), "norm", normalized=True)
    assert bins["share"].tolist() == [0.5] * 4
    assert bins["lower"].tolist() == pytest.approx([10, 30 - 1 / 3] * 2)
    assert bins["upper"].tolist() == pytest.approx([10 + 1 / 3, 30] * 2)


def test_entries_go_where_the_middles_of_their_bins_lie():
    histogram = pd.DataFrame(
        {
            "regime": "a",
            "batch_size": [1, 1, 1, 2],
            "lower": [0.5, 2.0, -61.0, -0.9],
            "upper": [0.6, 2.1, -60.5, -0.8],
            "count": [5, 3, 2, 7],
        }
    )
    assert bin_entries(histogram).to_numpy().tolist() == [
        ["a", 1, -61.0, -59.0, 2],
        ["a", 1, pytest.approx(-1), pytest.approx(1), 5],
        ["a", 1, pytest.approx(1), pytest.approx(3), 3],
        ["a", 2, pytest.approx(-1), pytest.approx(1), 7],
    ]


def test_entries_have_the_literal_moments_and_tails():
    histogram = pd.DataFrame(
        {
            "regime": "a",
            "batch_size": 1,
            "num_draws": 2,
            "lower": [-5.0, -0.5, 3.0],
            "upper": [-3.0, 0.5, 5.0],
            "count": [2, 4, 2],
        }
    )
    [row] = moments.summarize_entries(histogram).to_dict("records")
    assert row["deviation"] == pytest.approx(8**0.5)  # (2 * 16 + 2 * 16) / 8
    assert row["kurtosis"] == pytest.approx(4 * 256 / 8 / 64 - 3)
    tails = [row[f"beyond_{threshold}"] for threshold in (1, 2, 4, 8, 16)]
    assert tails == [2, 2, 0, 0, 0]


def test_a_grid_of_two_by_two_is_split_as_by_hand():
    """Mean squares: samples 9, orders 16, both 4."""
    grid = {(0, 0): 1.0, (0, 1): 3.0, (1, 0): 2.0, (1, 1): 8.0}
    draws = pd.DataFrame(
        [(a, b, a == b, value) for (a, b), value in grid.items()],
        columns=["sample_set", "order", "independent", "norm"],
    ).assign(regime="a", batch_size=8, status="complete")
    split = variance.split_variance(draws, "norm").set_index("part")
    assert split["variance"].to_dict() == {"samples": 2.5, "order": 6, "interaction": 4}
    assert split["share"].tolist() == pytest.approx([0.2, 0.48, 0.32])
    assert (split["lower"] <= split["upper"]).all()


def table(frame, *columns):
    return frame[list(columns)].to_numpy().tolist()


def test_points_are_the_ends_of_trials(advice):
    columns = ("batch_size", "learning_rate", "mean", "steps", "seconds", "gain")
    assert table(advice.points, *columns) == [
        pytest.approx([16, 0.1, 85, 8, 8, 35]),
        pytest.approx([16, 0.2, 70, 8, 8, 30]),
        pytest.approx([64, 0.1, 60, 2, 2, 30]),
        pytest.approx([64, 0.2, 80, 2, 2, 20]),
    ]
    assert advice.points["best"].tolist() == [True, False, False, True]
    assert advice.points["at_edge"].tolist() == ["lowest", "", "", "highest"]
    # Of 80 and 90: deviation of the mean 5, 1 degree of freedom: t = 12.7062; the
    # logit of 0.85 is 1.734601, and its slope 1 / (0.85 * 0.15 * 100).
    reach = 5 * 12.7062 / 12.75
    for name, logit in (("upper", 1.734601 + reach), ("lower", 1.734601 - reach)):
        bounded = 100 / (1 + math.exp(-logit))
        assert advice.points[name][0] == pytest.approx(bounded, abs=1e-3)


@pytest.mark.parametrize(
    ("means", "domain", "said"),
    [
        ([90, 88, 87, 86], [86, 90], None),
        # The middle is 88, and 90 - 3 * (90 - 88) = 84.
        ([90, 88, 88, 84], [84, 90], None),
        ([90, 88, 88, 10], [84, 90], "84.0"),
        ([90, 90, 90, 10], [89, 90], "89.0"),
    ],
)
def test_colors_that_end_above_the_lowest_point_are_said_to(
    advice, means, domain, said
):
    points = advice.points.assign(mean=means)
    spec = landscape.heat_map(points, [""], "Title").to_dict()
    [colored] = [u for u in units(spec) if "color" in u["encoding"]]
    assert colored["encoding"]["color"]["scale"]["domain"] == domain
    first = "Mean over seeds at the end; framed: the best rate of a batch size"
    second = f"Colors end at {said} %: lower points share the darkest"
    assert spec["title"]["subtitle"] == ([first, second] if said else [first])


def test_lines_are_the_best_rates_and_the_one_that_is_best_for_all(advice):
    columns = ("kind", "batch_size", "learning_rate", "mean")
    assert table(advice.lines, *columns) == [
        ["best rate", 16, 0.1, pytest.approx(85)],
        ["best rate", 64, 0.2, pytest.approx(80)],
        ["rate 0.2 for all", 16, 0.2, pytest.approx(70)],
        ["rate 0.2 for all", 64, 0.2, pytest.approx(80)],
    ]


def test_the_way_to_a_target_is_the_soonest_rates(advice):
    """At 16 after 1 2/3 and 1 1/2 epochs, at 64 after 1 2/3 and 1 2/5."""
    at_16, at_64 = 19 / 12, 23 / 15
    reached = advice.to_target.sort_values(["unit", "batch_size"])
    columns = ("unit", "batch_size", "learning_rate", "mean", "perfect")
    assert table(reached, *columns) == [
        ["epochs", 16, 0.1, pytest.approx(at_16), pytest.approx(at_16)],
        ["epochs", 64, 0.2, pytest.approx(at_64), pytest.approx(at_16)],
        ["seconds", 16, 0.1, pytest.approx(4 * at_16), pytest.approx(4 * at_16)],
        ["seconds", 64, 0.2, pytest.approx(at_64), pytest.approx(at_16)],
        ["steps", 16, 0.1, pytest.approx(4 * at_16), pytest.approx(4 * at_16)],
        ["steps", 64, 0.2, pytest.approx(at_64), pytest.approx(at_16)],
    ]


def test_the_front_rises_with_seconds(advice):
    columns = ("seconds", "batch_size", "learning_rate", "accuracy", "on_front")
    assert table(advice.front, *columns) == [
        [1, 64, 0.2, pytest.approx(60), True],
        [1, 64, 0.1, pytest.approx(30), False],
        [2, 64, 0.2, pytest.approx(80), True],
        [2, 64, 0.1, pytest.approx(60), False],
        [4, 16, 0.1, pytest.approx(50), False],
        [4, 16, 0.2, pytest.approx(40), False],
        [8, 16, 0.1, pytest.approx(85), True],
        [8, 16, 0.2, pytest.approx(70), False],
    ]


@pytest.mark.parametrize(
    ("spots", "places"),
    [
        # A name of 10 characters is 65 pixels wide, and ends 6 to the left.
        ([(71, 0, "0123456789")], [0]),
        ([(70.9, 0, "0123456789")], []),
        # At its most accurate point.
        ([(100, 0, "a"), (200, 50, "a"), (300, 99, "b")], [1, 2]),
        # One below the other is 12 pixels lower.
        ([(100, 50, "0123456789"), (110, 62, "b")], [0, 1]),
        ([(105, 51, "0123456789"), (110, 62, "b")], [1]),
        # Side by side: from 129 on, and up to 129.
        ([(135, 61, "a"), (200, 62, "0123456789")], [0, 1]),
        ([(135.5, 61, "a"), (200, 62, "0123456789")], [1]),
        # The next best point of the same name has room.
        ([(90, 10, "a"), (135.5, 61, "a"), (200, 62, "0123456789")], [0, 2]),
        ([], []),
    ],
)
def test_names_on_a_front_keep_off_the_edge_and_off_each_other(spots, places):
    assert front.places_for_names(spots) == places


def test_a_front_leaves_room_for_names_above_and_left_of_its_points(advice):
    spec = landscape.pareto_front(advice.front, [""], "Title").to_dict()
    layers = list(units(spec))
    encoding = layers[0]["encoding"]
    # 1 to 8 seconds; 64 @ 0.2 is 8 characters of 6.5 pixels and 6 on each side, and 12
    # are on the right; of the height, 290 pixels, 12 are below, and 22 above.
    pixel = math.log(8) / (480 - 64 - 12)
    ends = [math.exp(-64 * pixel), 8 * math.exp(12 * pixel)]
    assert encoding["x"]["scale"]["domain"] == pytest.approx(ends)
    pixel = (85 - 60) / (290 - 12 - 22)
    ends = [60 - 12 * pixel, 85 + 22 * pixel]
    assert encoding["y"]["scale"]["domain"] == pytest.approx(ends)
    names = spec["datasets"][layers[-1]["data"]["name"]]
    assert [(row["name"], row["seconds"]) for row in names] == [
        ("64 @ 0.2", 2),
        ("16 @ 0.1", 8),
    ]
    [hidden] = layers[-1]["transform"]
    assert hidden == {"filter": "width >= 480"}


def test_a_front_is_whole_where_not_all_settings_are_shown(advice):
    spec = landscape.pareto_front(advice.front, ["another"], "Title").to_dict()
    vl_convert.vegalite_to_vega(spec)
    line = spec["datasets"][list(units(spec))[1]["data"]["name"]]
    assert [row["seconds"] for row in line] == [1, 2, 8]


@pytest.mark.parametrize("epochs", [range(2), range(1, 3), range(1, 4), range(6)])
def test_epochs_have_ticks_at_whole_numbers_alone(epochs):
    frame = pd.DataFrame({"epoch": epochs, "value": 1.0})
    y = alt.Y("value:Q").axis(None)
    chart = alt.Chart(frame).mark_line().encode(epoch_axis(), y)
    svg = vl_convert.vegalite_to_svg(chart.properties(width=340).to_dict())
    *labels, title = re.findall(r">([^<>]+)</text>", svg)
    assert (labels, title) == ([str(epoch) for epoch in epochs], "epoch")
    seen = [
        line for line in re.findall("<line[^>]*>", svg) if 'opacity="0"' not in line
    ]
    assert len(seen) == 2 * len(epochs) + 1  # a tick and a line each, and the axis


@pytest.mark.parametrize(
    ("counts", "words"),
    [
        ([1, 1], "one seed"),
        ([5, 5], "mean of 5 seeds, 95% interval; single seeds faint"),
        ([5, 1], "mean of 1 to 5 seeds, 95% interval; single seeds faint"),
        ([], "one seed"),
    ],
)
def test_a_subtitle_says_of_how_few_seeds_a_curve_may_be(counts, words):
    assert subtitle(pd.DataFrame(), pd.DataFrame({"num_seeds": counts})) == words
