"""Run a plan in this process, one stretch after the other, without Ray."""

import contextlib
import threading

import torch

from raybs.data import load_arrays, to_device
from raybs.launch import OnEvent, Pack, Resources
from raybs.plan import Frontier, Plan
from raybs.store import Store
from raybs.worker import carry, prepare


def run_local(
    plan: Plan,
    store: Store,
    resources: Resources,
    *,
    on_event: OnEvent,
    stop: threading.Event,
) -> None:
    """Train the stretches of `plan` in an order in which all starts exist.

    Setting `stop` ends it after the current epoch, with that epoch's state saved.
    """
    prepare(resources.threads)
    device = resources.device or ("cuda" if torch.cuda.is_available() else "cpu")
    loaded = {}
    frontier = Frontier(plan)
    while not stop.is_set() and (indices := frontier.take(resources.replicas)):
        pack = Pack(frontier, indices, on_event)
        dataset = pack.stretches[0].config.dataset
        try:
            if dataset not in loaded:
                loaded = {dataset: to_device(load_arrays(dataset), device)}
            with contextlib.closing(
                carry(pack.stretches, store, loaded[dataset])
            ) as reports:
                for report in reports:
                    pack.report(report)
                    if stop.is_set() and report.epoch < pack.stretches[0].stop:
                        return
        except (OSError, RuntimeError, ValueError) as error:
            pack.fail(f"{type(error).__name__}: {error}")
        else:
            pack.finish()
