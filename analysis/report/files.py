"""Tables and charts as files in a folder."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import altair as alt
import click

from analysis.claims.results import Verdict
from analysis.report.embed import HEADINGS
from analysis.report.markdown import to_markdown
from analysis.report.tables import findings_tables, tally
from raybs.store.files import replacing
from raybs.store.store import Store


def write_report(path: Path, text: str) -> None:
    """Replace the file `path`, at once; a link in its place is not followed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as beside, beside.open("xb") as file:
        file.write(text.encode("utf-8", "replace"))


KINDS = ("html", "png", "svg", "pdf", "md")
"""Of files: charts, and tables as Markdown."""

AT_END = ("html", "png", "svg", "md")
"""What a sweep ends with."""


def figures_folder(store: Store, given: str | None, name: str = "") -> Path:
    """Return where tables and charts of a sweep go: to its results, if they are local.

    Without a name: where the report goes.

    Raises:
        ValueError: There is a link out of the results in its place, or a file.
    """
    folder = Path(given or "figures") / name
    if not given and store.files.disk:
        folder = store.files.disk / "figures" / name
        if not folder.resolve().is_relative_to(store.files.disk.resolve()):
            raise ValueError(
                f"{folder} leads out of the results; give --figures FOLDER."
            )
    for part in (folder, *folder.parents):
        if part.exists() and not part.is_dir():
            raise ValueError(
                f"{part} is no folder, so nothing can be written there; move it away, "
                "or give --figures FOLDER."
            )
    return folder


def write(
    folder: Path,
    texts: Mapping[str, str],
    charts: Mapping[str, alt.TopLevelMixin],
    kinds: Sequence[str] = AT_END,
) -> None:
    """Write texts as Markdown, and charts as what else is in `kinds`; say so."""
    from analysis.charts.theme import save

    texts = texts if "md" in kinds else {}
    charts = charts if set(kinds) - {"md"} else {}
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in texts.items():
        path = folder / f"{name}.md"
        path.unlink(missing_ok=True)  # it may be a link to what is not ours
        path.write_text(text, "utf-8")
    for name, chart in charts.items():
        save(chart, folder, name, [kind for kind in kinds if kind != "md"])
    if texts or charts:
        click.echo(f"Written to {folder}: {', '.join([*texts, *charts])}")


def delete_figures(store: Store, name: str, figures: str | None = None) -> None:
    """Delete the tables and charts that were written of a sweep, and nothing else."""
    folder = figures_folder(store, figures, name)
    ours = re.compile(rf"(table|advice|{'|'.join(HEADINGS)})(_\d+)?")
    for path in folder.glob("*.*"):
        if ours.fullmatch(path.stem) and path.suffix[1:] in KINDS:
            path.unlink(missing_ok=True)


def write_findings(
    store: Store, figures: str | None, verdicts: Sequence[Verdict]
) -> None:
    """Write verdicts as Markdown, beside the report."""
    parts = [
        f"## {head}\n\n{to_markdown(table)}"
        for head, table in findings_tables(verdicts)
    ]
    text = "\n".join([tally(verdicts), "", *parts])
    write(figures_folder(store, figures), {"findings": text}, {}, ["md"])
