"""The losses against numbers worked by hand, their identity, and their gradients."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from ranklift.rankers.losses import hybrid, margin_mse, margin_ranking, point_mse


def row(*numbers: float) -> Tensor:
    return torch.tensor([numbers], dtype=torch.float64)


EVERYTHING = torch.ones((1, 3), dtype=torch.bool)


def test_margin_ranking_is_the_mean_hinge_over_pairs_of_different_grades() -> None:
    # grades 2 > 1 > 0, scores 0.5, 0.2, 0.9:
    # (2,1): 1 - 0.3 = 0.7; (2,0): 1 + 0.4 = 1.4; (1,0): 1 + 0.7 = 1.7
    loss = margin_ranking(row(0.5, 0.2, 0.9), row(2, 1, 0), EVERYTHING)
    assert loss.item() == pytest.approx((0.7 + 1.4 + 1.7) / 3)


def test_margin_ranking_asks_for_no_more_than_tau() -> None:
    assert margin_ranking(row(3, 2, 1), row(2, 1, 0), EVERYTHING, tau=1.0).item() == 0
    assert margin_ranking(row(3, 2, 1), row(2, 1, 0), EVERYTHING, tau=1.5).item() == pytest.approx(
        (0.5 + 0 + 0.5) / 3
    )


def test_margin_ranking_of_equal_grades_is_zero_with_a_gradient() -> None:
    scores = row(1, 2, 3).requires_grad_()
    loss = margin_ranking(scores, row(1, 1, 1), EVERYTHING)
    (gradient,) = torch.autograd.grad(loss, scores)
    assert (loss.item(), gradient.tolist()) == (0, [[0, 0, 0]])


def test_point_mse_is_the_mean_squared_error() -> None:
    # errors 1, -2, 0
    assert point_mse(row(1, 2, 3), row(0, 4, 3), EVERYTHING).item() == pytest.approx(5 / 3)


def test_margin_mse_is_the_mean_squared_error_of_all_margins() -> None:
    # errors 1, -2, 0; their differences 3, 1, -2
    assert margin_mse(row(1, 2, 3), row(0, 4, 3), EVERYTHING).item() == pytest.approx(14 / 3)


def test_masked_places_do_not_count_whatever_stands_there() -> None:
    mask = torch.tensor([[True, True, True, False]])
    scores, targets = row(1, 2, 3, 1e30), row(0, 4, 3, float("nan"))
    grades = row(2, 1, 0, 5)
    assert point_mse(scores, targets, mask).item() == pytest.approx(5 / 3)
    assert margin_mse(scores, targets, mask).item() == pytest.approx(14 / 3)
    full = margin_ranking(scores[:, :3], grades[:, :3], mask[:, :3])
    assert margin_ranking(scores, grades, mask).item() == pytest.approx(full.item())


def test_a_list_of_one_document_has_no_margins() -> None:
    mask = torch.tensor([[True, True, True], [True, False, False]])
    scores, targets = (
        torch.cat([row(1, 2, 3), row(9, 0, 0)]),
        torch.cat([row(0, 4, 3), row(0, 0, 0)]),
    )
    assert margin_mse(scores, targets, mask).item() == pytest.approx(14 / 3)


@given(
    st.lists(st.tuples(st.floats(-5, 5), st.floats(-5, 5)), min_size=2, max_size=12),
    st.floats(0, 1),
)
def test_the_hybrid_splits_into_offset_and_spread(
    pairs: list[tuple[float, float]], alpha: float
) -> None:
    # With b and v mean and population variance of e = s - t over n documents:
    # L_point = b^2 + v, L_margin = 2n/(n-1) v
    scores, targets = row(*(s for s, _ in pairs)), row(*(t for _, t in pairs))
    mask = torch.ones_like(scores, dtype=torch.bool)
    error = (scores - targets)[0]
    n, b, v = len(pairs), error.mean(), error.var(correction=0)
    expected = alpha * b**2 + (alpha + (1 - alpha) * 2 * n / (n - 1)) * v
    assert hybrid(scores, targets, mask, alpha).item() == pytest.approx(
        expected.item(), rel=1e-9, abs=1e-9
    )


@given(st.lists(st.tuples(st.floats(-5, 5), st.floats(-5, 5)), min_size=2, max_size=8))
def test_margin_mse_is_the_sum_over_pairs_written_out(pairs: list[tuple[float, float]]) -> None:
    scores, targets = row(*(s for s, _ in pairs)), row(*(t for _, t in pairs))
    squares = [((a[0] - b[0]) - (a[1] - b[1])) ** 2 for i, a in enumerate(pairs) for b in pairs[:i]]
    mask = torch.ones_like(scores, dtype=torch.bool)
    assert margin_mse(scores, targets, mask).item() == pytest.approx(
        sum(squares) / len(squares), abs=1e-9
    )


@pytest.mark.parametrize("loss", [margin_ranking, point_mse, margin_mse])
def test_gradients_are_those_of_finite_differences(loss: object) -> None:
    generator = torch.Generator().manual_seed(11)
    scores = torch.randn((3, 4), dtype=torch.float64, generator=generator, requires_grad=True)
    targets = torch.tensor([[2, 1, 0, 0], [1, 0, 2, 2], [0, 1, 0, 9]], dtype=torch.float64)
    mask = torch.tensor([[1, 1, 1, 1], [1, 1, 1, 0], [1, 1, 0, 0]], dtype=torch.bool)
    assert callable(loss)
    assert torch.autograd.gradcheck(lambda s: loss(s, targets, mask), (scores,))
