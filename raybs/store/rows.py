"""The rows of trials: as they are measured, told of, and stored (`ROW_SCHEMA`)."""

from typing import TypedDict

from raybs.config.status import Status


class Measurement(TypedDict):
    """What is measured of one replica after an epoch.

    Losses are in nats per sample, accuracies fractions, norms and distances L2 over all
    layers; `layer_distance` and `cosine_to_init` have one item per layer, from the
    input to the output; `weight_names` are a module's own names of them, with commas,
    and "" of the built-in MLP.
    """

    epoch: int
    step: int
    samples_seen: int
    train_loss: float
    train_accuracy: float
    test_loss: float
    test_accuracy: float
    weight_distance: float
    bias_distance: float
    weight_norm: float
    bias_norm: float
    layer_distance: list[float]
    cosine_to_init: list[float]
    weight_names: str
    status: Status


class Provenance(TypedDict):
    """What kind of worker it was."""

    device: str
    num_threads: int
    num_replicas: int
    torch_version: str


class Row(Measurement, Provenance):
    """A measurement, the state that it is of, and where it comes from.

    `seconds` are those of training and measuring since the trial's row before,
    `training_seconds` those of training alone, since init.
    """

    state_key: str
    seconds: float
    training_seconds: float
