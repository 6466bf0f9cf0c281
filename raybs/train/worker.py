"""What a worker does: carry stretches from stored states to stored rows and states."""

import time
from collections.abc import Generator, Sequence
from typing import Any

import torch

from raybs.config.sweep import is_met
from raybs.config.trial import ResolvedConfig
from raybs.datasets.tensors import Dataset
from raybs.models.device import device_name
from raybs.models.state import to_tensors
from raybs.plan.stretches import Report, Stretch
from raybs.store.store import Store
from raybs.train.loop import Progress, train
from raybs.train.resume import deepest_state, keep_start, missing_epochs

SAVE_SECONDS = 30.0
"""Training time between two saved states: what a crash repeats at most, plus an
epoch."""


def carry(
    stretches: Sequence[Stretch],
    store: Store,
    data: Dataset,
    *,
    save_seconds: float = SAVE_SECONDS,
) -> Generator[Report]:
    """Train stretches of one shape side by side; yield a report after every epoch.

    Starts from the deepest state of the paths that the store holds and can read, and
    writes rows and states as it goes: rows first, so that a stored state never lacks
    them. Closed half-way, it saves the last epoch that was reported.
    """
    device = data.train_images.device.type
    files = store.state_files()
    missing = missing_epochs(stretches, store, files)
    # Seconds of training since init, by stretch.
    state, trained = deepest_state(stretches, store, device, files, missing)
    if state and state.epoch == stretches[0].start:
        keep_start(stretches, store, state, trained, files)
    indices = {stretch.config: index for index, stretch in enumerate(stretches)}
    pending: dict[int, list[dict[str, Any]]] = {index: [] for index in indices.values()}
    start = state.epoch if state else 0
    progress: Progress | None = None
    seconds = 0.0  # since the last row
    saved_at = time.monotonic()

    def ends(config: ResolvedConfig, row: dict[str, Any]) -> bool:
        stretch = stretches[indices[config]]
        return row["epoch"] in stretch.measure and is_met(stretch.until, row)

    def save() -> None:
        for rows in pending.values():
            store.write_rows(rows)
            rows.clear()
        if progress is None or progress.state.epoch == start:
            return
        epoch = progress.state.epoch
        for replica, config in enumerate(progress.configs):
            row, stretch = progress.rows[replica], stretches[indices[config]]
            diverged = row is not None and row["status"] == "diverged"
            kept, written = epoch in stretch.keep, []
            if not diverged and (kept or epoch < stretch.stop or stretch.goes_on):
                named = to_tensors(progress.state, replica, trained[indices[config]])
                key = stretch.keys[epoch]
                written.append(store.write_state(key, *named, rolling=not kept))
            # The state saved to go on from half-way makes room for this one.
            first = stretch.start + (stretch.start in stretch.keep)
            old = [p for key in stretch.keys[first:epoch] for p in files.pop(key, [])]
            store.files.delete(path for path in old if path.startswith("rolling"))
            files[stretch.keys[epoch]] = written

    try:
        for progress in train(
            [stretch.config for stretch in stretches],
            data,
            state=state,
            stop=stretches[0].stop,
            measured=missing,
            ends=ends,
        ):
            epoch = progress.state.epoch
            seconds += progress.seconds / len(progress.configs)
            report = Report(epoch=epoch, test_accuracy={}, diverged=[], reached=[])
            for config, row in zip(progress.configs, progress.rows, strict=True):
                index = indices[config]
                stretch = stretches[index]
                diverged = row is not None and row["status"] == "diverged"
                trained[index] += progress.training_seconds / len(progress.configs)
                if row is not None and (diverged or epoch in stretch.measure):
                    row["training_seconds"] = trained[index]
                    extras = {
                        "state_key": stretch.keys[epoch],
                        "seconds": seconds,
                        "device": device_name(device),
                        "num_threads": torch.get_num_threads(),
                        "num_replicas": len(stretches),
                        "torch_version": str(torch.__version__),
                    }
                    pending[index].append(row | extras)
                    report.test_accuracy[index] = row["test_accuracy"]
                if diverged:
                    report.diverged.append(index)
                elif row is not None and ends(config, row):
                    report.reached.append(index)
            if any(progress.rows):
                seconds = 0.0
            due = time.monotonic() - saved_at > save_seconds
            kept = any(epoch in stretch.keep for stretch in stretches)
            some_end = report.diverged or report.reached
            if due or kept or some_end or epoch == stretches[0].stop:
                save()
                saved_at = time.monotonic()
            yield report
    except GeneratorExit:  # closed between two epochs: the state is whole
        save()
        raise
