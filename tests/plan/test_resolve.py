"""Sweeps by name, as options change them."""

from pathlib import Path

import pytest

from raybs.plan.overrides import Changes
from raybs.plan.resolve import find

LOSS = """
from torch.nn.functional import cross_entropy

def plain(logits, labels):
    return cross_entropy(logits, labels, reduction="none")
"""


def test_a_sweep_of_another_network_is_recorded_beside_its_own():
    [own], [other] = (
        find(["lr_compensation"], Changes(model=m)) for m in (None, "cnn")
    )
    assert (own.name, other.name) == ("lr_compensation", "lr_compensation_cnn")
    assert other.title == f"{own.title} (cnn)"
    assert {config.model for config in other.sweep.configs} == {"cnn"}
    keys = [{r.keys[-1] for r in asked.requests} for asked in (own, other)]
    assert keys[0].isdisjoint(keys[1])


def test_a_loss_of_a_file_gives_a_name_that_a_folder_can_have(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("my losses.py").write_text(LOSS)
    [asked] = find(["lr_compensation"], Changes(loss="my losses.py:plain"))
    assert asked.name == "lr_compensation_my_losses_plain"
    assert {config.loss for config in asked.sweep.configs} == {"my losses.py:plain"}


def test_a_file_that_is_not_there_is_said_so():
    with pytest.raises(ValueError, match=r"net.py:make: there is no file net.py\."):
        find(["lr_compensation"], Changes(model="net.py:make"))
