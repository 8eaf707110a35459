"""What is exported is whole, says what the labeller says of any file, and takes nothing away."""

import csv
import errno
import gzip
import io
import json
import os
import runpy
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from helpers import refused, tiny_config, write_checkpoint
from markdown_it import MarkdownIt

from lib import labelling
from lib.data.own_rows import read_rows
from lib.labelling import handover

TEXTS = [f"{('awful', 'superb')[n % 2]} film {n}" for n in range(40)]
ODD = {  # places in TEXTS that hold what is not easily read
    4: "-5 degrees, and it rained",
    5: '"quoted"; with\nbreaks',
    6: "=1+1",
    7: "café 字 😀",
    8: "x " * 2000,
    9: "'tis good",
}
TEXTS = [ODD.get(n, text) for n, text in enumerate(TEXTS)]
LABELS = [("negative", "positive")[n % 2] for n in range(40)]


def frame(**more) -> pd.DataFrame:
    return pd.DataFrame({"text": TEXTS, "label": LABELS, **more})


def semicolons(path):
    frame().to_csv(path, sep=";", index=False)


def latin(path):
    table = frame()
    table["text"] = table["text"].str.replace("字 😀", "très déjà à côté")
    table.to_csv(path, index=False, encoding="latin-1")


def packed(path):
    path.write_bytes(gzip.compress(frame().to_csv(index=False).encode()))


def long(path):
    frame(more="y" * 200_000).assign(text=["w " * 100_000, *TEXTS[1:]]).to_csv(path, index=False)


WRITERS = {
    "semicolons.csv": semicolons,
    "tabs.tsv": lambda path: frame().to_csv(path, sep="\t", index=False),
    "latin.csv": latin,
    "packed.csv.gz": packed,
    "long.csv": long,
    "blank.csv": lambda path: path.write_text(frame().to_csv(index=False) + "\n\n", "utf-8"),
    "book.xlsx": lambda path: frame().replace("=1+1", "a sum").to_excel(path, index=False),
    "lines.jsonl": lambda path: frame().to_json(path, orient="records", lines=True),
    "table.parquet": lambda path: frame().to_parquet(path),
    "taken.csv": lambda path: frame(prediction="p", probability="q").to_csv(path, index=False),
    "gaps.csv": lambda path: pd.concat([frame(), frame()[:2].assign(text="")]).to_csv(path, index=False),
}


@pytest.fixture
def begun(tmp_path, tiny_encoder):
    """begun(path, **changes) → a Labelling of this file, or of one of the texts above, with 14 answers."""

    def build(path=None, batches=2, encoder=tiny_encoder, labels="", folder="out", answers="label"):
        if path is None:
            path = tmp_path / "mine.csv"
            frame().to_csv(path, index=False)
        rows = read_rows(path, "text", labels=labels, answers=answers)
        protocol = labelling.recipe(rows, 6, 8, encoder, 32)
        object.__setattr__(protocol, "precision", "float32")
        session = labelling.Labelling(rows, protocol, tmp_path / folder, 3, "label")
        session.answer_from_column(batches)
        return session

    return build


@pytest.fixture
def run_score(capfd):
    """run_score(folder, *arguments) → exit status, output and errors of the exported score.py."""

    def run(folder, *arguments, apart=False):
        """apart: as somebody else would, without this project's lib and in another folder."""
        script = folder / "classifier" / "score.py"
        if apart:
            command = [sys.executable, "-I", script, *arguments]
            done = subprocess.run(command, capture_output=True, cwd="/", text=True)
            return done.returncode, done.stdout, done.stderr
        capfd.readouterr()
        status = 0
        try:
            runpy.run_path(str(script))["main"](list(map(str, arguments)))
        except SystemExit as ended:
            status = ended.code
        out, err = capfd.readouterr()
        return status, out, f"{err}{status or ''}"

    return run


# ---- score.py


@pytest.mark.parametrize("name", WRITERS)
def test_score_py_reads_the_file_that_was_labelled_and_predicts_what_scored_jsonl_has(name, begun, run_score, tmp_path):
    path = tmp_path / name
    WRITERS[name](path)
    session = begun(path)
    handover.write_scores(session, session.folder)
    handover.save_classifier(handover.trained_on(session), session.folder / "classifier")
    scored = pd.read_json(session.folder / "scored.jsonl", lines=True)
    status, out, err = run_score(session.folder, "--file", path, apart=name == "book.xlsx")
    assert status == 0, err
    csv.field_size_limit(2**31 - 1)
    header, *lines = csv.reader(io.StringIO(out, newline=""))
    assert len(set(header)) == len(header)
    assert header[:2] == ["text", "label"]
    places = dict(zip(session.rows.numbers, lines, strict=False))
    predicted = [places[number] for number in session.rows.numbers]
    assert [line[0] for line in predicted] == [text for (text,) in session.rows.texts]
    assert [line[-2] for line in predicted] == scored["prediction"].tolist()
    assert np.allclose([float(line[-1]) for line in predicted], scored["probability"], atol=2e-4)
    if name == "taken.csv":
        assert header[2:4] == ["prediction", "probability"]
        assert lines[0][2:4] == ["p", "q"]
    if name == "gaps.csv":
        assert [line[-2:] for line in lines[40:]] == [["", ""]] * 2
        assert "2 rows have no text" in err


