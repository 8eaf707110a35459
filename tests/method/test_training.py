"""Training is AdamW with a warm-up over every labelled row once an epoch, and nothing else moves."""

import copy
import math
import re

import numpy as np
import pytest
import torch
from helpers import set_norms, tiny_config, write_checkpoint
from torch.nn import functional as F

from lib.data.rows import load_tokenizer, tokenise
from lib.data.tasks import load_task
from lib.method.model import build_classifier
from lib.method.training import build_optimizer, epoch_batches, train, warmup_then_decay


@pytest.fixture(scope="module")
def rows(tiny_hub, tiny_encoder):
    return load_task("sst2", tiny_hub, tiny_encoder, 32).train


@pytest.fixture(scope="module")
def calm_encoder(tmp_path_factory) -> str:
    """The tiny BERT without dropout."""
    config = tiny_config(hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
    return str(write_checkpoint(tmp_path_factory.mktemp("calm-encoder"), config))


def trained(protocol, rows, labelled=range(20), round_=0):
    classifier = build_classifier(protocol, 2)
    train(classifier, rows, labelled, protocol, round_)
    return classifier


def slow_train(classifier, rows, protocol):
    """Every parameter in one plain AdamW, its settings changed by hand before each step."""
    batches = list(epoch_batches(range(20), protocol, 0))
    steps = len(batches)
    warm = max(1, round(protocol.warmup * steps))
    optimizers = []
    for name, parameter in classifier.named_parameters():
        decayed = parameter.ndim == 2 or ("convolutions" in name and name.endswith("weight"))
        decay = protocol.weight_decay if decayed and "embeddings" not in name else 0.0
        peak = protocol.encoder_lr if name.startswith("encoder") else protocol.decoder_lr
        optimizers.append((torch.optim.AdamW([parameter], lr=peak, weight_decay=decay, foreach=False), peak))
    classifier.train()
    losses = []
    for step, numbers in enumerate(batches):
        loss = F.cross_entropy(classifier(rows.batch(numbers)), torch.from_numpy(rows.labels_N[numbers]))
        classifier.zero_grad()
        loss.backward()
        norm = math.sqrt(sum(float(p.grad.double().square().sum()) for p in classifier.parameters()))
        for parameter in classifier.parameters():
            parameter.grad *= min(1.0, protocol.clip / norm)
        rate = (step + 1) / warm if step < warm else (steps - step) / (steps - warm)
        for optimizer, peak in optimizers:
            optimizer.param_groups[0]["lr"] = peak * rate
            optimizer.step()
        losses.append(loss.item())
    classifier.eval()
    with torch.no_grad():
        hidden = [classifier.encoder(rows.batch([row])) for row in range(20)]
    set_norms(classifier.decoder, hidden)
    return losses


@pytest.mark.parametrize("clip", [1.4, 1e6])  # the norms are 1.3 to 1.7
def test_training_equals_a_plain_loop_over_all_parameters(clip, tiny_protocol, calm_encoder, rows):
    """Without dropout, which is tested apart. The plain loop trains all word embeddings, used or not."""
    protocol = tiny_protocol(encoder=calm_encoder, dropout=0.0, clip=clip, warmup=0.3, weight_decay=0.1)
    fast, slow = (build_classifier(protocol, 2) for _ in range(2))
    losses = train(fast, rows, range(20), protocol, 0)
    assert losses == pytest.approx(slow_train(slow, rows, protocol), abs=1e-5)
    expected = slow.state_dict()
    # softmax and batch norm cancel these: their gradients are rounding errors, which Adam scales up
    cancelled = r"key\.bias|layer\.3\.output\.LayerNorm\.bias|convolutions\.\d\.bias|running_mean"
    for name, value in fast.state_dict().items():
        if not re.search(cancelled, name):
            torch.testing.assert_close(value, expected[name], rtol=0, atol=1e-4)


def test_word_embeddings_that_are_not_in_the_labelled_rows_stay(tiny_protocol, rows):
    protocol = tiny_protocol()
    before = build_classifier(protocol, 2).encoder.bert.embeddings.word_embeddings.weight
    after = trained(protocol, rows).encoder.bert.embeddings.word_embeddings.weight
    used = np.unique(rows.tokens_T[: rows.offsets[20]])
    changed = (before != after).any(1).nonzero().flatten().tolist()
    assert changed == used.tolist()


@pytest.mark.parametrize("number", range(2, 8))
def test_the_smallest_batches_allowed_train_on_the_shortest_rows(number, tiny_protocol):
    """Rows of three tokens have one window of the widest filter: batch norm needs two of them."""
    rows = tokenise([("dull", 0)] * number, load_tokenizer("all-MiniLM-L6-v2"), 32)
    protocol = tiny_protocol(start=2, batch_size=3)
    assert protocol.start == 2
    losses = train(build_classifier(protocol, 2), rows, range(number), protocol, 0)
    assert all(map(math.isfinite, losses))


def test_a_step_is_taken_on_every_labelled_row_once_an_epoch(tiny_protocol):
    protocol = tiny_protocol(epochs=3, batch_size=8)
    labelled = [3, 1, 4, 15, 9, 2, 6, 5, 35, 8, 97]
    batches = list(epoch_batches(labelled, protocol, 0))
    assert [len(batch) for batch in batches] == [6, 5] * 3
    epochs = [np.concatenate(batches[i : i + 2]).tolist() for i in (0, 2, 4)]
    assert all(sorted(epoch) == sorted(labelled) for epoch in epochs)
    assert len(set(map(tuple, epochs))) == 3


def test_the_learning_rate_rises_to_its_peak_and_falls_to_nearly_zero():
    rates = [warmup_then_decay(100, 0.1)(step) for step in range(100)]
    assert rates[:10] == pytest.approx([i / 10 for i in range(1, 11)])
    assert rates[10:] == pytest.approx([(90 - i) / 90 for i in range(90)])
    assert min(rates) > 0
    assert [warmup_then_decay(1, 0.1)(0), warmup_then_decay(4, 0.0)(0)] == [1, 1]


def test_the_learning_rates_are_those_of_encoder_and_decoder(tiny_protocol):
    protocol = tiny_protocol(encoder_lr=1e-5, decoder_lr=1e-3, weight_decay=0.01)
    classifier = build_classifier(protocol, 2)
    seen = {}
    for group in build_optimizer(classifier, protocol).param_groups:
        seen |= dict.fromkeys(group["params"], (group["lr"], group["weight_decay"]))
    assert seen.keys() == set(classifier.parameters())
    for name, parameter in classifier.named_parameters():
        rate, decay = seen[parameter]
        assert rate == (1e-5 if name.startswith("encoder") else 1e-3)
        decays = parameter.ndim > 1 and "embeddings" not in name
        assert decay == (0.01 if decays else 0)


def test_training_twice_from_one_seed_gives_the_same_bits(tiny_protocol, rows):
    first, again = (trained(tiny_protocol(), rows).state_dict() for _ in range(2))
    assert all(torch.equal(first[name], again[name]) for name in first)


@pytest.mark.parametrize("change", [{"seed": 1}, {"round_": 1}])
def test_another_seed_or_round_trains_otherwise(change, tiny_protocol, rows):
    """From the same theta_0: other order of rows, other dropout."""
    theta_0 = build_classifier(tiny_protocol(), 2)
    ours, other = copy.deepcopy(theta_0), copy.deepcopy(theta_0)
    train(ours, rows, range(20), tiny_protocol(), 0)
    train(other, rows, range(20), tiny_protocol(seed=change.get("seed", 0)), change.get("round_", 0))
    assert not torch.equal(ours.decoder.output.weight, other.decoder.output.weight)


def test_training_does_not_touch_the_random_numbers_of_others(tiny_protocol, rows):
    before = torch.get_rng_state()
    trained(tiny_protocol(), rows)
    assert torch.equal(torch.get_rng_state(), before)


def test_training_leaves_the_classifier_in_evaluation(tiny_protocol, rows):
    classifier = trained(tiny_protocol(), rows)
    assert not any(module.training for module in classifier.modules())


def test_training_learns_what_the_first_word_says(tiny_protocol, rows, tiny_hub, tiny_encoder):
    protocol = tiny_protocol(epochs=8, maps=16, hidden=16, decoder_lr=5e-3)
    classifier = trained(protocol, rows, range(150))
    validation = load_task("sst2", tiny_hub, tiny_encoder, 32).validation
    with torch.no_grad():
        predictions = classifier(validation.batch(range(60))).argmax(1)
    assert (predictions.numpy() == validation.labels_N).mean() > 0.9


@pytest.mark.parametrize("frozen", [1, 4, -1, -4])
def test_a_frozen_layer_does_not_change_by_one_bit(frozen, tiny_protocol, rows):
    before = build_classifier(tiny_protocol(frozen=frozen), 2)
    after = trained(tiny_protocol(frozen=frozen), rows)
    layers = {"embeddings": "encoder.bert.embeddings.", **{n: f"encoder.bert.encoder.layer.{n}." for n in range(4)}}
    kept = {"embeddings", *range(frozen)} if frozen > 0 else set(range(4 + frozen, 4))
    for layer, prefix in layers.items():
        pairs = [
            (value, after.state_dict()[name]) for name, value in before.state_dict().items() if name.startswith(prefix)
        ]
        assert pairs
        if layer in kept:
            assert all(torch.equal(value, other) for value, other in pairs)
        else:
            assert not any(torch.equal(value, other) for value, other in pairs)


@pytest.mark.parametrize("frozen", [2, 4])
def test_no_gradient_is_computed_below_the_lowest_trained_layer(frozen, tiny_protocol, rows):
    classifier = build_classifier(tiny_protocol(frozen=frozen), 2).train()
    reached = []
    for number, layer in enumerate(classifier.encoder.layers):
        layer.output.register_full_backward_hook(lambda *_, number=number: reached.append(number))
    classifier(rows.batch(range(8))).sum().backward()
    assert set(reached) == set(range(frozen, 4))


def test_a_diverging_training_says_so(tiny_protocol, rows):
    protocol = tiny_protocol(encoder_lr=1.0, decoder_lr=1.0, clip=1e9, epochs=40)
    with torch.no_grad():
        classifier = build_classifier(protocol, 2)
        classifier.decoder.output.weight[0, 0] = math.inf
    with pytest.raises(FloatingPointError, match=r"diverged: the loss of step 0 of \d+ is nan; lower encoder_lr=1.0"):
        train(classifier, rows, range(20), protocol, 0)
