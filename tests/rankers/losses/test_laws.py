"""What holds for every loss by its contract, whatever its formula."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.rankers.losses.lists import all_of, ragged, row
from torch import Tensor

from ranklift.rankers.losses.choice import LOSSES, Loss, distillation_loss

BY_NAME: Mapping[str, Loss] = {name: distillation_loss(name) for name in LOSSES} | {
    "hybrid, mostly margin": distillation_loss("hybrid", alpha=0.1),
    "listnet, cold": distillation_loss("listnet", temperature=0.3),
    "adr_mse, warm": distillation_loss("adr_mse", temperature=3.0),
    "infonce, cold": distillation_loss("infonce", temperature=0.3),
    "ndcg-loss2++": distillation_loss("lambdaloss", mu=10.0),
}
TIED_TO_SCALE = {"point_mse", "hybrid", "hybrid, mostly margin"}
READ_ORDER_ALONE = {"hinge", "ranknet", "listmle", "adr_mse", "adr_mse, warm", "infonce"}
POSITIVES_MAY_BE_GIVEN = {"positive_margin_mse", "infonce", "infonce, cold"}
SEEK_THE_FIRST = {"infonce", "infonce, cold"}
REGRESSIONS = {"point_mse", "margin_mse", "hybrid", "positive_margin_mse", "listnet"}
SEEDS = st.integers(0, 10_000)
LAW = settings(max_examples=25, deadline=None, derandomize=True)


def each(names: Mapping[str, Loss] | set[str] = BY_NAME) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("loss", [BY_NAME[n] for n in sorted(names)], ids=sorted(names))


def value_and_gradient(
    loss: Loss, scores: Tensor, targets: Tensor, mask: Tensor
) -> tuple[float, Tensor]:
    leaf = scores.clone().requires_grad_()
    value = loss(leaf, targets, mask)
    assert value.shape == ()
    return value.item(), torch.autograd.grad(value, leaf)[0]


@each()
@pytest.mark.parametrize("graded", [False, True], ids=["teacher", "grades"])
def test_gradients_are_those_of_finite_differences(loss: Loss, graded: bool) -> None:
    lists = ragged(11)
    targets = lists.targets.round().clamp(0, 2) if graded else lists.targets
    scores = lists.scores.clone().requires_grad_()
    assert torch.autograd.gradcheck(lambda s: loss(s, targets, lists.mask), (scores,))


@each()
def test_a_gradient_reaches_every_list(loss: Loss) -> None:
    # Gradients of 0 are those of finite differences, too.
    lists = ragged(11)
    _, gradient = value_and_gradient(loss, -lists.targets, lists.targets, lists.mask)
    assert (gradient.abs().sum(1) > 1e-3).all()


@each()
@LAW
@given(seed=SEEDS)
def test_masked_places_have_no_influence_whatever_stands_there(loss: Loss, seed: int) -> None:
    lists = ragged(seed)
    value, gradient = value_and_gradient(loss, lists.scores, lists.targets, lists.mask)
    for rubbish in (1e30, torch.inf, torch.nan):
        scores, targets = (x.where(lists.mask, rubbish) for x in (lists.scores, lists.targets))
        again, other = value_and_gradient(loss, scores, targets, lists.mask)
        assert again == value
        assert torch.equal(other, gradient)
        assert (other[~lists.mask] == 0).all()


@each()
@LAW
@given(seed=SEEDS)
def test_padding_changes_nothing(loss: Loss, seed: int) -> None:
    lists = ragged(seed)
    wider = [torch.nn.functional.pad(x, (0, 3)) for x in (lists.scores, lists.targets, lists.mask)]
    expected = loss(lists.scores, lists.targets, lists.mask).item()
    assert loss(wider[0], wider[1], wider[2]).item() == pytest.approx(expected, rel=1e-12)


@each()
@LAW
@given(seed=SEEDS, tied=st.booleans())
def test_the_order_of_documents_says_nothing(loss: Loss, seed: int, tied: bool) -> None:
    lists = ragged(seed)
    scores, targets = lists.scores, lists.targets
    if tied:  # among scores and among targets
        scores, targets = scores.round(), targets.round()
    order = torch.randperm(scores.shape[1], generator=torch.Generator().manual_seed(seed))
    value, gradient = value_and_gradient(loss, scores, targets, lists.mask)
    moved, other = value_and_gradient(
        loss, scores[:, order], targets[:, order], lists.mask[:, order]
    )
    assert moved == pytest.approx(value, abs=1e-12)
    # Documents of the same score and target may exchange their gradients.
    if not tied:
        torch.testing.assert_close(other, gradient[:, order])


@each(POSITIVES_MAY_BE_GIVEN)
def test_positives_where_there_is_no_document_are_none(loss: Callable[..., Tensor]) -> None:
    lists = ragged(2)
    known = lists.targets > 0
    expected = loss(lists.scores, lists.targets, lists.mask, positives=known & lists.mask)
    found = loss(lists.scores, lists.targets, lists.mask, positives=known | ~lists.mask)
    assert (~lists.mask).any()
    assert found.item() == expected.item() > 0


@each(set(BY_NAME) - TIED_TO_SCALE)
@LAW
@given(seed=SEEDS, shift=st.floats(-50, 50))
def test_an_offset_of_a_querys_scores_changes_nothing(loss: Loss, seed: int, shift: float) -> None:
    lists = ragged(seed)
    shifted = lists.scores.clone()
    shifted[0] += shift
    expected = loss(lists.scores, lists.targets, lists.mask).item()
    assert loss(shifted, lists.targets, lists.mask).item() == pytest.approx(expected, rel=1e-9)


@each(TIED_TO_SCALE)
def test_an_offset_matters_to_losses_that_learn_the_scale(loss: Loss) -> None:
    lists = ragged(3)
    perfect = loss(lists.targets, lists.targets, lists.mask).item()
    # An offset of 2 costs 4, times alpha.
    assert loss(lists.targets + 2, lists.targets, lists.mask).item() >= perfect + 0.4 - 1e-9


@each(READ_ORDER_ALONE)
@LAW
@given(seed=SEEDS)
def test_losses_on_order_read_nothing_else_of_the_targets(loss: Loss, seed: int) -> None:
    lists = ragged(seed)
    expected = loss(lists.scores, lists.targets, lists.mask).item()
    assert loss(lists.scores, lists.targets.exp() - 3, lists.mask).item() == expected


@each(REGRESSIONS)
def test_a_student_that_scores_like_its_teacher_has_nothing_to_learn(loss: Loss) -> None:
    lists = ragged(4)
    value, gradient = value_and_gradient(loss, lists.targets, lists.targets, lists.mask)
    assert value == pytest.approx(0, abs=1e-12)
    assert gradient.abs().max() < 1e-12


def descended(loss: Loss, targets: Tensor) -> list[int]:
    """Return the order in which many steps down the gradient put equal scores, best first."""
    scores = torch.zeros_like(targets)
    for _ in range(2_000):
        _, gradient = value_and_gradient(loss, scores, targets, all_of(scores))
        scores -= 0.1 * gradient
    return scores[0].argsort(descending=True).tolist()


TARGETS = row(0.1, -1.2, 0.7, 1.5, -0.4)


@each(set(BY_NAME) - SEEK_THE_FIRST)
def test_descent_from_equal_scores_ends_in_the_order_of_the_targets(loss: Loss) -> None:
    assert descended(loss, TARGETS) == [3, 2, 0, 4, 1]


@each(SEEK_THE_FIRST)
def test_descent_from_equal_scores_puts_the_positive_first(loss: Loss) -> None:
    assert descended(loss, TARGETS)[0] == 3


SAYS_NOTHING = {
    "no document": row(0, 0, 0).bool(),
    "one document": row(1, 0, 0).bool(),
    "equal targets": row(1, 1, 1).bool(),
}
# What the contract excepts: these learn from less.
LEARNS = {
    "one document": {"point_mse", "hybrid", "hybrid, mostly margin"},
    "equal targets": {
        *("point_mse", "margin_mse", "hybrid", "hybrid, mostly margin"),
        *("listnet", "listnet, cold", "adr_mse", "adr_mse, warm"),
    },
}


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        (name, kind)
        for kind in SAYS_NOTHING
        for name in BY_NAME
        if name not in LEARNS.get(kind, set())
    ],
)
def test_a_list_that_says_nothing_adds_nothing(name: str, kind: str) -> None:
    loss, lists = BY_NAME[name], ragged(5, width=3)
    scores, targets, mask = row(3, -1, 2), row(1, 1, 1), SAYS_NOTHING[kind]
    with torch.autograd.set_detect_anomaly(True):  # no NaN on the way either
        alone, gradient = value_and_gradient(loss, scores, targets, mask)
    assert (alone, gradient.abs().sum().item()) == (0, 0)
    together, gradient = value_and_gradient(
        loss,
        torch.cat([lists.scores, scores]),
        torch.cat([lists.targets, targets]),
        torch.cat([lists.mask, mask]),
    )
    expected, others = value_and_gradient(loss, lists.scores, lists.targets, lists.mask)
    assert together == pytest.approx(expected)
    torch.testing.assert_close(gradient, torch.cat([others, torch.zeros_like(scores)]))


@pytest.mark.parametrize(
    ("name", "kind"), [(name, kind) for kind, names in LEARNS.items() for name in sorted(names)]
)
def test_what_the_contract_excepts_does_learn(name: str, kind: str) -> None:
    _, gradient = value_and_gradient(BY_NAME[name], row(3, -1, 2), row(1, 1, 1), SAYS_NOTHING[kind])
    assert gradient.abs().sum() > 1e-3


@each()
@pytest.mark.parametrize("scale", [1.0, 1e4])
def test_in_fp32_it_is_the_same_and_finite_at_any_scale(loss: Loss, scale: float) -> None:
    lists = ragged(6)
    scores, targets = scale * lists.scores, lists.targets
    value, gradient = value_and_gradient(loss, scores, targets, lists.mask)
    single, other = value_and_gradient(loss, scores.float(), targets.float(), lists.mask)
    assert other.dtype == torch.float32
    assert single == pytest.approx(value, rel=1e-4)
    torch.testing.assert_close(other.double(), gradient, rtol=1e-3, atol=1e-5)


@each()
def test_under_autocast_it_stays_in_fp32(loss: Loss) -> None:
    lists = ragged(7)
    scores, targets = lists.scores.float(), lists.targets.float()
    expected = value_and_gradient(loss, scores, targets, lists.mask)
    with torch.autocast("cpu", torch.bfloat16):
        found = value_and_gradient(loss, scores, targets, lists.mask)
    assert found[0] == expected[0]
    assert torch.equal(found[1], expected[1])
