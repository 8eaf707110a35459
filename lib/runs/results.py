"""The runs: those of the live store, which this module writes, and those of published studies, found alike.

The live store has one folder a run, one folder a finished round, small parquet and json files.

    results/<task>-<strategy>-F<frozen>-seed<seed>-<key>/
        protocol.json           what the run is, and the fingerprints that its key is made of
        provenance.json         how it was computed: precision, threads, commit, versions, processor; where its rows
                                and weights lay
        round-00/ … round-09/   round.json, layers.parquet, validation.parquet, timings.json and, if the pool is
                                scored, pool.parquet and samples.parquet
        DONE                    checksums of all of it, written last
        failed.json             why the last attempt ended, if it failed; never beside a sound DONE

A round's folder is written under another name, flushed to disk and renamed: it is there whole, or not at all. A run
that is finished in the live store is read from there, and else from a published study (lib.runs.published) if one
has it.
"""

import hashlib
import io
import json
import shutil
import warnings
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet
from filelock import FileLock

from lib.data import sources
from lib.data.tasks import rows_fingerprint
from lib.errors import StudyError, truncated
from lib.protocol import COMPUTING, IDENTITY, LOCATIONS, METHOD_VERSION, Protocol, digest
from lib.runs import own_strategies, published
from lib.runs.files import flush, read_json, write_json
from lib.runs.provenance import ROOT, commit, processor, provenance

__all__ = ["ROOT", "STORE", "DamagedRun", "Run", "commit", "load", "processor", "provenance"]

STORE = ROOT / "results"
BASELINES = "baselines"  # in a store, beside the runs: what lib.analysis.baselines keeps

