"""A published study: the finished runs of a profile in a few files, for a clone that has neither data nor weights.

    results/study/<profile>/
        manifest.json              each run's key, protocol, fingerprints and provenance, and the part that holds it;
                                   the files of each part and their SHA-256; what was left out
        baselines-<sum>.parquet    of runs of this and of other parts (lib.analysis.baselines)
        rounds-<sum>.parquet       one file for each kind that `lib.runs.results.load` knows, all runs of a part in it
        …

Each publication adds a part with its runs and leaves the files of earlier parts as they are. A file's name ends in the
beginning of its checksum. The manifest, which names the files, is replaced last, in one step: whoever is killed before
that leaves the old study whole, after it the new.
"""

import json
import warnings
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from filelock import FileLock

from lib.data.sources import file_sha256
from lib.errors import StudyError
from lib.protocol import digest
from lib.runs.files import flush, read_json, write_json
from lib.runs.provenance import ROOT

STUDIES = ROOT / "results" / "study"
OWN_DATA = "data"  # in a store, beside the runs: the rows of the files that --data was given
FORMAT = 2  # of manifest and tables: another one is not read
MANIFEST = "manifest.json"
WHOLE = ("rounds", "layers", "timings", "baselines")  # small tables, read whole; of the others a run is a row group
SHOWN = 12  # digits of a checksum in a name


class DamagedStudy(StudyError):
    """A file of a published study is torn, altered or gone."""


@dataclass(frozen=True)
class Study:
    """One published study, as its manifest describes it. stamp: tells one state of the manifest from the next."""

    folder: Path
    stamp: tuple = ()

    @cached_property
    def manifest(self) -> dict:
        """Raises DamagedStudy if it is torn or altered."""
        manifest = read_json(self.folder / MANIFEST) or {}
        if manifest.pop("sha256", "") != digest(manifest):
            raise self.damaged(MANIFEST, "torn or altered")
        return manifest

    @cached_property
    def runs(self) -> dict[str, dict]:
        """Name → key, identity, fields, provenance, part and label; none if the study is of another format.

        label: what the run is called in the files of its part, where it may bear the name of an earlier version.
        """
        if self.manifest.get("format") != FORMAT:
            return {}
        shared = self.manifest["provenance"]
        return {
            name: {"label": name, **entry, "provenance": shared[entry["provenance"]]}
            for name, entry in self.manifest["runs"].items()
        }

    def damaged(self, file: str, how: str) -> DamagedStudy:
        return DamagedStudy(
            f"published study {self.folder.name}: {file} is {how}: put {self.folder} back as it was, for example with "
            "git, or delete it, and its runs are computed again"
        )

    def file(self, part: int, table: str) -> Path:
        """Where a table of a part is, once its checksum is seen to be right. Raises DamagedStudy."""
        said = self.manifest["parts"][part][table]
        path = self.folder / said["file"]
        try:
            found = _sha256(path, path.stat().st_mtime_ns, path.stat().st_size)
        except OSError as error:
            raise self.damaged(said["file"], f"not readable ({error.strerror or error})") from error
        if found != said["sha256"]:
            raise self.damaged(said["file"], f"altered: its checksum is not the one in {MANIFEST}")
        return path

    @property
    def files(self) -> list[tuple[int, str, str]]:
        """Part, table and name of each file."""
        parts = enumerate(self.manifest["parts"])
        return [(number, table, said["file"]) for number, part in parts for table, said in part.items()]

    def check(self) -> None:
        """Raises DamagedStudy if a table is gone or altered."""
        for part, table, _ in self.files:
            self.file(part, table)

    def packed(self, table: str, name: str) -> pa.Table:
        """The rows of a run as they are stored. Raises DamagedStudy."""
        run = self.runs[name]
        if table not in self.manifest["parts"][run["part"]]:
            return pa.table({"run": pa.array([], pa.string())})
        return pq.read_table(self.file(run["part"], table), filters=[("run", "in", [run["label"]])], memory_map=True)

    @cached_property
    def baselines(self) -> dict[str, pd.DataFrame]:
        """Run → its baselines (lib.analysis.baselines); parts of their own hold them. Raises DamagedStudy."""
        files = [self.file(part, table) for part, table, _ in self.files if table == "baselines"]
        frames = [pq.read_table(file, memory_map=True).to_pandas() for file in files]
        return {run: some.drop(columns="run") for frame in frames for run, some in frame.groupby("run", sort=False)}

    def table(self, table: str, name: str) -> pd.DataFrame:
        """A run's table as the live store has it, with the column `round`; empty if it has none."""
        if table in WHOLE:
            run = self.runs[name]
            return self._whole(table, run["part"]).get(run["label"], pd.DataFrame()).copy(deep=False)
        return unpack(self.packed(table, name)).drop(columns="run")

    @cached_property
    def _read(self) -> dict[tuple[str, int], dict[str, pd.DataFrame]]:
        return {}

    def _whole(self, table: str, part: int) -> dict[str, pd.DataFrame]:
        """Label → rows, read once."""
        if (table, part) not in self._read:
            found = {}
            if table in self.manifest["parts"][part]:
                rows = unpack(pq.read_table(self.file(part, table), memory_map=True))
                groups = rows.drop(columns="run").groupby(rows["run"].to_numpy(), sort=False)
                found = {run: some.reset_index(drop=True) for run, some in groups}
            self._read[table, part] = found
        return self._read[table, part]


