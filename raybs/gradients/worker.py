"""What a worker does with a chunk: draws from a stored state, to the store."""

import time
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from raybs.config.gradient_sweep import Cell, is_independent
from raybs.config.status import Status
from raybs.datasets.tensors import Dataset
from raybs.gradients.draw import draw
from raybs.gradients.references import References
from raybs.models.base import make_model
from raybs.models.device import device_name
from raybs.plan.chunks import Chunk, Drawn
from raybs.store.histogram import NUM_BINS, count_bins
from raybs.store.schemas import DRAW_COLUMNS
from raybs.store.store import Store

MAX_REFERENCES = 3
"""States at a time that a worker remembers, of one dataset: each with up to 40 MB."""


class DrawWorker:
    """Takes chunks one after the other; what they share is made once."""

    def __init__(self, store: Store, num_replicas: int = 1) -> None:
        """Read from and write to `store`; take `num_replicas` draws side by side."""
        self.store = store
        self.num_replicas = num_replicas
        self.references: dict[tuple[Any, ...], References] = {}

    def carry(self, chunk: Chunk, data: Dataset) -> Drawn:
        """Take the draws of `chunk` and write them down.

        Raises:
            ValueError: The state that the draws start from is not stored.
        """
        references = self._references(chunk.cell, data)
        # Before the clock starts: it is made once, for many chunks.
        _ = references.of_all
        start = time.perf_counter()
        columns: dict[str, list[Any]] = {
            name: [] for name in (*DRAW_COLUMNS, "num_steps", "status")
        }
        counts = np.zeros(NUM_BINS, np.int64)
        kept = []
        draws = draw(
            references, chunk.cell, chunk.pairs, num_replicas=self.num_replicas
        )
        for pair, (row, gradient) in zip(chunk.pairs, draws, strict=True):
            for name, values in columns.items():
                values.append(row[name])
            if row["status"] == Status.COMPLETE and is_independent(pair):
                counts += count_bins(gradient.numpy())
            if chunk.keep:
                kept.append(gradient.numpy())
        if chunk.keep:  # first: a chunk that is stored lacks nothing
            self.store.write_gradients(chunk.cell.key, np.stack(kept), chunk.pairs)
        seconds = time.perf_counter() - start
        device = data.train_images.device.type
        num_replicas = self.num_replicas if references.model.side_by_side else 1
        self._write(chunk, columns, counts, seconds, device, num_replicas)
        num_diverged = columns["status"].count(Status.DIVERGED)
        return Drawn(seconds=seconds, num_diverged=num_diverged)

    def _write(
        self,
        chunk: Chunk,
        columns: dict[str, list[Any]],
        counts: np.ndarray[Any, Any],
        seconds: float,
        device: str,
        num_replicas: int,
    ) -> None:
        """Write down what was drawn, by column, and its histogram."""
        bins = counts.nonzero()[0]
        self.store.write_chunk(
            {
                "cell_key": chunk.cell.key,
                "sample_set": [number for number, _ in chunk.pairs],
                "order": [order for _, order in chunk.pairs],
                **columns,
                "bin": bins,
                "count": counts[bins],
                "seconds": seconds,
                "device": device_name(device),
                "num_threads": torch.get_num_threads(),
                "num_replicas": num_replicas,
                "torch_version": str(torch.__version__),
            }
        )

    def _references(self, cell: Cell, data: Dataset) -> References:
        key = (cell.state_key, cell.layers, cell.num_samples, cell.seed)
        if any(known.data is not data for known in self.references.values()):
            self.references.clear()
        if key not in self.references:
            if len(self.references) == MAX_REFERENCES:
                del self.references[next(iter(self.references))]
            stored = self.store.read_state(cell.state_key)
            if stored is None:
                raise ValueError(
                    f"the state that regime '{cell.regime}' ends in is missing"
                )
            model = make_model(cell.config, data)
            state = model.load([cell.config], [stored])
            # What the optimizer carried along is no part of a draw.
            self.references[key] = References(
                start=replace(state, moments={}), data=data, cell=cell, model=model
            )
        return self.references[key]
