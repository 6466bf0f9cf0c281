"""Tables and advice as Markdown."""

import re

import pandas as pd


def to_markdown(table: pd.DataFrame) -> str:
    """Return `table` as a Markdown table."""
    rule = ["---"] * len(table.columns)
    rows = [[escaped(cell) for cell in row] for row in table.to_numpy().tolist()]
    lines = [list(table.columns), rule, *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def escaped(text: str) -> str:
    """Keep names from being more than text in Markdown: a cell's end, a link, HTML."""
    return re.sub(r"[\\|<\[]", r"\\\g<0>", text)


def advice_to_markdown(said: dict[str, list[str]], title: str) -> str:
    """Return `analysis.words` of an advice as Markdown."""
    lines = [f"## {escaped(title)}", ""] if title else []
    for head, texts in said.items():
        lines += [f"**{head}**", "", *(f"- {escaped(text)}" for text in texts), ""]
    return "\n".join(lines)
