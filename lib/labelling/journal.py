"""What a person said about rows, on disk at once: a file to which lines are only added.

{"journal": 1, "columns": [...], "labels": [...], "answers": ""}     what the labels mean
{"batch": 0, "rows": [...], "picked": [...], "predicted": [...], …}  rows that were asked about
{"batch": 1, …, "begun": true}                                      its rows at random; the whole batch follows later
{"row": "5d41402abc4b2a76", "number": 3, "texts": [...], "label": "positive", "file": null, "at": …}
{"corrected": [{"row": …, "instead_of": "5d41402abc4b2a76", …}, …]}  answers that follow a file that was corrected
{"undo": true, "at": …}                                              takes back the last of these that still holds
{"renamed": {"neg": "negative"}, "at": …}                            what was called so before is called so from here on

An answer: the row's key, its place and its texts, the label (null: skipped), and the label that the file had then. The
last one about a row holds. `instead_of` is the key of the row's former texts. A line that
cannot be read costs this line.
"""

import codecs
import errno
import json
import os
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from lib.errors import StudyError, truncated

FORMAT = 1


@dataclass(frozen=True)
class Said:
    """What a journal says in the end."""

    batches: list[dict]  # as they were asked, oldest first; rows whose texts were corrected under their new keys
    lines: dict[str, dict]  # row → the answer about it that holds, oldest first

    @property
    def answers(self) -> dict[str, str | None]:
        """Row → label, None if it was skipped; oldest first."""
        return {key: answer["label"] for key, answer in self.lines.items()}


class Journal:
    """Lines of a file. A line is on the disk before `append` returns, so that a killed process loses no answer.

    note: which lines are damaged and do not count, "" if none is. Raises StudyError if the file is about something
    else, or was written by somebody else meanwhile.
    """

    def __init__(self, path: Path, about: dict):
        self.path = path
        first = {"journal": FORMAT, **about}
        content = path.read_bytes() if path.exists() else b""
        self.lines, damaged = read_lines(content)
        self.known = None  # what they say in the end, once somebody has asked
        if len(damaged) > 1 and not any(self.lines):
            raise StudyError(f"{path} is not a journal of labels: choose another folder with save")
        heading = next((line for line in self.lines if "journal" in line), None)
        if heading and heading != first:
            differing = [name for name in first if heading.get(name) != first[name]]
            name = (differing or ["journal"])[0]
            raise StudyError(
                f"{path} holds labels given with {name}={heading.get(name)!r}, not {first[name]!r}: "
                "choose another folder with save"
            )
        self.note = ""
        if damaged:
            which = f"line {damaged[0]} is" if len(damaged) == 1 else f"lines {truncated(damaged)} are"
            self.note = (
                f"{path.name}: {which} damaged and left out; all other lines count: mend by hand, or answer again"
            )
        self.size, self.ended = len(content), content.endswith(b"\n") or not content
        if not heading:
            self._write(first)

    def append(self, **line) -> None:
        """Add a line. Raises StudyError if it is not safely on the disk."""
        self._write({**line, "at": datetime.now(UTC).isoformat(timespec="seconds")})

    def _write(self, line: dict) -> None:
        data = b"" if self.ended else b"\n"
        data += json.dumps(line).encode() + b"\n"
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with open(self.path, "ab", buffering=0) as file:
                if os.fstat(file.fileno()).st_size != self.size:
                    raise StudyError(f"{self.path} was changed by another notebook: run all cells to go on")
                try:
                    if file.write(data) < len(data):
                        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                    os.fsync(file.fileno())
                except OSError:
                    file.truncate(self.size)  # half a line
                    raise
        except OSError as error:
            raise StudyError(
                f"{self.path}: the answer is not saved ({error.strerror or error}): free space there or make it "
                "writable, then answer again"
            ) from error
        self.size, self.ended = self.size + len(data), True
        self.lines.append(line)
        self.known = None

    def said(self) -> Said:
        """What holds after all lines. It is asked dozens of times an answer, and read once."""
        if self.known is None:
            self.known = self._read()
        return self.known

    def _read(self) -> Said:
        batches, told = [], []
        for line in self.lines:
            if "journal" in line:
                continue
            if "batch" in line:
                batches[line["batch"] :] = [line]  # a batch that was begun is replaced by the whole
            elif "renamed" in line:
                told = [renamed(former, line["renamed"]) for former in told]
                batches = [renamed(batch, line["renamed"]) for batch in batches]
            elif "undo" in line:
                del told[-1:]
            else:
                told.append(line)
        answers, now = {}, {}  # now: former key → key
        for answer in (answer for line in told if line for answer in line.get("corrected", [line])):
            former = answer.get("instead_of")
            for key in (former, answer["row"]):
                answers.pop(key, None)
            answers[answer["row"]] = answer
            if former:
                now = {old: answer["row"] if key == former else key for old, key in {former: former, **now}.items()}
        batches = [{**batch, "rows": [now.get(key, key) for key in batch["rows"]]} for batch in batches]
        return Said(batches, answers)


def renamed(line: dict, names: dict[str, str]) -> dict:
    """A line, with other names for classes. names: former → present."""
    if "corrected" in line:
        return {**line, "corrected": [renamed(answer, names) for answer in line["corrected"]]}
    if "predicted" in line:
        return {**line, "predicted": [names.get(name, name) for name in line["predicted"]]}
    return {key: names.get(value, value) if key in ("label", "file") else value for key, value in line.items()}


def read_lines(content: bytes) -> tuple[list[dict], list[int]]:
    """The lines of a journal, and the numbers of those that are damaged.

    Of these, one that may be an answer is {}: what `undo` takes back after it is not the answer before it.
    """
    lines, damaged = [], []
    pieces = content.removeprefix(codecs.BOM_UTF8).split(b"\n")
    for number, piece in enumerate(pieces if pieces[-1].strip() else pieces[:-1], 1):
        try:
            held = json.loads(piece)
        except (ValueError, RecursionError):
            held = None
        if is_line(held):
            lines.append(held)
            continue
        damaged.append(number)
        if piece.strip() and not any(word in piece for word in (b'"batch"', b'"undo"', b'"renamed"')):
            lines.append({})
    return lines, damaged


def is_line(held) -> bool:
    """Whether this is one of the lines above, with values of the types that it has there."""
    if not isinstance(held, dict):
        return False
    if "journal" in held or "undo" in held:
        return True
    if "batch" in held:
        lists = [held.get(name) for name in ("rows", "picked", "predicted")]
        return (
            all(are_names(names) for names in lists)
            and len({len(names) for names in lists}) == 1
            and not {None}.intersection(*lists[:2])
            and all(type(held.get(name)) is int and held[name] >= 0 for name in ("batch", "labelled"))
            and isinstance(held.get("kappa"), float | int | None)
        )
    if "renamed" in held:
        return isinstance(held["renamed"], dict) and are_names(list(held["renamed"].values()))
    if "corrected" in held:
        return isinstance(held["corrected"], list) and all(map(is_answer, held["corrected"]))
    return is_answer(held)


def is_answer(held) -> bool:
    return (
        isinstance(held, dict)
        and isinstance(held.get("row"), str)
        and "label" in held
        and are_names([held.get(name) for name in ("label", "file", "ambiguous", "instead_of", "at")])
        and isinstance(held.get("number"), int | None)
        and are_names(held.get("texts", []))
        and None not in held.get("texts", [])
    )


def are_names(held) -> bool:
    """Whether this is a list of texts, or of None."""
    return isinstance(held, list) and all(name is None or isinstance(name, str) for name in held)
