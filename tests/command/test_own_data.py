"""--data FILE: what is found in a person's file, how it is split, which runs follow, and that they are computed."""

import csv
import errno
import json
import re
import tempfile
from collections import Counter
from pathlib import Path

import pytest
from helpers import planned, run_all, stored

from lib.command import own_data
from lib.data.split import Split
from lib.data.tasks import load_task, read_texts
from lib.errors import StudyError
from lib.protocol import QUESTIONS, profile
from lib.runs import plans, sweep
from lib.runs.files import write_text
from lib.runs.results import Run

NAMES = ("ham", "spam", "ad")


def write(path: Path, rows: int = 120, header=("id", "text", "kind"), classes=NAMES) -> Path:
    with open(path, "w", newline="", encoding="utf-8") as file:
        lines = csv.writer(file)
        lines.writerow(header)
        for n in range(rows):
            kind = classes[n % len(classes)]
            lines.writerow([n, f"the letter number {n} is about {kind} and things", kind])
    return path


@pytest.fixture
def dry(tmp_path, capsys):
    """dry(*options) → exit code and lines of a dry run of notebook 02 with them."""

    def call(*options: str) -> tuple[int, list[str]]:
        arguments = ["--dry-run", "--only", "02", "--results", str(tmp_path / "runs"), *options]
        code = run_all(tmp_path, *arguments)
        out = capsys.readouterr()
        return code, (out.out + out.err).splitlines()

    return call


@pytest.fixture
def made(tmp_path):
    """made(*options) → the profile's file that a run of notebook 02 with them makes, and nothing is computed."""

    def call(*options: str) -> Path:
        arguments = ["--only", "02", "--results", str(tmp_path / "runs"), *options]
        with own_data.prepared(planned(tmp_path, *arguments)) as command:
            return Path(command.profile)

    return call


def rows_of(path: Path):
    """The texts of the task of a profile's file."""
    study = profile(str(path))
    return read_texts(study.tasks[0], str(path.parent), "first")


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_what_is_said_of_the_runs_is_what_was_asked_for(dry, tmp_path):
    write(tmp_path / "mine.csv")
    _, lines = dry("--data", "mine.csv", "-p", "query", "5", "-p", "runs", "2")
    assert "from 10 labels, 6 batches of 5, to 40; 2 seeds" in lines[1]
    assert sum(line.startswith("  missing mine-") for line in lines) == 4


def test_sizes_that_are_asked_for_are_those_of_all_notebooks(dry, made, tmp_path):
    write(tmp_path / "mine.csv")
    asked = {"query": 4, "rounds": 3, "start": 6, "pool": 50}
    options = [word for name, value in asked.items() for word in ("-p", name, str(value))]
    code, lines = dry("--data", "mine.csv", *options)
    assert code == 0
    assert "from 6 labels, 3 batches of 4, to 18; 3 seeds" in lines[1]
    study = profile(str(made("--data", "mine.csv", *options)))
    assert {name: study.common[name] for name in asked} == asked
    assert study.sizes == (4, 6, 9, 18, 96)
    common = profile(str(made("--data", "mine.csv", "-p", "rounds", "3"))).common
    assert (common["query"], common["rounds"]) == (14, 3), "half of the pool is labelled"


def test_columns_are_found_and_said_and_the_runs_follow_from_the_rows(dry, made, tmp_path):
    write(tmp_path / "mine.csv")
    code, lines = dry("--data", "mine.csv")
    assert code == 0
    assert lines[0] == "mine.csv: 120 rows, text in 'text', labels in 'kind': 3 classes ('ad', 'ham', 'spam')"
    assert lines[1].startswith("96 rows to train on, 24 to validate; from 10 labels, 6 batches of 7, to 52; 3 seeds")
    assert sum(line.startswith("  missing mine-") for line in lines) == 6
    assert not stored(tmp_path / "runs"), "nothing is computed"
    study = profile(str(made("--data", "mine.csv")))
    assert (study.tasks, study.runs, study.common["pool"]) == (("mine",), 3, 96)


