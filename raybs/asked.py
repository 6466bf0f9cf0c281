"""What a command asks for: sweeps as its options change them, planned and recorded."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from raybs.chunks import Wanted, make_chunks, merge
from raybs.config.catalog import find_sweep, sweep_names
from raybs.config.gradient_sweep import GradientSweep, Sweep, cells, check_samples
from raybs.config.keys import TRAINER_VERSION, resolved, state_keys
from raybs.config.sweep import GOAL_COLUMNS, TrainSweep, truncated, with_seeds
from raybs.config.trial import TrainConfig, label
from raybs.config.validation import count
from raybs.cost import Speed
from raybs.datasets.dataset import describe
from raybs.plan import Plan, Request, make_plan, requests, with_stops
from raybs.store.records import as_resolved, record_from_json
from raybs.store.store import Store

NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}")
"""Of sweeps: it names files and folders."""


@dataclass(frozen=True, kw_only=True)
class Changes:
    """What options change about sweeps; None, or empty, leaves them as they are.

    `seeds` is about the trials of training sweeps; `draws` are fields of gradient
    sweeps, with the names of regimes to keep.
    """

    seeds: Sequence[int] = ()
    max_epochs: int | None = None
    precision: str | None = None
    draws: Mapping[str, Any] = field(default_factory=dict)
    keep_gradients: bool = False


@dataclass(frozen=True, kw_only=True)
class Asked:
    """One sweep: what it asks to be trained, and to be drawn."""

    name: str
    title: str
    sweep: Sweep
    requests: Sequence[Request]
    wanted: Sequence[Wanted] = ()
    keep_gradients: bool = False


def find(names: Sequence[str], changes: Changes | None = None) -> list[Asked]:
    """Return what the sweeps `names`, or files, ask for with `changes`.

    Raises:
        ValueError: A sweep, its configs or a change of it are not as they must be.
    """
    changes = changes or Changes()
    asked: dict[str, Asked] = {}
    for given in dict.fromkeys(names):
        item = ask(*find_sweep(given), changes)
        if item.name in asked:
            raise ValueError(
                f"Two sweeps are named '{item.name}': give one another name."
            )
        asked[item.name] = item
    check_options(list(asked.values()), changes)
    return list(asked.values())


def ask(name: str, title: str, sweep: Sweep, changes: Changes) -> Asked:
    """Return what `sweep` asks for with `changes`.

    Raises:
        ValueError: Its configs or a change of it are not as they must be.
    """
    if not NAME.fullmatch(name):
        raise ValueError(
            f"{name!r} cannot be a sweep's name; use letters, digits, '_', '-' and '.'."
        )
    if isinstance(sweep, GradientSweep):
        sweep = _change_draws(sweep, changes)
        if changes.draws.get("frozen"):  # beside the other, not in its place
            name, title = f"{name}_frozen", f"{title} (weights held still)"
    else:
        sweep = _change_training(sweep, changes)
        if changes.seeds:
            sweep = with_seeds(sweep, changes.seeds)
    return Asked(
        name=name,
        title=title,
        sweep=sweep,
        requests=requests(sweep.training, describe),
        wanted=_wanted(sweep),
        keep_gradients=changes.keep_gradients,
    )


def plan_for(asked: Sequence[Asked], store: Store, speed: Speed) -> Plan:
    """Plan the union of all that is asked for, minus what `store` holds."""
    found = [request for item in asked for request in item.requests]
    if any(request.until for request in found):
        rows = store.read_rows(["state_key", *GOAL_COLUMNS])
        found = with_stops(found, rows)
    wanted = merge([wanted for item in asked for wanted in item.wanted])
    keep = any(item.keep_gradients for item in asked)
    chunks = make_chunks(wanted, store, speed, keep=keep) if wanted else []
    plan = make_plan(
        found,
        store.read_statuses(),
        store.state_files().keys(),
        speed,
        needed={chunk.cell.state_key for chunk in chunks},
    )
    num_draws = sum(len(item.pairs) for item in wanted)
    return replace(plan, chunks=tuple(chunks), draws_asked=num_draws)


def find_replaced(store: Store, asked: Sequence[Asked]) -> dict[str, str]:
    """Return what recorded sweeps would be lost from sight, by name, in words.

    One is, if another of its name does not ask for all of its trials, or draws: more
    seeds, epochs or draws of the same only add to it.
    """
    records = store.read_records("sweeps", record_from_json)
    replaced = {}
    for item in asked:
        if item.name not in records:
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


def _lost(recorded: Sweep, entries: Mapping[str, Any], item: Asked) -> str:
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
        if state_keys(as_resolved(config, entries), prints[config.dataset], version)[-1]
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
        keys = {key for request in item.requests for key in request.keys}
        keys |= {wanted.cell.key for wanted in item.wanted}
        infos = {request.config.dataset: request.info for request in item.requests}
        value: dict[str, Any] = {
            "title": item.title,
            "trainer_version": TRAINER_VERSION,
            "fingerprints": {name: info.fingerprint for name, info in infos.items()},
            "training_samples": {n: info.num_samples for n, info in infos.items()},
            "failed": {key: why for key, why in failed.items() if key in keys},
            **asdict(item.sweep),
        }
        store.write_record("sweeps", item.name, value)


def _change_training(sweep: TrainSweep, changes: Changes) -> TrainSweep:
    if changes.max_epochs:
        configs = tuple(map(_resolve, sweep.configs))
        sweep = truncated(replace(sweep, configs=configs), changes.max_epochs)
    if changes.precision:
        changed = [replace(c, precision=changes.precision) for c in sweep.configs]
        sweep = replace(sweep, configs=tuple(dict.fromkeys(changed)))
    return sweep


def _resolve(config: TrainConfig) -> TrainConfig:
    return resolved(config, describe(config.dataset).num_samples)


def _change_draws(sweep: GradientSweep, changes: Changes) -> GradientSweep:
    fields = dict(changes.draws)
    names = fields.pop("regimes", sweep.regimes)
    unknown = [name for name in names if name not in sweep.regimes]
    if unknown:
        raise ValueError(
            f"No regime named '{unknown[0]}'; known: {', '.join(sweep.regimes)}."
        )
    starts = {name: TrainSweep(configs=(sweep.regimes[name],)) for name in names}
    changed = {n: _change_training(s, changes).configs[0] for n, s in starts.items()}
    # A cell is named after the state where its regime ends: of a path in epochs.
    fields["regimes"] = {n: _resolve(config) for n, config in changed.items()}
    return replace(sweep, **fields)


def check_options(asked: Sequence[Asked], changes: Changes) -> None:
    """Refuse changes that would change none of the sweeps."""
    kinds = {type(item.sweep) for item in asked}
    if (changes.draws or changes.keep_gradients) and GradientSweep not in kinds:
        raise ValueError(
            "Options about draws are for gradient sweeps: python -m raybs.sweep "
            "gradient_competition; leave them out."
        )
    if changes.seeds and TrainSweep not in kinds:
        raise ValueError(
            "--seeds: a gradient sweep draws from states of the seeds in its file; "
            "leave it out, or give a file of your own."
        )


def _wanted(sweep: Sweep) -> list[Wanted]:
    if not isinstance(sweep, GradientSweep):
        return []
    infos = {config.dataset: describe(config.dataset) for config in sweep.configs}
    check_samples(sweep, {name: info.num_samples for name, info in infos.items()})
    prints = {name: info.fingerprint for name, info in infos.items()}
    pairs = sweep.pairs
    return [
        Wanted(cell=cell, pairs=pairs, info=infos[cell.config.dataset])
        for cell in cells(sweep, prints)
    ]