TABLES = {  # kind → columns that every run's has
    "rounds": (
        "labelled",
        "accuracy",
        "loss",
        "majority",
        "class_counts",
        "pool_counts",
        "picked",
        "lengths",
        "health",
        "examined",
    ),
    "layers": ("layer", "number", "part", "parameters", "mean", "variance"),
    "pool": ("row", "score", "bald", "entropy", "prediction"),
    "samples": ("row", "probabilities", "features"),
    "validation": ("row", "label", "prediction"),
    "timings": ("training", "evaluation", "encoding", "acquisition", "examination"),
}
ORIGIN = ("precision", "processor")  # of what computed a run, what rounds its numbers
WITH_ORIGIN = ("rounds", "layers")  # tables that say it
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
        p, own = self.protocol, own_strategies.code_of(self.protocol.strategy) if self.protocol.rounds else None
        return {
            "method": METHOD_VERSION,
            "protocol": p.canonical(),
            "rows": self._known("rows", lambda: rows_fingerprint(p)),
            "weights": self._known("weights", lambda: sources.weights_fingerprint(p.encoder)),
            **({"strategy_code": own} if own else {}),  # METHOD_VERSION stands for lib's own strategies
        }

    def _known(self, what: str, fingerprint: Callable) -> str:
        """A fingerprint: of the rows or weights themselves or, where they are not, of the same run as published."""
        try:
            return fingerprint()
        except StudyError:
            places = {"rows": ("hub", "rows"), "weights": ("encoder",)}[what]
            known = published.known(self.protocol.canonical(), {name: getattr(self.protocol, name) for name in places})
            if len({one[what] for one in known}) != 1:
                raise
            return known[0][what]

    @cached_property
    def key(self) -> str:
        return digest(self.identity)

    @cached_property
    def name(self) -> str:
        return run_name(self.identity["protocol"], self.key)

    @property
    def folder(self) -> Path:
        return Path(self.store) / self.name

    @property
    def live(self) -> bool:
        """Whether the run is finished in the live store."""
        return (self.folder / "DONE").exists()

    @property
    def study(self) -> published.Study | None:
        """The published study that the run is read from: none if it is in the live store, or begun there."""
        return None if (self.folder / "protocol.json").exists() else published.find(self.name)

    @property
    def done(self) -> bool:
        return self.live or self.study is not None

    @property
    def origin(self) -> dict:
        """What computed the run, and how; empty if it has not begun."""
        study = self.study
        return study.runs[self.name]["provenance"] if study else read_json(self.folder / "provenance.json") or {}

    @property
    def state(self) -> str:
        """'done', 'failed', 'partial' or 'missing'."""
        if self.failure:
            return "failed"
        if self.done:
            return "done"
        return "partial" if self.rounds_done else "missing"

    def settled(self) -> "Run":
        """The run in the precision and with the threads in which it was begun; a new one as this machine does it."""
        begun = {name: self.origin[name] for name in COMPUTING if name in self.origin}
        return replace(self, protocol=replace(self.protocol, **begun).on_this_machine())

    @property
    def rounds_done(self) -> int:
        """Finished rounds, from the first on."""
        return next(k for k in range(10**4) if not (self.folder / f"round-{k:02}").exists())

    @property
    def failure(self) -> dict | None:
        """`round`, `error` (one line) and `traceback` of the last attempt, if it failed.

        None if it is published: what failed is not needed.
        """
        failure = read_json(self.folder / "failed.json")
        return None if failure and self.study else failure

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
        """Raises DamagedRun or DamagedStudy if a file of the finished run is gone or altered."""
        if study := self.study:
            study.check()
            return
        for file in self.checksums:
            self.read_bytes(file)

    def table(self, kind: str) -> pd.DataFrame:
        """One of TABLES, all rounds of the finished run, with the column `round`; empty if it has none of it."""
        if study := self.study:
            return study.table(kind, self.name)
        numbers = {
            int(folder.removeprefix("round-")): folder for file in self.checksums if (folder := Path(file).parent.name)
        }
        rounds = [_read(kind, self, folder).assign(round=number) for number, folder in sorted(numbers.items())]
        rounds = [frame for frame in rounds if len(frame)]
        return pd.concat(rounds, ignore_index=True) if rounds else pd.DataFrame()

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
        """Say what the run is, and clear away what a killed process left half-written.

        Raises StudyError if its rounds were computed on another kind of device, where dropout draws other masks.
        """
        now, begun = provenance(), self.origin.get("device", "cpu" if self.origin else "")
        if self.rounds_done and begun not in ("", now["device"]):
            raise StudyError(
                f"{self.name}: its first {self.rounds_done} rounds were computed on {begun!r}, and this is "
                f"{now['device']!r}, where dropout draws other masks: go on there (CUDA_VISIBLE_DEVICES= hides a GPU), "
                f"or remove {self.folder}"
            )
        with _clear_errors(self.store):
            for leftover in self.folder.glob("*.tmp"):
                shutil.rmtree(leftover) if leftover.is_dir() else leftover.unlink()
            (self.folder / "failed.json").unlink(missing_ok=True)
            self.check_rounds()
            fields = asdict(self.protocol)
            locations, computing = ({name: fields.pop(name) for name in names} for names in (LOCATIONS, COMPUTING))
            write_json(self.folder / "protocol.json", {**self.identity, "fields": fields})
            write_json(self.folder / "provenance.json", {**now, **computing, "locations": locations})

    def fail(self, error: str, details: str) -> Path | None:
        """Keep why the run failed. Returns the file, or None if the store cannot be written."""
        path = self.folder / "failed.json"
        record = {"round": self.rounds_done, "error": error, "traceback": details.splitlines()}
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            write_json(path, record)
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
                write_json(scratch / "round.json", record)
                write_json(scratch / "timings.json", timings)
                for name, table in tables.items():
                    table.to_parquet(scratch / f"{name}.parquet", index=False)
                    flush(scratch / f"{name}.parquet")
                flush(scratch)
                scratch.rename(final)
                flush(self.folder)
            except OSError:
                shutil.rmtree(scratch, ignore_errors=True)
                raise

    def finish(self) -> None:
        """The last word of a run: checksums of what decides its tables and figures."""
        files = sorted(f for f in self.folder.rglob("*") if f.suffix in (".json", ".parquet"))
        checksums = {str(f.relative_to(self.folder)): sources.file_sha256(f) for f in files if f.name not in UNSUMMED}
        with _clear_errors(self.store):
            write_json(self.folder / "DONE", checksums)