@pytest.mark.parametrize("command", [("--dry-run",), ("status",)])
def test_what_computes_nothing_leaves_every_byte_as_it_is(command, dry, made, tmp_path, tiny_hub):
    write(tmp_path / "mine.csv")
    kept = made("--data", "mine.csv")
    before, temporary = contents(tmp_path), set(Path(tempfile.gettempdir()).iterdir())
    options = ["--only", "02", "--results", str(tmp_path / "runs")]
    for data in (("--data", "mine.csv", "-p", "query", "5"), ("--data", "hub:stanfordnlp/snli", "--hub", tiny_hub)):
        verb, flags = [word for word in command if word == "status"], [word for word in command if word != "status"]
        assert run_all(tmp_path, *verb, *options, *data, *flags) == 0
    assert contents(tmp_path) == before
    assert kept.exists()
    assert not {
        path for path in set(Path(tempfile.gettempdir()).iterdir()) - temporary if (path / "profile.json").exists()
    }


def test_other_rows_never_take_the_place_of_those_of_a_run(made, tmp_path):
    names = ("survey.2023.csv", "survey.2024.csv", "a/survey.2023.csv")
    for rows, name in enumerate(names, 90):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        write(tmp_path / name, rows)
    paths = [made("--data", name) for name in names]
    paths.append(made("--data", "survey.2023.csv", "--text", "text,id", "--label", "kind"))
    assert len({path.parent for path in paths}) == 4
    assert [profile(str(path)).tasks for path in paths] == [(f"survey-{year}",) for year in (2023, 2024, 2023, 2023)]
    held = [rows_of(path).fingerprint for path in paths]
    assert len(set(held)) == 4
    assert made("--data", "survey.2023.csv", "-p", "query", "3") == paths[0], "the same rows are the same folder"


def test_each_class_is_in_both_parts_alike_and_no_text_is_in_both(made, tmp_path):
    texts = rows_of(made("--data", str(write(tmp_path / "mine.csv", rows=500))))
    assert texts.labels == ("ad", "ham", "spam")
    counts = [Counter(label for *_, label in part) for part in (texts.train, texts.validation)]
    assert all(counts[1][c] == pytest.approx(counts[0][c] / 4, abs=1) for c in range(3))
    assert not {row[0] for row in texts.train} & {row[0] for row in texts.validation}
    assert len(texts.train) + len(texts.validation) == 500


def test_the_order_of_the_file_decides_nothing(made, tmp_path):
    path = write(tmp_path / "mine.csv")
    first = made("--data", "mine.csv")
    head, *lines = path.read_text().splitlines()
    path.write_text("\n".join([head, *reversed(lines)]))
    assert made("--data", "mine.csv") == first


def test_pairs_and_validation_rows_can_be_named(dry, made, tmp_path):
    write(tmp_path / "mine.csv", header=("first", "second", "y"))
    write(tmp_path / "more.csv", rows=9, header=("first", "second", "y"))
    options = ("--data", "mine.csv", "--text", "first,second", "--label", "y", "--validation", "more.csv")
    code, lines = dry(*options)
    assert code == 0
    assert "text in 'first' and 'second', labels in 'y'" in lines[0]
    assert lines[3].startswith("111 rows to train on, 9 to validate")
    assert len(rows_of(made(*options)).train[0]) == 3


def test_a_data_set_of_the_hub_is_a_file_with_its_splits(dry, made, tmp_path, tiny_hub):
    code, lines = dry("--data", "hub:stanfordnlp/snli:plain_text", "--hub", tiny_hub)
    assert code == 0
    assert lines[0].startswith("snli-plain_text.jsonl: 200 rows, text in 'premise' and 'hypothesis', labels in 'label'")
    assert any(line.startswith("validation rows: those of snli-plain_text-validation.jsonl") for line in lines)
    ours = rows_of(made("--data", "hub:stanfordnlp/snli:plain_text", "--hub", tiny_hub))
    theirs = read_texts("snli", tiny_hub, "first")
    assert len(theirs.train) == 197, "three have no label"
    assert "left out, without a label: 3 rows" in lines
    assert {(*texts, ours.labels[c]) for *texts, c in ours.train} == {
        (*texts, theirs.labels[c]) for *texts, c in theirs.train
    }
    assert len(ours.validation) == len(theirs.validation) == 60


