"""The text-classification tasks: where their rows of text come from, and how they are split and checked."""

import hashlib
import re
from dataclasses import dataclass
from functools import cache, cached_property
from itertools import pairwise

import numpy as np

from lib.data import own, sources, study_rows
from lib.data.rows import Rows, remembered
from lib.errors import StudyError, did_you_mean, join_or
from lib.method.acquisition import STRATEGIES
from lib.protocol import Protocol

UNLABELLED = -1  # the label of a row without a gold label
NEAR_ZERO = 2.0  # reviews with a mean rating, of -4 to 4, nearer to zero than this are left out


@dataclass(frozen=True)
class Source:
    """Where the rows of a task are found, and what they look like."""

    labels: tuple[str, ...]
    columns: tuple[str, ...]  # text columns: one, or two for pairs
    data: sources.HubData | None = None  # none: a text file of the quick profile
    config: str = ""
    validation: str = "validation"
    label: str = "label"  # column of the label
    title: str = ""  # as figures and sentences write it; empty: the task's name


NLI = ("entailment", "neutral", "contradiction")
QUESTIONS = ("ABBR", "ENTY", "DESC", "HUM", "LOC", "NUM")  # what is asked for (Li and Roth 2002)
# TREC's revision is a branch, which may move: the Hub keeps its parquet files on no other. Rows of the study are pinned
# by their hashes (lib/data/subsets), whatever the revision.
GLUE = sources.HubData("nyu-mll/glue", "bcdcba79d07bc864c1c254ccfcedcce55bcc9a8c", "glue")
SNLI = sources.HubData("stanfordnlp/snli", "cdb5c3d5eed6ead6e5a341c8e56e669bb666725b", "snli")
TREC = sources.HubData("CogComp/trec", "refs/convert/parquet", "trec")
TASKS = {
    "sst2": Source(("negative", "positive"), ("sentence",), GLUE, "sst2", title="SST-2"),
    "qnli": Source(("entailment", "not_entailment"), ("question", "sentence"), GLUE, "qnli", title="QNLI"),
    "mnli": Source(NLI, ("premise", "hypothesis"), GLUE, "mnli", "validation_matched", title="MNLI"),
    "snli": Source(NLI, ("premise", "hypothesis"), SNLI, "plain_text", title="SNLI"),
    "trec": Source(QUESTIONS, ("text",), TREC, "default", "test", "coarse_label", title="TREC"),
    "reviews": Source(("negative", "positive"), ("sentence",)),
    "kinds": Source(("tweet", "product review", "movie review", "editorial"), ("text",), title="kinds of text"),
    "editorials": Source(("next", "same editorial", "other editorial"), ("first", "second")),
}


def display_name(name) -> str:
    """A task or strategy as a reader should see it, as plain text; what neither is stays as it is.

    Whoever shows it escapes it for the place: figures draw all text as it is, sentences have
    `lib.analysis.wording.named`, pages `lib.data.escaping`.
    """
    name = str(name)
    if name in STRATEGIES:  # one of somebody's own may be a function alone
        return getattr(STRATEGIES[name], "title", name.replace("_", " "))
    return TASKS[name].title or name if name in TASKS else name


@dataclass(frozen=True)
class Texts:
    """The rows of a task before tokenisation: tuples of one or two texts and a label."""

    train: list[tuple]
    validation: list[tuple]
    labels: tuple[str, ...]

    @cached_property
    def hashes(self) -> tuple[np.ndarray, np.ndarray]:
        """hashes_N of the training and of the validation rows."""
        return tuple(study_rows.row_hashes(rows, self.labels) for rows in (self.train, self.validation))

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of all rows, in their order, and the names of the labels."""
        return study_rows.fingerprint(self.labels, *self.hashes)


@dataclass(frozen=True)
class Task:
    name: str
    train: Rows
    validation: Rows
    labels: tuple[str, ...]
    fingerprint: str

    @property
    def num_labels(self) -> int:
        return len(self.labels)


@cache
def read_texts(name: str, hub: str = "", rows: str = "first") -> Texts:
    """The texts of a task, without a tokenizer. Raises StudyError as `load_task` does."""
    source = source_of(name, hub)
    if own.holds(hub, name):
        train, validation = own.read_splits(hub)
    elif source.data:
        train, validation = (_read_split(source, split, hub) for split in ("train", source.validation))
    else:
        train, validation = {"reviews": _read_reviews, "kinds": _read_kinds, "editorials": _build_editorials}[name]()
    if rows == "study" and study_rows.pinned(name):
        labelled = [[row for row in split if row[-1] != UNLABELLED] for split in (train, validation)]
        train, validation = study_rows.select(name, labelled, source.labels, hub or "the Hub's data set")
    for split, those in (("train", train), (source.validation, validation)):
        _check_texts(those, f"{name}/{split}")
    train, validation = ([row for row in split if row[-1] != UNLABELLED] for split in (train, validation))
    return Texts(train, validation, source.labels)


def source_of(name: str, hub: str = "") -> Source:
    """A task of TASKS, or a person's own, which lies in the folder `hub`. Raises StudyError for an unknown one."""
    if own.holds(hub, name):
        about = own.read_about(hub)
        return Source(tuple(about["labels"]), tuple(about["columns"]))
    if name not in TASKS:
        raise StudyError(f"task={name!r} is not known{did_you_mean(name, TASKS)}: choose {join_or(TASKS)}")
    return TASKS[name]


