"""The runs that each numbered notebook needs: a function of its parameters, in their order and with their defaults.

The notebook calls it, and so does the command line before it executes the notebook: to say what is missing and what it
will take, and to compute it on all workers. Parameters mean what the notebooks say. Each raises StudyError for a
mistake in one of them.
"""

from itertools import chain

from lib.data.tasks import training_rows
from lib.errors import StudyError, join_or
from lib.protocol import Protocol
from lib.protocol import profile as get_profile


def _asked(encoder: str, hub: str, rows: str) -> dict:
    return {"encoder": encoder or None, "hub": hub or None, "rows": rows or None}


def data_size(profile="quick", tasks="", runs=0, encoder="", hub="", rows="") -> list[Protocol]:
    """Classifiers trained on the first rows of a fixed order, from few to all that there are."""
    study, asked = get_profile(profile), {"runs": runs, **_asked(encoder, hub, rows)}
    return study.data_sizes(training_rows(study.grid(tasks=tasks, **asked)), **asked)


def bald_vs_random(
    profile="quick",
    tasks="",
    strategies="bald,random",
    runs=0,
    query=0,
    samples=0,
    encoder="",
    hub="",
    rows="",
    drawn=False,
) -> list[Protocol]:
    """Each strategy in each repetition; random must be among them. drawn: a repetition has its own rows."""
    asked = {
        "runs": runs,
        "drawn": drawn,
        "query": query or None,
        "samples": samples or None,
        **_asked(encoder, hub, rows),
    }
    protocols = get_profile(profile).grid(tasks=tasks, strategies=strategies, **asked)
    return comparable(protocols, "strategy", "random")


def parameter_change(profile="quick", task="", frozen=0, runs=0, encoder="", hub="", rows="") -> list[Protocol]:
    """BALD and random on one task, with F layers frozen."""
    study, asked = get_profile(profile), {"runs": runs, **_asked(encoder, hub, rows)}
    return study.grid(tasks=(task or study.layer_task,), strategies="bald,random", frozen=(frozen,), **asked)


def layer_freezing(
    profile="quick", tasks="", frozen="", runs=0, query=0, samples=0, encoder="", hub="", rows=""
) -> list[Protocol]:
    """BALD with each F; 0 must be among them."""
    asked = {"runs": runs, "query": query or None, "samples": samples or None, **_asked(encoder, hub, rows)}
    return comparable(get_profile(profile).grid(tasks=tasks, frozen=frozen, **asked), "frozen", 0)


def picks(profile="quick", tasks="", runs=0, after=5, examples=2, encoder="", hub="", rows="") -> list[Protocol]:
    """BALD, whose scores are read after so many acquisitions, and random beside it."""
    asked = {"runs": runs, **_asked(encoder, hub, rows)}
    protocols = get_profile(profile).grid(tasks=tasks, strategies="bald,random", **asked)
    return readable(protocols, after, examples)


def open_questions(profile="quick", tasks="", runs=0, encoder="", hub="", rows="") -> list[Protocol]:
    """Each setting of `settings`, and the runs of `bald`."""
    given = profile, tasks, runs, encoder, hub, rows
    return [*chain.from_iterable(settings(*given).values()), *bald(*given)]


def settings(profile="quick", tasks="", runs=0, encoder="", hub="", rows="") -> dict[str, list[Protocol]]:
    """What notebook 06 changes about BALD, by name → its runs."""
    return get_profile(profile).open_questions(tasks=tasks, runs=runs, **_asked(encoder, hub, rows))


def bald(profile="quick", tasks="", runs=0, encoder="", hub="", rows="") -> list[Protocol]:
    """The study's runs of BALD, whose probabilities notebook 06 reads."""
    return get_profile(profile).grid(tasks=tasks, strategies="bald", runs=runs, **_asked(encoder, hub, rows))


def comparable(protocols: list[Protocol], of: str, minus) -> list[Protocol]:
    """The same protocols: before anything is computed, StudyError if a field `of` has not `minus` and another level."""
    check_levels([*dict.fromkeys(getattr(protocol, of) for protocol in protocols)], of, minus)
    return protocols


def check_levels(levels: list, of: str, minus) -> None:
    if minus not in levels:
        raise StudyError(f"nothing to compare with: {of}={minus!r} is not among {join_or(levels)}; add it")
    if levels == [minus]:
        raise StudyError(f"nothing to compare: {of}={minus!r} is alone; add another")


def readable(protocols: list[Protocol], after: int, examples: int) -> list[Protocol]:
    """The same protocols: before anything is computed, StudyError if Table 4 cannot be read from them like this."""
    if after < 0:
        raise StudyError(f"after={after} is not allowed: give a number of acquisitions, 0 or more")
    if examples < 1:
        raise StudyError(f"examples={examples} is not allowed: give a number of rows, 1 or more")
    return protocols


PLANS = {
    "01_data_size": data_size,
    "02_bald_vs_random": bald_vs_random,
    "03_parameter_change": parameter_change,
    "04_layer_freezing": layer_freezing,
    "05_qualitative": picks,
    "06_open_questions": open_questions,
}
PLACES = ("results", "output", "redraw")  # parameters of notebooks that decide no run


def needed(notebook: str, given: dict) -> list[Protocol]:
    """The runs of the notebook of this name with these of its parameters; none of one that has no plan."""
    plan = PLANS.get(notebook)
    return plan(**{name: value for name, value in given.items() if name not in PLACES}) if plan else []
