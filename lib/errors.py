"""A user's mistake, in one line, and the words that such lines are made of."""

import difflib


class StudyError(ValueError):
    """A user's mistake, said in one line: what was given, what is allowed, what to do.

    In a notebook it is that line, too: IPython asks an error how its traceback is shown.
    """

    def _render_traceback_(self) -> list[str]:
        return [str(self)]


def join_or(options) -> str:
    """'a, b or c', for error messages."""
    *head, last = map(str, options)
    return f"{', '.join(head)} or {last}" if head else last


def truncated(parts, most: int = 10) -> str:
    """'a, b and 3 more': the first of several, and how many others there are."""
    first, others = list(map(str, parts))[:most], len(parts) - most
    return ", ".join(first) + (f" and {others} more" if others > 0 else "")


def counted(number: int, what: str) -> str:
    """'1 row', '3,771 rows'."""
    return f"{number:,} {what}" + ("" if number == 1 else "s")


def did_you_mean(given, options) -> str:
    """' (did you mean status?)' of the nearest of these options; empty if none is near. For error messages."""
    near = difflib.get_close_matches(str(given), list(map(str, options)), 1, 0.65)
    return f" (did you mean {near[0]}?)" if near else ""


def brief(error: BaseException) -> str:
    """The kind of an error and the first line of what it says."""
    said = str(error).strip().partition("\n")[0]
    return f"{type(error).__name__}: {said}" if said else type(error).__name__


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
