"""On a GPU, `./run_all.sh test -m gpu`: the same bits twice, as the CPU, in bounded memory, workers that share it."""

import copy

import numpy as np
import pytest
import torch
from helpers import SETTINGS, stored
from torch.nn import functional as F

from lib.method import acquisition, active_learning, scoring, uncertainty
from lib.runs import cluster, results
from lib.runs.compute import sweep
from lib.runs.run import run as run_one

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU that torch can use"),
]
MORE = {"bfloat16": {"precision": "bfloat16"}, "pairs": {"task": "mnli"}}
TOLERANCE = 1e-3  # of float32 between CPU and GPU: sums are taken in another order


@pytest.fixture
def both(tiny_protocol):
    """Rows, and a classifier on the CPU and on the GPU."""
    task, there = active_learning.prepare(tiny_protocol())
    return task.train, copy.deepcopy(there).cpu(), there


@pytest.mark.parametrize("name", SETTINGS | MORE)
def test_a_run_gives_the_same_bits_twice_and_no_operation_is_refused(name, tiny_protocol, tmp_path):
    protocol = tiny_protocol(**(SETTINGS | MORE)[name])
    for place in ("one", "two"):
        run_one(protocol, tmp_path / place)
    assert results.Run(protocol, tmp_path / "one").origin["device"] == "cuda"
    assert stored(tmp_path / "one") == stored(tmp_path / "two")


def test_features_and_scores_are_those_of_the_cpu(both, tiny_protocol):
    rows, here, there = both
    numbers, scored = np.arange(60), []
    for classifier in (here, there):
        masks = scoring.round_masks(classifier, tiny_protocol(), 0)
        features_NF = uncertainty.pool_features(classifier, rows, numbers)
        scored.append((features_NF.cpu(), scoring.score(classifier, features_NF, masks, acquisition.bald)))
    assert torch.allclose(scored[0][0], scored[1][0], atol=TOLERANCE)
    for column in ("bald", "entropy", "mean_log_probs"):
        assert np.allclose(scored[0][1][column], scored[1][1][column], atol=TOLERANCE)


def test_gradients_without_dropout_are_those_of_the_cpu(both):
    rows, here, there = both
    for classifier in (here, there):
        device = next(classifier.parameters()).device
        batch = rows.batch(np.arange(16), device)
        F.cross_entropy(classifier.eval()(batch), batch.labels_B).backward()
    for (name, ours), theirs in zip(here.named_parameters(), there.parameters(), strict=True):
        if ours.grad is not None:
            assert torch.allclose(ours.grad, theirs.grad.cpu(), atol=TOLERANCE), name


@pytest.mark.parametrize(("samples", "times"), [((8, 800), 1), ((8, 8), 20)])
def test_memory_grows_neither_with_samples_nor_with_rows(samples, times, both, tiny_protocol):
    rows, _, there = both
    peaks = []
    for number, repeated in zip(samples, (1, times), strict=True):
        features_NF = uncertainty.pool_features(there, rows, np.arange(60)).repeat(50 * repeated, 1)
        masks = scoring.round_masks(there, tiny_protocol(samples=number), 0)
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        scoring.score(there, features_NF, masks, acquisition.bald)
        peaks.append(torch.cuda.max_memory_allocated() - before)
    assert peaks[1] <= 4 * uncertainty.ELEMENTS["cuda"] * 8, "what a chunk may take"


def test_two_workers_share_a_gpu_and_give_the_same_bits(tiny_protocol, tmp_path):
    protocols = [tiny_protocol(strategy=strategy, seed=seed) for strategy in ("bald", "random") for seed in range(2)]
    with cluster.local_cluster(2) as started:
        assert len(started.workers) == 2
        sweep(protocols, tmp_path / "shared", scheduler=started.scheduler_address)
    sweep(protocols, tmp_path / "alone")
    assert stored(tmp_path / "shared") == stored(tmp_path / "alone")
