"""The model of a labelling: trained on the labels so far, it chooses the rows of the next batch."""

import copy
import dataclasses
import math
from functools import partial

import numpy as np

from lib.data.own_rows import OwnRows
from lib.data.rows import Rows, check_embedded, load_tokenizer, tokenise
from lib.data.tasks import UNLABELLED
from lib.errors import StudyError
from lib.labelling.background import ONE_AT_A_TIME, Background, Tell, Work, told
from lib.method import scoring, uncertainty
from lib.method.active_learning import device, settled
from lib.method.model import Classifier, build_classifier
from lib.method.training import train
from lib.protocol import Protocol


def recipe(
    rows: OwnRows, start: int, query: int, encoder: str = "", max_length: int = 128, strategy: str = "bald"
) -> Protocol:
    """How to train on one's own rows: the study's protocol. Raises StudyError for too few rows, or no such strategy."""
    if len(rows) < start + query:
        raise StudyError(
            f"{rows.path} has {len(rows)} rows, fewer than start={start} and a batch of query={query}: "
            "lower them, or add rows"
        )
    from dask.system import CPU_COUNT

    named = {"strategy": strategy, **({"encoder": encoder} if encoder else {})}
    threads = max(1, CPU_COUNT // 2)  # with a thread for each core, whatever else runs makes all of them wait
    sizes = {"start": start, "query": query, "rounds": 1, "pool": len(rows), "max_length": max_length}
    return Protocol(task="own rows", threads=threads, **sizes, **named)


def as_tokens(texts: list[tuple[str, ...]], protocol: Protocol) -> Rows:
    """Texts without labels, as the encoder reads them. Raises StudyError if it does not go together with them."""
    rows = [(*those, UNLABELLED) for those in texts]
    tokenised = tokenise(rows, load_tokenizer(protocol.encoder), protocol.max_length)
    check_embedded(tokenised, protocol.encoder)
    return tokenised


def balanced(labels_N: np.ndarray, balance: float) -> np.ndarray:
    """The labelled rows, those of rarer classes repeated: each class's number, n of its rows, becomes n^(1−b) m^b.

    balance: b; 0 repeats nothing, with 1 every class has the m rows of the most frequent one.
    """
    found = [np.flatnonzero(labels_N == c) for c in sorted(set(labels_N.tolist()) - {UNLABELLED})]
    most = max(map(len, found), default=0)
    grown = [np.resize(rows, round(len(rows) ** (1 - balance) * most**balance)) for rows in found]
    return np.sort(np.concatenate(grown)) if grown else np.arange(0)


@dataclasses.dataclass(frozen=True)
class Wanted:
    """A batch that is to be chosen, and what was known when the choice began. Rows are numbers into the file's."""

    number: int
    labels_N: np.ndarray  # what the model is trained on; UNLABELLED where there is none
    pool: np.ndarray
    drawn: np.ndarray  # the rows of the batch that were drawn at random

    @property
    def labelled(self) -> np.ndarray:
        return np.flatnonzero(self.labels_N != UNLABELLED)


class Chooser:
    """Trains from θ_0 and chooses: at once, or in the background. Raises StudyError if encoder and rows do not fit."""

    def __init__(self, rows: OwnRows, protocol: Protocol, balance: float = 0.0):
        if not 0 <= balance <= 1:
            raise StudyError(f"balance={balance} is not allowed: give 0, rows as they are, to 1, classes count alike")
        self.protocol, self.classes, self.balance = protocol, rows.labels, balance
        self.theta_0 = build_classifier(protocol, len(rows.labels)).to(device())
        self.tokenised = as_tokens(rows.texts, protocol)
        self.fitted = None  # labels_N and the classifier that was trained on them
        self.background = None  # the choice that is being made, if one is

    def fit(self, labels_N: np.ndarray, tell: Tell | None = None) -> Classifier:
        """The classifier trained from θ_0 on these labels, the same for the same labels.

        Raises StudyError if they are of one class.
        """
        if self.background:
            self.background.wait()  # no two threads use one classifier
        labelled = np.flatnonzero(labels_N != UNLABELLED)
        counts = np.bincount(labels_N[labelled], minlength=len(self.classes)).tolist()
        if sum(map(bool, counts)) < 2:
            named = dict(zip(self.classes, counts, strict=True))
            raise StudyError(f"labels so far: {named}: label rows of two classes or more before training")
        with ONE_AT_A_TIME:
            if self.fitted is None or not np.array_equal(self.fitted[0], labels_N):
                classifier = copy.deepcopy(self.theta_0)
                rows = told(dataclasses.replace(self.tokenised, labels_N=labels_N), "training", tell)
                with settled(self.protocol):
                    train(classifier, rows, balanced(labels_N, self.balance), self.protocol, len(labelled))
                self.fitted = labels_N, classifier
            return self.fitted[1]

    def choose(self, wanted: Wanted, tell: Tell | None = None) -> dict:
        """labelled, the labels that it was trained on; rows and how each was picked; predictions: row → class."""
        pool, classifier = wanted.pool, self.fit(wanted.labels_N, tell)
        with settled(self.protocol):
            features_NF = uncertainty.pool_features(classifier, told(self.tokenised, "scoring", tell), pool)
            predictions_N = uncertainty.predict_log_probs(classifier, features_NF).argmax(1).cpu().numpy()
            drawn = np.searchsorted(pool, np.sort(wanted.drawn))
            others = np.setdiff1d(np.arange(len(pool)), drawn)
            query = min(self.protocol.query - len(drawn), len(others))
            best = self._best(classifier, features_NF[others], others, query, wanted)
        # nothing tells a person which rows the model is unsure of
        order = self.protocol.generator("random", wanted.number).permutation([*drawn, *best])
        return {
            "labelled": len(wanted.labelled),
            "rows": pool[order].tolist(),
            "picked": ["random" if place in set(drawn) else self.protocol.strategy for place in order],
            "predictions": {n: self.classes[c] for n, c in zip(pool.tolist(), predictions_N, strict=True)},
        }

    def _best(self, classifier, features_NF, places, query: int, wanted: Wanted) -> np.ndarray:
        """The `query` places that the strategy picks, by default those with the highest BALD."""
        if not query:
            return places[:0]
        masks = scoring.round_masks(classifier, self.protocol, wanted.number)
        rows = dataclasses.replace(self.tokenised, labels_N=wanted.labels_N)
        of_labelled = partial(uncertainty.labelled_view, classifier, masks, rows, wanted.labelled)
        view = uncertainty.View(classifier, masks, features_NF, of_labelled=of_labelled)
        return scoring.acquire(view, places, dataclasses.replace(self.protocol, query=query), wanted.number)[0]

    # ---- in the background

    def start(self, wanted: Wanted) -> None:
        """Begin to choose in the background."""
        protocol, lengths_N = self.protocol, self.tokenised.lengths_N
        trained = balanced(wanted.labels_N, self.balance)
        tokens = {"training": protocol.epochs * lengths_N[trained].sum(), "scoring": lengths_N[wanted.pool].sum()}
        steps = protocol.epochs * math.ceil(len(trained) / protocol.batch_size)
        work = Work(len(wanted.labelled), len(wanted.pool), steps, tokens)
        self.background = Background(lambda tell: self.choose(wanted, tell), work)

    @property
    def choosing(self) -> bool:
        """Whether that is under way."""
        return self.background is not None and not self.background.done

    def result(self) -> dict:
        """What was chosen in the background, as `choose` gives it, when it is done. Raises what that raised."""
        background = self.background
        background.wait()  # if this is interrupted, the choice is still under way
        self.background = None
        return background.result()
