"""What the details of the CNN decoder do to accuracy: on training rows alone. Results and decisions: ../decisions.md

    python docs/measurements/decoder_details.py loops --hub FOLDER --task trec --variant today --seeds 0 1 2 3
    python docs/measurements/decoder_details.py fixed --hub FOLDER --task trec --labelled FILE --seeds 0 1 2 3
    python docs/measurements/decoder_details.py length --hub FOLDER --task trec --seeds 0 1 2 3

The decoder here is padded, dense and slow, and has every detail as a switch; encoder, training and BALD are lib's.
Rows to label come from the first training rows of a task, rows to evaluate on are its last 1,000: no row of a
validation or test split is read. Every command appends its rows to a csv file beside this one.
"""

import argparse
import copy
import itertools
import json
import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from scipy.stats import spearmanr
from torch import nn
from torch.nn import functional as F

from lib.data.batches import HEIGHTS
from lib.data.tasks import load_task
from lib.method import acquisition, uncertainty
from lib.method.model import build_classifier
from lib.method.training import train
from lib.protocol import Protocol

HERE = Path(__file__).parent
HELD_OUT = 1000
POOL = {"trec": 4452, "sst2": 4010, "mnli": 2010}  # U = training rows [10, POOL)
TOP = 4  # of the values of a map, for dropout of single values in stochastic passes: a lower one has chance 1e-4
STATISTICS = ("cumulative", "default", "re-estimated", "re-estimated with dropout")


@dataclass(frozen=True)
class Details:
    """What is open about the decoder."""

    windows: str = "inside"  # a window lies inside its row; "edges": zeros beyond both ends, as padding = k - 1
    dropout: str = "maps"  # whole maps, after the maximum; "values": single values, before it
    statistics: str = "cumulative"  # of batch norm: see STATISTICS
    masks: str = "shared"  # one mask for all rows of a pass; "own": each row its own
    mc_dropout: str = "penultimate"  # on the hidden layer's input; "decoder": all dropouts of the decoder
    pooling: str = "max"  # over time; "mean", for the question of length alone


TODAY = Details()
THREE = Details("edges", "values", "re-estimated")
VARIANTS = {
    "today": TODAY,
    "edges": replace(TODAY, windows="edges"),
    "values": replace(TODAY, dropout="values"),
    "re-estimated": replace(TODAY, statistics="re-estimated"),
    "default momentum": replace(TODAY, statistics="default"),
    "edges, values": replace(THREE, statistics="cumulative"),
    "edges, re-estimated": replace(THREE, dropout="maps"),
    "values, re-estimated": replace(THREE, windows="inside"),
    "edges, values, default": replace(THREE, statistics="default"),
    "three": THREE,
    "three, own masks": replace(THREE, masks="own"),
    "three, all dropouts": replace(THREE, mc_dropout="decoder"),
    "three, own masks, all dropouts": replace(THREE, masks="own", mc_dropout="decoder"),
    "today, own masks": replace(TODAY, masks="own"),
    "today, own masks, all dropouts": replace(TODAY, masks="own", mc_dropout="decoder"),
}


