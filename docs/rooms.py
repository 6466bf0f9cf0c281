"""The rooms of raybs and what they import, drawn: `python -m docs.rooms`.

A room is a folder of `raybs` or `analysis`, or a module beside them that people start.
Arrows are imports; one that a longer way implies is left out.
"""

from collections import Counter
from itertools import pairwise
from pathlib import Path

import grimp

PICTURE = Path(__file__).with_name("rooms.svg")

PACKAGES = ("sweeps", "raybs", "analysis")  # from left to right
# Public names, which are imported once they are used, and words of many rooms.
ASIDE = {"raybs", "analysis", "analysis.commands", "analysis.metrics"}

Arrow = tuple[str, str]  # who imports, and what

# Pixels; four boxes side by side are still legible on a phone.
GRID = 34  # on which centers stand, so that neighbors in a column are in line
WIDTH, HEIGHT, GAP = 112, 34, 24  # of a box, and to the next: four of the grid
LANE = 44  # what an arrow that passes takes: with a gap, two of the grid
ROW, MARGIN, CHIP = 74, 24, 14

STYLE = """
  .page { fill: #fff }
  .sweeps { fill: #eceef1; stroke: #6b7280 }
  .raybs { fill: #e3edfb; stroke: #3b76c4 }
  .analysis { fill: #fdecd9; stroke: #c2742a }
  text { font: 15px system-ui, sans-serif; text-anchor: middle; fill: #1f2328 }
  .key { text-anchor: start }
  .arrow { fill: none; stroke: #59636e; stroke-width: 1.5 }
  .head { fill: #59636e }
  @media (prefers-color-scheme: dark) {
    .page { fill: #0d1117 }
    .sweeps { fill: #262c34; stroke: #8b949e }
    .raybs { fill: #16304f; stroke: #6aa5ee }
    .analysis { fill: #43290f; stroke: #e09a52 }
    text { fill: #e6edf3 }
    .arrow { stroke: #9aa4af }
    .head { fill: #9aa4af }
  }
"""


def room_of(module: str) -> str:
    """`raybs.store` for `raybs.store.files`; all of `sweeps` is one room."""
    return "sweeps" if module.startswith("sweeps") else ".".join(module.split(".")[:2])


def imports_between_rooms() -> Counter[Arrow]:
    """How many imports each arrow stands for."""
    graph = grimp.build_graph(*PACKAGES, cache_dir=None)
    arrows = Counter(
        (room_of(module), room_of(imported))
        for module in graph.modules
        for imported in graph.find_modules_directly_imported_by(module)
    )
    between = {arrow for arrow in arrows if arrow[0] != arrow[1]}
    importers = {tail for tail, _ in between}
    # Modules that import no room, like raybs.lazy, are no rooms but tools of them.
    kept = {room for room in importers if room not in ASIDE} | folders(graph)
    return Counter({a: arrows[a] for a in between if kept.issuperset(a)})


def folders(graph: grimp.ImportGraph) -> set[str]:
    """The rooms that are folders."""
    return {room_of(module) for module in graph.modules if module.count(".") > 1}


def one_way(arrows: Counter[Arrow]) -> set[Arrow]:
    """Of two rooms that import one another, the way that more imports go."""
    return {
        (tail, head)
        for (tail, head), num in arrows.items()
        if (num, tail) > (arrows[head, tail], head)
    }


def rows_of(arrows: set[Arrow]) -> dict[str, int]:
    """In which row a room stands: right below the lowest room that imports it.

    Raises:
        ValueError: Rooms import one another in a circle.
    """
    rooms = {room for arrow in arrows for room in arrow}
    rows: dict[str, int] = {}
    while left := sorted(rooms - rows.keys()):
        importers = {r: {tail for tail, head in arrows if head == r} for r in left}
        ready = [room for room in left if importers[room] <= rows.keys()]
        if not ready:
            raise ValueError(f"{', '.join(left)} import one another in a circle.")
        rows |= {r: max((rows[i] for i in importers[r]), default=-1) + 1 for r in ready}
    # What no room imports stands right above what it imports.
    for room in rooms - {head for _, head in arrows}:
        rows[room] = min(rows[head] for tail, head in arrows if tail == room) - 1
    return rows


def without_implied(arrows: set[Arrow]) -> list[Arrow]:
    """The arrows that no longer way implies, in the order of their rooms' names."""
    rows = rows_of(arrows)
    reached: dict[str, set[str]] = {}
    for room in sorted(rows, key=lambda room: -rows[room]):
        heads = {head for tail, head in arrows if tail == room}
        reached[room] = heads.union(*(reached[head] for head in heads))
    return sorted(
        (tail, head)
        for tail, head in arrows
        if not any(head in reached[way] for start, way in arrows if start == tail)
    )


# An arrow over several rows is bent where it passes a row: there it needs a place, too.
Place = tuple[int, str]  # a row, and a room or the name of such an arrow


def ways_of(arrows: list[Arrow], rows: dict[str, int]) -> dict[Arrow, list[Place]]:
    """The places by which each arrow goes."""
    return {
        (tail, head): [
            (rows[tail], tail),
            *((row, f"{tail}>{head}") for row in range(rows[tail] + 1, rows[head])),
            (rows[head], head),
        ]
        for tail, head in arrows
    }