def labels_of(protocols: list[Protocol]) -> dict[str, tuple[str, ...]]:
    """Task → names of its classes, whether its texts are here or not. Raises StudyError for an unknown task."""
    return {p.task: source_of(p.task, p.hub).labels for p in protocols}


def texts_of(protocols: list[Protocol]) -> dict[str, Texts]:
    """The texts of each task of these runs. Raises StudyError as `load_task` does."""
    return {task: read_texts(task, hub, rows) for task, hub, rows in places_of(protocols)}


def places_of(protocols: list[Protocol]) -> dict[tuple[str, str, str], None]:
    """Task, hub and rows of these runs, each once."""
    return dict.fromkeys((p.task, p.hub, p.rows) for p in protocols)


def readable_texts(protocols: list[Protocol]) -> dict[str, Texts]:
    """The texts of those tasks of these runs whose rows are here; a line says which are not, and what to give."""
    found, hindrances = {}, {}
    for task, hub, rows in places_of(protocols):
        try:
            found[task] = read_texts(task, hub, rows)
        except StudyError as error:
            hindrances[task] = error
    if hindrances:
        missing = ", ".join(map(display_name, hindrances))
        print(f"Texts of {missing} are not shown, for they are not here. {next(iter(hindrances.values()))}", flush=True)
    return found


def rows_fingerprint(protocol: Protocol) -> str:
    """Of the rows that a run can see: training rows within its reach, and validation rows that it evaluates.

    The study's rows need not be there: the list of their hashes is enough.
    """
    train_N, validation_M = _hashes(protocol)
    seen = (
        train_N[protocol.order(len(train_N), "train")[: protocol.reach(len(train_N))]],
        validation_M[protocol.order(len(validation_M), "validation")[: protocol.validation_rows or None]],
    )
    return study_rows.fingerprint(source_of(protocol.task, protocol.hub).labels, *seen)


def training_rows(protocols: list[Protocol]) -> dict[str, int]:
    """Task → number of its training rows. The study's rows need not be there."""
    return {p.task: len(_hashes(p)[0]) for p in protocols}


def _hashes(protocol: Protocol) -> tuple[np.ndarray, np.ndarray]:
    listed = study_rows.pinned(protocol.task) if protocol.rows == "study" else None
    return listed or read_texts(protocol.task, protocol.hub, protocol.rows).hashes


@cache
def load_task(
    name: str,
    hub: str | None = None,
    encoder: str = "all-MiniLM-L6-v2",
    max_length: int = 128,
    rows: str = "first",
) -> Task:
    """Read and tokenise a task.

    name: a key of TASKS. hub: folder laid out like the Hub, for the tasks that come from there; None: the Hub.
    encoder: whose tokenizer to use. max_length: tokens of a row, the longer text of a pair is cut first. rows: "first":
    those of the data set, in its order; "study": those that lib/data/subsets/ lists, if it does. Raises StudyError for
    an unknown task, a missing split, unknown labels, an empty text, rows of the study that are not there.
    """
    texts = read_texts(name, hub or "", rows)
    train, validation = remembered([texts.train, texts.validation], texts.fingerprint, encoder, max_length)
    return Task(name, train, validation, texts.labels, texts.fingerprint)


def _check_texts(rows: list[tuple], where: str) -> None:
    if all(label == UNLABELLED for *_, label in rows):
        raise StudyError(f"{where} has no row with a label: look into the data set")
    for number, (*texts, label) in enumerate(rows):
        if label != UNLABELLED and not all(isinstance(text, str) and text.strip() for text in texts):
            raise StudyError(f"{where}, row {number}: a text is empty: fill it or leave the row out")


