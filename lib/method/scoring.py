"""What a trained classifier says about rows: accuracy on validation rows, scores of the pool, the picks."""

from collections.abc import Callable

import numpy as np
import pandas as pd
import torch
from scipy.stats import spearmanr
from torch.nn import functional as F

from lib.data.rows import Rows
from lib.method import acquisition, uncertainty
from lib.method.model import Classifier
from lib.protocol import Protocol

SAMPLES = (5, 10, 20, 50, 100, 200, 500, 1000)  # the S whose picks are compared, once in a run
ALONE = 16  # rows that are encoded a second time, each in a batch of its own


def draw_masks(classifier: Classifier, protocol: Protocol, samples: int, stream: str, number: int) -> dict:
    """ω_1 … ω_S from a stream of the run; nothing is dropped if mc_dropout is off, so that all ω are the same."""
    masks = uncertainty.draw_masks(classifier, samples, protocol.torch_seed(stream, number))
    return {name: torch.ones_like(mask) for name, mask in masks.items()} if protocol.mc_dropout == "off" else masks


def round_masks(classifier: Classifier, protocol: Protocol, round_: int) -> dict:
    """ω_1 … ω_S of a round; none if the run makes no stochastic pass."""
    return draw_masks(classifier, protocol, protocol.samples, "masks", round_) if protocol.scores else {}


def evaluate(classifier: Classifier, rows: Rows, numbers, prefix, masks) -> tuple[pd.DataFrame, dict]:
    """Accuracy and mean cross-entropy of the deterministic classifier, and its prediction for every row.

    `majority`, the share of the most frequent class, is the accuracy of a guess. With masks also the mean prediction
    over the passes and its BALD.
    """
    features_NF = uncertainty.pool_features(classifier, rows, numbers, prefix)
    log_probs_NC = uncertainty.predict_log_probs(classifier, features_NF).cpu()
    labels_N = torch.from_numpy(rows.labels_N[numbers])
    predictions_N = log_probs_NC.argmax(1)
    table = pd.DataFrame({"row": numbers.astype(np.int32), "label": rows.labels_N[numbers].astype(np.int8)})
    for c in range(log_probs_NC.shape[1]):
        table[f"log_prob_{c}"] = log_probs_NC[:, c].numpy()
    if masks:
        scored = score(classifier, features_NF, masks, acquisition.bald)
        for c, mean_N in enumerate(scored["mean_log_probs"].T):
            table[f"mean_log_prob_{c}"] = mean_N.astype(np.float32)
        table["bald"] = scored["bald"].astype(np.float32)
    metrics = {
        "accuracy": float((predictions_N == labels_N).double().mean()),
        "loss": float(F.nll_loss(log_probs_NC.double(), labels_N)),
        "majority": float(table["label"].value_counts(normalize=True).max()),
    }
    return table, metrics


def score(classifier: Classifier, features_NF, masks, function: Callable) -> dict[str, np.ndarray]:
    """What S stochastic passes say about each of N rows, a chunk at a time. function: log_probs_SNC → `score`."""
    scored = []
    for features in uncertainty.chunks(classifier, features_NF, uncertainty.samples_of(masks)):
        log_probs_SNC = uncertainty.sample_log_probs(classifier, features, masks)
        information_N = acquisition.mutual_information(log_probs_SNC)
        bald_N = acquisition.guarded(information_N, log_probs_SNC.shape[-1])
        columns = {
            "score": bald_N if function is acquisition.bald else function(log_probs_SNC),
            "bald": bald_N,
            "raw_bald": information_N,
            "entropy": acquisition.predictive_entropy(log_probs_SNC),
            "spread": (log_probs_SNC - log_probs_SNC[0]).abs().amax((0, 2)),
            "mean_log_probs": acquisition.mean_log_probs(log_probs_SNC),
        }
        scored.append({name: column.cpu().numpy() for name, column in columns.items()})
    return {name: np.concatenate([piece[name] for piece in scored]) for name in scored[0]}


def acquire(view: uncertainty.View, pool, protocol: Protocol, round_: int):
    """Q rows of the pool, best first; the tables `pool` and `samples` of the scores; and the health of the scores.

    view: the rows of the pool. A strategy that makes no stochastic pass has neither scores nor tables.
    """
    strategy, rng = acquisition.STRATEGIES[protocol.strategy], protocol.generator("picks", round_)
    if strategy.score is None:
        scores_N = acquisition.random(len(pool), protocol.generator("random", round_))
        return pool[acquisition.highest(scores_N, protocol.query, rng)], {}, {}

    scored = score(view.classifier, view.features_NF, view.masks, strategy.score)
    picks = strategy.pick(scored["score"], protocol.query, rng, view)
    health = acquisition.health(scored["score"], protocol.query)
    health |= {
        "smallest_raw_bald": float(scored["raw_bald"].min()),
        "passes_differ": bool(scored["spread"].any()),
    }
    table = pd.DataFrame(
        {
            "row": pool.astype(np.int32),
            "score": scored["score"].astype(np.float32),
            "bald": scored["bald"].astype(np.float32),
            "entropy": scored["entropy"].astype(np.float32),
            "prediction": scored["mean_log_probs"].argmax(1).astype(np.int8),
        }
    )
    shown = worth_showing(scored["score"], picks, protocol.query)
    samples = sampled_rows(pool[shown], view.log_probs(shown), view.features_NF[torch.from_numpy(shown)])
    return pool[picks], {"pool": table, "samples": samples}, health


