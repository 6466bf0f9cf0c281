"""What a worker does: carry stretches from stored states to stored rows and states."""

import time
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field, replace

import torch

from raybs.code.loading import check_code
from raybs.config.sweep import is_met
from raybs.config.trial import ResolvedConfig
from raybs.datasets.tensors import Dataset
from raybs.models.base import make_model
from raybs.models.device import device_name
from raybs.models.state import to_tensors
from raybs.plan.stretches import Report, Stretch
from raybs.store.rows import Measurement, Provenance, Row
from raybs.store.store import Store
from raybs.train.loop import Progress, is_diverged, train
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
    check_code(stretches[0].config, stretches[0].fingerprint)
    model = make_model(stretches[0].config, data)
    files = store.state_files()
    missing = missing_epochs(stretches, store, files)
    state, trained = deepest_state(stretches, store, model, files, missing)
    if state and state.epoch == stretches[0].start:
        keep_start(stretches, store, state, trained, files)
    pack = [
        Carried(index=index, stretch=stretch, training_seconds=seconds)
        for index, (stretch, seconds) in enumerate(zip(stretches, trained, strict=True))
    ]
    start = state.epoch if state else 0
    recorder = Recorder(pack, store, files, start=start, device=device)
    saved_at = time.monotonic()
    for progress in train(
        [stretch.config for stretch in stretches],
        data,
        model=model,
        state=state,
        stop=stretches[0].stop,
        measured=missing,
        ends=recorder.has_reached,
    ):
        report = replace(recorder.take(progress), message=model.why_alone)
        is_due = time.monotonic() - saved_at > save_seconds
        if is_due or recorder.must_save(report):
            recorder.save(progress)
            saved_at = time.monotonic()
        try:
            yield report
        except GeneratorExit:  # closed between two epochs: the state is whole
            recorder.save(progress)
            raise


@dataclass(kw_only=True)
class Carried:
    """A stretch of a pack under way.

    `training_seconds` are those since init, `rows` those that are not yet stored; with
    `reached` one of them has met what ends the trial.
    """

    index: int
    stretch: Stretch
    training_seconds: float
    rows: list[Row] = field(default_factory=list)
    reached: bool = False


class Recorder:
    """Makes rows and reports of what the training loop yields, and stores them."""

    def __init__(
        self,
        pack: Sequence[Carried],
        store: Store,
        files: dict[str, list[str]],
        *,
        start: int,
        device: str,
    ) -> None:
        """Record the stretches of `pack` from epoch `start` on.

        `files` are the paths of all stored states, by state key.
        """
        self.pack = pack
        self.by_config = {carried.stretch.config: carried for carried in pack}
        self.store = store
        self.files = files
        self.start = start
        self.seconds = 0.0  # since the last row
        self.provenance = Provenance(
            device=device_name(device),
            num_threads=torch.get_num_threads(),
            num_replicas=len(pack),
            torch_version=str(torch.__version__),
        )

    def has_reached(self, config: ResolvedConfig) -> bool:
        """Tell whether a measured row has met what ends this trial."""
        return self.by_config[config].reached

    def take(self, progress: Progress) -> Report:
        """Take notice of an epoch; return what to tell of it."""
        num_replicas, epoch = len(progress.configs), progress.state.epoch
        self.seconds += progress.seconds / num_replicas
        report = Report(epoch=epoch, rows={}, diverged=[], reached=[])
        for config, measured in zip(progress.configs, progress.rows, strict=True):
            carried = self.by_config[config]
            carried.training_seconds += progress.training_seconds / num_replicas
            is_wanted = epoch in carried.stretch.measure
            if measured is None or not (is_wanted or is_diverged(measured)):
                continue
            row = self._row(measured, carried)
            carried.rows.append(row)
            report.rows[carried.index] = row
            if is_diverged(measured):
                report.diverged.append(carried.index)
            elif is_met(carried.stretch.until, row):
                carried.reached = True
                report.reached.append(carried.index)
        if any(progress.rows):
            self.seconds = 0.0
        return report

    def must_save(self, report: Report) -> bool:
        """Tell whether the pack or a trial ends here, or a state is to stay."""
        is_last = report.epoch == self.pack[0].stretch.stop
        is_kept = any(report.epoch in carried.stretch.keep for carried in self.pack)
        return is_last or is_kept or bool(report.diverged or report.reached)

    def save(self, progress: Progress) -> None:
        """Store all rows so far, then the states that `progress` holds."""
        for carried in self.pack:
            self.store.write_rows(carried.rows)
            carried.rows.clear()
        if progress.state.epoch == self.start:
            return
        for replica in range(len(progress.configs)):
            self._save_state(progress, replica)

    def _row(self, measured: Measurement, carried: Carried) -> Row:
        return {
            **measured,
            **self.provenance,
            "state_key": carried.stretch.keys[measured["epoch"]],
            "seconds": self.seconds,
            "training_seconds": carried.training_seconds,
        }

    def _save_state(self, progress: Progress, replica: int) -> None:
        """Store the state of one replica, in the place of the one before."""
        carried = self.by_config[progress.configs[replica]]
        stretch, epoch = carried.stretch, progress.state.epoch
        is_goal = stretch.keep_goal and carried.reached
        is_kept, written = is_goal or epoch in stretch.keep, list[str]()
        is_needed = is_kept or epoch < stretch.stop or stretch.goes_on
        if is_needed and not is_diverged(progress.rows[replica]):
            named = to_tensors(progress.state, replica, carried.training_seconds)
            key = stretch.keys[epoch]
            written.append(self.store.write_state(key, *named, rolling=not is_kept))
        # The state saved to go on from half-way makes room for this one.
        first = stretch.start + (stretch.start in stretch.keep)
        earlier = stretch.keys[first:epoch]
        old = [path for key in earlier for path in self.files.pop(key, [])]
        self.store.files.delete(path for path in old if path.startswith("rolling"))
        self.files[stretch.keys[epoch]] = written