def test_texts_with_two_labels_and_those_of_validation_rows_are_left_out_and_that_is_said(dry, tmp_path):
    path = write(tmp_path / "mine.csv")
    rows = path.read_text().splitlines()
    path.write_text("\n".join([*rows, rows[1].rpartition(",")[0] + ",spam"]) + "\n")
    (tmp_path / "more.csv").write_text("\n".join([*rows[:1], *rows[5:15]]) + "\n")
    code, lines = dry("--data", "mine.csv", "--validation", "more.csv")
    assert code == 0
    assert "left out, since their text has different labels: 2 rows" in lines
    assert "left out, since a validation row has the same text: 10 rows" in lines
    assert any(line.startswith("109 rows to train on, 10 to validate") for line in lines)


def test_a_header_that_is_a_row_and_classes_that_nothing_validates_are_said(dry, tmp_path):
    path = write(tmp_path / "mine.csv", header=("0", "a letter about ham and things", "ham"))
    path.write_text(path.read_text() + "120,a letter of its own,rare\n")
    code, lines = dry("--data", "mine.csv", "--text", "a letter about ham and things", "--label", "ham")
    assert code == 0
    assert lines[1].startswith("'ham' is a column here and a label, too: if the first line of the file is a row, write")
    assert lines[2] == "classes without a row to validate: 'rare'"
    assert "fewer than 10 rows" in lines[3]
    assert lines[3].endswith("'rare' 1")


MISTAKES = {
    "no data set": (("--data", "hub:nothing", "--hub", "."), "has no folder 'nothing'"),
    "a split of two sources": (("--data", "hub:a", "--validation", "other.csv"), "are two sources of rows"),
    "no such file": (("--data", "none.csv"), "'none.csv' does not exist"),
    "two kinds of rows": (
        ("--data", "mine.csv", "--profile", "minilm"),
        "--profile and --data are two sources of rows",
    ),
    "no data": (("--text", "text"), "--text belongs to --data FILE"),
    "another column": (("--data", "mine.csv", "--text", "words"), "has no column 'words'"),
    "three columns": (("--data", "mine.csv", "--text", "id, text,kind"), "3 columns: name the one of the text, or"),
    "the label as text": (("--data", "mine.csv", "--text", "kind", "--label", "kind"), "'kind' is named for the text"),
    "too few": (("--data", "few.csv", "--label", "kind"), "9 rows with a label in 'kind'"),
    "no label column": (("--data", "unclear.csv"), "name it, --label COLUMN; no labels yet? ./run_all.sh label FILE"),
    "a text column that is not there": (
        ("--data", "unclear.csv", "--text", "Text"),
        "has no column 'Text' (did you mean",
    ),
    "several": (
        ("--data", "several.csv"),
        "2 columns could hold the label ('kind', 'sort'): name the right one, --label",
    ),
    "no such group": (("--data", "mine.csv", "--group", "author"), "--group author: mine.csv has no column 'author'"),
    "the label as group": (("--data", "mine.csv", "--label", "kind", "--group", "kind"), "is the column of the label"),
    "one group": (("--data", "several.csv", "--label", "kind", "--group", "one"), "1 value in 120 rows, and no row is"),
    "a group of given rows": (("--data", "mine.csv", "--group", "id", "--validation", "few.csv"), "leave it out"),
    "a number each": (("--data", "mine.csv", "--label", "id"), "would give 120 classes for 120 rows"),
    "no batch": (("--data", "mine.csv", "-p", "rounds", "0"), "-p rounds 0: give a whole number from 1 on"),
    "half a batch": (("--data", "mine.csv", "-p", "query", "half"), "-p query half: give a whole number"),
    "more than there is": (("--data", "mine.csv", "-p", "query", "50"), "lower query or rounds, or raise pool"),
    "the paper's claims": (("--data", "mine.csv", "--only", "00,02"), "notebook 00 holds the paper's claims"),
    "of the study": (("-p", "rounds", "3"), "-p rounds 3: no chosen notebook has it"),
    "another class": (("--data", "mine.csv", "--validation", "other.csv"), "is not in the list"),
    "two labels each": (("--data", "torn.csv"), "every text has two labels, as rows 1 and 121 ('ham' and 'spam'),"),
    "the same rows": (("--data", "mine.csv", "--validation", "mine.csv"), "it has all rows of mine.csv: give it other"),
    "none to validate": (
        ("--data", "mine.csv", "--validation", "blank.csv"),
        "blank.csv: 0 rows with a label in 'kind'",
    ),
}


