"""Acquisition functions: log_probs_SNC of S stochastic passes over N rows and C classes → scores_N, highest first."""

import math

import numpy as np
import torch
from torch import Tensor


def entropy(log_probs_XC: Tensor) -> Tensor:
    """-Σ_c p log p over the last axis, in nats; 0 log 0 = 0."""
    return torch.special.entr(log_probs_XC.exp()).sum(-1)


def mean_log_probs(log_probs_SNC: Tensor) -> Tensor:
    """log of the mean probability over the passes: log_probs_NC, float64. Raises ValueError for bad input."""
    log_probs_SNC = checked(log_probs_SNC)
    return log_probs_SNC.logsumexp(0) - math.log(len(log_probs_SNC))


def checked(log_probs_SNC: Tensor) -> Tensor:
    """The same in float64. Raises ValueError if it is not S × N × C or a row's probabilities do not sum to one."""
    if log_probs_SNC.ndim != 3 or 0 in log_probs_SNC.shape[::2]:
        raise ValueError(f"log_probs_SNC has shape {tuple(log_probs_SNC.shape)}: expected passes × rows × classes")
    log_probs_SNC = log_probs_SNC.double()
    wrong = ~((log_probs_SNC.exp().sum(-1) - 1).abs() < 1e-4)  # true for nan as well
    if wrong.any():
        s, n = wrong.nonzero()[0].tolist()
        raise ValueError(
            f"log_probs_SNC[{s}, {n}] = {log_probs_SNC[s, n].tolist()} are not log-probabilities: apply log_softmax"
        )
    return log_probs_SNC


def mutual_information(log_probs_SNC: Tensor) -> Tensor:
    """Equation 1 as computed: float64, not clamped. Rounding may take it below zero, by less than 1e-9."""
    return entropy(mean_log_probs(log_probs_SNC)) - expected_entropy(log_probs_SNC)


def expected_entropy(log_probs_SNC: Tensor) -> Tensor:
    """Mean over the passes of each pass's entropy: the part of the uncertainty that is the data's (aleatoric)."""
    return entropy(checked(log_probs_SNC)).mean(0)


def bald(log_probs_SNC: Tensor) -> Tensor:
    """Mutual information between prediction and parameters, I[y; ω | x, T] (Houlsby et al. 2011), in nats.

    Returns scores_N in [0, log C], float64. Raises ValueError if a row does not sum to one.
    """
    scores_N = mutual_information(log_probs_SNC)
    if len(scores_N) and scores_N.min() <= -1e-9:
        raise ValueError(f"BALD is {scores_N.min():.3g} < 0: more than rounding explains")
    return scores_N.clamp(0.0, math.log(log_probs_SNC.shape[-1]))


def predictive_entropy(log_probs_SNC: Tensor) -> Tensor:
    """Entropy of the mean prediction, H[y | x, T], in nats: what is uncertain for any reason. scores_N, float64."""
    return entropy(mean_log_probs(log_probs_SNC))


def margin(log_probs_SNC: Tensor) -> Tensor:
    """1 - (p_1 - p_2), the two largest mean probabilities (Scheffer et al. 2001). scores_N in [0, 1], float64."""
    first_N, second_N = mean_log_probs(log_probs_SNC).exp().topk(2, dim=-1).values.unbind(-1)
    return 1 - (first_N - second_N)


def variation_ratio(log_probs_SNC: Tensor) -> Tensor:
    """Share of the passes that do not predict the most frequent class (Freeman 1965). scores_N in [0, 1), float64."""
    samples, _, classes = log_probs_SNC.shape
    votes_SN = checked(log_probs_SNC).argmax(-1)
    votes_NC = torch.nn.functional.one_hot(votes_SN, classes).sum(0)
    return 1 - votes_NC.amax(-1).double() / samples


def random(number: int, rng: np.random.Generator) -> Tensor:
    """unif[0, 1) for each of `number` rows: scores_N, float64. Needs no pass of the model."""
    return torch.from_numpy(rng.random(number))


STRATEGIES = {
    "bald": bald,
    "random": random,
    "entropy": predictive_entropy,
    "margin": margin,
    "variation_ratio": variation_ratio,
}


def highest(scores_N, query: int, rng: np.random.Generator) -> np.ndarray:
    """Positions of the `query` highest scores, best first; ties are broken by `rng`, never by position.

    Raises ValueError if there are fewer scores than `query`.
    """
    scores_N = np.asarray(scores_N)
    if query > len(scores_N):
        raise ValueError(f"query={query} rows of a pool with {len(scores_N)}: lower query or rounds, or raise pool")
    return np.lexsort((rng.random(len(scores_N)), -scores_N))[:query]


def health(scores_N, query: int) -> dict:
    """What can go wrong with scores, as numbers: share at zero, ties at rank Q and the gap below it."""
    scores = np.sort(np.asarray(scores_N))[::-1]
    last = scores[query - 1]
    below = scores[scores < last]
    return {
        "share_at_zero": float((scores == 0).mean()),
        "ties_at_rank_query": int((scores == last).sum()) - 1,
        "gap_at_rank_query": float(last - below[0]) if len(below) else 0.0,
    }