def centers(ways: dict[Arrow, list[Place]]) -> dict[Place, float]:
    """Where each place is, from left to right: near those that it is joined to.

    Packages stay apart: in a row `sweeps` comes first, `analysis` last.
    """
    joined: dict[Place, list[Place]] = {}
    for way in ways.values():
        for upper, lower in pairwise(way):
            joined.setdefault(upper, []).append(lower)
            joined.setdefault(lower, []).append(upper)
    x = {place: float(PACKAGES.index(package_of(place[1]))) for place in joined}
    for _ in range(60):
        wanted = {p: sum(x[other] for other in joined[p]) / len(joined[p]) for p in x}
        for row in {row for row, _ in x}:
            places = [place for place in sorted(x) if place[0] == row]
            places.sort(key=lambda p: (PACKAGES.index(package_of(p[1])), wanted[p]))
            x |= spread(places, wanted)
    on_grid = [
        {place: float((x[place] + shift) // GRID * GRID) for place in x}
        for shift in range(GRID)
    ]
    x = min(on_grid, key=lambda x: sum(abs(x[p] - x[q]) for p in x for q in joined[p]))
    left = min(x[place] - half(place) for place in x)
    return {place: x[place] - left + MARGIN for place in x}


def spread(places: list[Place], wanted: dict[Place, float]) -> dict[Place, float]:
    """Neighbors are moved apart until none lies over the other, by the same each."""
    x = dict(wanted)
    for _ in range(50):
        for left, right in pairwise(places):
            lacking = half(left) + GAP + half(right) - (x[right] - x[left])
            if lacking > 0:
                x[left] -= lacking / 2
                x[right] += lacking / 2
    return {place: round(x[place], 3) for place in places}


def half(place: Place) -> float:
    """Half of what a room, or an arrow that passes, takes of a row."""
    return (LANE if ">" in place[1] else WIDTH) / 2


def package_of(room: str) -> str:
    """`raybs` for `raybs.store`; of an arrow that passes, that of where it begins."""
    return room.split(">")[0].split(".")[0]


def name_of(room: str) -> str:
    """`store` for the folder `raybs.store`, `sweep.py` for the module `raybs.sweep`."""
    path = Path(__file__).parents[1] / room.replace(".", "/")
    return path.name if path.is_dir() else f"{path.name}.py"


def drawn_box(name: str, package: str, x: float, y: float) -> str:
    """A name on the color of its package; `x` is the center, `y` the top."""
    return (
        f'<rect class="{package}" x="{x - WIDTH / 2:.0f}" y="{y:.0f}" width="{WIDTH}" '
        f'height="{HEIGHT}" rx="6"/><text x="{x:.0f}" y="{y + 22:.0f}">{name}</text>'
    )


def drawn_key(package: str, x: int, y: int) -> str:
    """The color of a package and its name beside it."""
    return (
        f'<rect class="{package}" x="{x}" y="{y}" width="{CHIP}" height="{CHIP}" '
        f'rx="3"/><text class="key" x="{x + CHIP + 6}" y="{y + 12}">{package}</text>'
    )


def drawn_arrow(way: list[Place], x: dict[Place, float], *, both: bool) -> str:
    """A curve from box to box, straight down beside the boxes that it passes."""
    start, end = way[0], way[-1]
    curve = f"M{x[start]:.0f} {top(start[0]) + HEIGHT}"
    for upper, lower in pairwise(way):
        y = top(lower[0])
        middle = y - (ROW - HEIGHT) // 2
        curve += f" C{x[upper]:.0f} {middle} {x[lower]:.0f} {middle} {x[lower]:.0f} {y}"
        if lower != end:
            curve += f" v{HEIGHT}"
    heads = 'marker-start="url(#head)" ' if both else ""
    return f'<path class="arrow" d="{curve}" {heads}marker-end="url(#head)"/>'


def top(row: int) -> int:
    """Where the boxes of a row begin."""
    return MARGIN + ROW * row


def draw() -> str:
    """The picture, as SVG."""
    imports = imports_between_rooms()
    arrows = without_implied(one_way(imports))
    rows = rows_of(set(arrows))
    ways = ways_of(arrows, rows)
    x = centers(ways)
    width = max(x[place] + half(place) for place in x) + MARGIN
    foot = top(max(rows.values()) + 1)
    height = foot + CHIP + MARGIN
    drawn = [
        drawn_arrow(way, x, both=(head, tail) in imports)
        for (tail, head), way in ways.items()
    ]
    for room, row in sorted(rows.items()):
        drawn.append(drawn_box(name_of(room), package_of(room), x[row, room], top(row)))
    drawn += [
        drawn_key(package, MARGIN + place * WIDTH, foot)
        for place, package in enumerate(PACKAGES)
    ]
    body = "\n".join(drawn)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height}" '
        f'width="{width:.0f}" height="{height}" role="img">\n'
        "<title>The rooms of raybs, and which imports which</title>\n"
        f"<style>{STYLE}</style>\n"
        '<marker id="head" markerWidth="9" markerHeight="8" refX="8" refY="4" '
        'orient="auto-start-reverse" markerUnits="userSpaceOnUse">'
        '<path class="head" d="M0 0 9 4 0 8z"/></marker>\n'
        '<rect class="page" width="100%" height="100%" rx="8"/>\n'
        f"{body}\n</svg>\n"
    )


if __name__ == "__main__":
    PICTURE.write_text(draw())
