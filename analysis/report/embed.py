"""Charts as a page holds them: a spec in JSON, data apart, and words for both."""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypedDict

import altair as alt

from analysis.charts.theme import PICKED
from analysis.text import within_script

DIGITS = 6
"""Significant, of data: more than any axis or tooltip shows."""

MAX_NAMED = 8
"""Of a legend's entries in the words for a chart."""

HEADINGS = {
    "curves": "Accuracy and loss against epoch",
    "distance": "Distance from the initial weights against epoch",
    "norms": "Norm of the summed gradients against batch size",
    "normalized": "Norm, normalized to the largest batch size",
    "norm_rows": "Distribution of the norms, normalized",
    "norm_rows_raw": "Distribution of the norms, as measured",
    "entries": "All entries of the summed gradients",
    "three_norms": "Three ways of adding up gradients",
    "spread": "Spread of the norm against batch size",
    "direction": "Direction of the summed gradients",
    "split": "What the variance of the norm is due to",
    "heat_map": "Test accuracy by batch size and learning rate",
    "accuracy": "Test accuracy against batch size",
    "to_target": "What it takes to reach the target",
    "front": "Test accuracy against seconds of training",
}
"""What a page calls a chart, by its name."""

Spec = dict[str, Any]


class Coded(TypedDict):
    """A column of texts: each different one once, and which of them every row has."""

    of: list[Any]
    at: list[int]


class Columns(TypedDict):
    """Rows of data as a page holds them: a list for each column, or coded texts."""

    size: int
    columns: dict[str, list[Any] | Coded]


Datasets = dict[str, Columns]
"""The data of charts, by the names that their specs use."""


@dataclass(frozen=True, kw_only=True)
class Figure:
    """A chart on a page.

    `caption` are its title, where that says more than the sweep's, and its subtitles;
    `alt` says in words what it shows; `picks` are the entries of its legend, to choose
    from by keyboard; `spec` is Vega-Lite's, without title and data.
    """

    key: str
    heading: str
    caption: tuple[str, ...]
    alt: str
    picks: tuple[Any, ...]
    spec: str


def embed(
    chart: alt.TopLevelMixin,
    name: str,
    *,
    key: str,
    title: str,
    datasets: Datasets,
    shows: str = "",
) -> Figure:
    """Return a chart as a figure, and add its data to `datasets`.

    `name` is one of HEADINGS; `title` the sweep's, `shows` the main numbers in words.
    """
    spec: Spec = chart.to_dict()
    for data, rows in spec.pop("datasets", {}).items():
        datasets.setdefault(data, columns(rows))
    words = spec.pop("title", {})
    words = words if isinstance(words, dict) else {"text": words}
    own = _joined(words.get("text", "")).removeprefix(title).strip()
    caption = tuple(text for text in (own, *_lines(words.get("subtitle", ""))) if text)
    heading = HEADINGS[name]
    picks = tuple(_picks(spec))
    parts = [heading, *caption, *_axes(spec), _legend(picks), shows]
    said = ". ".join(part.strip().rstrip(".") for part in parts if part)
    return Figure(
        key=key,
        heading=heading,
        caption=caption,
        alt=f"Chart: {said}.",
        picks=picks,
        spec=script_json(spec),
    )


def columns(rows: Sequence[Mapping[str, Any]]) -> Columns:
    """Return rows as columns: lists of numbers, or of positions among `of`.

    Texts repeat, and names of columns would, in every row: this is a fifth of the size.
    """
    names = dict.fromkeys(name for row in rows for name in row)
    held: dict[str, list[Any] | Coded] = {}
    for name in names:
        values = [_rounded(row.get(name)) for row in rows]
        if any(isinstance(value, str) for value in values):
            distinct = {value: i for i, value in enumerate(dict.fromkeys(values))}
            at = [distinct[value] for value in values]
            held[name] = {"of": list(distinct), "at": at}
        else:
            held[name] = values
    return {"size": len(rows), "columns": held}


def script_json(value: object) -> str:
    """Return JSON that no text in it ends the <script> around; null for no number."""
    text = json.dumps(_finite(value), separators=(",", ":"), allow_nan=False)
    return within_script(text)


def _finite(value: Any) -> Any:
    """Put None for infinities, which JSON does not have."""
    if isinstance(value, dict):
        return {name: _finite(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _rounded(value: Any) -> Any:
    if not isinstance(value, float) or not math.isfinite(value):
        return value
    number = float(f"{value:.{DIGITS}g}")
    return int(number) if number.is_integer() else number


def _lines(text: str | Sequence[str]) -> list[str]:
    return [text] if isinstance(text, str) else list(text)


def _joined(text: str | Sequence[str]) -> str:
    return " ".join(_lines(text))


def _units(spec: Spec) -> Iterator[Spec]:
    """Yield a spec and all specs within."""
    yield spec
    for name in ("hconcat", "vconcat", "concat", "layer"):
        for part in spec.get(name, []):
            yield from _units(part)
    if "spec" in spec:
        yield from _units(spec["spec"])


def _picks(spec: Spec) -> Iterator[Any]:
    """Yield what the legend can pick: the domain of the field that is selected by."""
    params = [param for unit in _units(spec) for param in unit.get("params", [])]
    fields = {
        field
        for param in params
        if param.get("name") == PICKED and isinstance(param.get("select"), dict)
        for field in param["select"].get("fields", [])
    }
    channels = [c for unit in _units(spec) for c in unit.get("encoding", {}).values()]
    domain: dict[Any, None] = {}
    for channel in channels:
        if isinstance(channel, dict) and channel.get("field") in fields:
            domain |= dict.fromkeys((channel.get("scale") or {}).get("domain", []))
    yield from domain


def _axes(spec: Spec) -> list[str]:
    """Say what is drawn against what, panel by panel."""
    said: dict[str, None] = {}
    for panel in _panels(spec):
        titles: dict[str, str] = {}
        for unit in _units(panel):
            for axis in ("x", "y"):
                channel = unit.get("encoding", {}).get(axis, {})
                title = channel.get("title") or channel.get("field")
                if title and (axis not in titles or channel.get("title")):
                    titles.setdefault(axis, _joined(title))
        if len(titles) == 2:
            said[f"{titles['y']} against {titles['x']}"] = None
    return ["; ".join(said)] if said else []


def _panels(spec: Spec) -> Iterator[Spec]:
    parts = [spec[n] for n in ("hconcat", "vconcat", "concat") if n in spec]
    if not parts:
        yield spec
    for part in (part for group in parts for part in group):
        yield from _panels(part)


def _legend(picks: Sequence[Any]) -> str:
    if not picks:
        return ""
    more = f" and {len(picks) - MAX_NAMED} more" if len(picks) > MAX_NAMED else ""
    return f"Drawn are: {'; '.join(map(str, picks[:MAX_NAMED]))}{more}"
