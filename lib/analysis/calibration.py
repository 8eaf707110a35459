"""Calibration and selective prediction: probabilities or uncertainties of one classifier's rows in, numbers out."""

import numpy as np
import pandas as pd
from sklearn.metrics import brier_score_loss


def reliability(probs_NC, labels_N, bins: int = 10) -> pd.DataFrame:
    """Reliability diagram: in each of `bins` equal bins of confidence its rows, mean confidence and accuracy."""
    probs_NC, labels_N = np.asarray(probs_NC, float), np.asarray(labels_N)
    table = pd.DataFrame({"confidence": probs_NC.max(1), "accuracy": probs_NC.argmax(1) == labels_N})
    table["bin"] = bin_of(table["confidence"], bins)
    table["rows"] = 1
    means = table.groupby("bin").agg(
        confidence=("confidence", "mean"), accuracy=("accuracy", "mean"), rows=("rows", "sum")
    )
    return means.reset_index()


def bin_of(confidence_N, bins: int) -> np.ndarray:
    return np.minimum((np.asarray(confidence_N) * bins).astype(int), bins - 1)


def expected_calibration_error(probs_NC, labels_N, bins: int = 10) -> float:
    """ECE (Guo et al. 2017): mean distance of accuracy from confidence over the bins, weighted by their rows."""
    table = reliability(probs_NC, labels_N, bins)
    return float(np.average((table["accuracy"] - table["confidence"]).abs(), weights=table["rows"]))


def calibration_floor(probs_NC, bins: int = 10, draws: int = 1000) -> float:
    """The ECE of the same predictions, were they perfectly calibrated: its mean, with labels drawn from them.

    It is not zero: in a bin of a few rows, accuracy is off confidence by chance, whatever the side.
    """
    confidence_N = np.asarray(probs_NC, float).max(1)
    right_DN = np.random.default_rng(0).random((draws, len(confidence_N))) < confidence_N
    inside_NB = np.eye(bins)[bin_of(confidence_N, bins)]
    return float(np.abs((right_DN - confidence_N) @ inside_NB).sum(1).mean() / len(confidence_N))


def brier_score(probs_NC, labels_N) -> float:
    """Mean squared distance of the probabilities from the label's, summed over classes (Brier 1950): 0 to 2.

    Unlike ECE it is lowest, in expectation, for the true probabilities, whatever the number of rows.
    """
    probs_NC = np.asarray(probs_NC, float)
    sums_N1 = probs_NC.sum(1, keepdims=True)  # one, but for rounding
    classes = range(probs_NC.shape[1])
    return float(brier_score_loss(np.asarray(labels_N), probs_NC / sums_N1, labels=[*classes], scale_by_half=False))


def risk_coverage(wrong_N, uncertainty_N) -> pd.DataFrame:
    """Share of wrong predictions (risk) among the least uncertain rows, for each share of rows kept (coverage).

    Rows that are equally uncertain are kept or rejected in random order: the risk is its expectation.
    """
    table = pd.DataFrame({"wrong": np.asarray(wrong_N, float), "uncertainty": np.asarray(uncertainty_N)})
    table["wrong"] = table.groupby("uncertainty")["wrong"].transform("mean")
    table = table.sort_values("uncertainty", kind="stable")
    kept = np.arange(1, len(table) + 1)
    return pd.DataFrame({"coverage": kept / len(table), "risk": table["wrong"].cumsum().to_numpy() / kept})


def area_under_risk_coverage(wrong_N, uncertainty_N) -> float:
    """Mean risk over all coverages (Geifman et al. 2019): lower is better; random rejection gives the error rate."""
    return float(risk_coverage(wrong_N, uncertainty_N)["risk"].mean())
