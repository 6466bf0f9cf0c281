"""Imports a user's code: where it lies, or on a worker from the files that came along.

What is imported stays out of the way of everything else: under its own folder first,
and under its own names only while it is imported or called.
"""

import atexit
import contextlib
import importlib
import importlib.metadata
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from raybs.code.source import Source, read_source
from raybs.config.trial import TrainConfig, own_code

_carried: dict[str, Source] = {}
"""Of this process: what came along with a plan, by name."""

_loaded: dict[str, tuple[str, Callable[..., Any]]] = {}
"""By name: what identifies it, and what was imported."""

_importing: set[str] = set()
"""Names whose files are being imported at this moment."""


def carry_along(sources: Mapping[str, Source]) -> None:
    """Write the files of `sources` to a folder of this process, to import from there.

    Raises:
        ValueError: Here they are not what they are where they come from: packages
            have other versions.
    """
    for name, source in sources.items():
        if name in _carried and _carried[name].fingerprint == source.fingerprint:
            continue
        _check_versions(source)
        here = source
        if source.files:
            root = Path(tempfile.mkdtemp(prefix="raybs_code_"))
            atexit.register(shutil.rmtree, root, ignore_errors=True)
            for path, text in source.files.items():
                (root / path).parent.mkdir(parents=True, exist_ok=True)
                (root / path).write_text(text, "utf-8")
            here = replace(source, root=str(root))
        _carried[name] = here


@contextlib.contextmanager
def pinned(
    sources: Mapping[str, Source], load: Callable[[str], object]
) -> Iterator[None]:
    """Import all of `sources` now by `load`, and hold on to that for a while.

    Whoever edits a file meanwhile changes the next plan, not this one.
    """
    before = dict(_carried)
    _carried.update(sources)
    try:
        for name in sources:
            load(name)
        yield
    finally:
        _carried.clear()
        _carried.update(before)


def _check_versions(source: Source) -> None:
    place = source.name.rpartition(":")[0].split("/")[-1]
    for package, version in source.versions.items():
        try:
            there = importlib.metadata.version(package).partition("+")[0]
        except importlib.metadata.PackageNotFoundError:
            there = "none"
        if there != version:
            raise ValueError(
                f"{place} imports {package}, of which this worker has version {there} "
                f"and the driver {version}; install the same one on all nodes."
            )


def check_code(config: TrainConfig, fingerprint: str) -> None:
    """Refuse code that is not what a `fingerprint` of `config` was made of.

    Raises:
        ValueError: It has changed since.
    """
    _, *expected = fingerprint.split(" ")
    for name, wanted in zip(own_code(config), expected, strict=True):
        _check_same(name, _carried.get(name) or read_source(name), wanted)


def read_planned(code: Mapping[str, str]) -> dict[str, Source]:
    """Read a user's code by name; `code` has the fingerprints that a plan is of.

    Raises:
        ValueError: Some of it has changed since the plan was made.
    """
    sources = {name: read_source(name) for name in code}
    for name, source in sources.items():
        _check_same(name, source, code[name])
    return sources


def _check_same(name: str, source: Source, wanted: str) -> None:
    if source.fingerprint != wanted:
        raise ValueError(
            f"{name} has changed since the plan was made; run the same command again "
            "to plan with the new code."
        )


def load(name: str) -> Callable[..., Any]:
    """Import what `name` stands for.

    Raises:
        ValueError: It cannot be imported, or nothing of it can be called.
    """
    source = _carried.get(name) or read_source(name)
    fingerprint = source.fingerprint
    known = _loaded.get(name)
    if known and known[0] == fingerprint:
        return known[1]
    if name in _importing:
        raise RuntimeError(
            "it runs raybs while it is imported; put that below "
            "if __name__ == '__main__':"
        )
    _importing.add(name)
    try:
        with importing(source):
            found = getattr(importlib.import_module(source.module), source.attribute)
    except (SystemExit, Exception) as error:
        relative = "attempted relative import" in str(error)
        hint = "; name it like package.module:NAME" if relative else ""
        raise ValueError(
            f"{name} cannot be imported: {type(error).__name__}: {error}{hint}"
        ) from error
    finally:
        _importing.discard(name)
    if not callable(found):
        raise ValueError(
            f"{name} is of type {type(found).__name__}, which cannot be called."
        )

    def call(*arguments: Any, **options: Any) -> Any:
        with importing(source):
            return found(*arguments, **options)

    call.__wrapped__ = found  # type: ignore[attr-defined]  # inspect.signature sees it
    _loaded[name] = (fingerprint, call)
    return call


@contextlib.contextmanager
def importing(source: Source) -> Iterator[None]:
    """Let `source` import its own files, which no other code sees.

    They are imported anew when they have changed; modules of the same names that were
    there before come back afterwards.
    """
    if not source.files:
        yield
        return
    own = {name for path in source.files for name in _modules_of(path)}
    before = {name: sys.modules.pop(name) for name in own if name in sys.modules}
    kept = _modules.setdefault((source.root, source.fingerprint), {})
    sys.modules.update(kept)
    sys.path.insert(0, source.root)
    writes, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    importlib.invalidate_caches()
    try:
        yield
    finally:
        sys.dont_write_bytecode = writes
        with contextlib.suppress(ValueError):
            sys.path.remove(source.root)
        kept |= {name: sys.modules.pop(name) for name in own if name in sys.modules}
        sys.modules.update(before)


_modules: dict[tuple[str, str], dict[str, Any]] = {}


def _modules_of(path: str) -> list[str]:
    """Return the names of the module in a file, and of the packages that hold it."""
    parts = Path(path).with_suffix("").parts
    parts = parts[:-1] if parts[-1] == "__init__" else parts
    return [".".join(parts[:end]) for end in range(1, len(parts) + 1)]