def lengths(rows: Rows, pool, picked, scores: dict[str, pd.DataFrame]) -> dict[str, float]:
    """Does the strategy prefer long rows? Mean tokens of a row of the pool and of the picks, cut rows as they are cut.

    With scores also `rho`, Spearman's correlation of a row's score with its tokens. Empty where nothing is picked.
    """
    if not len(picked):
        return {}
    found = {"pool": float(rows.lengths_N[pool].mean()), "picked": float(rows.lengths_N[picked].mean())}
    if scores:
        pair = scores["pool"]["score"].to_numpy(), rows.lengths_N[pool]
        found["rho"] = float(spearmanr(*pair).statistic) if all(map(np.ptp, pair)) else 0.0
    return found


def worth_showing(scores_N, picks, query: int) -> np.ndarray:
    """Positions of the rows that a reader may want to see closely: 2 Q highest scores, Q lowest, and all picks."""
    ascending = np.argsort(scores_N, kind="stable")
    return np.unique(np.concatenate([ascending[:query], ascending[-2 * query :], picks]))


def sampled_rows(rows, log_probs_SMC, features_MF) -> pd.DataFrame:
    """What the explorer shows of M rows, in float16: row, probabilities (S × (C - 1), flat), features (F).

    The probability of the last class is what is left to one. A row takes 2 (S (C - 1) + F) bytes: about 0.5 kB with
    S = 50 and the CNN decoder's F = 192, so 45 to 55 kB a round of the quick profile (Q = 30), 150 to 180 kB of the
    paper's (Q = 100).
    """
    probs_MSC = log_probs_SMC.exp().transpose(0, 1)[..., :-1]
    probabilities, features = (part.flatten(1).half().cpu().numpy() for part in (probs_MSC, features_MF))
    return pd.DataFrame(
        {"row": rows.astype(np.int32), "probabilities": list(probabilities), "features": list(features)}
    )


def examine(classifier: Classifier, features_NF, rows: Rows, pool, protocol: Protocol) -> dict:
    """What decides neither picks nor training: is one pass of the encoder enough, and are S passes of the decoder?

    encoder_difference: what another batching does to the features of some rows, each alone instead of among the rows of
    the pool, as a share of the features' standard deviation over the pool (root mean square of both). samples: for each
    S the share of the Q highest rows that two draws of the masks have in common, and that one draw of S has in common
    with the largest S of the other draw.
    """
    together_MF = features_NF[:ALONE]
    alone_MF = torch.cat([uncertainty.pool_features(classifier, rows, [row]) for row in pool[:ALONE]])
    spread = (features_NF - features_NF.mean(0)).square().mean().sqrt()
    tops = [highest_rows(classifier, features_NF, protocol, draw) for draw in range(2)]
    share = [
        {
            "samples": samples,
            "between_draws": overlap(tops[0][samples], tops[1][samples]),
            "with_largest": overlap(tops[0][samples], tops[1][SAMPLES[-1]]),
        }
        for samples in SAMPLES
    ]
    difference = (alone_MF - together_MF).square().mean().sqrt() / spread
    return {"encoder_difference": float(difference), "samples": share}


def highest_rows(classifier: Classifier, features_NF, protocol: Protocol, draw: int) -> dict[int, set]:
    """For each S in SAMPLES, the rows with the Q highest BALD scores over the first S of one draw of masks."""
    masks = draw_masks(classifier, protocol, SAMPLES[-1], "stability", draw)
    scores = {samples: [] for samples in SAMPLES}
    for features in uncertainty.chunks(classifier, features_NF, SAMPLES[-1]):
        log_probs_SNC = uncertainty.sample_log_probs(classifier, features, masks)
        for samples in SAMPLES:
            scores[samples].append(acquisition.bald(log_probs_SNC[:samples]))
    rng = protocol.generator("stability", 2 + draw)
    return {S: set(acquisition.highest(torch.cat(s).cpu(), protocol.query, rng).tolist()) for S, s in scores.items()}


def overlap(a: set, b: set) -> float:
    return len(a & b) / len(a)
