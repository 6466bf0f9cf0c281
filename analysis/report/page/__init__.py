"""The page of a report: templates, a style and scripts, put into one file."""

import base64
import functools
import hashlib
import math
import re
from collections.abc import Iterable, Sequence
from datetime import datetime
from importlib import resources

import jinja2
import pandas as pd
from markupsafe import Markup, escape

from analysis.charts.theme import DARK, VEGA_LITE
from analysis.claims.claim import Claims
from analysis.claims.results import MAX_NEEDED, Result, Verdict
from analysis.claims.sentences import bounds, describe, measured
from analysis.report.assemble import Report, assemble
from analysis.report.embed import script_json
from analysis.report.tables import numbers_table
from raybs.store.store import Store

COMMAND = re.compile(r"python -m raybs\.sweep [\w.-]+(?: --seeds \d+)?")

SMALLEST = 1e-4
"""Of a p: digits of less say nothing."""


def render(
    store: Store,
    claims: Claims,
    *,
    names: Sequence[str] = (),
    follow: float | None = None,
) -> str:
    """Return the report of a results folder as HTML.

    Of the sweeps `names` alone, if there are any. With `follow` an open page looks
    after so many seconds whether its file has been written again, and shows that.

    Raises:
        ValueError: The results hold no such sweep.
    """
    return page(assemble(store, claims, names=names), follow=follow)


def page(report: "Report", *, follow: float | None = None) -> str:
    """Return the page as HTML; with `follow` it follows its file, as `render` says."""
    main = _environment().get_template("main.html.jinja").render(report=report)
    data = {"datasets": report.datasets, "look": {"dark": DARK}, "follow": follow}
    scripts = {name: _text(f"{name}.js") for name in ("live", "follow", "charts")}
    scripts["vega"] = _libraries()
    # What a page says and how, but for the time: an open one compares it with its own.
    said = "".join([main, script_json(data), _text("page.css"), *scripts.values()])
    return (
        _environment()
        .get_template("page.html.jinja")
        .render(
            main=Markup(main),
            data={name: Markup(script_json(value)) for name, value in data.items()},
            style=Markup(_text("page.css")),
            scripts={name: Markup(text) for name, text in scripts.items()},
            policy=_policy(scripts.values()),
            stamp=hashlib.sha256(said.encode("utf-8", "replace")).hexdigest()[:16],
            written=f"{datetime.now():%H:%M:%S}" if follow else "",
        )
    )


def contrasts_table(verdict: Verdict) -> pd.DataFrame:
    """Return what each contrast of a claim came to, as text."""
    unit = verdict.claim.unit
    rows = []
    for result in verdict.results:
        is_there = result.num > 0
        rows.append(
            {
                "contrast": describe(result.contrast),
                "claimed": bounds(result.contrast),
                "ours (95 %)": measured(result) if is_there else result.missing,
                "mean / deviation": _standardized(result.standardized),
                unit: f"{result.num:,}",
                "diverged": f"{result.num_diverged:,}",
                "p for": _p(result.p_for) if is_there else "-",
                "p against": _p(result.p_against) if is_there else "-",
                f"{unit} needed": _needed(result, verdict.claim.num_needed),
            }
        )
    return pd.DataFrame(rows)


def _needed(result: Result, num_needed: int) -> str:
    if result.needed is None:
        return "-"
    most = MAX_NEEDED * num_needed
    return f"over {most:,}" if result.needed >= most else f"{result.needed:,}"


def _standardized(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.3g}"


def _p(value: float) -> str:
    return f"< {SMALLEST:g}" if value < SMALLEST else f"{value:.2g}"


@functools.cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("analysis.report.page", "."),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "commands": _commands,
        "contrasts": contrasts_table,
        "numbers": numbers_table,
        "count": lambda number: f"{number:,}",
        "p": _p,
        "slug": lambda text: re.sub(r"\W+", "-", text),
    }
    return environment


def _commands(sentence: str) -> Markup:
    """Mark the commands in a sentence as code."""
    text = str(escape(sentence))
    return Markup(COMMAND.sub(r"<code>\g<0></code>", text))


def _text(name: str) -> str:
    return (resources.files("analysis.report.page") / name).read_text("utf-8")


@functools.cache
def _libraries() -> str:
    """Return Vega, Vega-Lite and Vega-Embed as one script that nothing in it ends."""
    import vl_convert

    script = vl_convert.javascript_bundle(
        "window.vegaEmbed = vegaEmbed", vl_version=VEGA_LITE
    )
    return re.sub(r"<(?=/script|!--)", r"<\\", script, flags=re.IGNORECASE)


def _policy(scripts: Iterable[str]) -> str:
    """Return a policy by which the page runs its own scripts, and loads only itself."""
    hashes = [
        base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
        for script in scripts
    ]
    return "; ".join(
        [
            "default-src 'none'",
            "script-src " + " ".join(f"'sha256-{value}'" for value in hashes),
            "style-src 'unsafe-inline'",  # Vega-Embed and tooltips bring their own
            "img-src data: blob:",
            "frame-src 'self' file:",  # to follow its own file
            "base-uri 'none'",
            "form-action 'none'",
        ]
    )
