"""Nothing is lost when something dies: runs, workers and schedulers are killed, and the store ends the same.

The thirty kills that the study promises are slow: ./run_all.sh test -m slow tests/runs/test_survival.py
"""

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter

import pytest
import torch
from distributed import Client, WorkerPlugin
from helpers import ROOT, stored

from lib.method import active_learning
from lib.runs import cluster, files, results, sweep
from lib.runs.cluster import local_cluster
from lib.runs.costs import plan
from lib.runs.run import run as run_one

few_or_thirty = pytest.mark.parametrize("kills", [3, pytest.param(30, marks=pytest.mark.slow)])


def child(function) -> int:
    """The number of a forked process that does this; far faster than a new Python."""
    number = os.fork()
    if number:
        return number
    try:
        torch.set_num_threads(1)
        function()
        os._exit(0)
    except BaseException as error:
        print(error, file=sys.stderr, flush=True)
    finally:
        os._exit(1)


def die_in_write(call: int) -> None:
    """This process kills itself in the middle of its writing, before the so-and-so-manieth flush to disk."""
    flush, calls = files.flush, iter(range(10**6))

    def flush_or_die(path):
        if next(calls) == call:
            os.kill(os.getpid(), signal.SIGKILL)
        flush(path)

    files.flush = results.flush = flush_or_die


@few_or_thirty
def test_a_run_that_is_killed_at_random_moments_ends_with_the_same_bytes(kills, tiny_protocol, tmp_path):
    protocol, rng = tiny_protocol(rounds=6), random.Random(kills)
    start = time.perf_counter()
    run_one(protocol, tmp_path / "whole")
    length = time.perf_counter() - start
    killed, store = 0, tmp_path / "killed"
    while killed < kills:
        call = rng.randrange(12) if killed % 3 == 2 else -1

        def go(call=call, store=store):
            die_in_write(call)
            run_one(protocol, store)

        number = child(go)
        if call < 0:
            time.sleep(rng.uniform(0, length / 4))
            os.kill(number, signal.SIGKILL)
        _, status = os.waitpid(number, 0)
        killed += os.WIFSIGNALED(status)
        if (store / plan([protocol], store)[0].name / "DONE").exists():
            assert stored(store) == stored(tmp_path / "whole")
            store = tmp_path / f"killed-{killed}"  # finished before all kills were made: once more
    run_one(protocol, store)
    assert stored(store) == stored(tmp_path / "whole")


def test_two_processes_that_start_one_sweep_compute_each_run_once_and_agree(tiny_protocol, tmp_path):
    protocols = [tiny_protocol(seed=seed) for seed in range(3)]
    begin, counted = results.Run.begin, tmp_path / "begun"

    def go():
        def count(run):
            with open(counted, "a") as file:
                file.write(run.name + "\n")
            begin(run)

        results.Run.begin = count
        assert len(sweep(protocols, tmp_path / "both")) == 9

    numbers = [child(go), child(go)]
    assert [os.waitpid(number, 0)[1] for number in numbers] == [0, 0]
    assert set(Counter(counted.read_text().split()).values()) == {1}
    sweep(protocols, tmp_path / "alone")
    assert stored(tmp_path / "both") == stored(tmp_path / "alone")


@pytest.fixture
def environment(monkeypatch):
    """What workers inherit."""
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")])))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")


@pytest.mark.slow  # each kill costs the imports of a new worker
@pytest.mark.parametrize("kills", [3, 30])
def test_a_sweep_whose_workers_are_killed_ends_with_the_same_bytes(kills, tiny_protocol, tmp_path, environment):
    protocols = [tiny_protocol(seed=seed, rounds=4) for seed in range(12 if kills > 3 else 4)]
    sweep(protocols, tmp_path / "whole")
    with local_cluster(2) as started:
        killer = Killer(started.scheduler_address, kills)
        attempts = 0
        while killer.left:  # the sweep may end before all kills were made: then another one
            attempts += 1
            store = tmp_path / f"killed-{attempts}"
            rounds = sweep(protocols, store, scheduler=started.scheduler_address)
            assert len(rounds) == 5 * len(protocols)
            assert stored(store) == stored(tmp_path / "whole")
        killer.thread.join()


@pytest.mark.slow
def test_a_worker_that_dask_gives_up_is_replaced(environment):
    """As when it dies while it is being started: its nanny closes."""

    def close(dask_worker):
        dask_worker.loop.add_callback(dask_worker.close)

    with local_cluster(2) as started, Client(started.scheduler_address, set_as_default=False) as client:
        before = set(client.scheduler_info()["workers"])
        client.run(close, nanny=True)
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            now = client.scheduler_info()["workers"]
            if len(now) == 2 and not before & set(now):
                break
            time.sleep(0.2)
        assert not before & set(now)
        assert {worker["id"] for worker in now.values()} == {0, 1}


