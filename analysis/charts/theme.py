"""How all charts look and what they do under the mouse; writing them to files.

All colors of marks have a contrast of 3 or more (WCAG) on white and on #16181d, so that
one chart is for light and dark pages.
"""

import hashlib
import io
import json
import math
import struct
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar

import altair as alt
import vl_convert
from altair.utils import spec_to_html

from analysis.text import quoted, within_script

VEGA_LITE = alt.SCHEMA_VERSION.rpartition(".")[0]
"""The version of Vega-Lite that charts are written in, as vl_convert names it."""

HUES = (
    "#9a5238",  # 1
    "#2ca02c",  # 2
    "#17a2b8",  # 4
    "#a89000",  # 8
    "#dd62b6",  # 16
    "#d62728",  # 32
    "#ec6b00",  # 64: orange, as in the article
    "#8f8f8f",  # 128
    "#1f77b4",  # 256: blue, as in the article
    "#0b7a4b",  # 512
    "#8552c4",  # 1024: purple, as in the article
    "#666666",  # 2048 and more
)
"""One color per power of two, so that a batch size has the same color in every
figure."""

NEUTRAL = "#7f7f7f"
"""Of what belongs to no batch size, regime or setting."""

BAD = "#d62728"

DASHES = ([1, 0], [6, 3], [2, 2], [10, 3, 2, 3], [1, 4], [12, 4])
WIDTH, HEIGHT = 340, 230
CROSS = "M-1,-1L1,1M1,-1L-1,1"
"""The mark of what diverged."""

PICKED = "picked"
FADED = 0.08
"""Of their opacity marks keep so much while others are picked."""

DARK: dict[str, Any] = {
    "background": "transparent",
    "view": {"stroke": "#4b5059"},
    "axis": {
        "domainColor": "#7d838d",
        "gridColor": "#2d3138",
        "labelColor": "#c9cdd3",
        "tickColor": "#7d838d",
        "titleColor": "#e4e6ea",
    },
    "header": {"labelColor": "#c9cdd3", "titleColor": "#e4e6ea"},
    "legend": {"labelColor": "#c9cdd3", "titleColor": "#e4e6ea"},
    "text": {"color": "#e4e6ea"},
    "title": {"color": "#e4e6ea", "subtitleColor": "#c9cdd3"},
}
"""What a dark page merges over the `config` of a chart, key by key."""

Layered = alt.LayerChart | alt.FacetChart
"""What altair types layers with a size as."""

Panel = TypeVar("Panel", alt.Chart, Layered)


# Altair refuses what is over 5000 rows, such as 24 labels of 300 epochs.
alt.data_transformers.disable_max_rows()


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
    pairs = ", ".join(f"{quoted(k)}: {quoted(v)}" for k, v in names.items())
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


def explorable(
    panels: Sequence[Panel],
    legend: str | None,
    axes: Sequence[Literal["x", "y"]] = ("x", "y"),
) -> list[Panel]:
    """Return panels that zoom, each along its `axes`; a legend picks for all of them.

    A drag moves, the wheel with Ctrl (or a pinch) zooms, a double click goes back: the
    wheel alone scrolls the page. A click on the legend picks, one with Shift picks one
    more, one beside the panels brings all back. `legend` is the field that it shows,
    if there is one.
    """
    shown = []
    for number, panel in enumerate(panels):
        zoom = alt.selection_interval(
            name=f"zoom_{number}",
            bind="scales",
            encodings=list(axes),
            zoom="wheel![event.ctrlKey]",
        )
        params = [zoom]
        if legend and not number:  # once: what it picks is known to all panels
            params.append(
                alt.selection_point(name=PICKED, fields=[legend], bind="legend")
            )
        for layer in getattr(panel, "layer", [panel]):
            if layer.mark.clip is alt.Undefined:
                # Until it is zoomed, marks on its edge are whole.
                x = layer.encoding.x.shorthand.partition(":")[0]
                layer.mark.clip = alt.ExprRef(f"isValid({zoom.name}.{x})")
        shown.append(panel.add_params(*params))
    return shown


def fading(opacity: float = 1.0) -> alt.OpacityValue:
    """Return the opacity of marks that fade while a legend picks others."""
    condition = {"param": PICKED, "value": opacity}
    return alt.OpacityValue(FADED * opacity, condition=condition)


def save(
    chart: alt.TopLevelMixin,
    folder: Path,
    name: str,
    kinds: Sequence[str] = ("html", "png", "svg"),
) -> None:
    """Write a chart as HTML that needs no network, as PNG, as SVG, or as PDF.

    Rendering takes seconds, so a file that shows the chart already is left alone: each
    ends with a comment that names what it shows.
    """
    spec = chart.to_dict()  # once: altair checks it against its schema each time
    told = alt.__version__ + json.dumps(spec, indent=2, sort_keys=True)
    digest = hashlib.sha256(told.encode()).hexdigest().encode()
    for kind in kinds:
        path = folder / f"{name}.{kind}"
        if digest not in _end(path, 2 * len(digest)):
            content = _signed(_rendered(spec, kind), kind, digest)
            path.unlink(missing_ok=True)  # it may be a link to what is not ours
            path.write_bytes(content)


def _rendered(spec: dict[str, Any], kind: str) -> bytes:
    if kind == "html":
        return spec_to_html(
            spec,
            mode="vega-lite",
            vega_version=alt.VEGA_VERSION,
            vegalite_version=alt.VEGALITE_VERSION,
            vegaembed_version=alt.VEGAEMBED_VERSION,
            json_kwds={"cls": _InScript},
            template="inline",
        ).encode()
    render = getattr(vl_convert, f"vegalite_to_{kind}")
    options = {"scale": 2} if kind == "png" else {}
    content = render(spec, vl_version=VEGA_LITE, **options)
    return content if isinstance(content, bytes) else content.encode()


def _signed(content: bytes, kind: str, digest: bytes) -> bytes:
    """Return a file with `digest` as a comment at its end."""
    if kind == "png":  # before the last chunk, which is empty
        text = b"tEXtComment\0" + digest
        chunk = struct.pack(">I", len(text) - 4) + text
        chunk += struct.pack(">I", zlib.crc32(text))
        return content[:-12] + chunk + content[-12:]
    if kind == "pdf":
        return content + b"\n%" + digest + b"\n"
    return content + b"\n<!-- " + digest + b" -->\n"


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
        return within_script(super().encode(o))
