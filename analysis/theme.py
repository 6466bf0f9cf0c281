"""How all charts look: colors by batch size, fonts, sizes; writing them to files."""

import hashlib
import io
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import altair as alt

HUES = (
    "#8c564b",  # 1
    "#2ca02c",  # 2
    "#17a2b8",  # 4
    "#bcbd22",  # 8
    "#e377c2",  # 16
    "#d62728",  # 32
    "#ff7f0e",  # 64: orange, as in the article
    "#7f7f7f",  # 128
    "#1f77b4",  # 256: blue, as in the article
    "#0b7a4b",  # 512
    "#7b4fb5",  # 1024: purple, as in the article
    "#3b3b3b",  # 2048 and more
)
"""One color per power of two, so that a batch size has the same color in every
figure."""

DASHES = ([1, 0], [6, 3], [2, 2], [10, 3, 2, 3], [1, 4], [12, 4])
WIDTH, HEIGHT = 340, 230
CROSS = "M-1,-1L1,1M1,-1L-1,1"
"""The mark of what diverged."""


@alt.theme.register("raybs", enable=True)
def theme() -> alt.theme.ThemeConfig:
    """Return the look shared by all charts."""
    return {
        "config": {
            "view": {"stroke": "#bbbbbb"},
            "axis": {
                "gridColor": "#e6e6e6",
                "labelFontSize": 11,
                "titleFontSize": 12,
                "titleFontWeight": "normal",
            },
            "legend": {
                "symbolType": "stroke",
                "labelFontSize": 11,
                "symbolSize": 300,
            },
            "title": {"fontSize": 13, "anchor": "start"},
            "background": "white",
        }
    }


def color_of(batch_size: int) -> str:
    """Return the color of a batch size in every figure."""
    return HUES[min(int(math.log2(batch_size)), len(HUES) - 1)]


def label_scales(
    batch_sizes: Mapping[str, int], names: Mapping[str, str]
) -> tuple[alt.Color, alt.StrokeDash]:
    """Return color and dash by label: dashes tell equal batch sizes apart.

    `batch_sizes` gives each label's last batch size, in the order of the legend;
    `names` is what the legend says.
    """
    labels = list(batch_sizes)
    colors = [color_of(size) for size in batch_sizes.values()]
    ranks = [colors[:i].count(color) for i, color in enumerate(colors)]
    dashes: list[Sequence[float]] = [DASHES[rank % len(DASHES)] for rank in ranks]
    pairs = ", ".join(f"{_quoted(k)}: {_quoted(v)}" for k, v in names.items())
    legend = alt.Legend(
        title="batch size @ learning rate x epochs",
        labelExpr=f"({{{pairs}}})[datum.label] || datum.label",
        orient="bottom",
        columns=2,
        symbolOpacity=1,
        titleLimit=900,
        labelLimit=900,
    )
    return (
        alt.Color("label:N").scale(domain=labels, range=colors).legend(legend),
        alt.StrokeDash("label:N").scale(domain=labels, range=dashes).legend(legend),
    )


def with_field(y: alt.Y, field: str) -> alt.Y:
    """Return the axis `y` of another field, for layers that share it."""
    changed = y.copy()
    changed.shorthand = f"{field}:Q"
    return changed


def save(chart: alt.TopLevelMixin, folder: Path, name: str) -> None:
    """Write a chart as HTML that needs no network, as PNG and as SVG.

    Rendering takes seconds, so a chart that is there already, unchanged, is left alone.
    """
    spec = alt.__version__ + chart.to_json()
    mark = f"<!-- {hashlib.sha256(spec.encode()).hexdigest()} -->\n"
    html, png, svg = (folder / f"{name}.{kind}" for kind in ("html", "png", "svg"))
    if png.is_file() and svg.is_file() and _end(html, len(mark)) == mark.encode():
        return
    for path in (html, png, svg):
        path.unlink(missing_ok=True)  # it may be a link to what is not ours
    chart.save(png, scale_factor=2)
    chart.save(svg)
    text = io.StringIO()
    chart.save(text, format="html", inline=True, json_kwds={"cls": _InScript})
    # The last one, since its mark speaks for all three.
    html.write_text(text.getvalue() + mark, "utf-8")


def _end(path: Path, size: int) -> bytes:
    """Return the last bytes of a file; none of what is no file."""
    if not path.is_file():
        return b""
    with path.open("rb") as file:
        file.seek(-min(size, path.stat().st_size), io.SEEK_END)
        return file.read(size)


class _InScript(json.JSONEncoder):
    """Encodes what a page holds in a <script>, which no text in it must end."""

    def encode(self, o: object) -> str:
        """Return `o` as JSON without "<"."""
        return super().encode(o).replace("<", "\\u003c")


def _quoted(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
