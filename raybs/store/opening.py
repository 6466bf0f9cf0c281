"""Open a results folder by its path or address."""

import json
import os
import re
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pyarrow as pa
from pyarrow import fs

from raybs.config.validation import any_of
from raybs.store.files import ENDINGS, PATIENCE, Files, StoreError, log, patiently
from raybs.store.store import Store

FORMAT = 1
SCHEMES = ("s3", "gs", "gcs", "abfs", "abfss", "file")
"""Of addresses: what pyarrow reaches without other software."""
SECRET = "secret|key|sig=|token|@"
"""What an address would hold only to give access."""
Place = str | os.PathLike[str]
"""Where a results folder is: a path, or an address."""


def as_store(results: Place | Store) -> Store:
    """Return an open results folder, of one that is open or of where it is.

    Raises:
        ValueError: It is neither, or no results folder.
    """
    return results if isinstance(results, Store) else open_store(results)


def open_store(
    uri: Place,
    *,
    create: bool = False,
    missing_ok: bool = False,
    patience: float = 0.0,
    tell: Callable[[str], None] = log.warning,
) -> Store:
    """Open the results folder at `uri`: a path, or an address such as s3://bucket.

    Where there is none, `create` makes one, and with `missing_ok` it reads as empty.
    One that cannot be reached is tried again for `patience` seconds, also later on;
    with 0 it must be there at first, and later has PATIENCE. `tell` hears of that, and
    of files that are set aside.

    Raises:
        ValueError: It does not exist (unless `create`), cannot be written, or was
            written by a newer raybs.
        StoreError: It cannot be reached, in spite of `patience`.
    """
    uri = _check_form(uri)
    _check_secrets(uri)
    try:
        files = _connect(uri, patience, tell)
        content = files.read("format.json")
        if content is not None:
            _check_format(uri, content)
        elif not (create or missing_ok):
            raise ValueError(f"No results in {uri!r}: there is no format.json in it.")
        if create:
            _create(files)
    except (OSError, RuntimeError, pa.ArrowException) as error:
        if patience and isinstance(error, StoreError):
            raise
        raise ValueError(
            f"The results folder {uri!r} cannot be used: {error}"
        ) from None
    return Store(replace(files, patience=patience or PATIENCE))


def _connect(uri: str, patience: float, tell: Callable[[str], None]) -> Files:
    """Return the files at a path or address, wherever they are.

    Raises:
        StoreError: The store cannot be reached.
        ValueError: It is a folder whose files are elsewhere.
    """
    if "://" in uri:
        full = uri.rstrip("/")
        find = partial(fs.FileSystem.from_uri, uri)  # asks where a bucket is
        what = f"{full} cannot be opened"
        filesystem, root = patiently(what, find, patience, tell)
    else:
        filesystem = fs.LocalFileSystem()
        full = root = str(Path(uri).expanduser().resolve())
    if filesystem.type_name == "local":
        _check_places(Path(root))
    return Files(
        uri=full,
        filesystem=filesystem,
        root=root.rstrip("/"),
        tell=tell,
        patience=patience,
    )


def _create(files: Files) -> None:
    """Make a results folder of `files`.

    Also where there is one: git keeps no empty folders, and a folder that cannot be
    written is better known before hours of work. A bucket has no folders, and who may
    only use a part of it may make none.
    """
    for folder in ENDINGS if files.disk else ():
        files.filesystem.create_dir(f"{files.root}/{folder}")
    files.write("format.json", json.dumps({"format": FORMAT}).encode())


def _check_form(given: Place) -> str:
    """Return an address as text; refuse what is neither path nor known address.

    Before pyarrow sees it: it would load Hadoop for some, and make folders of others.

    Raises:
        ValueError: It is so.
    """
    if not isinstance(given, str | os.PathLike):
        raise ValueError(f"{given!r} is no results folder: give a path, or s3://...")
    uri = os.fspath(given)
    scheme, marked, _ = uri.partition("://")
    is_drive = os.name != "nt" and re.match(r"[A-Za-z]:\\", uri)
    if not uri or not uri.isprintable() or is_drive or re.match(r"\w+:/[^/]", uri):
        raise ValueError(f"{uri!r} is no results folder: give a path, or s3://...")
    if marked and scheme not in SCHEMES:
        known = any_of(f"{name}://" for name in SCHEMES)
        raise ValueError(
            f"The results folder {uri!r} cannot be used: give a path, {known}."
        )
    return uri


def _check_secrets(uri: str) -> None:
    """Refuse an address that holds what gives access: it is logged, and sent around.

    Raises:
        ValueError: It does.
    """
    place = urlsplit(unquote(uri))
    user, _, _ = place.netloc.rpartition("@")
    if "://" in uri and (":" in user or re.search(SECRET, place.query, re.IGNORECASE)):
        raise ValueError(
            "The address of the results folder holds a key or password; leave it out "
            "and give it by the environment (AWS_ACCESS_KEY_ID and the like)."
        )


def _check_places(root: Path) -> None:
    """Refuse a folder whose files are elsewhere: they could be anybody's.

    And one whose folders are files, or whose format.json is none: a pipe would be
    waited for.

    Raises:
        ValueError: It has links in place of folders, or is not as it must be.
    """
    for name in (*ENDINGS, "set_aside"):
        place = root / name
        if place.is_symlink():
            raise ValueError(
                f"'{root}' is no results folder: {name} in it is a link, which leads "
                "elsewhere. Put the whole results folder where there is room."
            )
        if place.exists() and not place.is_dir():
            raise ValueError(
                f"'{root}' is no results folder: {name} in it is no folder. Move "
                f"{place} away."
            )
    place = root / "format.json"
    if place.exists() and not place.is_file():
        raise ValueError(
            f"'{root}' is no results folder: format.json in it is no file. Move "
            f"{place} away."
        )


def _check_format(uri: str, content: bytes) -> None:
    try:
        number = json.loads(content)["format"]
    except (ValueError, KeyError, TypeError):
        number = None
    if not isinstance(number, int) or isinstance(number, bool) or number < 1:
        raise ValueError(
            f"{uri!r} is no results folder: its format.json is unreadable."
        )
    if number > FORMAT:
        raise ValueError(
            f"{uri!r} has format {number} by its format.json, this raybs reads up to "
            f"{FORMAT}: upgrade it."
        )