class DenseDecoder(nn.Module):
    """Convolutions, batch norm, ReLU, dropout, pooling over time, two layers: rows padded side by side."""

    def __init__(self, theta_0: nn.Module, rate: float, details: Details):
        super().__init__()
        self.convolutions, self.hidden, self.output = theta_0.convolutions, theta_0.hidden, theta_0.output
        self.norms = nn.ModuleList(nn.BatchNorm1d(norm.num_features) for norm in theta_0.norms)
        self.rate, self.details, self.shown, self.collecting = rate, details, (details.statistics,), None
        moments = torch.stack([torch.zeros(3, 64), torch.ones(3, 64)])  # mean and variance of each map
        self.moments = {name: moments.clone() for name in STATISTICS}
        self.steps = 0

    def windows(self, hidden_TH, batch):
        """For each height: the maps of all windows as B × windows × maps, and which windows are the row's."""
        lengths_B = torch.from_numpy(batch.lengths)
        dense_BLH = hidden_TH.new_zeros(len(lengths_B), max(int(lengths_B.max()), max(HEIGHTS)), hidden_TH.shape[1])
        inside_BL = torch.arange(dense_BLH.shape[1]) < lengths_B[:, None]
        dense_BLH[inside_BL] = hidden_TH
        for height, convolution in zip(HEIGHTS, self.convolutions, strict=True):
            edges = self.details.windows == "edges"
            maps_BML = F.conv1d(
                dense_BLH.transpose(1, 2), convolution.weight, convolution.bias, padding=height - 1 if edges else 0
            )
            count_B = lengths_B + height - 1 if edges else lengths_B.clamp(min=max(HEIGHTS)) - height + 1
            yield maps_BML.transpose(1, 2), torch.arange(maps_BML.shape[2]) < count_B[:, None]

    def features(self, hidden_TH, batch):
        hidden_TH = hidden_TH.float()
        pooled = {name: [] for name in (("training",) if self.training else self.shown)}
        for i, (maps_BLM, valid_BL) in enumerate(self.windows(hidden_TH, batch)):
            maps_WM, norm = maps_BLM[valid_BL], self.norms[i]
            if self.collecting is not None:
                self.collecting[i].append(maps_WM.detach().double())
            if self.training:
                self.follow(i, maps_WM.detach())
            for name, columns in pooled.items():
                mean, variance = (None, None) if self.training else self.moments[name][:, i]
                values_WM = F.batch_norm(maps_WM, mean, variance, norm.weight, norm.bias, self.training, 0.0, norm.eps)
                values_WM = F.relu(values_WM)
                if self.details.dropout == "values":
                    values_WM = F.dropout(values_WM, self.rate, self.training)
                values_BLM = values_WM.new_zeros(maps_BLM.shape).masked_scatter(valid_BL[..., None], values_WM)
                columns.append(self.pool(values_BLM, valid_BL))
        return torch.cat([torch.cat(columns, 1) for columns in pooled.values()], 1)

    def pool(self, values_BLM, valid_BL):
        if self.details.pooling == "mean":
            return values_BLM.sum(1) / valid_BL.sum(1, keepdim=True)
        if self.tops and not self.training:
            return F.pad(values_BLM, (0, 0, 0, TOP)).topk(TOP, 1).values.transpose(1, 2).flatten(1)
        return values_BLM.amax(1)

    def estimate_norms(self, encoded):
        """`reestimate` does it."""

    @property
    def tops(self) -> bool:
        return self.details.mc_dropout == "decoder" and self.details.dropout == "values"

    def follow(self, i, maps_WM):
        """Running statistics: the mean over all steps, and PyTorch's default."""
        now = torch.stack([maps_WM.mean(0), maps_WM.var(0)])
        self.steps += i == 0
        for name, share in (("cumulative", 1 / self.steps), ("default", 0.1)):
            self.moments[name][:, i] += share * (now - self.moments[name][:, i])

    def forward(self, features_NF):
        """Of the deterministic classifier, and in training; the last axis holds one kind of statistics."""
        if self.tops and not self.training:
            features_NF = features_NF[:, ::TOP]
        if self.details.dropout == "maps":
            features_NF = F.dropout(features_NF, self.rate, self.training)
        hidden_NH = F.relu(self.hidden(F.dropout(features_NF, self.rate, self.training)))
        return self.output(F.dropout(hidden_NH, self.rate, self.training))

    def sample(self, features_NF, samples, generator):
        """log_probs_SNC, the slow way: each row, pass and feature has its mask written out."""
        rows = len(features_NF) if self.details.masks == "own" else 1
        width = self.hidden.in_features

        def mask(*shape):
            return (torch.rand(rows, samples, *shape, generator=generator) >= self.rate).float() / (1 - self.rate)

        values_NSF = features_NF[:, None]
        every = self.details.mc_dropout == "decoder"
        if every and self.details.dropout == "values":
            # the maximum of what is not dropped is the r-th largest value, with r geometric
            uniform = torch.rand(rows, samples, width, generator=generator)
            rank = (uniform.log() / np.log(self.rate)).floor().long().clamp(max=TOP - 1)
            sorted_NSFK = features_NF.unflatten(1, (width, TOP))[:, None].expand(-1, samples, -1, -1)
            values_NSF = sorted_NSFK.gather(3, rank.expand(len(features_NF), -1, -1)[..., None])[..., 0]
            values_NSF = values_NSF / (1 - self.rate)
        elif every:
            values_NSF = values_NSF * mask(width)
        hidden_NSH = F.relu(self.hidden(values_NSF * mask(width)))
        if every:
            hidden_NSH = hidden_NSH * mask(self.hidden.out_features)
        return F.log_softmax(self.output(hidden_NSH), -1).transpose(0, 1)


@torch.inference_mode()
def reestimate(classifier, rows, labelled, protocol):
    """Batch norm's statistics over all windows of T with θ_3: without and with the encoder's dropout."""
    decoder = classifier.decoder
    for name in STATISTICS[2:]:
        decoder.collecting = [[] for _ in HEIGHTS]
        classifier.encoder.train(name.endswith("dropout"))
        with torch.random.fork_rng():
            torch.manual_seed(protocol.torch_seed("dropout", 10_000))
            uncertainty.pool_features(classifier, rows, labelled)
        for i, collected in enumerate(decoder.collecting):
            maps_WM = torch.cat(collected)
            decoder.moments[name][:, i] = torch.stack([maps_WM.mean(0), maps_WM.var(0)]).float()
    decoder.collecting = None
    classifier.eval()


