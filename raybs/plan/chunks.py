"""Chunks: draws of one cell that one worker takes, of similar cost.

No Ray and no torch: chunks are a function of what is wanted and of what is stored.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from raybs.config.gradient_sweep import Cell, Pair
from raybs.datasets.dataset import DatasetInfo
from raybs.plan.cost import Speed, draw_seconds, gradient_bytes
from raybs.store.draws import stored_pairs
from raybs.store.networks import Network
from raybs.store.schemas import CHUNK_BYTES, DRAW_BYTES
from raybs.store.store import Store

CHUNK_SECONDS = 10.0
"""Estimated length of a chunk: what a crash repeats at most, and Ctrl-C waits for."""
KEPT_BYTES = 2**26
"""Of the gradients that a chunk keeps: a worker holds them until it is done."""
MIN_CHUNKS = 100
"""Few draws have shorter chunks: progress is seen, and workers end together."""


@dataclass(frozen=True, kw_only=True)
class Chunk:
    """Draws `pairs` of `cell` for one worker; `seconds` is their estimated cost.

    With `keep` it writes down what every draw adds up to, `num_bytes` in all.
    """

    cell: Cell
    pairs: tuple[Pair, ...]
    seconds: float
    num_bytes: int
    keep: bool = False

    @property
    def name(self) -> str:
        """Say which draws these are."""
        first, last = self.pairs[0], self.pairs[-1]
        (a, b), (c, d) = first, last
        draws = f"draws {a} to {c}"
        if a != b or c != d:
            draws = f"crossed draws {first} to {last}"
        return f"{self.cell.regime}, batch size {self.cell.batch_size}, {draws}"

    @property
    def length(self) -> int:
        """Number of draws."""
        return len(self.pairs)

    @property
    def last_key(self) -> str:
        """Name what is missing if this chunk fails."""
        return self.cell.key

    @property
    def remaining(self) -> float:
        """Nothing waits for a chunk."""
        return self.seconds


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """A cell, the draws asked for, the dataset that they sample, and the network.

    Of the built-in MLP its config says it all.
    """

    cell: Cell
    pairs: Sequence[Pair]
    info: DatasetInfo
    network: Network | None = None


def merge(wanted: Iterable[Wanted]) -> list[Wanted]:
    """Return one per cell key, with the draws of all that ask for it."""
    merged: dict[str, Wanted] = {}
    for item in wanted:
        known = merged.setdefault(item.cell.key, item)
        if known.pairs != item.pairs:
            pairs = sorted({*known.pairs, *item.pairs})
            merged[item.cell.key] = replace(known, pairs=pairs)
    return list(merged.values())


def make_chunks(
    wanted: Iterable[Wanted],
    store: Store,
    speed: Speed,
    *,
    keep: bool = False,
    draws_per_chunk: int | None = None,
) -> list[Chunk]:
    """Cut the wanted draws that `store` lacks into chunks, longest first.

    Chunks are of similar cost, or of `draws_per_chunk` draws. With `keep` draws whose
    gradients are not kept are missing, too.
    """
    missing = _missing(merge(wanted), store, keep=keep)
    costs = [
        draw_seconds(item.cell, item.info, speed, item.network) for item, _ in missing
    ]
    total = sum(c * len(pairs) for c, (_, pairs) in zip(costs, missing, strict=True))
    seconds = min(CHUNK_SECONDS, total / MIN_CHUNKS)
    chunks: list[Chunk] = []
    for cost, (item, pairs) in zip(costs, missing, strict=True):
        at_once = round(seconds / cost) if cost else len(pairs)
        num = draws_per_chunk or max(at_once, 1)
        size = DRAW_BYTES
        if keep:
            gradient = gradient_bytes(item.cell, item.info, item.network)
            size += gradient
            num = min(num, max(KEPT_BYTES // gradient, 1))
        for first in range(0, len(pairs), num):
            part = tuple(pairs[first : first + num])
            chunk = Chunk(
                cell=item.cell,
                pairs=part,
                seconds=cost * len(part),
                num_bytes=CHUNK_BYTES + size * len(part),
                keep=keep,
            )
            chunks.append(chunk)
    return sorted(chunks, key=lambda chunk: -chunk.seconds)


def _missing(
    wanted: Iterable[Wanted], store: Store, *, keep: bool
) -> list[tuple[Wanted, list[Pair]]]:
    """Return the draws of each cell that `store` lacks."""
    stored = stored_pairs(store.read_chunks(["cell_key", "sample_set", "order"]))
    kept = store.kept_pairs() if keep else {}
    missing = []
    for item in wanted:
        have, safe = stored.get(item.cell.key, set()), kept.get(item.cell.key, set())
        # Apart, so that no chunk holds draws that are stored, and others: see `fold`.
        new = [pair for pair in item.pairs if pair not in have]
        again = [p for p in item.pairs if keep and p in have and p not in safe]
        missing += [(item, pairs) for pairs in (new, again) if pairs]
    return missing


@dataclass(frozen=True, kw_only=True)
class Drawn:
    """A chunk is done, and stored: seconds of its draws, and how many diverged."""

    seconds: float
    num_diverged: int
