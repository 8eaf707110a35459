"""The store of runs: one folder a run, one folder a finished round, small parquet and json files.

    results/<task>-<strategy>-F<frozen>-seed<seed>-<key>/
        protocol.json           what the run is, and the fingerprints that its key is made of
        provenance.json         code, versions and machine it was computed with
        round-00/ … round-09/   round.json, layers.parquet, pool.parquet, validation.parquet, timings.json
        DONE                    checksums of all of it, written last

A round's folder is written under another name, flushed to disk and renamed: it is there whole, or not at all.
"""

import hashlib
import json
import os
import platform
import shutil
import subprocess
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import cache, cached_property
from importlib.metadata import version
from pathlib import Path

import pandas as pd
import torch
from filelock import FileLock

from lib import sources
from lib.protocol import Protocol, StudyError, digest
from lib.tasks import read_texts

ROOT = Path(__file__).resolve().parent.parent
STORE = ROOT / "results"
SCHEMA = 2  # of the store: a run written under another schema is another run

TABLES = ("rounds", "layers", "pool", "validation", "timings")
IDENTITY = ("task", "strategy", "frozen", "seed")

# the modules whose code decides a run's numbers
CODE = (
    "protocol",
    "sources",
    "tasks",
    "model",
    "training",
    "uncertainty",
    "acquisition",
    "scoring",
    "active_learning",
)


@dataclass(frozen=True)
class Run:
    """One run's place in the store."""

    protocol: Protocol
    store: Path

    @cached_property
    def identity(self) -> dict:
        """What the key is made of."""
        p = self.protocol
        return {
            "schema": SCHEMA,
            "protocol": p.canonical(),
            "rows": read_texts(p.task, p.hub).fingerprint,
            "weights": sources.weights_fingerprint(p.encoder),
        }

    @cached_property
    def key(self) -> str:
        return digest(self.identity)

    @cached_property
    def name(self) -> str:
        p = self.identity["protocol"]
        return f"{p['task']}-{p['strategy']}-F{p['frozen']}-seed{p['seed']}-{self.key[:12]}"

    @property
    def folder(self) -> Path:
        return self.store / self.name

    @property
    def done(self) -> bool:
        return (self.folder / "DONE").exists()

    @property
    def state(self) -> str:
        """'done', 'stale' (done by other code), 'partial' or 'missing'."""
        if self.done:
            provenance = json.loads((self.folder / "provenance.json").read_text("utf-8"))
            return "done" if provenance["code"] == code_fingerprint() else "stale"
        return "partial" if self.read_round(0) else "missing"

    def read_round(self, round_: int) -> dict | None:
        path = self.folder / f"round-{round_:02}" / "round.json"
        return json.loads(path.read_text("utf-8")) if path.exists() else None

    @contextmanager
    def locked(self):
        """No other process writes this run meanwhile; waits for one that does. The lock dies with its process."""
        with _clear_errors(self.store):
            self.folder.mkdir(parents=True, exist_ok=True)
            lock = FileLock(self.folder / ".lock")
            lock.acquire()
        try:
            yield
        finally:
            lock.release()

    def begin(self) -> None:
        """Say what the run is, and clear away what a killed process left half-written."""
        with _clear_errors(self.store):
            for leftover in self.folder.glob("*.tmp"):
                shutil.rmtree(leftover) if leftover.is_dir() else leftover.unlink()
            _write_json(self.folder / "protocol.json", {**self.identity, "fields": asdict(self.protocol)})
            _write_json(self.folder / "provenance.json", provenance())

    def write_round(self, round_: int, record: dict, timings: dict, **tables: pd.DataFrame) -> None:
        """One finished round, whole: round.json, timings.json and a parquet file for each table."""
        final = self.folder / f"round-{round_:02}"
        scratch = final.with_suffix(".tmp")
        with _clear_errors(self.store):
            try:
                scratch.mkdir()
                _write_json(scratch / "round.json", record)
                _write_json(scratch / "timings.json", timings)
                for name, table in tables.items():
                    table.to_parquet(scratch / f"{name}.parquet", index=False)
                    _flush(scratch / f"{name}.parquet")
                _flush(scratch)
                scratch.rename(final)
                _flush(self.folder)
            except OSError:
                shutil.rmtree(scratch, ignore_errors=True)
                raise

    def finish(self) -> None:
        """The last word of a run: checksums of what decides its tables and figures."""
        files = sorted(f for f in self.folder.rglob("*") if f.suffix in (".json", ".parquet"))
        checksums = {
            str(f.relative_to(self.folder)): sources.file_sha256(f)
            for f in files
            if f.name not in ("timings.json", "provenance.json")
        }
        with _clear_errors(self.store):
            _write_json(self.folder / "DONE", checksums)