def test_what_score_py_cannot_read_is_one_line(begun, run_score, tmp_path):
    session = begun()
    handover.save_classifier(handover.trained_on(session), session.folder / "classifier")
    bad = {
        "other.csv": (b"a,b\n1,2\n", "no column 'text'"),
        "notes.doc": (b"text\n", "notes.doc"),
        "none.xlsx": (b"text,label\n", "none.xlsx"),
    }
    for name, (content, word) in bad.items():
        (tmp_path / name).write_bytes(content)
        status, out, err = run_score(session.folder, "--file", tmp_path / name)
        assert status
        assert out == ""
        assert word in err
        assert "\n" not in err


def test_score_py_reads_standard_input(begun, run_score, tmp_path, monkeypatch):
    session = begun()
    handover.save_classifier(handover.trained_on(session), session.folder / "classifier")
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO("text;n\nsuperb, é;1\n".encode())))
    _, out, _ = run_score(session.folder, "--file", "-")
    assert out.startswith('text,n,prediction,probability\r\n"superb, é",1,')


@pytest.mark.parametrize("activation", ["relu", "gelu_new", "silu", "quick_gelu"])
def test_score_py_computes_the_checkpoints_activation(activation, begun, run_score, tmp_path):
    encoder = write_checkpoint(tmp_path / "encoder", tiny_config(hidden_act=activation, initializer_range=0.5))
    session = begun(encoder=str(encoder))
    trained = handover.trained_on(session)
    handover.save_classifier(trained, session.folder / "classifier")
    texts = ["a superb film", "awful", "films and films"]
    expected = handover.score(trained, texts)
    found = pd.read_csv(io.StringIO(run_score(session.folder, *texts)[1]))
    assert found["prediction"].tolist() == expected["label"].tolist()
    assert np.allclose(found["probability"], expected["probability"], atol=2e-4)


def test_an_activation_that_score_py_lacks_is_refused_at_export(begun, tmp_path):
    encoder = write_checkpoint(tmp_path / "encoder", tiny_config(hidden_act="relu2"))
    trained = handover.trained_on(begun(encoder=str(encoder)))
    with refused("hidden_act='relu2'", "gelu"):
        handover.save_classifier(trained, tmp_path / "out" / "classifier")
    assert not (tmp_path / "out" / "classifier").exists()


# ---- whole, or as it was


def test_all_files_have_the_mode_that_the_umask_gives(begun):
    session = begun()
    before = os.umask(0o027)
    try:
        handover.write_labels(session, session.folder)
        handover.write_scores(session, session.folder)
        handover.save_classifier(handover.trained_on(session), session.folder / "classifier", "card")
    finally:
        os.umask(before)
    exported = [*session.folder.glob("*ed.*"), *(session.folder / "classifier").rglob("*")]
    files = {path.name: path.stat().st_mode & 0o777 for path in exported if path.is_file()}
    assert {"model.safetensors", "decoder.safetensors", "scored.csv", "labelled.jsonl"} <= set(files)
    assert set(files.values()) == {0o640}


def contents(folder) -> dict[str, bytes]:
    found = {f"{path.relative_to(folder)}": path for path in folder.rglob("*") if path.is_file()}
    return {
        name: path.read_bytes() for name, path in found.items() if name not in ("journal.jsonl", "predictions.json")
    }


def export(session) -> str:
    handover.write_labels(session, session.folder)
    handover.write_scores(session, session.folder)
    return handover.save_classifier(handover.trained_on(session), session.folder / "classifier", "card")


STEPS = ("write_labels", "write_scores", "save_classifier")


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("when", ["writing", "renaming"])
def test_an_export_that_fails_leaves_the_one_before(step, when, begun, monkeypatch):
    session = begun()
    export(session)
    kept = contents(session.folder)
    session.answer_from_column(3)
    trained = handover.trained_on(session)
    calls = {
        "write_labels": lambda: handover.write_labels(session, session.folder),
        "write_scores": lambda: handover.write_scores(session, session.folder),
        "save_classifier": lambda: handover.save_classifier(trained, session.folder / "classifier", "new card"),
    }

    def fail(path, *_):
        if str(path).endswith(".tmp") or when == "writing":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return os.rename(path, *_)

    with monkeypatch.context() as full:
        if when == "writing":
            full.setattr("lib.labelling.whole.flush", fail)
        else:
            full.setattr("pathlib.Path.rename", fail)
            full.setattr("pathlib.Path.replace", fail)
        with refused("No space left", "what was there stays"):
            calls[step]()
    assert contents(session.folder) == kept
    calls[step]()
    assert contents(session.folder) != kept


