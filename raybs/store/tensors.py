"""Files of named arrays, in the safetensors format."""

import json
from collections.abc import Mapping
from typing import Any

import numpy as np

MAX_HEADER = 2**24
"""Bytes of a tensor file's head: more is not ours."""
Tensors = dict[str, np.ndarray[Any, Any]]


def to_bytes(tensors: Tensors, metadata: Mapping[str, Any]) -> bytes:
    """Return what a file holds that has `tensors` and `metadata`."""
    import safetensors.numpy

    # One entry: the library writes several in a random order, and what is equal should
    # be one file.
    return safetensors.numpy.save(tensors, {"raybs": json.dumps(metadata)})


def from_bytes(content: bytes) -> tuple[Tensors, dict[str, Any]]:
    """Return the tensors and metadata that `to_bytes` was given.

    Raises:
        ValueError: It is broken; or others of BROKEN.
    """
    import safetensors.numpy

    # The format: 8 bytes of length, then that much JSON, then the tensors.
    length = int.from_bytes(content[:8], "little")
    if length > MAX_HEADER:
        raise ValueError(f"its head is said to be {length} bytes long")
    metadata = metadata_of(json.loads(content[8 : 8 + length]))
    try:
        return safetensors.numpy.load(content), metadata
    except safetensors.SafetensorError as error:
        raise ValueError(error) from None


def metadata_of(head: Mapping[str, Any]) -> dict[str, Any]:
    """Return the metadata in a file's head.

    Raises:
        ValueError: They are none of ours; or others of BROKEN.
    """
    metadata: dict[str, Any] = json.loads(head["__metadata__"]["raybs"])
    if not isinstance(metadata, dict):
        raise ValueError("its metadata are none of ours")
    return metadata