def fine_tuned(theta_0, rows, labelled, protocol, round_, details):
    classifier = copy.deepcopy(theta_0)
    classifier.decoder = DenseDecoder(classifier.decoder, protocol.dropout, details)
    train(classifier, rows, labelled, protocol, round_)
    reestimate(classifier, rows, labelled, protocol)
    return classifier


@torch.inference_mode()
def accuracies(classifier, rows, numbers) -> dict[str, float]:
    """Of the deterministic classifier with each kind of statistics, and the mean cross-entropy."""
    decoder = classifier.decoder
    shown, decoder.shown = decoder.shown, STATISTICS
    features_NX = uncertainty.pool_features(classifier, rows, numbers)
    decoder.shown = shown
    labels_N = torch.from_numpy(rows.labels_N[numbers])
    found = {}
    for name, features_NF in zip(STATISTICS, features_NX.chunk(len(STATISTICS), 1), strict=True):
        logits_NC = decoder(features_NF)
        found[f"accuracy, {name}"] = float((logits_NC.argmax(1) == labels_N).double().mean())
        found[f"loss, {name}"] = float(F.cross_entropy(logits_NC.double(), labels_N))
    return found


@torch.inference_mode()
def bald_scores(classifier, rows, numbers, protocol, round_):
    features_NF = uncertainty.pool_features(classifier, rows, numbers)
    seed = protocol.torch_seed("masks", round_)
    generator = torch.Generator().manual_seed(seed)
    scores = []
    for some in features_NF.split(200):
        if classifier.decoder.details.masks == "shared":
            generator = torch.Generator().manual_seed(seed)  # the same masks for the next rows
        scores.append(acquisition.bald(classifier.decoder.sample(some, protocol.samples, generator)))
    return torch.cat(scores).numpy(), features_NF


def start(task_name, hub, seed):
    protocol = Protocol(task=task_name, hub=hub, seed=seed, pool=POOL[task_name], precision="float32")
    task = load_task(task_name, hub, protocol.encoder, protocol.max_length)
    held_out = np.arange(len(task.train))[-HELD_OUT:]
    return protocol, task, task.train, held_out, build_classifier(protocol, task.num_labels)


def loops(given) -> None:
    """Active learning from S_10 to 310 labels, for one variant and some seeds."""
    details = VARIANTS[given.variant]
    for seed in given.seeds:
        protocol, task, rows, held_out, theta_0 = start(given.task, given.hub, seed)
        labelled, pool = np.arange(protocol.start), np.arange(protocol.start, protocol.pool)
        for round_ in range(given.rounds + 1):
            began = time.perf_counter()
            classifier = fine_tuned(theta_0, rows, labelled, protocol, round_, details)
            told = {
                "variant": given.variant,
                "strategy": given.strategy,
                "task": given.task,
                "seed": seed,
                "labelled": len(labelled),
                "accuracy": np.nan,
                **accuracies(classifier, rows, held_out),
                "mean_length": rows.lengths_N[labelled].mean(),
                "class_counts": json.dumps(np.bincount(rows.labels_N[labelled], minlength=task.num_labels).tolist()),
            }
            told["accuracy"] = told[f"accuracy, {details.statistics}"]
            told |= {"length_correlation": np.nan, "picked": "", "seconds": 0.0}
            if round_ < given.rounds:
                if given.strategy == "random":
                    scores = protocol.generator("random", round_).random(len(pool))
                else:
                    scores, _ = bald_scores(classifier, rows, pool, protocol, round_)
                    told["length_correlation"] = spearmanr(scores, rows.lengths_N[pool]).statistic
                picks = pool[acquisition.highest(scores, protocol.query, protocol.generator("picks", round_))]
                told["picked"] = json.dumps(picks.tolist())
                labelled, pool = np.concatenate([labelled, picks]), np.setdiff1d(pool, picks)
            told["seconds"] = time.perf_counter() - began
            keep("loops", told)


def fixed(given) -> None:
    """Every kind of decoder trained on the same T: rows at random, and what some loops of BALD have picked."""
    for name, numbers in labelled_sets(given.task).items():
        for seed in given.seeds:
            protocol, _, rows, held_out, theta_0 = start(given.task, given.hub, seed)
            for windows, dropout in itertools.product(("inside", "edges"), ("maps", "values")):
                details = Details(windows, dropout)
                classifier = fine_tuned(theta_0, rows, numbers, protocol, 1, details)
                told = {"task": given.task, "labelled_by": name, "labelled": len(numbers), "seed": seed}
                told |= {"windows": windows, "dropout": dropout}
                keep("fixed", told | accuracies(classifier, rows, held_out))