def run_name(protocol: dict, key: str) -> str:
    """What a run is called: its task, strategy, F, seed and draw, if there is one, and the beginning of its key."""
    draw = f"-draw{protocol['draw']}" if protocol.get("draw") else ""
    return f"{protocol['task']}-{protocol['strategy']}-F{protocol['frozen']}-seed{protocol['seed']}{draw}-{key[:12]}"


def finished(store: Path) -> set[str]:
    """Names of all runs that are finished in a store or published."""
    return {path.parent.name for path in store.glob("*/DONE")}.union(*(study.runs for study in published.studies()))


def load(table: str, protocols: list[Protocol], store="", columns=IDENTITY) -> pd.DataFrame:
    """One tidy table of the finished rounds of these runs, from the store or a published study.

    table: "rounds" (a row a round: labelled, accuracy, loss, class counts, picks, health), "layers" (a row a round and
    layer), both with the precision and the processor of the run (ORIGIN); "pool" (a row a round and pool row: score,
    BALD, entropy, prediction), "samples" (the sampled probabilities and the features of the pool rows worth showing,
    see `scoring.sampled_rows`), "validation" (a row a round and validation row: label, prediction, and in which rounds
    there are any, probabilities) or "timings". `columns` are fields of Protocol, put in front, after `run`.
    store: a folder; empty: results/ of the checkout. Every file is checked against its checksum. What a published study
    leaves out of a run is not there (see lib.runs.packing).

    A run that is not finished, or whose last attempt failed, is left out, and a warning says which.
    Raises StudyError for another table, DamagedRun or DamagedStudy if a file was altered.
    """
    if table not in TABLES:
        raise StudyError(f"table={table!r} is not known: choose one of {', '.join(TABLES)}")
    found = {}
    runs = {run.name: run for run in (Run(p, Path(store or STORE)) for p in protocols)}
    finished = {name: run for name, run in runs.items() if run.done and not run.failure}
    if left_out := [f"{name} ({run.state})" for name, run in runs.items() if name not in finished]:
        warnings.warn(
            f"{len(left_out)} of {len(runs)} runs are not finished in {store or STORE} and left out: "
            f"{truncated(left_out, 3)}; lib.runs.sweep computes them",
            stacklevel=2,
        )
    for run in finished.values():
        frame = run.table(table)
        if len(frame):
            found[run] = frame
    fields = {"run": [run.name for run in found]}
    fields |= {column: [getattr(run.protocol, column) for run in found] for column in columns}
    if table in WITH_ORIGIN:
        origins = [run.origin for run in found]
        fields |= {name: [origin.get(name, "unknown") for origin in origins] for name in ORIGIN}
    if not found:
        return pd.DataFrame(columns=[*fields, "round", *TABLES[table]])
    lengths = [len(frame) for frame in found.values()]
    front = {name: pd.Index(values).repeat(lengths) for name, values in fields.items()}
    joined = pd.concat(found.values(), ignore_index=True)
    return pd.DataFrame({**front, "round": joined["round"], **joined})


def _read(table: str, run: Run, folder: str) -> pd.DataFrame:
    if table in ("rounds", "timings"):
        file = f"{folder}/{'round' if table == 'rounds' else table}.json"
        try:
            return pd.DataFrame([json.loads(run.read_bytes(file))])
        except ValueError as error:
            raise run.damaged(run.folder / file) from error
    file = f"{folder}/{table}.parquet"
    frame = pd.read_parquet(io.BytesIO(run.read_bytes(file))) if file in run.checksums else pd.DataFrame()
    if table == "validation":
        log_probs_NC = frame.filter(regex="^log_prob_").to_numpy()
        frame["prediction"] = log_probs_NC.argmax(1).astype(np.int8)
    return frame


@contextmanager
def _clear_errors(store: Path):
    try:
        yield
    except OSError as error:
        raise StudyError(
            f"cannot write to the results folder {store} ({error.strerror or error}): free space there, make it "
            "writable or give another folder; finished rounds are kept"
        ) from error
