"""Calibration and selective prediction against hand-worked cases and scikit-learn."""

import numpy as np
import pytest
from sklearn.calibration import calibration_curve
from sklearn.metrics import precision_recall_curve

from lib.analysis.calibration import (
    area_under_risk_coverage,
    brier_score,
    calibration_floor,
    expected_calibration_error,
    reliability,
    risk_coverage,
)


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


def labels_from(probs_NC, rng) -> np.ndarray:
    """A label for each row, drawn from its probabilities."""
    return np.array([rng.choice(probs.size, p=probs) for probs in probs_NC])


@pytest.mark.parametrize("classes", [2, 3, 6])
@pytest.mark.parametrize("rows", [120, 872])
def test_a_perfectly_calibrated_classifier_is_as_far_off_as_the_floor_says(classes, rows):
    rng = np.random.default_rng([classes, rows])
    probs_NC = rng.dirichlet(np.full(classes, 1.5), size=rows)
    errors = [expected_calibration_error(probs_NC, labels_from(probs_NC, rng)) for _ in range(60)]
    standard_error = np.std(errors) / np.sqrt(len(errors))
    floor = calibration_floor(probs_NC)
    assert floor == pytest.approx(np.mean(errors), abs=4 * standard_error)
    assert {120: 0.04, 872: 0.015}[rows] < floor < {120: 0.1, 872: 0.04}[rows]


def test_an_overconfident_classifier_is_above_the_floor_and_a_certain_one_has_none():
    rng = np.random.default_rng(0)
    true_NC = rng.dirichlet([2, 2, 2], size=500)
    labels_N = labels_from(true_NC, rng)
    claimed_NC = true_NC**3 / (true_NC**3).sum(1, keepdims=True)
    assert expected_calibration_error(claimed_NC, labels_N) > 3 * calibration_floor(claimed_NC)
    assert brier_score(true_NC, labels_N) < brier_score(claimed_NC, labels_N)
    assert calibration_floor(np.eye(3)) == 0


def test_the_brier_score_is_its_formula():
    probs_NC = np.array([[0.7, 0.2, 0.1], [0.1, 0.1, 0.8]], np.float32)
    expected = (0.3**2 + 0.2**2 + 0.1**2 + 0.1**2 + 0.9**2 + 0.8**2) / 2
    assert brier_score(probs_NC, [0, 1]) == pytest.approx(expected, rel=1e-6)
    assert brier_score([[0.75, 0.25]], [1]) == pytest.approx(2 * 0.75**2), "two classes are counted like three"


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