def length(given) -> None:
    """Rank correlation of BALD with a row's length from S_10, and what it takes to change it: one experiment each."""
    for seed in given.seeds:
        protocol, task, rows, _, theta_0 = start(given.task, given.hub, seed)
        pool = np.arange(protocol.start, protocol.pool)
        some = np.random.default_rng(0).choice(pool, 1000, replace=False)
        every_class = balanced(rows.labels_N, protocol, task.num_labels)
        linear = build_classifier(replace(protocol, decoder="linear"), task.num_labels)
        experiments = {
            "S_10": (THREE, np.arange(10)),
            "mean over time": (replace(THREE, pooling="mean"), np.arange(10)),
            "ten rows of all classes": (THREE, every_class),
            "linear decoder": (None, np.arange(10)),
            "110 rows at random": (THREE, np.arange(110)),
            "310 rows at random": (THREE, np.arange(310)),
        }
        for name, (details, labelled) in experiments.items():
            if details:
                classifier = fine_tuned(theta_0, rows, labelled, protocol, 0, details)
            else:
                classifier = copy.deepcopy(linear)
                train(classifier, rows, labelled, protocol, 0)
            told = {"task": given.task, "seed": seed, "experiment": name}
            keep("length", told | correlations(classifier, rows, some, protocol))


@torch.inference_mode()
def correlations(classifier, rows, numbers, protocol) -> dict[str, float]:
    """Rank correlations with length: of BALD and entropy, also with features of equal size, and of their size."""
    features_NF = uncertainty.pool_features(classifier, rows, numbers)
    size_N = features_NF.norm(dim=1)
    measured = {"size of the features": size_N}
    masks = (
        uncertainty.draw_masks(classifier, protocol.samples, 0) if hasattr(classifier.decoder, "mc_dropouts") else None
    )
    for name, features in {"": features_NF, ", equal size": features_NF / size_N[:, None] * size_N.mean()}.items():
        if masks:
            log_probs_SNC = uncertainty.sample_log_probs(classifier, features, masks)
        else:
            log_probs_SNC = classifier.decoder.sample(features, protocol.samples, torch.Generator().manual_seed(0))
        measured[f"BALD{name}"] = acquisition.bald(log_probs_SNC)
        measured[f"entropy{name}"] = acquisition.predictive_entropy(log_probs_SNC)
    return {name: float(spearmanr(values, rows.lengths_N[numbers]).statistic) for name, values in measured.items()}


def balanced(labels_N, protocol, classes: int) -> np.ndarray:
    """Ten rows, in the order of the data set, that hold every class as equally often as ten can."""
    wanted = [10 // classes + (c < 10 % classes) for c in range(classes)]
    found = [np.flatnonzero(labels_N == c)[:number] for c, number in enumerate(wanted)]
    return np.sort(np.concatenate(found))


def labelled_sets(task: str) -> dict[str, np.ndarray]:
    """S_10 and a hundred rows: drawn at random, twice, or picked by BALD with seeds 0 and 1 of two kinds of loops."""
    sets = {}
    for draw in range(2):
        rng = np.random.default_rng(draw)
        picks = rng.choice(np.arange(10, POOL[task]), 100, replace=False)
        sets[f"random {draw}"] = np.concatenate([np.arange(10), picks])
    told = pd.read_csv(HERE / "loops.csv")
    told = told[(told["task"] == task) & (told["strategy"] == "bald") & (told["labelled"] == 10)]
    for variant, seed in itertools.product(("today", "three"), (0, 1)):
        picks = told[(told["variant"] == variant) & (told["seed"] == seed)]["picked"].iloc[-1]
        sets[f"BALD, {variant}, seed {seed}"] = np.concatenate([np.arange(10), json.loads(picks)])
    return sets


def keep(name: str, told: dict) -> None:
    path = HERE / f"{name}.csv"
    told = {key: round(value, 4) if isinstance(value, float) else value for key, value in told.items()}
    columns = pd.read_csv(path, nrows=0).columns if path.exists() else None
    table = pd.DataFrame([told], columns=columns)
    table.to_csv(path, mode="a", header=columns is None, index=False)
    print(*(f"{key}={value}" for key, value in told.items() if key != "picked"), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    verbs = parser.add_subparsers(required=True)
    for verb in (loops, fixed, length):
        sub = verbs.add_parser(verb.__name__, help=verb.__doc__)
        sub.set_defaults(verb=verb)
        sub.add_argument("--hub", required=True)
        sub.add_argument("--task", choices=POOL, required=True)
        sub.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3])
        if verb is loops:
            sub.add_argument("--variant", choices=VARIANTS, default="today")
            sub.add_argument("--strategy", choices=("bald", "random"), default="bald")
            sub.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    torch.set_num_threads(1)
    given.verb(given)


if __name__ == "__main__":
    main()
