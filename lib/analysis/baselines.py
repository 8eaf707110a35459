"""Baselines: other classifiers on the rows that a run labelled. They follow from its picks; no run is computed again.

<store>/baselines/<run>.parquet    a row a round and baseline; a published study has the same in its own files
"""

import hashlib
import os
import zipfile
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score
from threadpoolctl import threadpool_limits

from lib.data import sources
from lib.data.rows import keep_arrays, load_tokenizer, tokenise
from lib.data.tasks import Texts, display_name, read_texts
from lib.errors import StudyError
from lib.protocol import IDENTITY, Protocol, digest
from lib.runs import published, results
from lib.runs.files import flush
from lib.runs.results import Run

if TYPE_CHECKING:  # it needs torch, which takes seconds to import, and what is kept is read without
    from lib.method.model import Classifier

COLUMNS = ("round", "labelled", "baseline", "accuracy", "macro_f1")
KEPT = sources.CACHE / "vectors"
CHUNK = 4096  # texts that are encoded before they are kept


# ---- the baselines


def pair_features(vectors_NKH: np.ndarray) -> np.ndarray:
    """features_NF: a single text's vector; of a pair [u, v, |u − v|, u·v] (Conneau 2017; Reimers and Gurevych 2019)."""
    if vectors_NKH.shape[1] == 1:
        return vectors_NKH[:, 0]
    u_NH, v_NH = vectors_NKH[:, 0], vectors_NKH[:, 1]
    return np.concatenate([u_NH, v_NH, np.abs(u_NH - v_NH), u_NH * v_NH], axis=1)


def logistic_regression(vectors_NKH: np.ndarray, labels_N: np.ndarray, others_VKH: np.ndarray) -> np.ndarray:
    """The labels of other texts by scikit-learn's logistic regression, C = 1; one class alone is predicted always."""
    if (labels_N == labels_N[0]).all():
        return np.full(len(others_VKH), labels_N[0])
    with threadpool_limits(1):  # threads change rounding
        model = LogisticRegression(max_iter=1000).fit(pair_features(vectors_NKH), labels_N)
        return model.predict(pair_features(others_VKH))


# name → a function of the vectors of T's texts (K texts a row), T's labels and the validation texts' vectors that gives
# the validation rows' labels
BASELINES: dict[str, Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]] = {
    "logistic regression": logistic_regression,
}


# ---- the frame


def load(protocols: list[Protocol], store="", columns=IDENTITY) -> pd.DataFrame:
    """The baselines of each round of these finished runs: run, `columns`, and COLUMNS.

    What is kept is read; what is missing is computed and kept if the texts and the encoder's weights are here. Else it
    is left out, and a line says so. A run that is not finished has no rows.
    """
    store = Path(store or results.STORE)
    runs = [run for run in dict.fromkeys(Run(p, store) for p in protocols) if run.done]
    found = {run: kept(run) for run in runs}
    missing = [run for run in runs if found[run] is None]
    hindrances = {}
    for task in dict.fromkeys(run.protocol.task for run in missing):
        try:
            found |= compute([run for run in missing if run.protocol.task == task])
        except StudyError as error:
            hindrances[task] = error
    if hindrances:
        tasks = ", ".join(map(display_name, hindrances))
        print(f"Baselines of {tasks} are not shown. {next(iter(hindrances.values()))}", flush=True)
    tables = [
        frame.assign(run=run.name, **{name: getattr(run.protocol, name) for name in columns})
        for run, frame in found.items()
        if frame is not None
    ]
    order = ["run", *columns, *COLUMNS]
    return pd.concat(tables, ignore_index=True)[order] if tables else pd.DataFrame(columns=order)


def kept(run: Run) -> pd.DataFrame | None:
    """What the store or a published study has of a run; None if it has not every one of BASELINES."""
    path = _path(run)
    frame = pd.read_parquet(path) if path.exists() else _published().get(run.name)
    return frame if frame is not None and set(BASELINES) <= set(frame["baseline"]) else None


def _path(run: Run) -> Path:
    return run.store / results.BASELINES / f"{run.name}.parquet"


def _published() -> dict[str, pd.DataFrame]:
    return {name: frame for study in published.studies() for name, frame in study.baselines.items()}


# ---- computing


def compute(runs: list[Run]) -> dict[Run, pd.DataFrame]:
    """Compute and keep the baselines of finished runs of one task. Raises StudyError without its texts or weights."""
    from lib.method.active_learning import evaluated_rows

    labelled, measured, found = {run: labelled_rows(run) for run in runs}, {}, {}
    texts = {run: texts_of(run.protocol) for run in runs}
    evaluated = {run: evaluated_rows(run.protocol, texts[run]) for run in runs}
    for run in runs:
        rows = _rows(texts[run].train, labelled[run][-1]) + _rows(texts[run].validation, evaluated[run])
        vectors_of(run.protocol).add(text for row in rows for text in row[:-1])
    for run in runs:
        vectors, train = vectors_of(run.protocol), texts[run].train
        validation = _rows(texts[run].validation, evaluated[run])
        others_VKH = vectors.of(validation)
        truth_V, records = np.array([row[-1] for row in validation]), []
        for round_, numbers in enumerate(labelled[run]):
            rows = _rows(train, numbers)
            for name, predict in BASELINES.items():
                # runs share T: S, and all of it where only the seed differs and nothing was picked
                what = (name, id(vectors), texts[run].fingerprint, numbers.tobytes(), evaluated[run].tobytes())
                if what not in measured:
                    labels_N = np.array([row[-1] for row in rows])
                    predictions_V = predict(vectors.of(rows), labels_N, others_VKH)
                    macro_f1 = f1_score(truth_V, predictions_V, average="macro", zero_division=0)
                    measured[what] = float((predictions_V == truth_V).mean()), float(macro_f1)
                records.append((round_, len(numbers), name, *measured[what]))
        found[run] = pd.DataFrame(records, columns=COLUMNS)
        _keep(_path(run), found[run])
    return found


