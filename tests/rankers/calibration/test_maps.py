"""Maps against scikit-learn's, and the order that none of them turns around."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.special import expit

from ranklift.rankers.calibration import AsIs, fit_affine, fit_isotonic, fit_temperature
from ranklift.rankers.calibration.cross_fit import FITS
from ranklift.v1.errors import InvalidRequest

Floats = NDArray[np.float64]


def drawn(seed: int, count: int, slope: float, offset: float) -> tuple[Floats, Floats]:
    """Return scores and labels that sigmoid(slope * score + offset) tells the probability of."""
    rng = np.random.default_rng(seed)
    scores = rng.normal(1, 3, size=count)
    return scores, (rng.uniform(size=count) < expit(slope * scores + offset)).astype(np.float64)


def test_affine_is_a_logistic_regression_on_platts_targets() -> None:
    linear_model = pytest.importorskip("sklearn.linear_model", reason="scikit-learn is not there")
    scores, relevant = drawn(1, 400, 0.6, -1.0)
    positive, negative = relevant.sum(), (1 - relevant).sum()
    target = np.where(relevant > 0, (positive + 1) / (positive + 2), 1 / (negative + 2))
    # A target between 0 and 1 is both labels, weighted.
    peer = linear_model.LogisticRegression(C=np.inf, tol=1e-10, max_iter=10_000).fit(
        np.tile(scores, 2)[:, None],
        np.repeat([1, 0], len(scores)),
        sample_weight=np.concatenate([target, 1 - target]),
    )
    found = fit_affine(scores, relevant)
    assert found.slope == pytest.approx(peer.coef_.item(), rel=1e-4)
    assert found.offset == pytest.approx(peer.intercept_.item(), rel=1e-4)


def test_temperature_is_a_logistic_regression_without_offset() -> None:
    linear_model = pytest.importorskip("sklearn.linear_model", reason="scikit-learn is not there")
    scores, relevant = drawn(2, 400, 0.4, 0.0)
    peer = linear_model.LogisticRegression(
        C=np.inf, fit_intercept=False, tol=1e-10, max_iter=10_000
    ).fit(scores[:, None], relevant)
    found = fit_temperature(scores, relevant)
    assert 1 / found.temperature == found.slope == pytest.approx(peer.coef_.item(), rel=1e-4)
    assert found.offset == 0
    assert not found.at_limit


@pytest.mark.parametrize("seed", range(5))
def test_isotonic_is_scikit_learns(seed: int) -> None:
    isotonic = pytest.importorskip("sklearn.isotonic", reason="scikit-learn is not there")
    scores, relevant = drawn(seed, 200, 0.6, -1.0)
    scores = scores.round(1)  # some are equal
    peer = isotonic.IsotonicRegression(out_of_bounds="clip").fit(scores, relevant)
    others = np.linspace(-20, 20, 501)
    assert fit_isotonic(scores, relevant).probabilities(others) == pytest.approx(
        peer.predict(others)
    )


def test_the_map_that_made_the_labels_is_found() -> None:
    found = fit_affine(*drawn(3, 40_000, 0.6, -1.0))
    assert found.slope == pytest.approx(0.6, abs=0.02)
    assert found.offset == pytest.approx(-1.0, abs=0.05)
    assert fit_temperature(*drawn(4, 40_000, 0.5, 0.0)).temperature == pytest.approx(2, abs=0.05)


@given(
    st.lists(st.floats(-30, 30), min_size=4, max_size=30, unique=True),
    st.randoms(use_true_random=False),
)
def test_no_map_turns_two_documents_around(values: list[float], random: object) -> None:
    rng = np.random.default_rng(len(values))
    relevant = rng.permutation(np.arange(len(values)) % 2).astype(np.float64)
    scores = np.array(values)
    ordered = np.sort(np.concatenate([scores, rng.normal(0, 20, size=20)]))
    for fit in FITS.values():
        assert (np.diff(fit(scores, relevant).probabilities(ordered)) >= 0).all()


@pytest.mark.parametrize("name", ["temperature", "affine"])
def test_all_but_isotonic_keep_the_order_without_new_ties(name: str) -> None:
    scores, relevant = drawn(5, 300, 0.6, -1.0)
    probabilities = FITS[name](scores, relevant).probabilities(scores)
    assert (np.argsort(probabilities) == np.argsort(scores)).all()
    assert len(np.unique(probabilities)) == len(np.unique(scores))
    assert len(np.unique(fit_isotonic(scores, relevant).probabilities(scores))) < len(scores)


def test_scores_that_need_an_offset_are_told_from_those_that_need_a_temperature() -> None:
    scores, relevant = drawn(7, 300, 0.3, -5.0)
    assert fit_temperature(scores, relevant).at_limit
    assert not fit_temperature(*drawn(7, 300, 0.3, 0.0)).at_limit


def test_scores_that_fall_with_relevance_get_no_falling_map() -> None:
    scores, relevant = drawn(6, 300, 0.6, 0.0)
    found = fit_affine(-scores, relevant)
    assert found.slope == 0
    assert found.temperature == np.inf
    assert expit(found.offset) == pytest.approx(relevant.mean(), abs=0.01)


def test_perfect_scores_have_finite_maps() -> None:
    scores, relevant = np.array([-2.0, -1, 1, 2]), np.array([0.0, 0, 1, 1])
    affine = fit_affine(scores, relevant)
    assert 0 < affine.slope < 10
    assert 0 < fit_temperature(scores, relevant).temperature < 0.01
    assert fit_isotonic(scores, relevant).probabilities(scores).tolist() == [0, 0, 1, 1]


def test_probabilities_in_16_bits_would_make_ties_of_the_best() -> None:
    scores = np.array([6.0, 7.0, 8.0, 9.0])
    narrowest = torch.sigmoid(torch.tensor(scores, dtype=torch.bfloat16))
    assert len(set(narrowest.tolist())) < 4
    narrow = scores.astype(np.float32)
    assert (np.diff(AsIs.probabilities(narrow)) > 0).all()
    assert AsIs.probabilities(narrow).dtype == np.float64


@pytest.mark.parametrize("fit", FITS.values(), ids=FITS)
@pytest.mark.parametrize(
    ("scores", "relevant", "complaint"),
    [
        ([1.0, 2], [0.0, 0], "no document is relevant"),
        ([1.0, 2], [1.0, 1], "every document is relevant"),
        ([1.0, np.nan], [1.0, 0], "must be finite"),
        ([1.0], [1.0, 0], "one for every label"),
    ],
)
def test_what_nothing_can_be_fitted_to_is_refused(
    fit: object, scores: list[float], relevant: list[float], complaint: str
) -> None:
    assert callable(fit)
    with pytest.raises(InvalidRequest, match=complaint):
        fit(np.array(scores), np.array(relevant))
