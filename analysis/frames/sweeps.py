"""Which sweeps a results folder holds."""

from collections.abc import Collection, Sequence

from analysis.commands import no_sweep
from raybs.config.gradient_sweep import Sweep
from raybs.store.records import record_from_json
from raybs.store.store import Store


def find_sweeps(store: Store, names: Sequence[str] = ()) -> dict[str, Sweep]:
    """Return the sweeps `names` as last asked for, all if there are no names.

    Raises:
        ValueError: The results hold no such sweep.
    """
    records = store.read_records("sweeps", record_from_json)
    if names:
        check_any(store, records)
    for name in names:
        if name not in records:
            raise no_sweep(name, records, store.uri)
    return {name: records[name][0] for name in names or sorted(records)}


def check_any(store: Store, sweeps: Collection[str]) -> None:
    """Refuse results without a sweep.

    Raises:
        ValueError: There is none.
    """
    if not sweeps:
        raise ValueError(
            f"{store.uri!r} holds no sweep yet; run one: python -m raybs.sweep --list"
        )
