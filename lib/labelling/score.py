"""Label texts with the classifier in this folder. It needs what requirements.txt names beside it, and nothing else.

  python score.py "a text" "another text"     these texts; two arguments a row if it was trained on pairs
  python score.py --file my.csv               rows of a csv with the columns it was trained on; -: standard input

A csv goes to standard output: the texts, or all columns of the file, then label and probability.
"""

import argparse
import csv
import json
import sys
from pathlib import Path

import torch
from safetensors.torch import load_file
from tokenizers import Tokenizer
from torch.nn import functional as F

HERE = Path(__file__).resolve().parent
HEIGHTS = (3, 4, 5)  # of the CNN's filters, in tokens
BATCH = 32  # rows of like length in a pass


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
        heads = self.config["num_attention_heads"]
        for n in range(self.config["num_hidden_layers"]):
            at = f"encoder.layer.{n}"
            query, key, value = (
                self.linear_layer(hidden, f"{at}.attention.self.{name}").unflatten(2, (heads, -1)).transpose(1, 2)
                for name in ("query", "key", "value")
            )
            seen = F.scaled_dot_product_attention(query, key, value, attn_mask=real_NL[:, None, None])
            seen = self.linear_layer(seen.transpose(1, 2).flatten(2), f"{at}.attention.output.dense")
            hidden = self.norm(hidden + seen, f"{at}.attention.output")
            wide = F.gelu(self.linear_layer(hidden, f"{at}.intermediate.dense"))
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


def main(arguments=None) -> None:
    reader = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    reader.add_argument("texts", nargs="*", help="texts to label")
    reader.add_argument("--file", help="a csv with a header in UTF-8; -: standard input")
    given = reader.parse_args(arguments)
    if bool(given.texts) == bool(given.file):
        reader.error("give texts, or --file")
    scorer = Scorer()
    width = len(scorer.columns)
    if given.file:
        try:
            with open(0 if given.file == "-" else given.file, encoding="utf-8-sig", newline="") as file:
                header, *table = csv.reader(file)
            places = [[name.strip() for name in header].index(name) for name in scorer.columns]
            rows = [tuple(line[place] for place in places) for line in table]
        except (OSError, ValueError, IndexError) as error:
            reader.error(f"{given.file}: {error}: give a csv with the columns {', '.join(scorer.columns)}")
    else:
        header = scorer.columns
        table = rows = [tuple(given.texts[n : n + width]) for n in range(0, len(given.texts), width)]
    writer = csv.writer(sys.stdout)
    writer.writerow([*header, "label", "probability"])
    for line, (label, probability) in zip(table, scorer(rows), strict=True):
        writer.writerow([*line, label, f"{probability:.4f}"])


if __name__ == "__main__":
    main()