@pytest.mark.parametrize("what", MISTAKES)
def test_a_mistake_is_one_line(what, dry, tmp_path):
    write(tmp_path / "mine.csv")
    write(tmp_path / "few.csv", rows=9)
    write(tmp_path / "unclear.csv", header=("id", "text", "text 2"), classes=tuple(f"{n} words" for n in range(120)))
    several = write(tmp_path / "several.csv").read_text().splitlines()
    (tmp_path / "several.csv").write_text(
        "\n".join([several[0] + ",sort,one", *(f"{line},{n % 4},x" for n, line in enumerate(several[1:]))])
    )
    write(tmp_path / "other.csv", classes=("ham", "eggs"))
    write(tmp_path / "blank.csv", classes=("",))
    torn = write(tmp_path / "torn.csv", classes=("ham",)).read_text()
    (tmp_path / "torn.csv").write_text(torn + torn.partition("\n")[2].replace(",ham\n", ",spam\n"))
    options, words = MISTAKES[what]
    code, lines = dry(*options)
    assert code == 2
    assert len(lines) == 1
    assert words in lines[0]


def test_own_data_is_not_published(tmp_path, capsys):
    write(tmp_path / "mine.csv")
    assert run_all(tmp_path, "publish", "--data", "mine.csv") == 2
    assert "No such option '--data'" in capsys.readouterr().err


def test_a_name_of_the_study_is_not_taken():
    assert own_data.name_of(Path("sst2.csv")) == "sst2-own"
    assert own_data.name_of(Path("minilm.jsonl")) == "minilm-own"
    assert own_data.name_of(Path("my tweets (2).csv")) == "my-tweets-2"
    assert own_data.name_of(Path("survey.2023.CSV.gz")) == "survey-2023"
    assert own_data.name_of(Path("v1.2.csv")) == "v1-2"
    assert len(own_data.name_of(Path("ü" * 100 + ".csv")).encode()) < 100, "part of the names of folders"


@pytest.mark.parametrize("rows", [48, 100, 999, 5000, 10**6])
def test_sizes_leave_half_of_the_pool_unlabelled(rows):
    sizes = own_data.sizes_of(rows)
    last = sizes["start"] + sizes["query"] * sizes["rounds"]
    assert sizes["query"] >= 1
    assert sizes["query"] < 20 or not sizes["query"] % 4
    assert last - sizes["start"] <= (sizes["pool"] - sizes["start"]) / 2
    assert (last, sizes["pool"]) == (910, 20_000) or rows < 10**5


@pytest.mark.parametrize("rows", [60, 100, 999])
def test_the_open_questions_are_asked_in_short(rows, tmp_path, tiny_encoder):
    table = own_data.labelled(write(tmp_path / "mine.csv", rows), ("text",), "kind")
    train, sizes = own_data.in_order(table), own_data.sizes_of(rows)
    made = own_data.write(table, Split(train, train[:9]), sizes, "mine", tmp_path)
    settings = profile(str(made)).open_questions(encoder=tiny_encoder)
    assert list(settings) == list(QUESTIONS)
    for name, protocols in settings.items():
        (one,) = protocols
        assert one.start + one.rounds * one.query <= one.pool == rows
        assert one.query >= 1
        assert one.rounds == {"BALD after a random batch": 2, "BALD, a quarter of Q": 12}.get(name, 3)


