"""The outputs of the frozen layers: computed once, and the same as computed anew."""

import copy
import errno
import os

import numpy as np
import pytest
import torch
from test_uncertainty import POOL, SAMPLES, picks, trained

from lib.data.tasks import load_task
from lib.errors import StudyError
from lib.method import prefix as prefixes
from lib.method.acquisition import bald
from lib.method.model import build_classifier, frozen_parts
from lib.method.prefix import frozen_prefix
from lib.method.training import train
from lib.method.uncertainty import draw_masks, pool_features, sample_log_probs


@pytest.fixture(scope="module")
def rows(tiny_hub, tiny_encoder):
    return load_task("mnli", tiny_hub, tiny_encoder, 32).train


@pytest.mark.parametrize("frozen", [1, 3, 4])
def test_a_frozen_prefix_gives_the_same_features_and_picks(frozen, tiny_protocol, rows):
    """Computed once from theta_0, read after training."""
    protocol = tiny_protocol(task="mnli", frozen=frozen)
    prefix = frozen_prefix(build_classifier(protocol, 3), rows, POOL, frozen)
    assert prefix is not None
    classifier = trained(protocol, rows)
    masks = draw_masks(classifier, SAMPLES, seed=0)
    for pool in (POOL, POOL[::-7]):
        whole, resumed = (pool_features(classifier, rows, pool, p) for p in (None, prefix))
        torch.testing.assert_close(resumed, whole, rtol=0, atol=1e-5)
        ours, others = (bald(sample_log_probs(classifier, f, masks)) for f in (resumed, whole))
        assert picks(ours) == picks(others)


@pytest.mark.parametrize("frozen", [0, -1, -4])
def test_without_a_frozen_start_nothing_is_kept(frozen, tiny_protocol, rows):
    assert frozen_prefix(build_classifier(tiny_protocol(frozen=frozen), 3), rows, POOL, frozen) is None


def test_the_prefix_spares_the_frozen_layers(tiny_protocol, rows):
    protocol = tiny_protocol(frozen=3)
    classifier = build_classifier(protocol, 3)
    prefix = frozen_prefix(classifier, rows, POOL, 3)
    ran = []
    for number, layer in enumerate(classifier.encoder.layers):
        layer.output.register_forward_hook(lambda *_, number=number: ran.append(number))
    pool_features(classifier, rows, POOL, prefix)
    assert set(ran) == {3}


def test_kept_in_a_file_it_is_the_same(tiny_protocol, rows, monkeypatch):
    classifier = build_classifier(tiny_protocol(frozen=2), 3)
    memory = frozen_prefix(classifier, rows, POOL, 2)
    monkeypatch.setattr(prefixes, "MEMORY", 1000)
    file = frozen_prefix(classifier, rows, POOL, 2)
    for numbers in (POOL, POOL[::-3], POOL[:1]):
        batch = rows.batch(numbers, "cpu", memory.starts_N)
        ours, others = (kept.of(batch)[0] for kept in (file, memory))
        assert torch.equal(ours, others)
        hidden = classifier.encoder.embed(batch)
        torch.testing.assert_close(ours, classifier.encoder.run_layers(hidden, batch, 0, 2), rtol=0, atol=1e-5)


def test_the_file_has_its_place_on_the_disk_before_it_is_written(monkeypatch):
    """Written into a sparse one, a full disk would end the process without a word."""
    allocated = []
    allocate = prefixes._allocate

    def watched(file, size):
        allocate(file, size)
        allocated.append((os.stat(file.name).st_size, 512 * os.stat(file.name).st_blocks))

    monkeypatch.setattr(prefixes, "MEMORY", 1000)
    monkeypatch.setattr(prefixes, "_allocate", watched)
    hidden_TH = prefixes._room(5000, 32, torch.float32, torch.device("cpu"))
    assert hidden_TH.shape == (5000, 32)
    assert allocated[0][0] == 5000 * 32 * 4
    assert allocated[0][1] >= 5000 * 32 * 4