class Killer:
    """A thread that kills a random worker, again and again, as soon as it computes something."""

    def __init__(self, address: str, kills: int):
        self.address, self.left, self.rng = address, kills, random.Random(kills)
        self.thread = threading.Thread(target=self.kill, daemon=True)
        self.thread.start()

    def kill(self):
        with Client(self.address, set_as_default=False) as client:
            while self.left:
                time.sleep(self.rng.uniform(0.2, 1.5))
                try:
                    busy = [address for address, tasks in client.processing().items() if tasks]
                    if busy:
                        worker = self.rng.choice(busy)
                        os.kill(client.run(os.getpid, workers=[worker])[worker], signal.SIGKILL)
                        self.left -= 1
                except (KeyError, OSError):  # it is just being started
                    continue


@pytest.mark.slow
def test_a_sweep_survives_the_death_of_its_scheduler(tiny_protocol, tmp_path, environment, monkeypatch):
    protocols = [tiny_protocol(seed=seed, rounds=4) for seed in range(12)]
    sweep(protocols, tmp_path / "whole")
    port = 20_000 + os.getpid() % 10_000
    address = f"tcp://127.0.0.1:{port}"

    def dask(*arguments):
        command = [sys.executable, "-m", "dask", *arguments]
        return subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def start():
        scheduler = dask("scheduler", "--host", "127.0.0.1", "--port", str(port), "--no-dashboard")
        options = ["--nthreads", "1", "--no-dashboard", "--death-timeout", "30"]
        return [scheduler, dask("worker", address, *options), dask("worker", address, *options)]

    processes = start()

    def interrupt():
        while len(list((tmp_path / "killed").glob("*/DONE"))) < 3:
            time.sleep(0.1)
        processes[0].kill()
        time.sleep(3)
        processes.extend(start())

    thread = threading.Thread(target=interrupt, daemon=True)
    thread.start()
    try:
        assert len(sweep(protocols, tmp_path / "killed", scheduler=address)) == 60
        thread.join(10)
        assert len(processes) > 3, "the scheduler was killed in the middle"
    finally:
        for process in processes:
            process.terminate()
    assert stored(tmp_path / "killed") == stored(tmp_path / "whole")


@pytest.mark.slow
def test_a_worker_that_dies_each_time_is_given_up(tiny_protocol, tmp_path, environment, monkeypatch):
    """Bounded: a run that kills its worker is one failure, and the others go on."""
    deadly = tiny_protocol(seed=1, rounds=0, pool=11)
    sound = tiny_protocol(seed=2, rounds=0, pool=11)
    monkeypatch.setitem(cluster.SETTINGS, "distributed.scheduler.allowed-failures", 1)
    with local_cluster(2) as started:
        with Client(started.scheduler_address, set_as_default=False) as client:
            client.register_plugin(Deadly(str(plan([deadly], tmp_path)[0].name)))
        rounds = sweep([deadly, sound], tmp_path, scheduler=started.scheduler_address)
    assert set(rounds["seed"]) == {2}
    (failed,) = tmp_path.glob("*/failed.json")
    assert "KilledWorker" in failed.read_text()


class Deadly(WorkerPlugin):
    """On a worker: beginning the run of this name kills the process."""

    def __init__(self, name: str):
        self.name_of_run = name

    def setup(self, worker):
        def die(run):
            if run.name == deadly:
                os.kill(os.getpid(), signal.SIGKILL)
            begin(run)

        begin, deadly = results.Run.begin, self.name_of_run
        results.Run.begin = die


def test_a_failure_leaves_its_traceback_and_a_redraw_says_it_again(tiny_protocol, tmp_path, monkeypatch, capsys):
    protocols = [tiny_protocol(seed=seed) for seed in range(2)]
    calls, train = [], active_learning.train

    def fail(classifier, rows, labelled, protocol, round_, prefix):
        calls.append(round_)
        if protocol.seed == 1 and round_ == 1:
            raise ValueError("boom\nmore")
        return train(classifier, rows, labelled, protocol, round_, prefix)

    monkeypatch.setattr(active_learning, "train", fail)
    said = ""
    for redraw in (False, True):
        assert set(sweep(protocols, tmp_path / "store", redraw)["seed"]) == {0}
        out, err = capsys.readouterr()
        assert "ValueError: boom" in err
        said += out
    assert len(calls) == 5, "a deterministic error is not computed again"
    first, *lines = said.splitlines()
    assert first == "2 runs to compute"
    assert [line.split(" ")[0] for line in lines] == ["1/2", "2/2", "1"], "the last line is of what is not there"
    failure = plan(protocols[1:], tmp_path / "store")[0].failure
    assert (failure["round"], failure["error"]) == (1, "ValueError: boom")
    assert any("in fail" in line for line in failure["traceback"])
    monkeypatch.setattr(active_learning, "train", train)
    assert set(sweep(protocols, tmp_path / "store")["seed"]) == {0, 1}
