"""What a field may hold, and how a mistake in one is said: one line, with what is allowed and what to do."""

import ast
import difflib
import sys
from functools import cache
from pathlib import Path


class StudyError(ValueError):
    """A user's mistake, said in one line: what was given, what is allowed, what to do.

    In a notebook it is that line, too: IPython asks an error how its traceback is shown.
    """

    def _render_traceback_(self) -> list[str]:
        return [str(self)]


CHOICES = {
    "decoder": ("cnn", "linear"),
    "mc_dropout": ("penultimate", "decoder", "off"),
    "restart": ("cold", "warm"),
    "frozen_dropout": ("off", "on"),
    "rows": ("study", "first"),
    "precision": ("auto", "float32", "bfloat16"),
}


def choices(field: str) -> tuple[str, ...]:
    """What a field that names something may hold; of the strategy, all that are registered."""
    return tuple(_strategies()) if field == "strategy" else CHOICES.get(field, ())


def _strategies() -> dict[str, str]:
    """Name of each strategy → its title: of the registry if it is loaded, else as it is written there.

    So a key or a list of runs does not wait for torch, which the registry's functions need.
    """
    registry = getattr(sys.modules.get("lib.method.acquisition"), "STRATEGIES", None)
    return (
        _written_strategies()
        if registry is None
        else {name: getattr(one, "title", name.replace("_", " ")) for name, one in registry.items()}
    )


@cache
def _written_strategies() -> dict[str, str]:
    tree = ast.parse(Path(__file__).with_name("method").joinpath("acquisition.py").read_text("utf-8"))
    (registry,) = (
        node.value for node in tree.body if isinstance(node, ast.Assign) and node.targets[0].id == "STRATEGIES"
    )
    titles = (ast.literal_eval(entry.args[0]) for entry in registry.values)
    return dict(zip(map(ast.literal_eval, registry.keys), titles, strict=True))


# what a field may hold: smallest and largest value
RANGES = {
    "seed": (0, 2**63 - 1),
    "draw": (0, 2**63 - 1),
    "start": (2, 10**9),
    "query": (1, 10**9),
    "rounds": (0, 10**4),
    "pool": (1, 10**9),
    "validation_rows": (0, 10**9),
    "samples": (1, 10**6),
    "hidden": (1, 10**5),
    "maps": (1, 10**5),
    "dropout": (0.0, 0.99),
    "epochs": (1, 10**4),
    "batch_size": (3, 10**6),  # a batch never has a single row then: batch norm cannot train on one window
    "encoder_lr": (0.0, 1.0),
    "decoder_lr": (0.0, 1.0),
    "warmup": (0.0, 1.0),
    "weight_decay": (0.0, 1.0),
    "clip": (1e-9, 1e9),
    "max_length": (8, 512),
    "threads": (1, 1024),
}


def checked(name: str, annotation: type, value):
    """The value of a field in its type. Raises StudyError."""
    given = f"{name}={value!r}"
    if annotation is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    if not isinstance(value, annotation) or isinstance(value, bool):
        raise StudyError(f"{given} is not allowed: {name} must be of type {annotation.__name__}")
    if (allowed := choices(name)) and value not in allowed:
        raise StudyError(f"{given} is not known{meant(value, allowed)}: choose {one_of(allowed)}")
    if name in RANGES:
        low, high = RANGES[name]
        if not low <= value <= high:  # also refuses nan
            raise StudyError(f"{given} is not allowed: {name} must lie between {low} and {high}")
    return value


def one_of(options) -> str:
    """'a, b or c', for error messages."""
    *head, last = map(str, options)
    return f"{', '.join(head)} or {last}" if head else last


def first_of(parts, most: int = 10) -> str:
    """'a, b and 3 more': the first of several, and how many others there are."""
    first, others = list(map(str, parts))[:most], len(parts) - most
    return ", ".join(first) + (f" and {others} more" if others > 0 else "")


def counted(number: int, what: str) -> str:
    """'1 row', '3,771 rows'."""
    return f"{number:,} {what}" + ("" if number == 1 else "s")


def meant(given, options) -> str:
    """' (did you mean status?)' of the nearest of these options; empty if none is near. For error messages."""
    near = difflib.get_close_matches(str(given), list(map(str, options)), 1, 0.65)
    return f" (did you mean {near[0]}?)" if near else ""


def brief(error: BaseException) -> str:
    """The kind of an error and the first line of what it says."""
    said = str(error).strip().partition("\n")[0]
    return f"{type(error).__name__}: {said}" if said else type(error).__name__


# how the study's figures and sentences write the names of tasks; others stay as they are
WRITTEN = {
    "mnli": "MNLI",
    "qnli": "QNLI",
    "sst2": "SST-2",
    "snli": "SNLI",
    "trec": "TREC",
    "kinds": "kinds of text",
}


def display_name(name) -> str:
    """A task or strategy as a reader should see it, as plain text; what neither is stays as it is.

    Whoever shows it escapes it for the place: figures draw all text as it is, sentences have
    `lib.analysis.wording.named`, pages `lib.data.escaping`.
    """
    name = str(name)
    return WRITTEN.get(name) or _strategies().get(name, name)


def whole_numbers(name: str, given) -> tuple[int, ...]:
    """'0, -2' or one number or several → (0, -2). Raises StudyError."""
    try:
        values = names(name, [str(given)] if isinstance(given, int) else given)
        return tuple(int(number) for number in values)
    except ValueError:
        raise StudyError(f"{name}={given!r} is not allowed: give whole numbers with commas between them") from None


def names(name: str, given) -> tuple:
    """'a, b' → ("a", "b"); a tuple or list stays what it is. Raises StudyError for another type, or only commas."""
    if not isinstance(given, str | list | tuple):
        raise StudyError(f"{name}={given!r} is not allowed: give names with commas between them")
    if not isinstance(given, str):
        return tuple(given)
    found = tuple(filter(None, map(str.strip, given.split(","))))
    if given and not found:
        raise StudyError(f"{name}={given!r} names nothing: give names with commas between them, or nothing at all")
    return found
