"""Runs on Dask workers, each a process of its own: the same bytes as here, and no other code."""

import pytest
from distributed import LocalCluster
from helpers import refused, stored

from lib.errors import StudyError
from lib.method.acquisition import STRATEGIES, Strategy, highest, mean_log_probs
from lib.runs import cluster
from lib.runs.compute import sweep


@pytest.fixture(scope="module")
def started():
    """The address of a scheduler with two workers."""
    local = {"host": "127.0.0.1", "dashboard_address": "127.0.0.1:0", "memory_limit": None, "silence_logs": 50}
    with LocalCluster(n_workers=2, threads_per_worker=1, **local) as workers:
        yield workers.scheduler_address


@pytest.fixture
def compute(started):
    """compute(protocols, store, here=False): on the workers, or in this process."""

    def sweep_(protocols, store, here=False):
        return sweep(protocols, store, scheduler="" if here else started)

    return sweep_


def test_workers_compute_the_same_bytes(compute, tiny_protocol, tmp_path):
    good = [tiny_protocol(strategy="bald", task="sst2"), tiny_protocol(strategy="random", task="mnli")]
    with refused("1 of 3 runs failed", "frozen=9 is beyond the encoder's 4 layers"):
        compute([tiny_protocol(frozen=9), *good], tmp_path / "dask")
    compute(good, tmp_path / "here", here=True)
    assert stored(tmp_path / "dask") == stored(tmp_path / "here")


def test_a_strategy_of_ones_own_goes_to_workers(compute, tiny_protocol, tmp_path, monkeypatch):
    factor = -1.0  # goes with the function, by value

    def confidence(log_probs_SNC):
        return factor * (1 - mean_log_probs(log_probs_SNC).exp().amax(-1))

    monkeypatch.setitem(STRATEGIES, "mine", Strategy("mine", confidence, highest))
    protocols = [tiny_protocol(strategy="mine")]
    there, here = compute(protocols, tmp_path / "there"), compute(protocols, tmp_path / "here", here=True)
    assert there["picked"].tolist() == here["picked"].tolist()
    assert there["run"].tolist() == here["run"].tolist()


def older_version() -> int:
    return 0


def test_workers_of_another_version_are_refused(compute, tiny_protocol, tmp_path, monkeypatch):
    monkeypatch.setattr(cluster, "method_version", older_version)
    with refused("0 at tcp://", "another version of the method", "Nothing was computed"):
        compute([tiny_protocol()], tmp_path)
    monkeypatch.setattr(cluster, "check_workers", lambda client: None)  # one that came later
    monkeypatch.setattr("lib.runs.compute.METHOD_VERSION", 0)
    with pytest.raises(StudyError, match=r"Dask worker [01] at tcp://.* another version.*bring its checkout to"):
        compute([tiny_protocol()], tmp_path)
    assert not list(tmp_path.glob("*/round-*"))