@pytest.mark.skipif(sys.platform != "linux" or os.geteuid() != 0, reason="needs a small disk of its own")
def test_on_a_full_disk_nothing_is_torn(begun, tmp_path):
    """Of a real one, on which each library fails in its own way."""
    disk = tmp_path / "out"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", disk], capture_output=True).returncode:
        pytest.skip("no disk can be mounted here")
    try:
        session = begun()
        export(session)
        kept = contents(disk)
        session.answer_from_column(3)
        trained = handover.trained_on(session)
        ballast, free = disk / "ballast", os.statvfs(disk).f_bavail * os.statvfs(disk).f_frsize
        for left in (0, 8192, 200_000):
            ballast.write_bytes(bytes(max(0, free - left)))
            with refused("No space left"):
                handover.save_classifier(trained, session.folder / "classifier")
            if left == 0:
                with refused("No space left"):
                    handover.write_labels(session, session.folder)
            ballast.unlink()
            assert contents(disk) == kept
        assert "classifier-before" in export(session)
    finally:
        subprocess.run(["umount", disk], check=True)


def test_the_classifier_before_is_kept_and_both_are_measured(begun):
    session = begun()
    assert export(session) == ""
    good = contents(session.folder / "classifier")
    assert export(session) == "", "the same labels, exported again"
    assert not (session.folder / "classifier-before").exists()
    session.answer_from_column(3)
    line = export(session)
    assert "\n" not in line
    assert contents(session.folder / "classifier-before") == good
    assert line.index("14 labels") < line.index("22 labels")
    measured = [
        json.loads((session.folder / name / "classifier.json").read_text("utf-8"))["accuracy"]
        for name in ("classifier-before", "classifier")
    ]
    assert all(one in line for one in measured)
    assert export(session) == ""
    assert contents(session.folder / "classifier-before") == good
    assert handover.load_classifier(session.folder / "classifier-before").accuracy == measured[0]


# ---- columns and names


def test_an_export_that_is_labelled_and_exported_again_loses_no_column(tmp_path, tiny_encoder):
    path = tmp_path / "one.csv"
    frame(**{"from": "mail", "from (file)": "x", "row": "r"}).to_csv(path, index=False)
    seen = []
    for kind in ("csv", "jsonl", "csv"):
        rows = read_rows(path, "text", label_column="label")
        session = labelling.Labelling(rows, labelling.recipe(rows, 6, 8, tiny_encoder), tmp_path / f"out-{len(seen)}")
        written = handover.write_labels(session, session.folder)
        path = tmp_path / f"again-{len(seen)}.{kind}"
        path.write_bytes(next(one for one in written if one.suffix == path.suffix).read_bytes())
        lines = (session.folder / "labelled.jsonl").read_text("utf-8").splitlines()
        seen.append([json.loads(line) for line in lines])
        assert [line["text"] for line in seen[-1]] == [text.strip() for text in TEXTS]
    first, second, third = (lines[-1] for lines in seen)
    own = len(handover.OWN_COLUMNS) - 3 + 1  # without scores, with the text
    assert [len(first), len(second), len(third)] == [own + 3, own + 3 + own - 2, own + 3 + 2 * (own - 2)]
    assert (first["from (file)"], first["from (file 2)"]) == ("x", "mail")
    assert {"x", "mail", "r"} <= set(third.values())


def test_names_of_users_are_no_markup_in_the_model_card(tmp_path, tiny_encoder):
    names = ["<img src=x onerror=alert(1)>", "a|b", "*bold* _so_ `code` $x^2$"]
    column = "[text](javascript:x) **here**"
    path = tmp_path / "<b>mine_file_.csv"
    pd.DataFrame({column: TEXTS, "y": [names[n % 3] for n in range(40)]}).to_csv(path, index=False)
    rows = read_rows(path, column, answers="y")
    session = labelling.Labelling(rows, labelling.recipe(rows, 6, 8, tiny_encoder), tmp_path / "out", 3, "y")
    session.answer_from_column(1)
    card = handover.model_card(session, "Right about <b>all</b>.").split("---\n", 2)[2]
    page = MarkdownIt("commonmark", {"html": True}).enable("table").parse(card)
    inside = [token for block in page for token in (block.children or [])]
    links = {"link_open", "strong_open", "em_open"}
    assert not [
        token
        for token in inside
        if token.type in links or (token.type == "html_inline" and "span" not in token.content)
    ]
    plain = [
        "".join(token.content for token in block.children if token.type == "text")
        for block in page
        if block.type == "inline"
    ]
    assert names[0] in plain
    assert names[1] in plain