def labelled_rows(run: Run) -> list[np.ndarray]:
    """T of each round: numbers of training rows, S first, then what was picked."""
    from lib.method.active_learning import split_rows

    picked = run.table("rounds").sort_values("round")["picked"]
    start = split_rows(run.protocol, texts_of(run.protocol))[0]
    labelled = [start]
    for some in picked.iloc[:-1]:
        labelled.append(np.concatenate([labelled[-1], np.asarray(some, np.int64)]))
    return labelled


def texts_of(protocol: Protocol) -> Texts:
    return read_texts(protocol.task, protocol.hub, protocol.rows)


def _rows(rows: list[tuple], numbers: np.ndarray) -> list[tuple]:
    return [rows[number] for number in numbers]


def _keep(path: Path, frame: pd.DataFrame) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_suffix(f".{os.getpid()}.tmp")
    frame.to_parquet(scratch, index=False)
    flush(scratch)
    scratch.rename(path)


# ---- the encoder's vectors


def vectors_of(protocol: Protocol) -> "Vectors":
    """Of the texts of a protocol's task; the same object for the same encoder and max_length."""
    return _vectors(protocol.task, protocol.encoder, protocol.max_length)


@cache
def _vectors(task: str, encoder: str, max_length: int) -> "Vectors":
    return Vectors(task, encoder, max_length)


class Vectors:
    """The mean-pooled vectors of single texts by the encoder as it came, in float32; each text is encoded once.

    They are kept in the cache, by the weights, max_length and each text's hash.
    """

    def __init__(self, task: str, encoder: str, max_length: int):
        self.task, self.encoder, self.max_length = task, encoder, max_length
        self.path = KEPT / f"{digest([task, sources.weights_fingerprint(encoder), max_length])[:32]}.npz"
        self.known: dict[int, np.ndarray] = {}  # hash of a text → vector_H
        with suppress(OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile), np.load(self.path) as file:
            self.known = dict(zip(file["hashes"].tolist(), file["vectors"], strict=True))

    def add(self, texts: Iterable[str]) -> None:
        """Encode those that are not known yet. Raises StudyError if the weights are not here."""
        new = list({_hash(text): text for text in texts if _hash(text) not in self.known}.items())
        new.sort(key=lambda one: len(one[1]))
        if not new:
            return
        from lib.method.active_learning import device
        from lib.method.model import build_classifier

        protocol = Protocol(
            task=self.task, encoder=self.encoder, max_length=self.max_length, precision="float32", decoder="linear"
        )
        classifier, tokenizer = build_classifier(protocol, 2).to(device()), load_tokenizer(self.encoder)
        for first in range(0, len(new), CHUNK):
            some = new[first : first + CHUNK]
            vectors_NH = sentence_vectors(classifier, tokenizer, [text for _, text in some], self.max_length)
            self.known |= dict(zip((key for key, _ in some), vectors_NH, strict=True))
            with suppress(OSError):  # where nothing can be written, the next process encodes again
                hashes_N, vectors_NH = np.array([*self.known], np.uint64), np.stack([*self.known.values()])
                keep_arrays(self.path, {"hashes": hashes_N, "vectors": vectors_NH})

    def of(self, rows: list[tuple]) -> np.ndarray:
        """vectors_NKH of the texts of rows, which are tuples of K texts and a label."""
        self.add(text for row in rows for text in row[:-1])
        return np.stack([[self.known[_hash(text)] for text in row[:-1]] for row in rows])


def _hash(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")


def sentence_vectors(classifier: "Classifier", tokenizer, texts: list[str], max_length: int) -> np.ndarray:
    """vectors_NH, float32: the mean of a text's last hidden states, of length 1 (Reimers and Gurevych 2019)."""
    import torch

    from lib.method.prefix import encoded

    rows = tokenise([(text, 0) for text in texts], tokenizer, max_length)
    vectors_NH = np.empty((len(texts), classifier.encoder.width), np.float32)
    with torch.inference_mode():
        for some, hidden_TH, batch in encoded(classifier, rows, np.arange(len(texts))):
            mean_BH = torch.segment_reduce(hidden_TH, "mean", lengths=batch.lengths_B, unsafe=True)
            vectors_NH[some] = torch.nn.functional.normalize(mean_BH).cpu().numpy()
    return vectors_NH
