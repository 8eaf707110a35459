"""The whole loop on a device that is not the CPU: no operation mixes devices, and what comes out is what the CPU gives.

The device is a stand-in (stand_in.py), float32: it shows where tensors lie, not what CUDA's kernels compute.
"""

import numpy as np
import pytest
import torch
from helpers import SETTINGS
from stand_in import CUDA, StandIn, stand_in_device

from lib.method import acquisition, active_learning, training, uncertainty
from lib.method import prefix as prefixes
from lib.method.prefix import frozen_prefix
from lib.runs import results
from lib.runs.run import run as run_one


def test_the_stand_in_refuses_mixed_devices_and_counts(monkeypatch):
    with stand_in_device(monkeypatch) as device:
        there = torch.ones(3).to(CUDA)
        assert isinstance(there, StandIn)
        assert there.device == CUDA
        with pytest.raises(RuntimeError, match="on one device"):
            there + torch.ones(3)
        assert device.counts == {"copies": 1, "synchronisations": 1}, "Python waits for a copy of what is not pinned"
        assert isinstance(torch.ones(3).pin_memory().to(CUDA, non_blocking=True), StandIn)
        assert device.counts == {"copies": 2, "synchronisations": 1}
        torch.ones(3).to(CUDA, non_blocking=True)
        assert device.counts == {"copies": 3, "synchronisations": 2}
        assert (2 * there).sum().item() == 6
        assert device.counts == {"copies": 3, "synchronisations": 3}
        assert not isinstance(there.cpu(), StandIn)


@pytest.mark.parametrize("name", SETTINGS)
def test_a_run_goes_from_end_to_end_on_another_device(name, tiny_protocol, tmp_path, monkeypatch):
    protocol = tiny_protocol(
        **{"rounds": 1, "epochs": 1, "pool": 20, "validation_rows": 5, "samples": 4} | SETTINGS[name]
    )
    with stand_in_device(monkeypatch) as device:
        rounds = run_one(protocol, tmp_path)
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


@pytest.mark.parametrize("outcomes", [4, 2000])
def test_batchbald_is_computed_there(outcomes, monkeypatch):
    """Exactly, and once there are more label sequences than `outcomes` from a sample of them."""
    joint = acquisition.joint_entropy
    monkeypatch.setattr(acquisition, "joint_entropy", lambda *given: joint(*given, limit=outcomes))
    log_probs_SNC = torch.randn(5, 12, 3, generator=torch.Generator().manual_seed(0)).log_softmax(-1)
    here = acquisition.batchbald(log_probs_SNC, 4, np.random.default_rng(0))
    with stand_in_device(monkeypatch) as device:
        there_SNC = log_probs_SNC.to(CUDA)
        device.counts.clear()
        there = acquisition.batchbald(there_SNC, 4, np.random.default_rng(0))
    assert there.tolist() == here.tolist()
    assert device.counts["copies"] <= 2 * 4, "the sequences and no more, for each pick"


STEPS = {
    "CNN": {},
    "CNN, all dropouts": {"mc_dropout": "decoder"},
    "linear": {"decoder": "linear"},
    "frozen": {"frozen": 2},
    "last layers frozen": {"frozen": -2},
}


@pytest.mark.parametrize("changes", STEPS.values(), ids=STEPS)
def test_a_training_step_is_one_copy_and_waits_for_nothing(changes, tiny_protocol, monkeypatch):
    """The difference of an epoch and two."""
    protocol = tiny_protocol(start=16, rounds=0, epochs=1, **changes)
    counted = []
    with stand_in_device(monkeypatch) as device:
        task, classifier = active_learning.prepare(protocol)
        prefix = frozen_prefix(classifier, task.train, np.arange(16), protocol.frozen)
        assert (prefix is not None) == (protocol.frozen > 0)
        steps = list(training.epoch_batches(np.arange(16), protocol, 0))
        for times in (1, 2):
            device.counts.clear()
            training.take_steps(classifier, task.train, steps * times, protocol, CUDA, prefix)
            counted.append(dict(device.counts))
    few, many = counted
    assert many["copies"] - few["copies"] == len(steps)
    assert many["synchronisations"] == few["synchronisations"], "for the losses, at the end"


@pytest.mark.parametrize("frozen", [0, 2])
def test_scoring_is_one_copy_a_batch_and_waits_once(frozen, tiny_protocol, monkeypatch):
    """For the place of each row at the end, however many batches there are."""
    monkeypatch.setitem(prefixes.TOKENS, "cuda", 64)
    protocol = tiny_protocol(frozen=frozen)
    with stand_in_device(monkeypatch) as device:
        task, classifier = active_learning.prepare(protocol)
        numbers = np.arange(60)
        prefix = frozen_prefix(classifier, task.train, numbers, frozen)
        device.counts.clear()
        uncertainty.pool_features(classifier, task.train, numbers, prefix)
    batches = len(task.train.token_batches(numbers, 64))
    assert batches > 3
    assert device.counts == {"copies": batches + 1, "synchronisations": 1}
