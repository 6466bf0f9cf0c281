"""Have the speed of workers measured where it is not known, and plan by it."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from raybs.launch.resources import Resources
from raybs.plan.cost import Speed
from raybs.plan.plan import Plan, plan_for
from raybs.plan.resolve import Asked
from raybs.plan.speeds import check_half, has_half, known_speed, record_speed
from raybs.store.store import Store

log = logging.getLogger("raybs")


@dataclass(kw_only=True)
class Calibration:
    """A `raybs.launch.events.Calibrate` that measures what `store` has not seen.

    `plan` is the one to follow. `on_start` is called once nothing stands in the way of
    training any more, `on_plan` hears of the plan and of how many workers there are.
    `confirmed` work is done even where bfloat16 is slower than float32.
    """

    plan: Plan
    asked: Sequence[Asked]
    store: Store
    resources: Resources
    confirmed: bool
    on_start: Callable[[], None]
    on_plan: Callable[[Plan, int], None]

    def __call__(
        self,
        device: str,
        measure: Callable[[], Speed],
        num_workers: int,
        *,
        at_end: bool,
    ) -> Plan:
        """Return the plan for workers on `device`, before the work or `at_end`.

        Raises:
            ValueError: They cannot be measured, or bfloat16 is slower there.
        """
        # bfloat16 may take a tenth of the time of float32, or twenty times it.
        half = device == "cpu" and has_half(self.plan)
        speed = known_speed(self.store, device, self.resources.num_threads)
        is_known = speed is not None and self._says_all(speed, half)
        if at_end:
            if not is_known:
                self._measure_at_end(device, measure)
            return self.plan
        # On a CPU costs are nearly proportional to the usual ones, so that order and
        # lengths come out alike: no first sweep waits for seconds for it.
        auto = self.resources.num_replicas is None
        if not is_known and (auto or half or device != "cpu"):
            speed = self._measure(device, measure)
        if half and speed and not self.confirmed:
            check_half(speed)
        self.on_start()
        if speed and speed != self.plan.speed:
            self.plan = plan_for(self.asked, self.store, speed)
        self.on_plan(self.plan, num_workers)
        return self.plan

    def _says_all(self, speed: Speed, half: bool) -> bool:
        """Tell whether `speed` says how many replicas, and what bfloat16 takes."""
        says_replicas = bool(speed.replicas) or self.resources.num_replicas is not None
        says_half = speed.bfloat16 is not None or not half
        return says_replicas and says_half

    def _measure(self, device: str, measure: Callable[[], Speed]) -> Speed:
        speed = measure()
        record_speed(self.store, device, self.resources.num_threads, speed)
        return speed

    def _measure_at_end(self, device: str, measure: Callable[[], Speed]) -> None:
        """Measure for the next sweep: this one is done, and does not fail by it."""
        try:
            self._measure(device, measure)
        except (OSError, ValueError) as error:
            log.warning("The speed of this machine is not known: %s", error)