# ---- finding


def studies() -> list[Study]:
    """All published studies of this checkout whose manifest can be read; a warning names each other one."""
    found = []
    for path in sorted(STUDIES.glob(f"*/{MANIFEST}")):
        stat = path.stat()
        study = _study(path.parent, (stat.st_mtime_ns, stat.st_size, stat.st_ino))
        try:
            found += [study] if study.manifest else []
        except DamagedStudy as error:
            warnings.warn(str(error), stacklevel=2)
    return found


@cache
def _study(folder: Path, stamp: tuple) -> Study:
    return Study(folder, stamp)


def find(name: str) -> Study | None:
    """The published study that has a run of this name."""
    return next((study for study in studies() if name in study.runs), None)


def known(protocol: dict, places: dict[str, str]) -> list[dict]:
    """Identities of what is published of a protocol; of those alone whose rows or weights lay at these places."""
    entries = [entry for study in studies() for entry in study.runs.values()]
    same = [entry for entry in entries if entry["identity"]["protocol"] == protocol]
    return [entry["identity"] for entry in same if places.items() <= entry["provenance"]["locations"].items()]


@cache
def _sha256(path: Path, modified: int, size: int) -> str:
    """Once for each state of a file, as far as its time and size tell."""
    return file_sha256(path)


# ---- rows as they are stored


def pack(frame: pd.DataFrame) -> pa.Table:
    """Rows to be stored: dictionaries as JSON."""
    dictionaries = [name for name in frame if frame[name].map(lambda value: isinstance(value, dict)).any()]
    frame = frame.assign(**{name: frame[name].map(json.dumps) for name in dictionaries})
    table = pa.Table.from_pandas(frame, preserve_index=False).replace_schema_metadata()
    for name in dictionaries:
        place = table.schema.get_field_index(name)
        table = table.set_column(place, table.schema.field(place).with_metadata({"json": "1"}), table[name])
    return table


def unpack(table: pa.Table) -> pd.DataFrame:
    """The rows in the types of the live store, without columns that none of them has."""
    table = table.select([name for name in table.column_names if name == "run" or table[name].null_count < len(table)])
    frame = table.to_pandas()
    for field in table.schema:
        column = table[field.name]
        if (field.metadata or {}).get(b"json"):
            frame[field.name] = [json.loads(text) for text in frame[field.name]]
        elif pa.types.is_list(field.type) and pa.types.is_integer(field.type.value_type):
            frame[field.name] = column.to_pylist()
        elif pa.types.is_integer(field.type) and column.null_count:
            frame[field.name] = column.to_pandas(types_mapper={field.type: pd.Int64Dtype()}.get)
    if "bald" in frame and "score" not in frame and "entropy" in frame:
        frame["score"] = frame["bald"]  # BALD's own score, stored once
    return frame


