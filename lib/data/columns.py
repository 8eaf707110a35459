"""Which columns of a file hold the texts and the label: those with usual names, or what else leaves no doubt."""

from pathlib import Path

from lib.data.values import as_text
from lib.errors import StudyError, did_you_mean, truncated

TEXTS = ("text", "sentence", "review", "message", "content", "comment", "tweet", "body", "question", "title")
PAIRS = (("premise", "hypothesis"), ("sentence1", "sentence2"), ("question1", "question2"), ("question", "sentence"))
LABELS = ("label", "labels", "class", "category", "target", "gold", "sentiment", "intent", "topic")


class Columns:
    """The columns of a table, for the question which of them holds what."""

    def __init__(self, table: list[dict], path: Path):
        self.table, self.path = table, path
        self.names = list(dict.fromkeys(name for row in table for name in row))

    def check(self, given: str, option: str) -> str:
        """The name of a column that is there. Raises StudyError."""
        name = given.strip()
        if name not in self.names:
            hint = f"{did_you_mean(name, self.names)}: choose from {truncated([*map(repr, self.names)])}"
            raise StudyError(f"{option} {name}: {self.path.name} has no column {name!r}{hint}")
        return name

    def texts(self, option: str, without: tuple[str, ...] = ()) -> tuple[str, ...]:
        """The column of the text, or both of a pair. without: columns that hold something else. Raises StudyError."""
        others = [name for name in self.names if name not in without]
        if pair := next((pair for pair in PAIRS if set(pair) <= set(others)), None):
            return pair
        return (self.chosen(others, TEXTS, self.is_text, "the text", option),)

    def label(self, option: str, otherwise: str, without: tuple[str, ...] = ()) -> str:
        """The column of the label. otherwise: what to do if there is none. Raises StudyError."""
        others = [name for name in self.names if name not in without]
        return self.chosen(others, LABELS, self.is_label, "the label", option, otherwise)

    def usual_label(self) -> str:
        """The only column with a usual name of labels; "" if there is none, or several."""
        found = [name for name in self.names if name.lower() in LABELS]
        return found[0] if len(found) == 1 else ""

    def chosen(self, names: list[str], usual, fits, what: str, option: str, otherwise: str = "") -> str:
        """The one name that is usual, else the one that fits. Raises StudyError if there are none or several."""
        found = [name for name in names if name.lower() in usual] or [name for name in names if fits(name)]
        if len(found) == 1:
            return found[0]
        if found:
            listed = truncated([*map(repr, found)], 8)
            raise StudyError(
                f"{self.path.name}: {len(found)} columns could hold {what} ({listed}): name the right one, "
                f"{option} COLUMN"
            )
        there = f"no column looks like {what} (there are {truncated([*map(repr, self.names)])})"
        raise StudyError(f"{self.path.name}: {there}: name it, {option} COLUMN{otherwise}")

    def distinct(self, name: str) -> int:
        return len({as_text(row.get(name)) for row in self.table})

    def is_label(self, name: str) -> bool:
        return 1 < self.distinct(name) <= len(self.table) / 5

    def is_text(self, name: str) -> bool:
        """Whether a column differs in most rows, and not in its numbers alone."""
        numbers = all(as_text(row.get(name)).replace(".", "").isdecimal() for row in self.table)
        return not numbers and self.distinct(name) > len(self.table) / 2
