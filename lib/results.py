"""The store of runs: one folder a run, one folder a finished round, small parquet and json files.

    results/<task>-<strategy>-F<frozen>-seed<seed>-<key>/
        protocol.json           what the run is, and the fingerprints that its key is made of
        provenance.json         how it was computed: precision, threads, code, versions, processor; where its rows and
                                weights lay; the code that computed a round of it again and agreed
        round-00/ … round-09/   round.json, layers.parquet, validation.parquet, timings.json and, if the pool is
                                scored, pool.parquet and samples.parquet
        DONE                    checksums of all of it, written last
        failed.json             why the last attempt ended, if it failed; never beside a sound DONE

A round's folder is written under another name, flushed to disk and renamed: it is there whole, or not at all.
"""

import hashlib
import io
import json
import os
import shutil
import tempfile
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path

import pandas as pd
import pyarrow.parquet
from filelock import FileLock

from lib import code, sources
from lib.fields import StudyError
from lib.protocol import COMPUTING, IDENTITY, LOCATIONS, Protocol, digest
from lib.provenance import ROOT, commit, processor, provenance
from lib.tasks import rows_fingerprint

__all__ = ["ROOT", "STORE", "DamagedRun", "Run", "commit", "load", "processor", "provenance"]

STORE = ROOT / "results"
SCHEMA = 4  # of the store: a run written under another schema is another run

TABLES = ("rounds", "layers", "pool", "samples", "validation", "timings")
UNSUMMED = ("timings.json", "provenance.json", "failed.json")  # differ from one computation to the next


class DamagedRun(StudyError):
    """A file of a run is torn, altered or gone: the run is refused, the others are not concerned."""


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
            "rows": rows_fingerprint(p),
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
        return Path(self.store) / self.name

    @property
    def done(self) -> bool:
        return (self.folder / "DONE").exists()

    @property
    def state(self) -> str:
        """'done', 'stale' (done by other code), 'failed', 'partial' or 'missing'."""
        if self.failure:
            return "failed"
        if self.done:
            return "stale" if self.other_code else "done"
        return "partial" if self.rounds_done else "missing"

    @property
    def origin(self) -> dict:
        """What computed the run, and how; empty if it has not begun."""
        return read_json(self.folder / "provenance.json") or {}

    @property
    def other_code(self) -> list[str]:
        """Definitions that computed the finished run and are others today; none if today's code has verified it."""
        origin = self.origin
        told = [one.get("definitions") for one in (origin, origin.get("attested", {}))]
        return min((code.differing(then) for then in told if then), key=len, default=["all of it, as far as is known"])

    def settled(self) -> "Run":
        """The run in the precision and with the threads in which it was begun; a new one as this machine does it."""
        begun = {name: self.origin[name] for name in COMPUTING if name in self.origin}
        return replace(self, protocol=replace(self.protocol, **begun).on_this_machine())

    def discard(self) -> None:
        """Give the run up, whole, so that it is computed again from its first round."""
        with self.locked(), _clear_errors(self.store), tempfile.TemporaryDirectory(dir=self.store) as scratch:
            self.folder.rename(Path(scratch) / self.name)

    def attest(self) -> None:
        """Today's code gives what this finished run holds: it is no longer stale."""
        attested = {"commit": commit(), "definitions": code.definitions()}
        with _clear_errors(self.store):
            _write_json(self.folder / "provenance.json", self.origin | {"attested": attested})

    @property
    def rounds_done(self) -> int:
        """Finished rounds, from the first on."""
        return next(k for k in range(10**4) if not (self.folder / f"round-{k:02}").exists())

    @property
    def failure(self) -> dict | None:
        """`round`, `error` (one line), `session` and `traceback` of the last attempt, if it failed."""
        return read_json(self.folder / "failed.json")

    def read_round(self, round_: int) -> dict | None:
        """The record of a finished round; None if there is none. Raises DamagedRun."""
        path = self.folder / f"round-{round_:02}" / "round.json"
        if not path.parent.exists():
            return None
        record = read_json(path)
        if record is None:
            raise self.damaged(path)
        return record

    def damaged(self, path: Path, how: str = "torn or unreadable") -> DamagedRun:
        return DamagedRun(
            f"run {self.name}: {path.relative_to(self.folder)} is {how}: put it back, "
            f"or delete {self.folder} and the run is computed again"
        )

    @cached_property
    def checksums(self) -> dict[str, str]:
        """File → SHA-256, as the run's last word says. Raises DamagedRun."""
        done = read_json(self.folder / "DONE")
        if not done or not all(isinstance(value, str) for value in done.values()):
            raise self.damaged(self.folder / "DONE")
        return done

    def read_bytes(self, file: str) -> bytes:
        """A file of a finished run, checked against its checksum if it has one. Raises DamagedRun."""
        path = self.folder / file
        try:
            content = path.read_bytes()
        except OSError as error:
            raise self.damaged(path, f"not readable ({error.strerror or error})") from error
        if hashlib.sha256(content).hexdigest() != self.checksums.get(file, "") and path.name not in UNSUMMED:
            raise self.damaged(path, "altered: its checksum is not the one in DONE")
        return content

    def check(self) -> None:
        """Raises DamagedRun if a file of the finished run is gone or altered."""
        for file in self.checksums:
            self.read_bytes(file)

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

    def check_rounds(self) -> None:
        """Raises DamagedRun if a file of a finished round is torn, before the run is continued with it."""
        for round_ in range(self.rounds_done):
            self.read_round(round_)
            for path in (self.folder / f"round-{round_:02}").glob("*.parquet"):
                try:
                    pyarrow.parquet.read_metadata(path)
                except (OSError, pyarrow.ArrowException) as error:
                    raise self.damaged(path) from error

    def begin(self) -> None:
        """Say what the run is, and clear away what a killed process left half-written."""
        with _clear_errors(self.store):
            for leftover in self.folder.glob("*.tmp"):
                shutil.rmtree(leftover) if leftover.is_dir() else leftover.unlink()
            (self.folder / "failed.json").unlink(missing_ok=True)
            self.check_rounds()
            fields = asdict(self.protocol)
            locations, computing = ({name: fields.pop(name) for name in names} for names in (LOCATIONS, COMPUTING))
            _write_json(self.folder / "protocol.json", {**self.identity, "fields": fields})
            origin = {**provenance(), **computing, "locations": locations}
            if self.rounds_done and self.other_code:  # what other code began stays its own
                origin |= {name: self.origin.get(name) for name in ("commit", "code", "definitions")}
            _write_json(self.folder / "provenance.json", origin)

    def fail(self, error: str, details: str, session: str) -> Path | None:
        """Keep why the run failed. Returns the file, or None if the store cannot be written."""
        path = self.folder / "failed.json"
        record = {"round": self.rounds_done, "error": error, "session": session, "traceback": details.splitlines()}
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            _write_json(path, record)
        except OSError:
            return None
        return path

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
        checksums = {str(f.relative_to(self.folder)): sources.file_sha256(f) for f in files if f.name not in UNSUMMED}
        with _clear_errors(self.store):
            _write_json(self.folder / "DONE", checksums)


