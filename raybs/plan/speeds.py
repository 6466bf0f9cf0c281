"""What is known of how fast workers are, and whether bfloat16 is worth it there."""

from dataclasses import asdict

from raybs.config.keys import path
from raybs.plan.cost import USUAL, Speed, guessed, is_half, speed_from_json
from raybs.plan.plan import Plan
from raybs.plan.processor import processor
from raybs.store.store import Store

SLOWER_BY = 1.2
"""Times as long as float32: less is noise of the measurement."""


def known_speed(store: Store, device: str, num_threads: int) -> Speed | None:
    """Return what an earlier sweep measured of such workers."""
    speeds = store.read_records("speeds", speed_from_json)
    return speeds.get(_name(device, num_threads))


def record_speed(store: Store, device: str, num_threads: int, speed: Speed) -> None:
    """Write down what was measured of such workers."""
    store.write_record("speeds", _name(device, num_threads), asdict(speed))


def usual_speed(store: Store, device: str, num_threads: int, *, is_here: bool) -> Speed:
    """Return what is known of such workers, or else what is usual.

    What bfloat16 takes is guessed of this machine's processor, where it `is_here` that
    they train.
    """
    speed = known_speed(store, device, num_threads) or USUAL
    return guessed(speed) if is_here else speed


def has_half(plan: Plan) -> bool:
    """Tell whether some epoch of `plan` has matmuls in bfloat16."""
    return any(
        is_half(stretch.config, epoch.batch_size)
        for stretch in plan.stretches
        if stretch.config.precision == "bfloat16"  # else its path need not be walked
        for epoch in path(stretch.config)[stretch.start : stretch.stop]
    )


def slower_half(speed: Speed) -> str:
    """Say how much slower bfloat16 is than float32; "" if it is not known to be."""
    if speed.bfloat16 is None or speed.bfloat16 < SLOWER_BY:
        return ""
    where = speed.processor or processor()
    return (
        f"bfloat16 takes {speed.bfloat16:.2g} times as long as float32 on this "
        f"processor ({where})"
    )


def check_half(speed: Speed) -> None:
    """Refuse bfloat16 where it is slower than float32.

    Raises:
        ValueError: It is.
    """
    if why := slower_half(speed):
        raise ValueError(
            f"{why}, measured where it would train. Leave --precision bfloat16 out, or "
            "confirm it with --yes (confirmed=True)."
        )


def _name(device: str, num_threads: int) -> str:
    """Name a kind of worker."""
    return f"{device}-{num_threads}"
