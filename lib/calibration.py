"""Calibration and selective prediction: probabilities or uncertainties of one classifier's rows in, numbers out."""

import numpy as np
import pandas as pd


def reliability(probs_NC, labels_N, bins: int = 10) -> pd.DataFrame:
    """Reliability diagram: in each of `bins` equal bins of confidence its rows, mean confidence and accuracy."""
    probs_NC, labels_N = np.asarray(probs_NC, float), np.asarray(labels_N)
    table = pd.DataFrame({"confidence": probs_NC.max(1), "accuracy": probs_NC.argmax(1) == labels_N})
    table["bin"] = np.minimum((table["confidence"] * bins).astype(int), bins - 1)
    table["rows"] = 1
    means = table.groupby("bin").agg(
        confidence=("confidence", "mean"), accuracy=("accuracy", "mean"), rows=("rows", "sum")
    )
    return means.reset_index()


def expected_calibration_error(probs_NC, labels_N, bins: int = 10) -> float:
    """ECE (Guo et al. 2017): mean distance of accuracy from confidence over the bins, weighted by their rows."""
    table = reliability(probs_NC, labels_N, bins)
    return float(np.average((table["accuracy"] - table["confidence"]).abs(), weights=table["rows"]))


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
