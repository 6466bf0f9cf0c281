"""Which epochs must be trained: all paths asked for, minus what is stored."""

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field

from raybs.config.status import Status
from raybs.plan.requests import Request


@dataclass(kw_only=True)
class Branch:
    """Needed epochs of one request that no earlier branch trains; forks cut it."""

    request: Request
    start: int
    stop: int
    forks: set[int] = field(default_factory=set)


@dataclass(kw_only=True)
class Branches:
    """What requests need: every epoch that must be trained is in one branch.

    `missing` are the keys of rows to measure, `at_start` those of states that are
    stored without their rows, or are to stay and would not (with a request that passes
    there, and the epoch), `ends` the keys of the ends of all paths.
    """

    branches: list[Branch] = field(default_factory=list)
    missing: set[str] = field(default_factory=set)
    at_start: dict[str, tuple[Request, int]] = field(default_factory=dict)
    ends: set[str] = field(default_factory=set)
    _owners: dict[str, int] = field(default_factory=dict)  # key: index of its branch

    def add(self, request: Request, start: int, stop: int) -> None:
        """Add a branch of the epochs `start` + 1 to `stop`, whose start is stored.

        Those that another branch trains are the first of them: it is cut there.
        """
        keys = request.keys
        if start == stop:
            self.at_start.setdefault(keys[stop], (request, stop))
            return
        first = start
        while first < stop and keys[first + 1] in self._owners:
            first += 1
        if start < first < stop:
            self.branches[self._owners[keys[first]]].forks.add(first)
        if first < stop:
            index = len(self.branches)
            self._owners.update(dict.fromkeys(keys[first + 1 : stop + 1], index))
            self.branches.append(Branch(request=request, start=first, stop=stop))


def find_branches(
    asked: Sequence[Request],
    rows: Mapping[str, str],
    states: AbstractSet[str],
    needed: AbstractSet[str],
    rolling: AbstractSet[str],
) -> Branches:
    """Return what must be trained: the arguments are those of `make_plan`."""
    tree = Branches()
    diverged = {key for key, status in rows.items() if status == Status.DIVERGED}
    # First those that go all the way: what stops early owns what it shares with none.
    for request in sorted(asked, key=lambda request: bool(request.until)):
        keys, last = request.keys, _last(request, diverged)
        tree.ends.add(keys[-1])
        wanted = [k for k in request.measured if k <= last and keys[k] not in rows]
        tree.missing.update(keys[k] for k in wanted)
        # The state at init is no file: it is drawn again.
        is_kept = request.keep and last > 0 and keys[last] not in diverged
        if is_kept:
            tree.ends.add(keys[last])
        lacks_state = is_kept or keys[last] in needed
        if is_kept and keys[last] in rolling:
            tree.at_start.setdefault(keys[last], (request, last))
        elif lacks_state and keys[last] not in states and last not in wanted:
            wanted.append(last)
        while wanted:
            stop = wanted[-1]
            start = _deepest(keys, stop, states)
            tree.add(request, start, stop)
            wanted = [k for k in wanted if k <= start and k < stop]
    return tree


def _last(request: Request, diverged: AbstractSet[str]) -> int:
    """Return the epoch where a path ends: where asked, where it stops or diverged."""
    last = len(request.keys) - 1 if request.stop is None else request.stop
    if not diverged:
        return last
    keys = request.keys[: last + 1]
    return next((k for k, key in enumerate(keys) if key in diverged), last)


def _deepest(keys: Sequence[str], stop: int, states: AbstractSet[str]) -> int:
    """Return the last epoch up to `stop` whose state is stored; init always is."""
    if not states:
        return 0
    return next((k for k in range(stop, 0, -1) if keys[k] in states), 0)
