"""The baseline: is fine-tuning worth it with so few labels? The encoder as it is, and a logistic regression on T."""

from dataclasses import dataclass, field

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score
from threadpoolctl import threadpool_limits

from lib.data.rows import Rows
from lib.data.tasks import Task
from lib.method.model import Classifier
from lib.method.prefix import encoded


@torch.inference_mode()
def sentence_vectors(classifier: Classifier, rows: Rows, numbers) -> np.ndarray:
    """vectors_NH, float32: the mean of a row's last hidden states, of length 1 (Reimers and Gurevych 2019)."""
    numbers = np.asarray(numbers)
    place = np.empty(len(rows), np.int64)
    place[numbers] = np.arange(len(numbers))
    vectors_NH = np.empty((len(numbers), classifier.encoder.width), np.float32)
    for some, hidden_TH, batch in encoded(classifier, rows, numbers):
        mean_BH = torch.segment_reduce(hidden_TH, "mean", lengths=batch.lengths_B, unsafe=True)
        vectors_NH[place[some]] = torch.nn.functional.normalize(mean_BH).cpu().numpy()
    return vectors_NH


@dataclass
class Baseline:
    """scikit-learn's logistic regression, as it comes, on the vectors of θ_0; each row is encoded once in a run."""

    theta_0: Classifier
    task: Task
    evaluated: np.ndarray  # numbers of the validation rows
    known: dict[int, np.ndarray] = field(default_factory=dict)  # vectors of training rows
    validation_VH: np.ndarray | None = None

    def measure(self, labelled: np.ndarray) -> dict[str, float]:
        """Accuracy and macro-F1 on the validation rows, trained on the rows `labelled`."""
        if self.validation_VH is None:
            self.validation_VH = sentence_vectors(self.theta_0, self.task.validation, self.evaluated)
        new = [row for row in labelled.tolist() if row not in self.known]
        if new:
            self.known |= dict(zip(new, sentence_vectors(self.theta_0, self.task.train, new), strict=True))
        vectors_NH = np.stack([self.known[row] for row in labelled.tolist()])
        labels_N, truth_V = self.task.train.labels_N[labelled], self.task.validation.labels_N[self.evaluated]
        predictions_V = predict(vectors_NH, labels_N, self.validation_VH)
        macro_f1 = f1_score(truth_V, predictions_V, average="macro", zero_division=0)
        return {"accuracy": float((predictions_V == truth_V).mean()), "macro_f1": float(macro_f1)}


def predict(vectors_NH: np.ndarray, labels_N: np.ndarray, others_VH: np.ndarray) -> np.ndarray:
    """The labels of other vectors. One class alone is predicted everywhere."""
    if (labels_N == labels_N[0]).all():
        return np.full(len(others_VH), labels_N[0])
    with threadpool_limits(1):  # threads change rounding
        return LogisticRegression(max_iter=1000).fit(vectors_NH, labels_N).predict(others_VH)
