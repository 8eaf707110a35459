"""What tests are made from: tiny checkpoints and data sets, errors in one line, and slow, obvious versions of lib."""

import importlib.util
import json
import shutil
from contextlib import chdir, contextmanager
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from torch.nn import functional as F
from transformers import BertConfig, BertModel

from lib import cli
from lib.command.execution import KERNEL
from lib.command.notebooks import ON_REQUEST, Command
from lib.data import sources
from lib.errors import StudyError
from lib.method import active_learning, training

ROOT = Path(__file__).resolve().parent.parent
REAL_HUB = ROOT.parent / "shared" / "hub"
NUMBERED = sorted(cli.NOTEBOOKS.glob("[0-9][0-9]_*.ipynb"))
# those that a study executes, in its order: the one that sums up the others comes last
NOTEBOOKS = sorted(
    (path for path in NUMBERED if path.name[:2] not in ON_REQUEST), key=lambda path: path.stem.startswith("00")
)
TOKENIZER = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "vocab.txt")
NLI = ["entailment", "neutral", "contradiction"]
SETTINGS = {  # a run of each takes another path through the loop
    "BALD": {},
    "random": {"strategy": "random"},
    "BatchBALD": {"strategy": "batchbald", "query": 2},
    "PowerBALD": {"strategy": "powerbald"},
    "linear decoder": {"decoder": "linear"},
    "prefix": {"frozen": 2},
    "last layers frozen": {"frozen": -2},
    "warm": {"restart": "warm"},
    "dropout everywhere": {"mc_dropout": "decoder", "frozen_dropout": "on", "frozen": -2},
}
TINY = {  # fields of a Protocol that runs in about a second
    "task": "sst2",
    "rows": "first",
    "query": 5,
    "rounds": 2,
    "pool": 60,
    "validation_rows": 30,
    "samples": 8,
    "maps": 4,
    "hidden": 8,
    "epochs": 2,
    "batch_size": 8,
    "encoder_lr": 1e-3,
    "max_length": 32,
    "precision": "float32",
}
WORDS = "the a film story ending actor it was is never very rather quite dull bright odd slow warm untranslatable ."


def run_all(folder: Path, *arguments, **folders) -> int:
    """The exit code of ./run_all.sh with these arguments, called in a folder. folders: as `cli.main` takes them."""
    with chdir(folder):
        return cli.main([*map(str, arguments)], **folders)


def planned(folder: Path, *arguments, notebooks: Path = cli.NOTEBOOKS) -> Command:
    """What a command would carry out, called in a folder. Raises as the command line does before it says an error."""
    found = []
    with pytest.MonkeyPatch.context() as patch, chdir(folder):
        patch.setattr(cli, "carry_out", lambda command, executed: found.append(command))
        cli.run_all.main([*map(str, arguments)], standalone_mode=False, obj=(notebooks, folder / "executed"))
    return found[0]


SPEC = {"kernelspec": {"name": KERNEL, "language": "python", "display_name": "BERT and BALD"}}


def parameters_cell(path: Path) -> str:
    cells = json.loads(path.read_text("utf-8"))["cells"]
    return next("".join(cell["source"]) for cell in cells if "parameters" in cell["metadata"].get("tags", []))


