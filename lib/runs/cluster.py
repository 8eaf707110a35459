"""Workers: processes of this machine, by default one a core or one a GPU, or those of any Dask scheduler."""

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from lib.errors import StudyError, truncated
from lib.method import gpus
from lib.protocol import METHOD_VERSION

GPU = "GPU"  # the Dask resource of which a worker has one, its share of a GPU, and a run takes one
DEATHS = 9  # of workers that a run survives, on this machine; elsewhere the scheduler's allowed-failures
LOOKS = 5  # seconds without a process after which a worker is replaced
LOST = 5  # schedulers that a sweep survives
SETTINGS = {
    "distributed.scheduler.allowed-failures": DEATHS,
    "distributed.scheduler.worker-saturation": 1.0,  # no run waits at a worker, to be suspected of its death
    "distributed.deploy.lost-worker-timeout": "60s",  # a worker that takes longer to start anew is given up
    # Dask's 64 KiB gives memory back after every layer, to ask for it again: half as much time once more
    "distributed.nanny.pre-spawn-environ.MALLOC_TRIM_THRESHOLD_": 2**32,
    "distributed.nanny.pre-spawn-environ.MALLOC_MMAP_THRESHOLD_": 2**25,  # else fixed at 128 KiB
}


@contextmanager
def local_cluster(workers: int | None) -> Iterator:
    """Worker processes on this machine while the block runs; → Dask's LocalCluster, or None.

    workers: how many; None: one a GPU or, without GPUs, one a core. Fewer than two without GPUs: none are started.
    The scheduler listens on this machine alone.
    """
    import dask
    from dask.distributed import LocalCluster
    from dask.system import CPU_COUNT

    number, resources = divide(workers, gpus.count(), CPU_COUNT)
    if number < 2 and not resources:
        yield None
        return

    # no memory limit: near it Dask pauses a worker, and a paused worker never finishes its run
    local = {"host": "127.0.0.1", "dashboard_address": "127.0.0.1:0", "memory_limit": None, "resources": resources}
    # workers inherit that they ignore Ctrl-C: this process stops them
    interrupt = signal.signal(signal.SIGINT, signal.SIG_IGN)
    with dask.config.set(SETTINGS), LocalCluster(n_workers=number, threads_per_worker=1, **local) as started:
        signal.signal(signal.SIGINT, interrupt)
        ended = threading.Event()
        keeper = threading.Thread(target=_replace_the_lost, args=(started, ended), daemon=True)
        keeper.start()
        try:
            yield started
        except BaseException:
            _end_at_once(started)
            raise
        finally:
            ended.set()
            keeper.join()


def _end_at_once(cluster) -> None:
    """Dask would wait for a run under way; its finished rounds are in the store."""
    for nanny in cluster.workers.values():
        nanny.close_gracefully()  # it starts no other process when this one is gone
        with suppress(ProcessLookupError):
            if nanny.pid:
                os.kill(nanny.pid, signal.SIGKILL)


def _replace_the_lost(cluster, ended: threading.Event) -> None:
    """Dask starts a worker that died anew, but may give it up if it dies again while it starts."""
    dead = {}  # name → looks in a row at which its nanny had no process
    while not ended.wait(1):
        dead = {name: dead.get(name, 0) + 1 for name, nanny in cluster.workers.items() if not nanny.is_alive()}
        lost = [name for name, looks in dead.items() if looks >= LOOKS]
        for name in lost:
            cluster.loop.add_callback(cluster.workers.pop(name).close)
            del dead[name]
        if len(cluster.workers) < len(cluster.worker_spec):
            cluster.scale(len(cluster.worker_spec))  # starts what is asked for and not there, under the same names


def answers(address: str) -> str:
    """The address of the scheduler's dashboard; empty if no scheduler answers within ten seconds."""
    from distributed import Client

    try:
        with Client(address, timeout=10, set_as_default=False) as client:
            return client.dashboard_link or "it has no dashboard"
    except (OSError, TimeoutError, ValueError):
        return ""


def divide(workers: int | None, gpus: int, cores: int) -> tuple[int, dict | None]:
    """How many workers, and the Dask resources of each. More workers than GPUs share them."""
    if gpus:
        return workers or gpus, {GPU: 1}
    return (cores if workers is None else workers), None


def compute_on(address: str, function: Callable, runs: list) -> Iterator[tuple[object, object, BaseException | None]]:
    """`function` of every run on the workers of a scheduler: (run, result, error) as they come.

    An exception is not retried. A run whose worker dies is, as often as the scheduler allows; a scheduler that dies is
    waited for, LOST times. Raises StudyError, before anything is computed, if a worker cannot compute runs.
    """
    from distributed import Client

    left = {run.name: run for run in runs}
    for attempt in range(LOST + 1):
        try:
            with Client(address, timeout=60 if attempt else 10, set_as_default=False) as client:
                check_workers(client)
                for run, result, error in _submit(client, function, list(left.values())):
                    del left[run.name]
                    yield run, result, error
        except (OSError, TimeoutError) as error:  # what Dask raises if nobody answers
            print(f"the Dask scheduler at {address} does not answer: {error}", file=sys.stderr)
            time.sleep(1)
        if not left:
            return
    for run in left.values():
        yield run, None, ConnectionError(f"the Dask scheduler at {address} was lost {LOST + 1} times")


def check_workers(client) -> None:
    """Raises StudyError, one line, if a worker has several threads or another version of the method.

    Torch's random numbers and number of threads belong to a process: two runs in one would mix theirs.
    """
    infos = client.scheduler_info(n_workers=-1)["workers"]
    versions = client.run(method_version, on_error="return")
    refused = [unfit(infos[at]["name"], at, infos[at]["nthreads"], versions.get(at)) for at in sorted(infos)]
    if refused := [line for line in refused if line]:
        raise StudyError(f"{truncated(refused, 3)}. Nothing was computed")


def method_version() -> int:
    return METHOD_VERSION


def unfit(name: str, address: str, threads: int, version, wanted: int = METHOD_VERSION) -> str:
    """Why a worker cannot compute runs, in one line; "" if it can."""
    if isinstance(version, OSError | TimeoutError):  # nobody answers there any more
        return ""
    if threads != 1:
        return (
            f"Dask worker {name} at {address} has {threads} threads: start it with --nthreads 1, and as many workers "
            "as it may use cores"
        )
    if version != wanted:
        return (
            f"Dask worker {name} at {address} has another version of the method than the checkout that sends runs: "
            "bring its checkout to the same commit and start it again, or stop it"
        )
    return ""


def refused(method: int) -> str:
    """In a worker, which may have joined later: why it cannot compute runs, in one line; "" if it can.

    method: METHOD_VERSION of the checkout that sent them.
    """
    from distributed import get_worker

    worker = get_worker()
    return unfit(worker.name, worker.address, worker.state.nthreads, METHOD_VERSION, method)


def _submit(client, function: Callable, runs: list):
    """Ends early, without the rest, if the scheduler is lost."""
    from distributed import as_completed

    workers = client.scheduler_info(n_workers=-1)["workers"].values()
    resources = {GPU: 1} if any(GPU in worker["resources"] for worker in workers) else None
    futures = {client.submit(function, run, pure=False, resources=resources): run for run in runs}
    for future in as_completed(futures, loop=client.loop):
        if future.status == "finished":
            yield futures[future], future.result(), None
        elif future.status == "error":
            yield futures[future], None, future.exception()
        else:
            return