def test_without_room_for_the_file_one_line_says_so(monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(prefixes, "MEMORY", 1000)
    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(StudyError, match=r"has no room .* 0.6 GB \(No space left on device\): .*TMPDIR"):
        prefixes._room(5_000_000, 32, torch.float32, torch.device("cpu"))


@pytest.mark.parametrize("free", [2**20, 2**30])
def test_on_a_gpu_its_free_memory_is_the_limit(free, monkeypatch):
    """Half of it; what is more lies in a file beside the CPU."""
    monkeypatch.setattr(prefixes.gpus, "free", lambda: free)
    monkeypatch.setattr(torch, "empty", lambda *shape, dtype, device: f"on {device}")
    hidden_TH = prefixes._room(5000, 32, torch.float32, torch.device("cuda"))
    assert (hidden_TH == "on cuda") if free == 2**30 else hidden_TH.device.type == "cpu"


def change(before, after) -> float:
    pairs = zip(before.parameters(), after.parameters(), strict=True)
    return max(float((a - b).detach().abs().max()) for a, b in pairs)


@pytest.mark.parametrize("frozen", [2, 4])
def test_training_from_the_kept_outputs_is_training(frozen, tiny_protocol, rows):
    """Of the same masks: dropout in the frozen layers is off, so that it draws none."""
    protocol = tiny_protocol(task="mnli", frozen=frozen, epochs=1)
    theta_0 = build_classifier(protocol, 3)
    ours, others = copy.deepcopy(theta_0), copy.deepcopy(theta_0)
    losses = train(ours, rows, range(20), protocol, 0, frozen_prefix(theta_0, rows, np.arange(20), frozen))
    assert losses == pytest.approx(train(others, rows, range(20), protocol, 0), abs=1e-5)
    assert change(theta_0, ours) > 1e-4
    # Adam scales the rounding of vanishing gradients up, to a part of a step
    assert change(ours, others) < 0.1 * change(theta_0, ours)


@pytest.mark.parametrize("frozen", [2, -2])
@pytest.mark.parametrize("frozen_dropout", ["off", "on"])
def test_dropout_is_where_the_protocol_says(frozen, frozen_dropout, tiny_protocol, rows):
    """Of the encoder's dropouts, those of frozen layers are on in training only if frozen_dropout says so."""
    protocol = tiny_protocol(task="mnli", frozen=frozen, frozen_dropout=frozen_dropout, epochs=1)
    classifier = build_classifier(protocol, 3)
    fixed = {module for part in frozen_parts(classifier.encoder, frozen) for module in part.modules()}
    dropouts = [module for module in classifier.encoder.modules() if isinstance(module, torch.nn.Dropout)]
    active = {}
    for module in dropouts:
        module.register_forward_pre_hook(lambda module, _: active.update({module: active.get(module, module.training)}))
    train(classifier, rows, range(20), protocol, 0)
    expected = {module: frozen_dropout == "on" or module not in fixed for module in active}
    assert active == expected
    assert len(set(expected.values())) == (1 if frozen_dropout == "on" else 2)
    assert not any(module.training for module in dropouts), "training ends in evaluation mode"


def test_attention_dropout_follows_its_layer(tiny_protocol, rows):
    classifier = build_classifier(tiny_protocol(task="mnli", frozen=2), 3).train()
    for part in frozen_parts(classifier.encoder, 2):
        part.eval()
    batch, encoder = rows.batch(range(8)), classifier.encoder
    once, again = (encoder.run_layers(encoder.embed(batch), batch, 0, 2) for _ in range(2))
    assert torch.equal(once, again)
    for layer in encoder.layers:  # all that is left is the dropout of attention
        for module in layer.modules():
            if isinstance(module, torch.nn.Dropout):
                module.eval()
    once, again = (encoder.run_layers(encoder.embed(batch), batch) for _ in range(2))
    assert not torch.equal(once, again)


def test_a_run_that_scores_nothing_keeps_only_what_it_trains_on(tiny_protocol, tmp_path, monkeypatch):
    from lib.method import active_learning
    from lib.runs.run import run as run_one

    asked = []

    def spy(classifier, rows, numbers, frozen):
        asked.append(len(numbers))
        return frozen_prefix(classifier, rows, numbers, frozen)

    monkeypatch.setattr(active_learning, "frozen_prefix", spy)
    protocol = tiny_protocol(strategy="random", frozen=2)
    run_one(protocol, tmp_path)
    labelled = [protocol.start + round_ * protocol.query for round_ in range(protocol.rounds + 1)]
    assert asked[1:] == labelled
