"""Where a worker goes on: from which stored state, and what is left to measure."""

from collections.abc import Mapping, Sequence

from raybs.models.base import Model
from raybs.models.state import State, to_tensors
from raybs.plan.stretches import Stretch
from raybs.store.store import Store


def keep_start(
    stretches: Sequence[Stretch],
    store: Store,
    state: State,
    trained: Sequence[float],
    files: Mapping[str, list[str]],
) -> None:
    """Make the state to start from one that stays, where others start from it too."""
    for replica, stretch in enumerate(stretches):
        key = stretch.keys[state.epoch]
        stays = any(path.startswith("states") for path in files[key])
        if state.epoch in stretch.keep and not stays:
            named = to_tensors(state, replica, trained[replica])
            store.write_state(key, *named, rolling=False)


def missing_epochs(
    stretches: Sequence[Stretch], store: Store, files: Mapping[str, list[str]]
) -> frozenset[int]:
    """Return the epochs to measure: as planned, unless a worker was here meanwhile."""
    first, stop = stretches[0].start, stretches[0].stop
    inside = {key for s in stretches for key in s.keys[first + 1 : stop + 1]}
    stored: set[str] = set()
    if inside & files.keys():
        stored |= store.read_statuses().keys()
    return frozenset(k for s in stretches for k in s.measure if s.keys[k] not in stored)


def deepest_state(
    stretches: Sequence[Stretch],
    store: Store,
    model: Model,
    files: Mapping[str, list[str]],
    missing: frozenset[int],
) -> tuple[State | None, list[float]]:
    """Read where to go on: the deepest stored state before the first missing row.

    That is `start`, or further on when a worker was here since the plan was made, or
    nearer to init (None) when a state file turns out to be corrupt. With the seconds of
    training up to there, by stretch.
    """
    for epoch in range(min(missing, default=stretches[0].stop), 0, -1):
        if not all(stretch.keys[epoch] in files for stretch in stretches):
            continue
        stored = [store.read_state(stretch.keys[epoch]) for stretch in stretches]
        sound = [state for state in stored if state is not None]
        if len(sound) == len(stretches):
            state = model.load([s.config for s in stretches], sound)
            heads = [head for _, head in sound]
            if all("training_seconds" in head for head in heads):
                return state, [head["training_seconds"] for head in heads]
            return state, _measured_seconds(stretches, store, epoch)
    return None, [0.0] * len(stretches)


def _measured_seconds(
    stretches: Sequence[Stretch], store: Store, epoch: int
) -> list[float]:
    """Return the seconds up to `epoch` by the rows, in which measuring counts, too.

    For states of an older raybs, which do not say those of training.
    """
    rows = store.read_rows(["state_key", "seconds"]).to_pylist()
    seconds = {row["state_key"]: row["seconds"] for row in rows}
    return [
        sum(seconds.get(key, 0.0) for key in stretch.keys[: epoch + 1])
        for stretch in stretches
    ]