def _read_split(source: Source, split: str, hub: str) -> list[tuple]:
    data = sources.load_split(source.data, source.config, split, hub)
    where = f"{source.config}/{split} of {hub or 'the Hub'}"
    missing = {*source.columns, source.label} - set(data.column_names)
    if missing:
        raise StudyError(f"{where} has no column {join_or(sorted(missing))}, only {', '.join(data.column_names)}")
    names = getattr(data.features[source.label], "names", None)
    if names is not None and tuple(names) != source.labels:
        raise StudyError(f"{where} has the labels {', '.join(names)}, expected {', '.join(source.labels)}")
    # [:] is hundreds of times faster than a loop
    columns = [data[column][:] for column in (*source.columns, source.label)]
    rows = list(zip(*columns, strict=True))
    unknown = {row[-1] for row in rows} - {UNLABELLED, *range(len(source.labels))}
    if unknown:
        raise StudyError(
            f"{where} has the label {join_or(sorted(unknown, key=str))}: expected 0 to {len(source.labels) - 1}, "
            "or -1 for a row without a gold label"
        )
    return rows


def _read_lines(name: str) -> list[tuple[str, float, str]]:
    """id, mean rating and text of every line of a file of vaderSentiment's."""
    lines = sources.text_file(name).read_text("utf-8").splitlines()
    fields = [line.split("\t") for line in lines if line]
    return [(number, float(rating), " ".join(text.split())) for number, rating, text in fields]


def _hash(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.lower().encode()).digest()[:8])


def _read_reviews():
    """Sentences of movie reviews, positive or negative by their mean rating; ordered and split by hash."""
    rated = {text.lower(): (text, rating) for _, rating, text in _read_lines("reviews")}  # a sentence once
    rows = [(text, int(rating > 0)) for text, rating in rated.values() if abs(rating) >= NEAR_ZERO]
    rows.sort(key=lambda row: _hash(row[0]))  # the file has the positive ones first
    train = [row for row in rows if _hash(row[0]) % 5]
    validation = [row for row in rows if not _hash(row[0]) % 5]
    return train, validation


def _read_kinds():
    """Sentences of four kinds of text, as many of each; ordered and split by hash, each sequence of words once."""
    kinds, known = [], {""}
    for label, name in enumerate(("tweets", "products", "reviews", "editorials")):
        texts = {" ".join(re.findall(r"\w+", text.lower())): text for *_, text in _read_lines(name)}
        kinds.append([(texts[words], label) for words in sorted(texts.keys() - known, key=_hash)])
        known |= texts.keys()
    # the first of each, the second of each, as far as the smallest kind goes
    rows = [row for each in zip(*kinds, strict=False) for row in sorted(each, key=lambda row: _hash(row[0]))]
    return [row for row in rows if _hash(row[0]) % 5], [row for row in rows if not _hash(row[0]) % 5]


def _build_editorials():
    """Pairs of sentences: the second follows the first, stands elsewhere in its editorial, or in another one.

    A task of no profile: it gives the tests and the benchmark pairs without a network.

    Every sentence that has a successor is first of exactly one pair; classes are equally frequent in each split;
    every fifth editorial, by hash, is for validation.
    """
    editorials = {}
    for number, _, text in _read_lines("editorials"):
        editorials.setdefault(number.partition("_")[0], []).append(text)
    splits = {False: [], True: []}
    for number, sentences in editorials.items():
        if len(sentences) >= 5:  # enough for an "elsewhere"
            splits[_hash(f"editorial {number}") % 5 == 0].append(sentences)
    rng = np.random.default_rng(498)  # drawn once: part of what the task is
    return [_pairs(splits[part], rng) for part in (False, True)]


def _pairs(editorials: list[list[str]], rng: np.random.Generator) -> list[tuple[str, str, int]]:
    firsts = [(e, s) for e, sentences in enumerate(editorials) for s, _ in enumerate(pairwise(sentences))]
    firsts = [firsts[i] for i in rng.permutation(len(firsts))]
    rows = []
    for (e, s), label in zip(firsts, np.arange(len(firsts) // 3 * 3) % 3, strict=False):
        if label == 0:
            second = editorials[e][s + 1]
        elif label == 1:
            near = {s - 1, s, s + 1}
            second = editorials[e][rng.choice([i for i in range(len(editorials[e])) if i not in near])]
        else:
            other = editorials[rng.choice([i for i in range(len(editorials)) if i != e])]
            second = other[rng.integers(len(other))]
        rows.append((editorials[e][s], second, int(label)))
    return [rows[i] for i in rng.permutation(len(rows))]
