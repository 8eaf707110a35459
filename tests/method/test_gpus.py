"""What is asked of GPUs, on a machine without: torch's answers are replaced, the files and the waiting are real."""

import json
import subprocess
import sys

import pytest
import torch
from helpers import ROOT, refused

from lib.method import active_learning, gpus
from lib.runs import compute, provenance, results
from lib.runs.run import compute as compute_rounds
from lib.runs.run import run as run_one

VERSION = "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  580.95.05  Release Build\nGCC version: 12\n"


@pytest.fixture
def two_gpus(monkeypatch, tmp_path):
    """Two GPUs to take; → the numbers that were set."""
    chosen = []
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "set_device", chosen.append)
    monkeypatch.setattr(gpus.tempfile, "gettempdir", lambda: str(tmp_path))
    monkeypatch.setattr(gpus, "held", {})
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    return chosen


def test_processes_take_different_gpus_and_share_them_when_there_are_more(two_gpus, monkeypatch):
    others = []
    for _ in range(5):  # a new process has taken none; the files of the others stay locked
        monkeypatch.setattr(gpus, "held", {})
        gpus.take()
        others.append(gpus.held)
    assert two_gpus == [0, 1, 0, 1, 0]
    others.pop(1)[1].close()  # the process on GPU 1 ends
    monkeypatch.setattr(gpus, "held", {})
    gpus.take()
    assert two_gpus[-1] == 1


def test_a_process_keeps_its_gpu_and_sets_it_in_each_thread(two_gpus):
    for _ in range(3):
        gpus.take()
    assert two_gpus == [0, 0, 0]


def test_what_another_process_holds_is_not_taken(two_gpus, tmp_path):
    code = (
        "import sys, torch; from lib.method import gpus; torch.cuda.device_count = lambda: 2; "
        "torch.cuda.set_device = print; "
        f"gpus.tempfile.gettempdir = lambda: {str(tmp_path)!r}; gpus.take(); sys.stdout.flush(); sys.stdin.read()"
    )
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, **pipes) as process:
        assert process.stdout.readline() == "0\n"
        gpus.take()
        assert two_gpus == [1]
        process.stdin.close()
    gpus.held.clear()
    gpus.take()
    assert two_gpus == [1, 0]


def test_gpus_that_a_scheduler_hides_are_known_by_their_own_numbers(two_gpus, monkeypatch, tmp_path):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3, 5")
    gpus.take()
    assert [path.name for path in tmp_path.glob("*/*")] == ["3-0.lock"]
    assert two_gpus == [0], "in this process it is the first"


def test_one_gpu_needs_no_choice(two_gpus, monkeypatch, tmp_path):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    gpus.take()
    assert not two_gpus
    assert not list(tmp_path.iterdir())


def test_a_driver_is_seen_without_nvidia_smi(monkeypatch, tmp_path):
    monkeypatch.setattr(gpus.shutil, "which", lambda name: None)
    monkeypatch.setattr(gpus, "SIGNS", (str(tmp_path / "nvidiactl"),))
    assert not gpus.has_driver()
    (tmp_path / "nvidiactl").touch()
    assert gpus.has_driver()


def test_provenance_names_what_computes(monkeypatch, tmp_path):
    told = provenance.provenance()
    assert told["device"] == ("cuda" if torch.cuda.is_available() else "cpu")
    monkeypatch.setattr(gpus, "has_driver", lambda: True)
    monkeypatch.setattr(gpus, "DRIVER", tmp_path / "version")
    (tmp_path / "version").write_text(VERSION)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "NVIDIA H200")
    provenance.processor.cache_clear()
    try:
        told = provenance.provenance()
    finally:
        provenance.processor.cache_clear()
    assert (told["device"], told["processor"]) == ("cuda", "NVIDIA H200")
    assert told["versions"]["driver"] == "580.95.05"
    assert {"cuda", "cudnn", "torch"} <= set(told["versions"])


def test_clocks_wait_for_the_gpu(monkeypatch):
    waited = []
    monkeypatch.setattr(torch.cuda, "synchronize", lambda: waited.append(True))
    clock = active_learning.Clock()
    clock("nothing was done on a GPU")
    assert not waited
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    clock = active_learning.Clock()
    clock("training")
    assert len(waited) == 2


@pytest.mark.parametrize("in_worker", [True, False])
def test_a_worker_whose_gpu_is_lost_ends_and_another_process_says_so(in_worker, tiny_protocol, tmp_path, monkeypatch):
    def fail(*_):
        raise torch.AcceleratorError("CUDA error: an illegal memory access was encountered")

    def end(code):
        raise SystemExit(code)

    monkeypatch.setattr("lib.runs.run.run", fail)
    monkeypatch.setattr(compute.os, "_exit", end)
    run = results.Run(tiny_protocol(), tmp_path)
    if in_worker:
        with pytest.raises(SystemExit):
            compute._compute(run, in_worker=True)
        assert not (run.folder / "failed.json").exists(), "it is tried again elsewhere"
    else:
        assert "illegal memory access" in compute._compute(run).error


def test_a_gpu_whose_memory_is_full_is_not_lost():
    assert not gpus.lost(torch.OutOfMemoryError("CUDA out of memory"))
    assert gpus.lost(torch.AcceleratorError("CUDA error: uncorrectable ECC error"))


def test_a_run_is_not_continued_on_another_kind_of_device(tiny_protocol, tmp_path):
    protocol = tiny_protocol()
    record = results.Run(protocol, tmp_path)
    with active_learning.settled(protocol), record.locked():
        compute_rounds(record, *active_learning.prepare(protocol), last=0)
    path = record.folder / "provenance.json"
    told = json.loads(path.read_text())
    path.write_text(json.dumps(told | {"device": "cuda" if told["device"] == "cpu" else "cpu"}))
    before = {file: file.read_bytes() for file in record.folder.rglob("*") if file.is_file()}
    with refused("its first 1 rounds were computed on", "dropout draws other masks", str(record.folder)):
        run_one(protocol, tmp_path)
    assert {file: file.read_bytes() for file in before} == before, "nothing is lost"
    path.write_text(json.dumps({name: value for name, value in told.items() if name != "device"}))
    if told["device"] == "cpu":  # as all runs were before devices were written down
        run_one(protocol, tmp_path)
        assert record.done
