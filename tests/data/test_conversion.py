"""Checkpoints of BERT's kind: what the packed encoder says of them is what transformers' own models say."""

import json
import subprocess
import sys

import numpy as np
import pytest
import torch
from helpers import ROOT, TOKENIZER, refused
from tokenizers import ByteLevelBPETokenizer, processors
from transformers import (
    CamembertConfig,
    CamembertModel,
    DistilBertConfig,
    DistilBertModel,
    ElectraConfig,
    ElectraModel,
    RobertaConfig,
    RobertaModel,
    RobertaTokenizerFast,
    XLMRobertaConfig,
    XLMRobertaModel,
)

from lib.data import sources
from lib.data.rows import load_tokenizer, tokenise
from lib.method.model import build_classifier, freeze_layers
from lib.method.parameter_change import mean_absolute_difference, snapshot
from lib.runs.run import run as run_one

SIZES = {"hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 64}
SMALL = {**SIZES, "initializer_range": 0.15, "vocab_size": 400}
DISTIL = {"dim": 32, "n_layers": 3, "n_heads": 2, "hidden_dim": 64, "initializer_range": 0.15, "vocab_size": 30522}
WORDPIECE = {**SMALL, "vocab_size": 30522}
OFFSET = {**SMALL, "max_position_embeddings": 66, "type_vocab_size": 1, "layer_norm_eps": 1e-5}
MODELS = {
    "roberta": (RobertaModel, RobertaConfig(**OFFSET)),
    "xlm-roberta": (XLMRobertaModel, XLMRobertaConfig(**OFFSET)),
    "camembert": (CamembertModel, CamembertConfig(**OFFSET)),
    "electra": (ElectraModel, ElectraConfig(**WORDPIECE, embedding_size=32)),
    "distilbert": (DistilBertModel, DistilBertConfig(**DISTIL)),
}
BYTES = ("roberta", "xlm-roberta", "camembert")  # they get a tokenizer of bytes, the others MiniLM's
SINGLE = [("dull",), ("the story is never dull and the ending is quite warm",), ("odd slow film " * 30,), (".",)]
PAIRS = [("a dull film", "never dull"), ("odd " * 90, "the story ends"), ("warm", "slow and odd film")]


def write(kind: str, folder, changes=()):
    """A tiny random checkpoint of a kind with its tokenizer, and the model of transformers that it holds."""
    build, config = MODELS[kind]
    config = type(config)(**{**config.to_dict(), **dict(changes)})
    with torch.random.fork_rng():
        torch.manual_seed(5)
        model = build(config)
        for parameter in model.parameters():
            if parameter.ndim == 1:
                parameter.data += 0.1 * torch.randn_like(parameter)
    model.save_pretrained(folder)
    if kind in BYTES:
        trained = ByteLevelBPETokenizer()
        special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
        trained.train_from_iterator([text for row in SINGLE for text in row], vocab_size=400, special_tokens=special)
        ends = {name: (name, trained.token_to_id(name)) for name in ("<s>", "</s>")}
        trained._tokenizer.post_processor = processors.RobertaProcessing(ends["</s>"], ends["<s>"])
        RobertaTokenizerFast(tokenizer_object=trained._tokenizer).save_pretrained(folder)
    else:
        for name in TOKENIZER:
            (folder / name).write_bytes((sources.checkpoint("all-MiniLM-L6-v2") / name).read_bytes())
    return model.eval()


@pytest.fixture(params=list(MODELS))
def written(request, tmp_path, monkeypatch):
    monkeypatch.setattr(sources, "CACHE", tmp_path / "cache")
    folder = tmp_path / request.param
    folder.mkdir()
    return request.param, folder, write(request.param, folder)


def from_transformers(model, rows, n: int) -> torch.Tensor:
    """The model's own forward pass over one row: the real tokens, without padding."""
    piece = slice(rows.offsets[n], rows.offsets[n + 1])
    inputs = {"input_ids": torch.from_numpy(rows.tokens_T[piece].astype(np.int64))[None]}
    if model.config.model_type != "distilbert":  # which takes no segments
        inputs["token_type_ids"] = torch.from_numpy(rows.segments_T[piece].astype(np.int64))[None]
    return model(**inputs).last_hidden_state[0]


@pytest.mark.parametrize("texts", [SINGLE, PAIRS], ids=["single", "pairs"])
@torch.no_grad()
def test_the_packed_encoder_equals_the_original_on_every_token(texts, written, tiny_protocol):
    _, folder, model = written
    rows = tokenise([(*text, 0) for text in texts], load_tokenizer(str(folder)), 64)
    assert rows.lengths_N.max() == 64, "the last position is used"
    assert len(np.unique(rows.tokens_T)) > 10
    encoder = build_classifier(tiny_protocol(encoder=str(folder)), 2).encoder
    batch = rows.batch(range(len(rows)))
    hidden_TH, starts = encoder(batch), [*batch.starts_B.tolist(), len(batch.tokens_T)]
    for n in range(len(rows)):
        own_LH = from_transformers(model, rows, n)
        assert own_LH.std() > 0.1
        torch.testing.assert_close(hidden_TH[starts[n] : starts[n + 1]], own_LH, rtol=0, atol=1e-5)


def test_layers_are_frozen_and_their_differences_measured(written, tiny_protocol):
    _, folder, _ = written
    classifier = build_classifier(tiny_protocol(encoder=str(folder)), 2)
    freeze_layers(classifier, 2)
    before = snapshot(classifier)
    with torch.no_grad():
        for parameter in classifier.encoder.layers[2].parameters():
            parameter += 0.25
    changed = mean_absolute_difference(before, snapshot(classifier))
    [moved] = changed[changed["mean"] > 0].to_dict("records")
    assert (moved["number"], moved["mean"]) == (2, pytest.approx(0.25))
    assert [not p.requires_grad for layer in classifier.encoder.layers for p in [next(layer.parameters())]] == [1, 1, 0]


@pytest.mark.parametrize("kind", ["roberta", "distilbert"])
def test_a_run_goes_from_end_to_end(kind, tmp_path, monkeypatch, tiny_protocol):
    monkeypatch.setattr(sources, "CACHE", tmp_path / "cache")
    write(kind, tmp_path / "given")
    encoder = f"{tmp_path / 'given'}"
    rounds = run_one(tiny_protocol(encoder=encoder, frozen=1, max_length=32), tmp_path / "results")
    assert len(rounds) == 3
    assert rounds["accuracy"].between(0, 1).all()


def test_a_checkpoint_is_known_by_its_own_files_and_written_once(tmp_path, monkeypatch):
    monkeypatch.setattr(sources, "CACHE", tmp_path / "cache")
    write("distilbert", tmp_path / "given")
    encoder = f"{tmp_path / 'given'}"
    known = sources.weights_fingerprint(encoder)
    assert not (tmp_path / "cache").exists()
    converted = sources.checkpoint(encoder)
    written = (converted / "model.safetensors").stat().st_mtime_ns
    sources.checkpoint.cache_clear()
    assert sources.checkpoint(encoder) == converted
    assert (converted / "model.safetensors").stat().st_mtime_ns == written
    assert sources.weights_fingerprint(encoder) == known
    assert json.loads((converted / "config.json").read_text())["model_type"] == "bert"


def test_electra_with_narrow_embeddings_is_refused_in_one_line(tmp_path, monkeypatch):
    monkeypatch.setattr(sources, "CACHE", tmp_path / "cache")
    write("electra", tmp_path / "given", {"embedding_size": 16})
    with refused("embeddings are narrower than its layers", "choose a larger one"):
        sources.checkpoint(f"{tmp_path / 'given'}")
    assert not [*(tmp_path / "cache").rglob("*.safetensors")], "nothing half-written is left"


def test_another_kind_is_refused_with_the_kinds_that_do(tmp_path):
    (tmp_path / "config.json").write_text('{"model_type": "t5"}')
    (tmp_path / "model.safetensors").write_bytes(b"")
    (tmp_path / "tokenizer.json").write_text("{}")
    with refused("model_type 't5'", "'roberta'", "'distilbert'"):
        sources.checkpoint(f"{tmp_path}")


def test_two_processes_that_convert_one_checkpoint_at_once_both_get_it(tmp_path):
    """Workers of a sweep begin together. The second used to find the first one's folder where it put its own."""
    write("distilbert", tmp_path)
    call = "import sys; from pathlib import Path; from lib.data.conversion import as_bert; "
    call += "as_bert(Path(sys.argv[1]), 'distilbert', Path(sys.argv[2]), 'it')"
    kept = tmp_path / "kept" / "it"
    command = [sys.executable, "-c", call, str(tmp_path), str(kept)]
    both = [subprocess.Popen(command, cwd=ROOT) for _ in range(2)]
    assert [process.wait() for process in both] == [0, 0]
    assert (kept / "config.json").exists()
