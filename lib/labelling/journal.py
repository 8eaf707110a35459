"""What a person said about rows, on disk at once: a file to which lines are only added.

{"journal": 1, "columns": [...], "labels": [...], "answers": ""}     what the labels mean
{"batch": 0, "rows": [...], "picked": [...], "predicted": [...], …}  rows that were asked about
{"batch": 1, …, "begun": true}                                      its rows at random; the whole batch follows later
{"row": "5d41402abc4b2a76", "number": 3, "texts": [...], "label": "positive", "file": null, "at": …}
{"corrected": [{"row": …, "instead_of": "5d41402abc4b2a76", …}, …]}  answers that follow a file that was corrected
{"undo": true, "at": …}                                              takes back the last of these that still holds

An answer: the row's key, its place and its texts, the label (null: skipped), and the label that the file had then. The
last one about a row holds. `instead_of` is the key of the row's former texts.
"""

import json
import os
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from lib.fields import StudyError

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

    Raises StudyError if the file is about something else, is damaged, or was written by somebody else meanwhile.
    """

    def __init__(self, path: Path, about: dict):
        self.path = path
        first = {"journal": FORMAT, **about}
        self.lines = read_lines(path)
        self.known = None  # what they say in the end, once somebody has asked
        if self.lines and self.lines[0] != first:
            differing = [name for name in first if self.lines[0].get(name) != first[name]]
            name = (differing or ["journal"])[0]
            raise StudyError(
                f"{path} holds labels given with {name}={self.lines[0].get(name)!r}, not {first[name]!r}: "
                "choose another folder with save"
            )
        self.size = whole_lines(path)
        if not self.lines:
            self._write(first)

    def append(self, **line) -> None:
        """Add a line. Raises StudyError if it is not safely on the disk."""
        self._write({**line, "at": datetime.now(UTC).isoformat(timespec="seconds")})

    def _write(self, line: dict) -> None:
        data = json.dumps(line).encode() + b"\n"
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with open(self.path, "ab") as file:
                if whole_lines(self.path) != self.size:
                    raise StudyError(f"{self.path} was changed by another notebook: run all cells to go on")
                file.truncate(self.size)  # of a line that a killed process left half-written
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise StudyError(
                f"{self.path}: the answer is not saved ({error.strerror or error}): free space there or make it "
                "writable, then answer again"
            ) from error
        self.size += len(data)
        self.lines.append(line)
        self.known = None

    def said(self) -> Said:
        """What holds after all lines. It is asked dozens of times an answer, and read once."""
        if self.known is None:
            self.known = self._read()
        return self.known

    def _read(self) -> Said:
        batches, told = [], []
        for line in self.lines[1:]:
            if "batch" in line:
                batches[line["batch"] :] = [line]  # a batch that was begun is replaced by the whole
            elif "undo" in line:
                told.pop()
            else:
                told.append(line)
        answers, now = {}, {}  # now: former key → key
        for answer in (answer for line in told for answer in line.get("corrected", [line])):
            former = answer.get("instead_of")
            for key in (former, answer["row"]):
                answers.pop(key, None)
            answers[answer["row"]] = answer
            if former:
                now = {old: answer["row"] if key == former else key for old, key in {former: former, **now}.items()}
        batches = [{**batch, "rows": [now.get(key, key) for key in batch["rows"]]} for batch in batches]
        return Said(batches, answers)


def whole_lines(path: Path) -> int:
    """Bytes of a file up to its last line break; 0 if there is no file."""
    return path.read_bytes().rfind(b"\n") + 1 if path.exists() else 0


def read_lines(path: Path) -> list[dict]:
    """The whole lines of a journal. Raises StudyError for one that is not what `append` writes."""
    content = path.read_bytes()[: whole_lines(path)] if path.exists() else b""
    lines = []
    for number, line in enumerate(content.split(b"\n")[:-1], 1):
        try:
            lines.append(dict(json.loads(line)))
        except (ValueError, TypeError) as error:
            raise StudyError(
                f"{path}, line {number} is damaged ({error}): mend it by hand, or choose another folder with save"
            ) from error
    return lines