def _write_table(path: Path, pieces: list[pa.Table], grouped: bool) -> None:
    """A parquet file, in the encodings that make it small; grouped: each piece is a row group."""
    table = pa.concat_tables(pieces, promote_options="default")
    encodings, coded = {}, []
    for field in table.schema:
        nested = pa.types.is_list(field.type)
        name = f"{field.name}.list.element" if nested else field.name
        if pa.types.is_floating(field.type.value_type if nested else field.type):
            encodings[name] = "BYTE_STREAM_SPLIT"
        elif field.name == "row":
            encodings[name] = "DELTA_BINARY_PACKED"
        else:
            coded.append(name)
    how = {"compression": "zstd", "compression_level": 9, "use_dictionary": coded, "column_encoding": encodings}
    with pq.ParquetWriter(path, table.schema, write_statistics=["run"], **how) as writer:
        start = 0
        for piece in pieces if grouped else [table]:
            writer.write_table(table.slice(start, len(piece)), row_group_size=len(piece))
            start += len(piece)
    flush(path)


# ---- writing


def locked(folder: Path) -> FileLock:
    """While it is held, no other process writes published studies."""
    return FileLock(folder.parent / ".lock")


def write(folder: Path, runs: dict[str, dict], tables: dict[str, list[pa.Table]], left_out: list[str]) -> Study:
    """Add a part with these runs to the study in a folder, in one step.

    runs: name → key, identity, fields, provenance. tables: kind → rows of each run that has some, `run` among the
    columns. left_out: a sentence for each thing that the live store has and this has not.
    """
    folder.mkdir(parents=True, exist_ok=True)
    before = Study(folder).manifest if (folder / MANIFEST).exists() else {"parts": [], "provenance": {}, "runs": {}}
    files = {table: _write_part(folder, table, pieces) for table, pieces in tables.items() if pieces}
    flush(folder)
    shared, entries = dict(before["provenance"]), dict(before["runs"])
    for name, run in sorted(runs.items()):
        label = digest(run["provenance"])[:SHOWN]
        shared[label] = run["provenance"]
        entries[name] = {"key": run["key"], "identity": run["identity"], "fields": run["fields"]}
        entries[name] |= {"provenance": label, "part": len(before["parts"])}
    parts = [*before["parts"], files]
    _write_manifest(
        folder, {"format": FORMAT, "left_out": left_out, "parts": parts, "provenance": shared, "runs": entries}
    )
    study = Study(folder)
    known = {file for *_, file in study.files}
    for table in tables:  # of a publication that was killed
        for path in (*folder.glob(f"{table}-{'?' * SHOWN}.parquet"), *folder.glob(f"{table}.tmp")):
            if path.name not in known:
                path.unlink()
    return study


def _write_part(folder: Path, table: str, pieces: list[pa.Table]) -> dict:
    """Write a table of a part. → its file, SHA-256, rows and bytes"""
    scratch = folder / f"{table}.tmp"
    _write_table(scratch, pieces, grouped=table not in WHOLE)
    sha256 = file_sha256(scratch)
    file = {"file": f"{table}-{sha256[:SHOWN]}.parquet", "sha256": sha256}
    file |= {"rows": sum(map(len, pieces)), "bytes": scratch.stat().st_size}
    scratch.rename(folder / file["file"])
    return file


def _write_manifest(folder: Path, manifest: dict) -> None:
    write_json(folder / MANIFEST, {**manifest, "sha256": digest(manifest)})
    flush(folder)