def script(name: str):
    """A script of docs/measurements as a module."""
    spec = importlib.util.spec_from_file_location(name, ROOT / "docs" / "measurements" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def as_in_a_new_shell(patch: pytest.MonkeyPatch) -> None:
    """Without what a command leaves in the environment for the kernels."""
    for name in ("JUPYTER_PATH", "OMP_NUM_THREADS"):
        patch.setenv(name, "")  # so that it is put back, whoever sets it
        patch.delenv(name)


def tiny_config(**changes) -> BertConfig:
    """4 layers, H = 32. Weights are wider than BERT's 0.02: attention is far from uniform, layers far from linear."""
    sizes = {"hidden_size": 32, "num_hidden_layers": 4, "num_attention_heads": 2, "intermediate_size": 64}
    return BertConfig(**{**sizes, "initializer_range": 0.15, **changes})


def write_checkpoint(folder: Path, config: BertConfig, dtype=torch.float32) -> Path:
    """A random-initialised BERT as a checkpoint folder, with the tokenizer of MiniLM beside it."""
    with torch.random.fork_rng():
        torch.manual_seed(7)
        bert = BertModel(config, add_pooling_layer=False)
        for parameter in bert.parameters():  # biases and norms start as 0 and 1: tests should see them
            if parameter.ndim == 1:
                parameter.data += 0.1 * torch.randn_like(parameter)
    bert.to(dtype).save_pretrained(folder)
    for name in TOKENIZER:
        shutil.copy(sources.checkpoint("all-MiniLM-L6-v2") / name, folder)
    return folder


def write_dataset(folder: Path, configs: dict[str, tuple[list[str] | None, dict[str, pd.DataFrame]]]) -> Path:
    """A data set laid out like the Hub's. configs: name → (names of the labels or None, split → rows)."""
    info, files = [], []
    for config, (labels, splits) in configs.items():
        (folder / config).mkdir(parents=True, exist_ok=True)
        for split, rows in splits.items():
            rows.to_parquet(folder / config / f"{split}-00000-of-00001.parquet", index=False)
        paths = [{"split": split, "path": f"{config}/{split}-*"} for split in splits]
        files.append({"config_name": config, "data_files": paths})
        if labels:
            columns = [{"name": name, "dtype": "string"} for name in next(iter(splits.values())) if name != "label"]
            names = {str(i): name for i, name in enumerate(labels)}
            columns.append({"name": "label", "dtype": {"class_label": {"names": names}}})
            info.append({"config_name": config, "features": columns})
    card = {"configs": files} | ({"dataset_info": info} if info else {})
    (folder / "README.md").write_text(f"---\n{yaml.safe_dump(card, sort_keys=False)}---\n", "utf-8")
    return folder


def invented_rows(number: int, columns: list[str], classes: int, seed: int) -> pd.DataFrame:
    """Random sentences of 1 to 25 words; the first word of the first text says the class."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(classes, size=number)
    texts = {name: [" ".join(rng.choice(WORDS.split(), rng.integers(1, 26))) for _ in labels] for name in columns}
    first = columns[0]
    signs = ["awful", "superb", "strange"]
    texts[first] = [f"{signs[label]} {text}" for label, text in zip(labels, texts[first], strict=True)]
    return pd.DataFrame({**texts, "label": labels})


def invented_splits(columns: list[str], classes: int, seed: int, validation: str = "validation"):
    return {
        "train": invented_rows(200, columns, classes, seed),
        validation: invented_rows(60, columns, classes, seed + 1),
    }


def write_tiny_hub(folder: Path) -> str:
    """sst2, qnli, mnli and snli: 200 invented training rows and 60 for validation each."""
    pair = ["premise", "hypothesis"]
    write_dataset(
        folder / "glue",
        {
            "sst2": (["negative", "positive"], invented_splits(["sentence"], 2, 0)),
            "qnli": (["entailment", "not_entailment"], invented_splits(["question", "sentence"], 2, 10)),
            "mnli": (NLI, invented_splits(pair, 3, 20, "validation_matched")),
        },
    )
    snli = invented_splits(pair, 3, 30)
    snli["train"].loc[[0, 7, 50], "label"] = -1  # pairs without a gold label, as SNLI has them
    write_dataset(folder / "snli", {"plain_text": (NLI, snli)})
    return str(folder)


@contextmanager
def refused(*words: str):
    """The block raises StudyError, in one line, with these words: what was given, what is allowed."""
    with pytest.raises(StudyError) as caught:
        yield
    message = str(caught.value)
    assert "\n" not in message
    for word in words:
        assert word in message


def row_of(hidden_TH, batch, number: int):
    """hidden_LH of one row of a batch."""
    start = int(batch.starts_B[number])
    return hidden_TH[start : start + int(batch.lengths[number])]


def windows(decoder, hidden_LH) -> list[torch.Tensor]:
    """For each filter height the maps_WM of every window that holds a token of one row; no batch norm yet."""
    heights = []
    for height, convolution in zip((3, 4, 5), decoder.convolutions, strict=True):
        zeros = torch.zeros(height - 1, hidden_LH.shape[1])
        wide_LH = torch.cat([zeros, hidden_LH, zeros])
        starts = range(len(hidden_LH) + height - 1)
        maps = [(convolution.weight * wide_LH[s : s + height].T).sum((1, 2)) + convolution.bias for s in starts]
        heights.append(torch.stack(maps))
    return heights


def set_norms(decoder, hidden: list[torch.Tensor]):
    """Batch norm's mean and variance: of each map over all windows of all these rows."""
    for norm, maps in zip(decoder.norms, zip(*(windows(decoder, h_LH) for h_LH in hidden), strict=True), strict=True):
        maps_WM = torch.cat(maps)
        norm.running_mean, norm.running_var = maps_WM.mean(0), maps_WM.var(0, correction=0)


def slow_cnn_logits(decoder, hidden_LH, masks: dict[str, torch.Tensor] | None = None):
    """Logits of one row, as section 2.1 says it, a mask (if any) multiplying the input of what follows the dropout."""
    masks = masks or {}
    maxima = []
    for i, maps_WM in enumerate(windows(decoder, hidden_LH)):
        norm = decoder.norms[i]
        normed = (maps_WM - norm.running_mean) / torch.sqrt(norm.running_var + norm.eps) * norm.weight + norm.bias
        values_WM = normed.clamp(min=0)
        if "value_dropout" in masks:  # what the mask says of each map's first, second, … largest value
            for value_W, mask_K in zip(values_WM.T, masks["value_dropout"].chunk(3)[i].view(-1, 4), strict=True):
                kept_W = torch.zeros_like(value_W)
                kept_W[value_W.argsort(descending=True)[:4]] = mask_K
                value_W *= kept_W
        maxima.append(values_WM.max(0).values)
    features = torch.cat(maxima) * masks.get("hidden_dropout", 1)
    hidden = F.relu(decoder.hidden.weight @ features + decoder.hidden.bias)
    hidden = hidden * masks.get("output_dropout", 1)
    return decoder.output.weight @ hidden + decoder.output.bias


def slow_linear_logits(decoder, hidden_LH, masks: dict[str, torch.Tensor] | None = None):
    return decoder.output.weight @ (hidden_LH[0] * (masks or {}).get("dropout", 1)) + decoder.output.bias


SLOW_LOGITS = {"cnn": slow_cnn_logits, "linear": slow_linear_logits}


def stored(store) -> dict[str, bytes]:
    """Path → content of all that a run has written and that decides its tables and figures."""
    files = sorted(path for path in Path(store).rglob("*") if path.is_file())
    others = {"timings.json", "provenance.json", "failed.json", ".lock"}
    return {str(path.relative_to(store)): path.read_bytes() for path in files if path.name not in others}


@contextmanager
def stopped_before(round_: int, monkeypatch):
    """A run in this block stops where training of this round would begin."""

    class Stopped(Exception):
        pass

    def train(classifier, rows, labelled, protocol, number, *prefix):
        if number == round_:
            raise Stopped
        return training.train(classifier, rows, labelled, protocol, number, *prefix)

    with monkeypatch.context() as patch:
        patch.setattr(active_learning, "train", train)
        with pytest.raises(Stopped):
            yield
