"""Point-MSE, both Margin-MSEs and the hybrid against numbers worked by hand, and their identity."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.rankers.losses.lists import all_of, row

from ranklift.rankers.losses import hybrid, margin_mse, point_mse, positive_margin_mse

SCORES, TEACHER = row(1, 2, 3), row(0, 4, 3)  # errors 1, -2, 0
SHOWN = all_of(SCORES)
ERRORS = st.lists(st.tuples(st.floats(-5, 5), st.floats(-5, 5)), min_size=2, max_size=8)


def test_point_mse_is_the_mean_squared_error() -> None:
    assert point_mse(SCORES, TEACHER, SHOWN).item() == pytest.approx(5 / 3)


def test_margin_mse_is_the_mean_squared_error_of_all_margins() -> None:
    # The errors' differences are 3, 1, -2.
    assert margin_mse(SCORES, TEACHER, SHOWN).item() == pytest.approx(14 / 3)


def test_positive_margin_mse_reads_the_margins_of_the_teachers_first_alone() -> None:
    # The second against the first and the third: -3, -2.
    assert positive_margin_mse(SCORES, TEACHER, SHOWN).item() == pytest.approx(13 / 2)


def test_positives_may_be_known_otherwise() -> None:
    # The first against the others: 3, 1; the first two against the third: 1, -2.
    one, two = torch.tensor([[True, False, False]]), torch.tensor([[True, True, False]])
    found = [
        positive_margin_mse(SCORES, TEACHER, SHOWN, positives=each).item() for each in (one, two)
    ]
    assert found == pytest.approx([10 / 2, 5 / 2])


def test_lists_weigh_alike_whatever_their_length() -> None:
    scores, teacher = torch.cat([SCORES, row(5, 1, 0)]), torch.cat([TEACHER, row(1, 0, 0)])
    mask = torch.tensor([[True, True, True], [True, True, False]])  # errors 4, 1
    assert point_mse(scores, teacher, mask).item() == pytest.approx((5 / 3 + 17 / 2) / 2)
    assert margin_mse(scores, teacher, mask).item() == pytest.approx((14 / 3 + 9) / 2)
    assert positive_margin_mse(scores, teacher, mask).item() == pytest.approx((13 / 2 + 9) / 2)


def test_alpha_of_the_hybrid_is_the_share_of_the_scores_themselves() -> None:
    expected = 0.3 * 5 / 3 + 0.7 * 14 / 3
    assert hybrid(SCORES, TEACHER, SHOWN, alpha=0.3).item() == pytest.approx(expected)


@settings(deadline=None, derandomize=True)
@given(ERRORS, st.floats(0, 1))
def test_the_hybrid_splits_into_offset_and_spread(
    pairs: list[tuple[float, float]], alpha: float
) -> None:
    # With b and v mean and population variance of e = s - t over n documents:
    # L_point = b^2 + v, L_margin = 2n/(n-1) v
    scores, targets = row(*(s for s, _ in pairs)), row(*(t for _, t in pairs))
    error = (scores - targets)[0]
    n, b, v = len(pairs), error.mean(), error.var(correction=0)
    expected = alpha * b**2 + (alpha + (1 - alpha) * 2 * n / (n - 1)) * v
    assert hybrid(scores, targets, all_of(scores), alpha).item() == pytest.approx(
        expected.item(), rel=1e-9, abs=1e-9
    )


@settings(deadline=None, derandomize=True)
@given(ERRORS)
def test_margin_mse_is_the_sum_over_pairs_written_out(pairs: list[tuple[float, float]]) -> None:
    scores, targets = row(*(s for s, _ in pairs)), row(*(t for _, t in pairs))
    squares = [((a[0] - b[0]) - (a[1] - b[1])) ** 2 for i, a in enumerate(pairs) for b in pairs[:i]]
    assert margin_mse(scores, targets, all_of(scores)).item() == pytest.approx(
        sum(squares) / len(squares), abs=1e-9
    )


def test_the_two_margin_mses_are_different_losses() -> None:
    # No errors but between two negatives: only the margin of all pairs sees them.
    scores, teacher = row(9, 1, -1), row(9, 0, 0)
    positive = positive_margin_mse(scores, teacher, SHOWN).item()
    # Errors 0, 1, -1: variance 2/3; margins -1, 1 of the first against the others.
    assert (margin_mse(scores, teacher, SHOWN).item(), positive) == pytest.approx((2.0, 1.0))
