"""Maps are judged on queries that they have not seen."""

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.special import expit

from ranklift.rankers.calibration import Logistic, cross_fit, fit_isotonic
from ranklift.rankers.calibration.cross_fit import crosswise
from ranklift.v1.errors import InvalidRequest

Floats = NDArray[np.float64]


def queries(
    seed: int, count: int, slope: float, offset: float
) -> tuple[list[Floats], list[Floats]]:
    rng = np.random.default_rng(seed)
    scores = [rng.normal(1, 3, size=20) for _ in range(count)]
    grades = [
        np.where(rng.uniform(size=20) < expit(slope * each + offset), 2.0, 0.0) for each in scores
    ]
    return scores, grades


def test_maps_mend_what_the_sigmoid_says_wrongly() -> None:
    found = {each.name: each for each in cross_fit(*queries(1, 200, 0.5, -1.5))}
    assert list(found) == ["sigmoid", "temperature", "affine", "isotonic"]
    as_is = found["sigmoid"].reliability
    assert found["affine"].reliability.ece < 0.02 < 0.1 < as_is.ece
    assert found["isotonic"].reliability.ece < 0.02
    assert found["affine"].reliability.brier < as_is.brier
    affine = found["affine"].found
    assert isinstance(affine, Logistic)
    assert (affine.slope, affine.offset) == pytest.approx((0.5, -1.5), abs=0.1)
    assert found["sigmoid"].ties == found["affine"].ties == 0 < found["isotonic"].ties


def test_a_querys_labels_have_no_say_in_its_own_probabilities() -> None:
    scores, grades = queries(2, 20, 0.5, -1.5)
    labels = [each / 2 for each in grades]
    folds = np.arange(20) % 5
    before = crosswise(fit_isotonic, scores, labels, folds)
    turned = [1 - each if fold == 3 else each for each, fold in zip(labels, folds, strict=True)]
    after = crosswise(fit_isotonic, scores, turned, folds)
    for fold, one, other in zip(folds, before, after, strict=True):
        assert (one == other).all() is np.bool_(fold == 3)


def test_what_counts_as_relevant_is_a_setting() -> None:
    scores, grades = queries(3, 50, 0.5, -1.5)
    one, two = (cross_fit(scores, grades, relevant=grade) for grade in (1, 2))
    assert [each.reliability for each in one] == [each.reliability for each in two]
    with pytest.raises(InvalidRequest, match="no document is relevant"):
        cross_fit(scores, grades, relevant=3)


def test_ties_that_scores_had_are_not_the_maps() -> None:
    scores, grades = queries(4, 50, 0.5, -1.5)
    found = {each.name: each for each in cross_fit([each.round() for each in scores], grades)}
    assert found["affine"].ties == 0


def test_one_query_cannot_be_judged_on_another() -> None:
    scores, grades = queries(5, 2, 0.5, 0.0)
    assert len(cross_fit(scores, grades)) == 4
    with pytest.raises(InvalidRequest, match="another one"):
        cross_fit(scores[:1], grades[:1])