def load(table: str, protocols: list[Protocol], store=STORE, columns=IDENTITY) -> pd.DataFrame:
    """One tidy table of the finished rounds of these runs, from the store alone.

    table: "rounds" (a row a round: labelled, accuracy, loss, class counts, picks, health), "layers" (a row a round and
    layer), "pool" (a row a round and pool row: score, BALD, entropy, prediction), "validation" or "timings". `columns`
    are fields of Protocol that are put in front, after `run`. Raises StudyError if a run is not in the store.
    """
    if table not in TABLES:
        raise StudyError(f"table={table!r} is not known: choose one of {', '.join(TABLES)}")
    frames = []
    for run in dict.fromkeys(Run(p, Path(store)) for p in protocols):
        if not run.done:
            raise StudyError(f"run {run.name} is {run.state} in {store}: compute it with lib.sweep.sweep first")
        fields = {column: getattr(run.protocol, column) for column in columns}
        for folder in sorted(run.folder.glob("round-*")):
            front = {"run": run.name, **fields, "round": int(folder.name.removeprefix("round-"))}
            frame = _read(table, folder).drop(columns="round", errors="ignore")
            frame = pd.DataFrame(front, index=frame.index).join(frame)
            frames.append(frame)
    frames = [frame for frame in frames if len(frame)]
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame()


def _read(table: str, folder: Path) -> pd.DataFrame:
    if table in ("rounds", "timings"):
        path = folder / {"rounds": "round.json", "timings": "timings.json"}[table]
        return pd.DataFrame([json.loads(path.read_text("utf-8"))])
    path = folder / f"{table}.parquet"
    return pd.read_parquet(path) if path.exists() else pd.DataFrame()


@cache
def code_fingerprint() -> str:
    """SHA-256 over the modules that decide a run's numbers."""
    sha = hashlib.sha256()
    for module in CODE:
        sha.update((ROOT / "lib" / f"{module}.py").read_bytes())
    return sha.hexdigest()


@cache
def commit() -> str:
    """The checkout's commit, with '+' if tracked files differ from it; 'unknown' outside a checkout."""
    git = ["git", "-C", str(ROOT)]
    try:
        head = subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, text=True, check=True).stdout.strip()
        clean = subprocess.run([*git, "diff", "--quiet", "HEAD", "--", "lib", "notebooks"]).returncode == 0
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return head if clean else f"{head}+"


def provenance() -> dict:
    """What computed a run: not part of its key, but needed to understand a difference."""
    packages = ("torch", "transformers", "tokenizers", "numpy", "pandas", "pyarrow")
    return {
        "commit": commit(),
        "code": code_fingerprint(),
        "python": platform.python_version(),
        "versions": {name: version(name) for name in packages},
        "processor": processor(),
    }


@cache
def processor() -> str:
    """Name of the GPU if there is one, else of the CPU and its vector instructions."""
    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    name = platform.processor() or platform.machine()
    if Path("/proc/cpuinfo").exists():
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
        name = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), name)
    return f"{name}, {torch.backends.cpu.get_cpu_capability()}"


@contextmanager
def _clear_errors(store: Path):
    try:
        yield
    except OSError as error:
        raise StudyError(
            f"cannot write to the results folder {store} ({error.strerror or error}): free space there, make it "
            "writable or give another folder; finished rounds are kept"
        ) from error


def _write_json(path: Path, content) -> None:
    scratch = path.with_name(path.name + ".tmp")
    try:
        scratch.write_text(json.dumps(content, indent=1, sort_keys=True) + "\n", "utf-8")
        _flush(scratch)
        scratch.rename(path)
    except OSError:
        scratch.unlink(missing_ok=True)
        raise


def _flush(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
