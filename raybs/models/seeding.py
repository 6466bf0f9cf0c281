"""Random numbers of a module: a function of (seed, stream, number), and of no past."""

import contextlib
import pickle
import random
from collections.abc import Iterator

import numpy as np
import torch

from raybs.models.state import generator

MODULE_INIT_STREAM = 4

MODULE_TRAINING_STREAM = 5

MODULE_MEASURING_STREAM = 6

MODULE_DRAWS_STREAM = 7

MODULE_IMPORT_STREAM = 8


@contextlib.contextmanager
def seeded(seed: int, stream: int, number: int = 0) -> Iterator[None]:
    """Seed torch, NumPy and Python; afterwards all go on as if nothing had been."""
    drawn = int(generator(seed, stream, number).integers(2**63))
    before = random.getstate(), np.random.get_state()
    devices = range(torch.cuda.device_count()) if torch.cuda.is_initialized() else ()  # type: ignore[no-untyped-call]
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(drawn)
        random.seed(drawn)
        np.random.seed(drawn % 2**32)
        try:
            yield
        finally:
            random.setstate(before[0])
            np.random.set_state(before[1])


def random_states() -> bytes:
    """Return what changes whenever torch, NumPy or Python draws a random number."""
    states = [random.getstate(), np.random.get_state(), torch.get_rng_state().numpy()]
    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        states += [state.numpy() for state in torch.cuda.get_rng_state_all()]
    return pickle.dumps(states)
