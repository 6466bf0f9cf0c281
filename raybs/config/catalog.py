"""Sweeps by name, from the package `sweeps`, or from a user's own Python file."""

import difflib
import importlib
import importlib.util
import pkgutil
import sys
from pathlib import Path
from types import ModuleType

from raybs.beside import ROOT, import_beside
from raybs.config.gradient_sweep import GradientSweep, Sweep
from raybs.config.sweep import TrainSweep
from raybs.config.validation import to_line


def sweep_names() -> list[str]:
    """Return the names of all sweeps that come with raybs."""
    # No import: a user's package of the name may be imported already.
    bundled = pkgutil.iter_modules([str(ROOT / "sweeps")])
    return sorted(module.name for module in bundled)


def find_sweep(given: str) -> tuple[str, str, Sweep]:
    """Return name, title and sweep for a sweep's name or the path of a .py file.

    A user's file is code: it is imported, and so it is run.

    Raises:
        ValueError: There is no such sweep, or the file does not import or has no SWEEP.
    """
    import_beside("sweeps")  # a user's file, too, may start from one of them
    if given.endswith(".py"):
        name = Path(given).stem
        check_own_name(name)
        module = _import_file(Path(given))
    else:
        known = sweep_names()
        if given not in known:
            near = difflib.get_close_matches(given, known, n=1)
            hint = f" Did you mean '{near[0]}'?" if near else ""
            raise ValueError(
                f"No sweep named '{given}'.{hint} Known: {', '.join(known)}; "
                "or give the path of a .py file with a SWEEP."
            )
        name = given
        module = importlib.import_module(f"sweeps.{given}")
    sweep = getattr(module, "SWEEP", None)
    if not isinstance(sweep, TrainSweep | GradientSweep):
        raise ValueError(
            f"{given}: it has no SWEEP; write 'SWEEP = TrainSweep(configs=...)', as in "
            "sweeps/recovery.py, or a GradientSweep."
        )
    words = module.__doc__
    if words is not None and not isinstance(words, str):
        raise ValueError(f"{given}: its __doc__ is {words!r}; use text, or none.")
    title = next(iter((words or "").strip().splitlines()), name)
    if lacking := left_out(given):
        title = f"{title.removesuffix('.')} ({lacking})"
    return name, to_line(title), sweep


def left_out(given: str) -> str:
    """Say what a sweep of raybs, once found, leaves out on this machine, and why.

    That is its constant LEFT_OUT; "" is nothing.
    """
    module = sys.modules.get(f"sweeps.{given}")
    return str(getattr(module, "LEFT_OUT", ""))


def check_own_name(name: str) -> None:
    """Refuse names that the sweeps of raybs have: results would take their place.

    Raises:
        ValueError: It is such a name.
    """
    if name in sweep_names():
        raise ValueError(f"'{name}' is a sweep of raybs; take another name.")


def _import_file(path: Path) -> ModuleType:
    if not path.is_file():
        raise ValueError(f"{path}: there is no such file.")
    spec = importlib.util.spec_from_file_location(f"raybs_user_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise ValueError(f"{path}: it cannot be imported as Python.")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # where dataclasses look for a class's module
    try:
        spec.loader.exec_module(module)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # whatever a user's file may raise
        raise ValueError(
            f"{path}: it cannot be imported ({type(error).__name__}: {error})"
        ) from None
    return module