def load(table: str, protocols: list[Protocol], store="", columns=IDENTITY) -> pd.DataFrame:
    """One tidy table of the finished rounds of these runs, from the store alone.

    table: "rounds" (a row a round: labelled, accuracy, loss, class counts, picks, health), "layers" (a row a round and
    layer), both with the precision in which the run was computed; "pool" (a row a round and pool row: score, BALD,
    entropy, prediction), "samples" (the sampled probabilities and the features of the pool rows worth showing, see
    lib.scoring.sampled_rows), "validation" or "timings". `columns` are fields of Protocol that are put in front, after
    `run`. store: a folder; empty: results/ of the checkout. Every file is checked against its checksum.

    A run whose last attempt failed is left out: `lib.sweep.sweep` has said so. Raises StudyError if another run is not
    in the store, DamagedRun if a file was altered.
    """
    if table not in TABLES:
        raise StudyError(f"table={table!r} is not known: choose one of {', '.join(TABLES)}")
    frames = []
    store = Path(store or STORE)
    for run in dict.fromkeys(Run(p, store) for p in protocols):
        if run.failure:
            continue
        if not run.done:
            raise StudyError(f"run {run.name} is {run.state} in {store}: compute it with lib.sweep.sweep first")
        fields = {column: getattr(run.protocol, column) for column in columns}
        if table in ("rounds", "layers"):
            fields["precision"] = run.origin.get("precision", "unknown")
        for folder in sorted({Path(file).parent.name for file in run.checksums if "/" in file}):
            frame = _read(table, run, folder).drop(columns="round", errors="ignore")
            front = {"run": run.name, **fields, "round": int(folder.removeprefix("round-"))}
            frame = pd.DataFrame(front, index=frame.index).join(frame)
            frames.append(frame)
    frames = [frame for frame in frames if len(frame)]
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame()


def _read(table: str, run: Run, folder: str) -> pd.DataFrame:
    if table in ("rounds", "timings"):
        file = f"{folder}/{'round' if table == 'rounds' else table}.json"
        try:
            return pd.DataFrame([json.loads(run.read_bytes(file))])
        except ValueError as error:
            raise run.damaged(run.folder / file) from error
    file = f"{folder}/{table}.parquet"
    return pd.read_parquet(io.BytesIO(run.read_bytes(file))) if file in run.checksums else pd.DataFrame()


def read_json(path: Path) -> dict | None:
    """The object in a file; None if the file is not there, not readable or holds something else."""
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return None
    return content if isinstance(content, dict) else None


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
