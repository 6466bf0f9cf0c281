"""Sweeps as results folders record them: written, and not lost from sight."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from raybs.config.catalog import sweep_names
from raybs.config.gradient_sweep import GradientSweep, Sweep
from raybs.config.keys import TRAINER_VERSION, fingerprint_of, state_keys
from raybs.config.trial import label
from raybs.config.validation import count
from raybs.plan.resolve import Asked
from raybs.store.records import Entries, as_resolved, record_from_json
from raybs.store.store import Store


def find_replaced(store: Store, asked: Sequence[Asked]) -> dict[str, str]:
    """Return what recorded sweeps would be lost from sight, by name, in words.

    One is, if another of its name does not ask for all of its trials, or draws: more
    seeds, epochs or draws of the same only add to it.
    """
    records = store.read_records("sweeps", record_from_json)
    replaced = {}
    for item in asked:
        if item.name not in records or item.recorded:
            continue
        recorded, entries = records[item.name]
        lost = _lost(recorded, entries, item)
        if lost:
            other = "" if item.title == entries["title"] else f' as "{item.title}"'
            name = "" if item.name in sweep_names() else "another name, or "
            replaced[item.name] = (
                f"{store.uri} holds a sweep '{item.name}', \"{entries['title']}\". "
                f"What you ask for now{other} leaves out {lost}. Give it {name}another "
                "--results; or let it take the place of the other by --replace "
                "(replace=True): all rows stay stored."
            )
    return replaced


def _lost(recorded: Sweep, entries: Entries, item: Asked) -> str:
    """Say what of a recorded sweep `item` does not ask for; "" if it asks for all."""
    sweep = item.sweep
    if isinstance(recorded, GradientSweep) != isinstance(sweep, GradientSweep):
        return "all of it"
    if recorded.training.until != sweep.training.until:
        return "where its trials stop"
    if recorded.training.evaluate_every % sweep.training.evaluate_every:
        return f"epochs that it measured, every {recorded.training.evaluate_every}"
    known = {key for request in item.requests for key in request.keys}
    version, prints = entries["trainer_version"], entries["fingerprints"]
    missing = [
        config
        for config in recorded.configs
        if state_keys(
            as_resolved(config, entries), fingerprint_of(config, prints), version
        )[-1]
        not in known
    ]
    if missing:
        others = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        first = f"'{label(missing[0])}', seed {missing[0].seed}"
        return f"{count(len(missing), 'trial')} ({first}{others})"
    if not (isinstance(recorded, GradientSweep) and isinstance(sweep, GradientSweep)):
        return ""
    if not recorded.regimes.keys() <= sweep.regimes.keys():
        return "regimes"
    if not {*recorded.batch_sizes} <= {*sweep.batch_sizes}:
        return "batch sizes"
    if not {*recorded.pairs} <= {*sweep.pairs}:
        return "draws"
    same = ("num_samples", "learning_rate", "reduction", "layers", "frozen", "seed")
    if any(getattr(recorded, name) != getattr(sweep, name) for name in same):
        return "all draws"
    return ""


def write_sweeps(
    store: Store, asked: Sequence[Asked], failed: Mapping[str, str]
) -> None:
    """Write down what was asked for: `analysis.load` assembles results from it.

    `failed` holds messages by the key of the state, or of the cell, not reached.
    """
    for item in asked:
        if item.recorded:
            continue
        keys = {key for request in item.requests for key in request.keys}
        keys |= {wanted.cell.key for wanted in item.wanted}
        infos = {request.config.dataset: request.info for request in item.requests}
        value: dict[str, Any] = {
            "title": item.title,
            "trainer_version": TRAINER_VERSION,
            "fingerprints": {
                name: fingerprint
                for request in item.requests
                for name, fingerprint in request.fingerprints.items()
            },
            "training_samples": {n: info.num_samples for n, info in infos.items()},
            "failed": {key: why for key, why in failed.items() if key in keys},
            **asdict(item.sweep),
        }
        store.write_record("sweeps", item.name, value)
