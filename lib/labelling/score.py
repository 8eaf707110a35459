"""Label texts with the classifier in this folder. It needs what requirements.txt names beside it, and nothing else.

  python score.py "a text" "another text"     these texts; two arguments a row if it was trained on pairs
  python score.py --file my.csv               rows of a file with the columns it was trained on

A file is a csv, tsv, xlsx, json, jsonl or parquet, also in gz or zip; -: a csv from standard input. A csv goes to
standard output: the texts, or all columns of the file, then prediction and probability.
"""

import argparse
import csv
import json
import sys
from functools import partial
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from safetensors.torch import load_file
from tokenizers import Tokenizer
from torch.nn import functional as F

HERE = Path(__file__).resolve().parent
HEIGHTS = (3, 4, 5)  # of the CNN's filters, in tokens
BATCH = 32  # rows of like length in a pass
TANH_GELU = partial(F.gelu, approximate="tanh")
ACTIVATIONS = {  # hidden_act of a BERT's configuration
    **dict.fromkeys(("gelu", "gelu_python"), F.gelu),
    **dict.fromkeys(("gelu_new", "gelu_fast", "gelu_pytorch_tanh"), TANH_GELU),
    **dict.fromkeys(("silu", "swish"), F.silu),
    **{
        "quick_gelu": lambda x: x * torch.sigmoid(1.702 * x),
        "relu": F.relu,
        "relu6": F.relu6,
        "leaky_relu": F.leaky_relu,
    },
    **{"mish": F.mish, "sigmoid": torch.sigmoid, "tanh": torch.tanh},
}


class Scorer:
    """BERT and the decoder above it, without dropout, in float32."""

    def __init__(self, folder: Path = HERE):
        about = json.loads((folder / "classifier.json").read_text("utf-8"))
        protocol = about["protocol"]
        self.labels, self.columns, self.linear = about["labels"], about["columns"], protocol["decoder"] == "linear"
        self.config = json.loads((folder / "encoder" / "config.json").read_text("utf-8"))
        self.bert = load_file(folder / "encoder" / "model.safetensors")
        self.decoder = load_file(folder / "decoder.safetensors")
        self.tokenizer = Tokenizer.from_file(str(folder / "encoder" / "tokenizer.json"))
        self.tokenizer.no_padding()
        self.tokenizer.enable_truncation(protocol["max_length"], strategy="longest_first")

    @torch.inference_mode()
    def __call__(self, rows: list[tuple[str, ...]]) -> list[tuple[str, float]]:
        """(label, its probability) of each row. rows: tuples of as many texts as there are columns."""
        if any(len(row) != len(self.columns) for row in rows):
            raise SystemExit(f"score.py: each row needs {len(self.columns)} texts: {', '.join(self.columns)}")
        encoded = self.tokenizer.encode_batch([row if len(row) > 1 else row[0] for row in rows])
        order, scored = sorted(range(len(rows)), key=lambda n: len(encoded[n])), [None] * len(rows)
        for first in range(0, len(order), BATCH):
            numbers = order[first : first + BATCH]
            for n, probs_C in zip(numbers, self.probabilities([encoded[n] for n in numbers]), strict=True):
                best = int(probs_C.argmax())
                scored[n] = self.labels[best], float(probs_C[best])
        return scored

    def probabilities(self, encoded) -> torch.Tensor:
        """probs_NC of rows that are padded to the longest of them."""
        lengths = torch.tensor([len(one) for one in encoded])
        padded = [
            [F.pad(torch.tensor(ids), (0, int(lengths.max()) - len(ids))) for ids in column]
            for column in ([one.ids for one in encoded], [one.type_ids for one in encoded])
        ]
        tokens_NL, segments_NL = (torch.stack(column) for column in padded)
        real_NL = torch.arange(tokens_NL.shape[1]) < lengths[:, None]
        hidden_NLH = self.encode(tokens_NL, segments_NL, real_NL)
        logits_NC = self.on_first_token(hidden_NLH) if self.linear else self.convolve(hidden_NLH, real_NL, lengths)
        return logits_NC.softmax(1)

    def encode(self, tokens_NL, segments_NL, real_NL):
        """Devlin et al. (2019): hidden_NLH of the last layer."""
        table = {name: self.bert[f"embeddings.{name}_embeddings.weight"] for name in ("word", "position", "token_type")}
        hidden = table["word"][tokens_NL] + table["position"][: tokens_NL.shape[1]] + table["token_type"][segments_NL]
        hidden = self.norm(hidden, "embeddings")
        heads, activation = self.config["num_attention_heads"], ACTIVATIONS[self.config["hidden_act"]]
        for n in range(self.config["num_hidden_layers"]):
            at = f"encoder.layer.{n}"
            query, key, value = (
                self.linear_layer(hidden, f"{at}.attention.self.{name}").unflatten(2, (heads, -1)).transpose(1, 2)
                for name in ("query", "key", "value")
            )
            seen = F.scaled_dot_product_attention(query, key, value, attn_mask=real_NL[:, None, None])
            seen = self.linear_layer(seen.transpose(1, 2).flatten(2), f"{at}.attention.output.dense")
            hidden = self.norm(hidden + seen, f"{at}.attention.output")
            wide = activation(self.linear_layer(hidden, f"{at}.intermediate.dense"))
            hidden = self.norm(hidden + self.linear_layer(wide, f"{at}.output.dense"), f"{at}.output")
        return hidden

    def linear_layer(self, values, name):
        return F.linear(values, self.bert[f"{name}.weight"], self.bert[f"{name}.bias"])

    def norm(self, values, name):
        weight, bias = (self.bert[f"{name}.LayerNorm.{part}"] for part in ("weight", "bias"))
        return F.layer_norm(values, weight.shape, weight, bias, self.config["layer_norm_eps"])

    def on_first_token(self, hidden_NLH):
        return F.linear(hidden_NLH[:, 0], self.decoder["output.weight"], self.decoder["output.bias"])

    def convolve(self, hidden_NLH, real_NL, lengths):
        """Kim (2014): the maximum of each map over all windows, which reach over a row's ends and find zeros there."""
        d, features = self.decoder, []
        values_NHL = (hidden_NLH * real_NL[..., None]).transpose(1, 2)
        for i, height in enumerate(HEIGHTS):
            maps = F.conv1d(values_NHL, d[f"convolutions.{i}.weight"], d[f"convolutions.{i}.bias"], padding=height - 1)
            norm = [d[f"norms.{i}.{part}"] for part in ("running_mean", "running_var", "weight", "bias")]
            maps = F.relu(F.batch_norm(maps, *norm))
            inside = torch.arange(maps.shape[2]) < lengths[:, None] + height - 1
            features.append(maps.masked_fill(~inside[:, None], 0).amax(2))
        hidden = F.relu(F.linear(torch.cat(features, 1), d["hidden.weight"], d["hidden.bias"]))
        return F.linear(hidden, d["output.weight"], d["output.bias"])


