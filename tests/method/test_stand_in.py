"""The whole loop on a device that is not the CPU: no operation mixes devices, and what comes out is what the CPU gives.

The device is a stand-in (stand_in.py), float32: it shows where tensors lie, not what CUDA's kernels compute.
"""

import numpy as np
import pytest
import torch
from helpers import SETTINGS
from stand_in import CUDA, StandIn, stand_in_device

from lib import active_learning, training, uncertainty
from lib.store import results


def test_the_stand_in_refuses_mixed_devices_and_counts(monkeypatch):
    with stand_in_device(monkeypatch) as device:
        there = torch.ones(3).to(CUDA)
        assert isinstance(there, StandIn)
        assert there.device == CUDA
        with pytest.raises(RuntimeError, match="on one device"):
            there + torch.ones(3)
        assert device.counts == {"copies": 1}
        assert (2 * there).sum().item() == 6
        assert device.counts == {"copies": 1, "synchronisations": 1}
        assert not isinstance(there.cpu(), StandIn)


@pytest.mark.parametrize("name", SETTINGS)
def test_a_run_goes_from_end_to_end_on_another_device(name, tiny_protocol, tmp_path, monkeypatch):
    protocol = tiny_protocol(**{"rounds": 1, "epochs": 1, "pool": 40, "validation_rows": 10} | SETTINGS[name])
    with stand_in_device(monkeypatch) as device:
        rounds = active_learning.run(protocol, tmp_path)
    assert device.counts["copies"] > 0, "something was computed there"
    assert results.Run(protocol, tmp_path).done
    assert len(rounds) == protocol.rounds + 1
    assert rounds["accuracy"].between(0, 1).all()
    assert (rounds["picked"].str.len()[:-1] == protocol.query).all()


def test_without_training_it_scores_as_the_cpu_does(tiny_protocol, monkeypatch):
    protocol = tiny_protocol()
    task, classifier = active_learning.prepare(protocol)
    numbers = np.arange(40)
    here = uncertainty.pool_features(classifier, task.train, numbers)
    with stand_in_device(monkeypatch):
        _, moved = active_learning.prepare(protocol)
        there = uncertainty.pool_features(moved, task.train, numbers).cpu()
    assert torch.allclose(here, there, atol=1e-5)


@pytest.mark.parametrize(("decoder", "copies"), [("cnn", 13), ("linear", 6)])
def test_a_training_step_waits_for_the_device_once(decoder, copies, tiny_protocol, monkeypatch):
    """And copies what its batch holds, piece by piece: the difference of four steps and two."""
    protocol = tiny_protocol(decoder=decoder, start=32, rounds=0, epochs=1)
    counted = []
    with stand_in_device(monkeypatch) as device:
        task, classifier = active_learning.prepare(protocol)
        for rows in (16, 32):
            device.counts.clear()
            training.train(classifier, task.train, np.arange(rows), protocol, 0)
            counted.append(dict(device.counts))
    few, many = counted  # two steps and four
    assert few["synchronisations"] > 0
    assert many["synchronisations"] - few["synchronisations"] <= 2
    assert many["copies"] - few["copies"] <= 2 * copies
