"""The files that a name of a user's code stands for, and what identifies them.

Only files that can be seen to be imported count: by import statements, from a file's
own folder or from the root of its package. What installed packages hold is identified
by their versions. Nothing is imported to find out.
"""

import ast
import hashlib
import importlib.metadata
import importlib.util
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path, PurePosixPath

SITES = frozenset({"site-packages", "dist-packages"})
"""Folders of installed packages."""


OURS = frozenset({"raybs", "analysis", "sweeps"})
"""Every worker has them."""


@dataclass(frozen=True, kw_only=True)
class Source:
    """The code that `name` stands for.

    `module` is what to import, and `attribute` what to take of it. `files` holds the
    texts of a user's own files by their paths below `root`, `versions` those of the
    installed packages that they import.
    """

    name: str
    module: str
    attribute: str
    root: str
    files: Mapping[str, str]
    versions: Mapping[str, str]

    @cached_property
    def fingerprint(self) -> str:
        """A hash of all that is known of the code, but comments and layout."""
        parts = [self.module, self.attribute]
        for path, text in sorted(self.files.items()):
            parts += [path, ast.unparse(_without_docstrings(ast.parse(text)))]
        for package, version in sorted(self.versions.items()):
            parts += [package, version]
        digest = hashlib.sha256("\0".join(parts).encode("utf-8", "surrogatepass"))
        return digest.hexdigest()[:16]


def _without_docstrings(tree: ast.Module) -> ast.Module:
    """Take the docstrings out of a syntax tree: they are comments."""
    documented = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
    for node in ast.walk(tree):
        if isinstance(node, documented) and ast.get_docstring(node, clean=False):
            node.body = node.body[1:] or [ast.Pass()]
    return tree


def read_source(name: str) -> Source:
    """Find the files of FILE.py:NAME or package.module:NAME, which are not imported.

    Raises:
        ValueError: There is no such file, module or name, or it is no Python.
    """
    place, _, attribute = name.rpartition(":")
    if place.endswith(".py"):
        path = Path(place)
        if not path.is_file():
            raise ValueError(f"{name}: there is no file {place}.")
        root: Path | None = path.resolve().parent
        module = path.stem
        if "." in module:
            raise ValueError(
                f"{name}: Python cannot import a file named {path.name}; rename it "
                f"to {module.replace('.', '_')}.py."
            )
    else:
        root, module = _package_root(name, place), place
    if root is None:  # installed: its version says what it holds
        versions = _versions({module.partition(".")[0], "torch"})
        return Source(
            name=name,
            module=module,
            attribute=attribute,
            root="",
            files={},
            versions=versions,
        )
    texts: dict[str, str] = {}
    packages = {"torch"}
    _collect(name, root, module, texts, packages)
    source = Source(
        name=name,
        module=module,
        attribute=attribute,
        root=str(root),
        files=texts,
        versions=_versions(packages),
    )
    defined = _names_of(ast.parse(texts[str(_find(root, module))]))
    if attribute not in defined and "*" not in defined:  # which may bring any name
        raise ValueError(f"{name}: {place} defines no {attribute}.")
    return source


def _package_root(name: str, module: str) -> Path | None:
    """Return the folder that a user's own package lies in; None for an installed one.

    Raises:
        ValueError: There is no such module.
    """
    top = module.partition(".")[0]
    importlib.invalidate_caches()  # the file may be new
    try:
        spec = importlib.util.find_spec(top)
    except (ImportError, ValueError):
        spec = None
    if spec is None:
        raise ValueError(
            f"{name}: there is no module {top} that Python finds; install it, or run "
            "raybs in the folder that holds it."
        )
    places = list(spec.submodule_search_locations or [])
    root = Path(places[0] if places else str(spec.origin)).resolve().parent
    # A package that is installed as editable lies where its author edits it.
    is_installed = not SITES.isdisjoint(root.parts)
    if is_installed or top in sys.stdlib_module_names:
        return None
    if _find(root, module) is None:
        raise ValueError(f"{name}: there is no module {module} in {root}.")
    return root


def _collect(
    name: str, root: Path, module: str, texts: dict[str, str], packages: set[str]
) -> None:
    """Add the files of `module`, and of all that it imports, to `texts`.

    Raises:
        ValueError: One cannot be read as Python.
    """
    parts = module.split(".")
    # A module's packages are imported before it.
    for end in range(1, len(parts) + 1):
        path = _find(root, ".".join(parts[:end]))
        if path is None or str(path) in texts:
            continue
        try:
            text = (root / path).read_text("utf-8-sig")
            tree = ast.parse(text)
        except (OSError, SyntaxError, ValueError) as error:
            raise ValueError(f"{name}: {root / path} cannot be read: {error}") from None
        texts[str(path)] = text
        package = parts[:end] if path.name == "__init__.py" else parts[: end - 1]
        for wanted in _imports(tree, package):
            if _is_below(root, wanted):
                _collect(name, root, wanted, texts, packages)
                continue
            top = wanted.partition(".")[0]
            if top not in packages:
                _check_installed(name, root, top)
                packages.add(top)


def _check_installed(name: str, root: Path, top: str) -> None:
    """Refuse an import from a folder that neither travels nor has a version.

    Raises:
        ValueError: It is such.
    """
    if top in OURS or top in sys.stdlib_module_names or top in _distributions():
        return
    try:
        spec = importlib.util.find_spec(top)
    except (ImportError, ValueError):
        return
    places = [*(spec.submodule_search_locations or [])] if spec else []
    if spec and spec.origin and Path(spec.origin).is_file():
        places.append(spec.origin)
    if not places or not SITES.isdisjoint(Path(places[0]).parts):
        return
    raise ValueError(
        f"{name} imports {top} from {Path(places[0]).parent}, outside of its own "
        f"folder {root}: workers would not have it. Name the network by its "
        "package, like models.net:make for models/net.py, started from the "
        "folder that holds both."
    )


def _find(root: Path, module: str) -> PurePosixPath | None:
    """Return the file of `module` below `root`, if there is one."""
    place = PurePosixPath(*module.split("."))
    for path in (place / "__init__.py", place.with_name(f"{place.name}.py")):
        if (root / path).is_file():
            return path
    return None


def _is_below(root: Path, module: str) -> bool:
    """Tell whether `module`, or a package that holds it, has a file below `root`."""
    parts = module.split(".")
    # A folder without __init__.py is a package, too.
    ends = range(1, len(parts) + 1)
    return any(_find(root, ".".join(parts[:end])) for end in ends)


def _imports(tree: ast.AST, package: list[str]) -> Iterator[str]:
    """Yield the names of all modules that may be imported, by full names.

    `from a import b` may be about a module b: then a.b is there, too.
    """
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) + 1 - node.level] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            if base:
                yield base
            dot = "." if base else ""
            yield from (f"{base}{dot}{alias.name}" for alias in node.names)


def _names_of(tree: ast.Module) -> set[str]:
    """Return what a module defines, or imports, at its top, wherever in it."""
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            names |= {(a.asname or a.name).partition(".")[0] for a in node.names}
    return names


@cache
def _distributions() -> Mapping[str, list[str]]:
    return importlib.metadata.packages_distributions()


def _versions(packages: set[str]) -> dict[str, str]:
    """Return the versions of installed packages, by the names of distributions.

    Without what says how one was built (2.9.0+cpu): the same code.
    """
    versions = {}
    for package in packages:
        for name in _distributions().get(package, []):
            versions[name] = importlib.metadata.version(name).partition("+")[0]
    return versions
