"""Names of a user's own code: FILE.py:NAME, or package.module:NAME."""

import inspect
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

NAME = re.compile(r"[^:\n]+\.py:[A-Za-z_]\w*|[A-Za-z_][\w.]*:[A-Za-z_]\w*")


def is_own(name: str) -> bool:
    """Tell whether `name` is of code that does not come with raybs."""
    return ":" in name


def own_name(value: str | Callable[..., Any]) -> str:
    """Return the name of a function or class that `value` is, or is the name of.

    Raises:
        ValueError: No file holds it, so that no worker could import it.
    """
    if isinstance(value, str) or not callable(value):
        return value
    try:
        file = inspect.getsourcefile(inspect.unwrap(value))
        module, name = value.__module__, value.__qualname__
    except (TypeError, AttributeError):
        file, module, name = None, "", repr(value)
    if file is None or not Path(file).is_file() or not name.isidentifier():
        raise ValueError(
            f"{name} is not at the top of a file, so that no worker could import it; "
            "put it into a file, and name it like net.py:make."
        )
    if not (Path(file).parent / "__init__.py").exists():
        return f"{Path(file)}:{name}"
    return f"{module}:{name}"
