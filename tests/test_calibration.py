"""Calibration and selective prediction against hand-worked cases and scikit-learn."""

import numpy as np
import pytest
from sklearn.calibration import calibration_curve
from sklearn.metrics import precision_recall_curve

from lib.calibration import area_under_risk_coverage, expected_calibration_error, reliability, risk_coverage


def test_the_calibration_error_of_a_case_worked_by_hand():
    probs_NC = [[0.95, 0.05], [0.91, 0.09], [0.35, 0.65], [0.62, 0.38]]
    labels_N = [0, 1, 1, 1]  # right, wrong | right, wrong
    # bin 9: confidence 0.93, accuracy 0.5; bin 6: confidence 0.635, accuracy 0.5
    assert expected_calibration_error(probs_NC, labels_N) == pytest.approx(0.5 * 0.43 + 0.5 * 0.135)
    assert reliability(probs_NC, labels_N)["rows"].tolist() == [2, 2]


def test_certainty_that_is_right_is_calibrated():
    assert expected_calibration_error(np.eye(3), [0, 1, 2]) == 0
    assert expected_calibration_error(np.eye(3), [1, 2, 0]) == 1


@pytest.mark.parametrize("bins", [5, 10])
def test_the_reliability_diagram_is_scikit_learns(bins):
    rng = np.random.default_rng(0)
    probs_NC = rng.dirichlet([1, 1, 1], size=500)
    labels_N = rng.integers(3, size=500)
    accuracy, confidence = calibration_curve(probs_NC.argmax(1) == labels_N, probs_NC.max(1), n_bins=bins)
    ours = reliability(probs_NC, labels_N, bins)
    np.testing.assert_allclose(ours["accuracy"], accuracy)
    np.testing.assert_allclose(ours["confidence"], confidence)
    weights = ours["rows"] / 500
    expected = (np.abs(accuracy - confidence) * weights).sum()
    assert expected_calibration_error(probs_NC, labels_N, bins) == pytest.approx(expected)


def test_risk_and_coverage_of_a_case_worked_by_hand():
    table = risk_coverage([1, 0, 0, 1], [0.9, 0.1, 0.4, 0.2])  # kept in the order right, wrong, right, wrong
    assert table["coverage"].tolist() == [0.25, 0.5, 0.75, 1.0]
    assert table["risk"].tolist() == pytest.approx([0, 1 / 2, 1 / 3, 1 / 2])
    assert area_under_risk_coverage([1, 0, 0, 1], [0.9, 0.1, 0.4, 0.2]) == pytest.approx(
        (0 + 1 / 2 + 1 / 3 + 1 / 2) / 4
    )


@pytest.mark.parametrize("seed", range(3))
def test_the_risk_is_one_minus_scikit_learns_precision_of_the_rows_kept(seed):
    """Right predictions are the positive class, certainty is the score: precision is the accuracy of the rows kept."""
    rng = np.random.default_rng(seed)
    uncertainty_N = rng.random(300)
    wrong_N = rng.random(300) < uncertainty_N
    precision, _, thresholds = precision_recall_curve(~wrong_N, -uncertainty_N)
    assert len(thresholds) == 300, "a threshold a row"
    table = risk_coverage(wrong_N, uncertainty_N)
    np.testing.assert_allclose(table["risk"], 1 - precision[:-1][::-1])
    np.testing.assert_allclose(table["coverage"], np.arange(1, 301) / 300)
    assert area_under_risk_coverage(wrong_N, uncertainty_N) == pytest.approx(1 - precision[:-1].mean())


def test_rejecting_by_nothing_leaves_the_error_rate():
    wrong_N = np.random.default_rng(0).random(200) < 0.3
    assert area_under_risk_coverage(wrong_N, np.zeros(200)) == pytest.approx(wrong_N.mean())
    assert area_under_risk_coverage(wrong_N, wrong_N) < area_under_risk_coverage(wrong_N, ~wrong_N)