def read_file(given: str, columns: list[str]) -> tuple[list[str], list[list[str]], list[tuple[str, ...]]]:
    """The header of a file, its rows, and the texts in them. given: its path; -: standard input, a csv."""
    sys.path.insert(0, str(HERE))
    try:
        from lib.data.files import read_table
        from lib.data.values import as_text, is_missing
    except ImportError as error:
        raise SystemExit(f"score.py: {error}: run pip install -r requirements.txt to read files") from error
    try:
        with TemporaryDirectory() as folder:
            path = Path(given)
            if given == "-":
                path = Path(folder) / "standard input.csv"
                path.write_bytes(sys.stdin.buffer.read())
            held, notes = read_table(path)
    except ValueError as error:  # a StudyError
        raise SystemExit(f"score.py: {error}") from error
    for note in notes:
        print(f"score.py: {note}", file=sys.stderr)
    header = list(dict.fromkeys(name for row in held.values() for name in row))
    if lacking := [name for name in columns if name not in header]:
        raise SystemExit(f"score.py: {given} has no column {lacking[0]!r}: its columns are {', '.join(header[:12])}")
    table = [{name: as_text(row.get(name)) for name in header} for row in held.values()]
    texts = [tuple("" if is_missing(row[name]) else row[name] for name in columns) for row in table]
    return header, [list(row.values()) for row in table], texts


def free_name(name: str, header: list[str]) -> str:
    """The name, with a number after it if a column of the file has it already."""
    numbered = (f"{name} {number}" for number in count(2))
    return name if name not in header else next(other for other in numbered if other not in header)


def main(arguments=None) -> None:
    reader = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    reader.add_argument("texts", nargs="*", help="texts to label")
    reader.add_argument("--file", help="a csv, tsv, xlsx, json, jsonl or parquet; -: a csv from standard input")
    given = reader.parse_args(arguments)
    if bool(given.texts) == bool(given.file):
        reader.error("give texts, or --file")
    scorer = Scorer()
    width = len(scorer.columns)
    if given.file:
        header, table, rows = read_file(given.file, scorer.columns)
    else:
        header = scorer.columns
        table = rows = [tuple(given.texts[n : n + width]) for n in range(0, len(given.texts), width)]
    whole = [n for n, row in enumerate(rows) if all(row) or not given.file]
    if len(whole) < len(rows):
        print(f"score.py: {len(rows) - len(whole)} rows have no text and get no prediction", file=sys.stderr)
    scores = dict(zip(whole, scorer([rows[n] for n in whole]), strict=True))
    sys.stdout.reconfigure(encoding="utf-8", newline="")
    writer = csv.writer(sys.stdout)
    writer.writerow([*header, free_name("prediction", header), free_name("probability", header)])
    for n, line in enumerate(table):
        label, probability = scores.get(n, ("", None))
        writer.writerow([*line, label, "" if probability is None else f"{probability:.4f}"])


if __name__ == "__main__":
    main()
