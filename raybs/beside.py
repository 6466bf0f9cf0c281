"""The packages that come with raybs, whatever else has their names.

`python -m` and scripts look into their own folder first, where a user may well have an
`analysis` or `sweeps`.
"""

import sys
from importlib.machinery import PathFinder
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).parent.parent


def import_beside(name: str) -> ModuleType:
    """Import the package `name` that is installed beside raybs, and no other.

    Its modules are imported as usual from then on.

    Raises:
        ValueError: Another module of this name is imported already.
    """
    ours = ROOT / name / "__init__.py"
    if module := sys.modules.get(name):
        theirs = module.__file__ or next(iter(module.__path__), name)
        if Path(theirs).resolve() != ours.resolve():
            raise ValueError(
                f"{theirs} hides the '{name}' that comes with raybs; rename it."
            )
        return module
    spec = spec_from_file_location(name, ours)
    if spec is None or spec.loader is None:
        raise ImportError(f"{ours} cannot be imported", name=name)
    module = module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def check_workers_import_raybs() -> None:
    """See that nothing in the current folder takes the place of raybs on Ray's workers.

    They look there first, also where this process did not.

    Raises:
        ValueError: Something does.
    """
    spec = PathFinder.find_spec("raybs", [str(Path.cwd())])
    theirs = spec.origin if spec else None  # None, too, of a folder that only has files
    if theirs and Path(theirs).resolve() != (ROOT / "raybs/__init__.py").resolve():
        raise ValueError(
            f"{theirs} hides raybs from Ray's workers; rename it, or start in another "
            "folder."
        )
