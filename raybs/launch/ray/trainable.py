"""The Tune trainable that carries stretches."""

import contextlib
import time
from collections.abc import Generator, Mapping
from dataclasses import asdict
from typing import Any

import ray
from ray import tune

from raybs.code.loading import carry_along
from raybs.code.source import Source
from raybs.datasets.dataset import Arrays
from raybs.datasets.tensors import Dataset, to_device
from raybs.launch.resources import Resources
from raybs.plan.stretches import Report, stretch_from_json
from raybs.store.opening import open_store


class StretchTrainable(tune.Trainable):
    """Carries packs of stretches; one actor, with its dataset, serves many of them.

    A result's reports are pairs: a pack's number, and its report, or None at its end.
    """

    def setup(  # type: ignore[override]  # Tune passes on what with_parameters holds
        self,
        config: dict[str, Any],
        datasets: dict[str, Any],
        uri: str,
        resources: Resources,
        sources: Mapping[str, Source],
    ) -> None:
        """Start with the first pack; the other arguments hold for all of them."""
        # Here, not above: the driver does without torch, whose import takes 2 seconds.
        from raybs.models.device import prepare

        prepare(resources.num_threads)
        carry_along(sources)
        self.timeout = resources.trial_timeout
        self.references = datasets
        # What a worker logs is not seen: what the store has to tell goes along.
        self.messages: list[str] = []
        self.store = open_store(
            uri, patience=resources.patience, tell=self.messages.append
        )
        # Not by torch.cuda.is_available(): a trial may sit beside GPUs that are not its
        # own.
        self.device = resources.device or ("cuda" if ray.get_gpu_ids() else "cpu")
        self.loaded: dict[str, Dataset] = {}
        self._begin(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Go on with another pack in the same actor."""
        self.reports.close()
        self._begin(new_config)
        return True

    def step(self) -> dict[str, Any]:
        """Train for an epoch; tiny epochs are reported together, once a second."""
        from raybs.launch.ray.failures import watch

        until = time.monotonic() + 1
        reports, complete = [], True
        watch(self.timeout)
        try:
            for number, report in self.reports:
                watch(self.timeout)
                reports.append((number, report and asdict(report)))
                if time.monotonic() > until:
                    complete = False
                    break
        finally:
            watch(0)
        messages = [self.messages.pop(0) for _ in list(self.messages)]
        result = {"reports": reports, "messages": messages, "complete": complete}
        return result | {"done": complete}

    def cleanup(self) -> None:
        """Save what is under way when the trial is stopped."""
        self.reports.close()

    def _begin(self, config: dict[str, Any]) -> None:
        self.reports = self._carry(config["packs"])

    def _carry(self, packs: list[Any]) -> Generator[tuple[int, Report | None]]:
        from raybs.train.worker import carry

        for number, values in enumerate(packs):
            stretches = [stretch_from_json(value) for value in values]
            dataset = stretches[0].config.dataset
            if dataset not in self.loaded:
                arrays: Arrays = ray.get(self.references[dataset])
                self.loaded = {dataset: to_device(arrays, self.device)}
            reports = carry(stretches, self.store, self.loaded[dataset])
            with contextlib.closing(reports):
                for report in reports:
                    yield number, report
            yield number, None
