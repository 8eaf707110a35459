"""Acquisition: log_probs_SNC of S stochastic passes over N rows and C classes → scores_N → a batch of Q picks.

A strategy, an entry of STRATEGIES, is a score for each row and a way to pick a batch by the scores: the Q highest, but
for those that know that a batch is more than its rows. Torch is imported where it is used: lists of runs, and the
command line, need the names of the strategies alone.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from torch import Tensor

ROUNDING = 1e-9  # how far below zero float32 log-probabilities may take a score
EXACT = 1e-13  # below this a score is the rounding of float64 itself: 0
CANDIDATES = 1000  # rows with the highest BALD that BatchBALD chooses from
OUTCOMES = 2000  # label sequences of a batch: all of them while there are no more, then a sample of so many


def entropy(log_probs_XC: Tensor) -> Tensor:
    """-Σ_c p log p over the last axis, in nats; 0 log 0 = 0."""
    import torch

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
    """Equation 1 as computed: float64, not clamped. Rounding may take it below zero, by less than ROUNDING."""
    return entropy(mean_log_probs(log_probs_SNC)) - expected_entropy(log_probs_SNC)


def expected_entropy(log_probs_SNC: Tensor) -> Tensor:
    """Mean over the passes of each pass's entropy: the part of the uncertainty that is the data's (aleatoric)."""
    return entropy(checked(log_probs_SNC)).mean(0)


def bald(log_probs_SNC: Tensor) -> Tensor:
    """Mutual information between prediction and parameters, I[y; ω | x, T] (Houlsby et al. 2011), in nats.

    Returns scores_N in [0, log C], float64; exactly 0 where the passes agree up to rounding. Raises ValueError if a
    row does not sum to one.
    """
    return guarded(mutual_information(log_probs_SNC), log_probs_SNC.shape[-1])


def guarded(information_N: Tensor, classes: int) -> Tensor:
    """Mutual information as computed → within what it can be, [0, log C]. Raises ValueError if it is far below zero."""
    if len(information_N) and information_N.min() <= -ROUNDING:
        raise ValueError(f"BALD is {information_N.min():.3g} < 0: more than rounding explains")
    return information_N.where(information_N > EXACT, 0.0).clamp(max=math.log(classes))


def unguarded_bald(log_probs_SNC: Tensor) -> Tensor:
    """Equation 1 typed as it stands, in float32: what its rounding is, where all passes agree. scores_N, float32.

    A control, not a strategy for use: scores below zero are left as they are.
    """
    probs_SNC = checked(log_probs_SNC).float().exp()
    mean_NC = probs_SNC.mean(0)
    return -(mean_NC * mean_NC.log()).nan_to_num(0).sum(-1) + (probs_SNC * probs_SNC.log()).nan_to_num(0).sum(-1).mean(
        0
    )


def predictive_entropy(log_probs_SNC: Tensor) -> Tensor:
    """Entropy of the mean prediction, H[y | x, T], in nats: what is uncertain for any reason. scores_N, float64."""
    return entropy(mean_log_probs(log_probs_SNC))


def margin(log_probs_SNC: Tensor) -> Tensor:
    """1 - (p_1 - p_2), the two largest mean probabilities (Scheffer et al. 2001). scores_N in [0, 1], float64."""
    first_N, second_N = mean_log_probs(log_probs_SNC).exp().topk(2, dim=-1).values.unbind(-1)
    return 1 - (first_N - second_N)


def variation_ratio(log_probs_SNC: Tensor) -> Tensor:
    """Share of the passes that do not predict the most frequent class (Freeman 1965). scores_N in [0, 1), float64."""
    import torch

    samples, _, classes = log_probs_SNC.shape
    votes_SN = checked(log_probs_SNC).argmax(-1)
    votes_NC = torch.nn.functional.one_hot(votes_SN, classes).sum(0)
    return 1 - votes_NC.amax(-1).double() / samples


def random(number: int, rng: np.random.Generator) -> Tensor:
    """unif[0, 1) for each of `number` rows: scores_N, float64. Needs no pass of the model."""
    import torch

    return torch.from_numpy(rng.random(number))


def highest(scores_N, query: int, rng: np.random.Generator, view=None) -> np.ndarray:
    """Positions of the `query` highest scores, best first; ties are broken by `rng`, never by position.

    Raises ValueError if there are fewer scores than `query`.
    """
    scores_N = np.asarray(scores_N)
    if query > len(scores_N):
        raise ValueError(f"query={query} rows of a pool with {len(scores_N)}: lower query or rounds, or raise pool")
    return np.lexsort((rng.random(len(scores_N)), -scores_N))[:query]


def half_at_random(scores_N, query: int, rng: np.random.Generator, view=None) -> np.ndarray:
    """Positions of `query` rows: half (rounded up) have the highest scores, the rest are drawn from all others.

    Raises ValueError if there are fewer scores than `query`.
    """
    best = highest(scores_N, query, rng)[: query - query // 2]
    others = np.setdiff1d(np.arange(len(scores_N)), best)
    return np.concatenate([best, rng.permutation(others)[: query // 2]])


def powerbald(scores_N, query: int, rng: np.random.Generator, view=None) -> np.ndarray:
    """Positions of `query` rows drawn without replacement with probability ∝ score (Kirsch et al. 2023, β = 1).

    The highest of log score + Gumbel(0, 1) noise. A row with score 0 has no chance before all others are taken; then
    `rng` chooses among those. Raises ValueError if there are fewer scores than `query`.
    """
    with np.errstate(divide="ignore"):
        noisy_N = np.log(np.asarray(scores_N)) + rng.gumbel(size=len(scores_N))
    return highest(noisy_N, query, rng)


def together(scores_N, query: int, rng: np.random.Generator, view) -> np.ndarray:
    """Positions of `query` rows that BatchBALD takes from the CANDIDATES rows with the highest scores, or 2 `query`."""
    best = highest(scores_N, min(len(scores_N), max(CANDIDATES, 2 * query)), rng)
    return best[batchbald(view.log_probs(best), query, rng)]


def batchbald(log_probs_SNC: Tensor, query: int, rng: np.random.Generator) -> np.ndarray:
    """Positions of `query` rows whose labels together say most about ω (Kirsch et al. 2019), in the order of picking.

    Greedy: each pick adds most to I[y_1, …, y_b; ω] = H[y_1, …, y_b] - Σ_i E_ω H[y_i | ω]. The joint entropy is exact
    while the rows picked have at most OUTCOMES label sequences; beyond that it is estimated from OUTCOMES sequences
    that `rng` draws, the same for all rows. Raises ValueError if there are fewer rows than `query`.
    """
    import torch

    probs_NSC = checked(log_probs_SNC).exp().transpose(0, 1)
    expected_N = expected_entropy(log_probs_SNC)
    if query > len(probs_NSC):
        raise ValueError(f"query={query} rows of {len(probs_NSC)}: lower query or rounds, or raise pool")
    picks: list[int] = []
    for _ in range(query):
        batch_BSC = probs_NSC[torch.tensor(picks, dtype=torch.long)]
        gains_N = (joint_entropy(batch_BSC, probs_NSC, rng) - expected_N).cpu().numpy()
        gains_N[picks] = -np.inf
        gains_N[gains_N > gains_N.max() - ROUNDING] = gains_N.max()  # a tie but for rounding is a tie
        picks += highest(gains_N, 1, rng).tolist()
    return np.array(picks, int)


def joint_entropy(batch_BSC: Tensor, probs_NSC: Tensor, rng: np.random.Generator, limit: int = OUTCOMES) -> Tensor:
    """entropies_N, in nats: H[y_1, …, y_B, y_n] of the labels of a batch of B rows and of each of N other rows.

    With p̂ the mean over ω, it is the mean over the batch's label sequences k of -Σ_c p̂(c | k) log p̂(k, c).
    """
    import torch

    log_likelihood_KS, exact = label_sequences(batch_BSC, limit, rng)
    offset_K = log_likelihood_KS.amax(1)
    likelihood_KS = (log_likelihood_KS - offset_K[:, None]).exp()
    marginal_K = likelihood_KS.mean(1)
    weight_K = marginal_K * offset_K.exp() if exact else torch.full_like(marginal_K, 1 / len(marginal_K))
    samples, classes = probs_NSC.shape[1:]
    entropies = []
    for some_MSC in probs_NSC.split(max(1, 4_000_000 // (len(marginal_K) * classes))):
        joint_KMC = torch.einsum("ks,msc->kmc", likelihood_KS, some_MSC) / samples
        surprise_MK = -torch.special.xlogy(joint_KMC, joint_KMC).sum(-1).T / marginal_K - offset_K
        entropies.append(surprise_MK @ weight_K)
    return torch.cat(entropies)


def label_sequences(batch_BSC: Tensor, limit: int, rng: np.random.Generator) -> tuple[Tensor, bool]:
    """log p(y_1, …, y_B | ω_s) of K label sequences: log_likelihood_KS, and whether these are all that are possible.

    Else they are `limit` draws from the joint distribution, equally many from each ω.
    """
    import torch

    rows, samples, classes = batch_BSC.shape
    exact = classes**rows <= limit
    if exact:
        labels_KB = torch.tensor(list(itertools.product(range(classes), repeat=rows)), dtype=torch.long)
        labels_KB = labels_KB.to(batch_BSC.device)
    else:
        cumulative_KBC = batch_BSC[:, torch.arange(limit) % samples].cumsum(-1).transpose(0, 1)
        uniform_KB = torch.from_numpy(rng.random((limit, rows))).to(batch_BSC.device)
        labels_KB = (uniform_KB[..., None] >= cumulative_KBC).sum(-1).clamp(max=classes - 1)
    log_likelihood_KS = batch_BSC.new_zeros(len(labels_KB), samples)
    for row_SC, labels_K in zip(batch_BSC, labels_KB.T, strict=True):
        log_likelihood_KS += row_SC.log().T[labels_K]
    return log_likelihood_KS[log_likelihood_KS.amax(1) > -math.inf], exact


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


@dataclass(frozen=True)
class Strategy:
    """What decides which rows of the pool are labelled next."""

    title: str  # as readers see it
    score: Callable | None  # log_probs_SNC → scores_N; None: drawn at random, and no stochastic pass is made
    # (scores_N, query, rng, view) → positions of the rows picked, best first; view: the pool, an uncertainty.View
    pick: Callable = highest
    version: str = ""  # of somebody's own: raise it when something changes that the functions' source does not show


STRATEGIES = {
    "bald": Strategy("BALD", bald),
    "random": Strategy("random", None),
    "entropy": Strategy("entropy", predictive_entropy),
    "margin": Strategy("margin", margin),
    "variation_ratio": Strategy("variation ratio", variation_ratio),
    "batchbald": Strategy("BatchBALD", bald, together),
    "powerbald": Strategy("PowerBALD", bald, powerbald),
    "unguarded_bald": Strategy("unguarded float32 BALD", unguarded_bald),
    "half_bald": Strategy("BALD, half at random", bald, half_at_random),
}
BUILT_IN = dict(STRATEGIES)  # anything else is of somebody's own: lib.runs.own_strategies