def test_it_is_computed_and_known_by_its_rows_wherever_it_lies(dry, made, tmp_path, tiny_encoder):
    """On a tiny encoder: BALD and random, the same runs after dry runs of other options and from a moved folder."""
    path = made("--data", str(write(tmp_path / "mine.csv")))
    given = {"encoder": tiny_encoder, "runs": 1}
    protocols = plans.bald_vs_random(str(path), **given)
    rounds = sweep(protocols, tmp_path / "runs")
    assert rounds["labelled"].max() == 52
    assert set(rounds["strategy"]) == {"bald", "random"}
    assert load_task("mine", protocols[0].hub, tiny_encoder).num_labels == 3
    before = contents(tmp_path / "runs")
    dry("--data", "mine.csv", "--label", "id")
    dry("--data", "mine.csv", "-p", "query", "3")
    assert contents(tmp_path / "runs") == before
    read_texts.cache_clear()
    assert [Run(p, tmp_path / "runs").done for p in plans.bald_vs_random(str(path), **given)] == [True, True]
    _, lines = dry("--data", "mine.csv", "-p", "encoder", tiny_encoder, "-p", "runs", "1")
    assert lines[-1] == "all: 2 runs: 2 done", "rows in a temporary folder are the same rows"
    other = tmp_path / "elsewhere"
    path.parent.rename(other)
    fields = json.loads((other / "profile.json").read_text())
    fields["common"]["hub"] = str(other)
    (other / "profile.json").write_text(json.dumps(fields))
    again = plans.bald_vs_random(str(other / "profile.json"), **given)
    assert [Run(p, tmp_path / "runs").done for p in again] == [True, True]


def test_every_row_of_the_file_is_accounted_for(dry, tmp_path):
    path = write(tmp_path / "mine.csv")
    more = ["121,,ham", "122,nan,ham", "123,a row of nobody,", "124,another row of nobody,NA"]
    repeated = path.read_text().splitlines()[1:4]
    contradicting = [line.replace(",ad", ",ham") for line in path.read_text().splitlines()[6:7]]
    path.write_text("\n".join([path.read_text().strip(), *more, *repeated, *contradicting]) + "\n")
    code, lines = dry("--data", "mine.csv")
    assert code == 0
    numbers = [int(re.search(r": (\d+) rows?", line)[1]) for line in lines if line.startswith("left out")]
    total = int(re.search(r"(\d+) rows", lines[0])[1])
    used = [line for line in lines if "rows to train on" in line]
    train, validation = re.match(r"(\d+) rows to train on, (\d+)", used[0]).groups()
    assert total == 128
    assert sorted(numbers) == [2, 2, 2, 3]
    assert int(train) + int(validation) + sum(numbers) == total


def test_a_file_where_nothing_can_be_written_is_one_line(tmp_path, capsys):
    write(tmp_path / "mine.csv")
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "data").write_text("a file where a folder should be")
    before = contents(tmp_path)
    code = run_all(tmp_path, "--only", "02", "--results", "runs", "--data", "mine.csv")
    said = capsys.readouterr().err
    assert (code, said.count("\n")) == (2, 1)
    assert "name another folder with --results" in said
    assert contents(tmp_path) == before


def test_a_folder_that_could_not_be_written_whole_is_no_data_set(made, tmp_path, monkeypatch):
    write(tmp_path / "mine.csv")

    def full(path: Path, text: str) -> None:
        if path.name == "validation.jsonl":
            raise OSError(errno.ENOSPC, "No space left on device", str(path))
        write_text(path, text)

    monkeypatch.setattr(own_data, "write_text", full)
    with pytest.raises(StudyError, match="No space left on device"):
        made("--data", "mine.csv")
    assert not [*(tmp_path / "runs").rglob("about.json")]
    monkeypatch.undo()
    assert len(rows_of(made("--data", "mine.csv")).train) == 96


def test_a_profile_that_cannot_be_read_is_one_line(tmp_path):
    (tmp_path / "profile.json").write_text('{"name": 3}')
    with pytest.raises(StudyError, match="cannot be read"):
        profile(str(tmp_path / "profile.json"))
