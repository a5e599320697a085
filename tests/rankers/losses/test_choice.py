"""Losses by name: what is there, what it takes, and what is said of anything else."""

from __future__ import annotations

import inspect

import pytest
from tests.rankers.losses.lists import ragged

from ranklift.rankers.losses import hybrid, lambdaloss, listnet, margin_ranking, ranknet
from ranklift.rankers.losses.choice import LOSSES, distillation_loss
from ranklift.v1.errors import InvalidRequest

LISTS = ragged(8)


def test_a_name_gives_its_loss_with_the_functions_own_defaults() -> None:
    expected = ranknet(LISTS.scores, LISTS.targets, LISTS.mask)
    assert distillation_loss("ranknet")(LISTS.scores, LISTS.targets, LISTS.mask) == expected
    expected = hybrid(LISTS.scores, LISTS.targets, LISTS.mask)
    assert distillation_loss("hybrid")(LISTS.scores, LISTS.targets, LISTS.mask) == expected


def test_settings_reach_the_loss() -> None:
    scores, targets, mask = LISTS.scores, LISTS.targets, LISTS.mask
    for loss, expected in [
        (distillation_loss("hybrid", alpha=0.2), hybrid(scores, targets, mask, 0.2)),
        (distillation_loss("hinge", tau=0.3), margin_ranking(scores, targets, mask, 0.3)),
        (distillation_loss("listnet", temperature=2), listnet(scores, targets, mask, 2)),
        (distillation_loss("lambdaloss", mu=5), lambdaloss(scores, targets, mask, 5)),
    ]:
        assert loss(scores, targets, mask) == expected


@pytest.mark.parametrize("name", LOSSES)
def test_every_setting_that_is_named_is_one_of_the_function_and_the_other_way_round(
    name: str,
) -> None:
    parameters = inspect.signature(LOSSES[name].function).parameters.values()
    # Positives are data, and no setting.
    numbers = {each.name for each in parameters if isinstance(each.default, float)}
    assert numbers == set(LOSSES[name].settings)


def test_an_unknown_name_is_answered_with_those_that_are_known() -> None:
    with pytest.raises(InvalidRequest, match=r'loss: "hybird" must be one of hybrid, point_mse, '):
        distillation_loss("hybird")


@pytest.mark.parametrize(
    ("name", "settings", "said"),
    [
        ("ranknet", {"alpha": 0.5}, 'alpha: is no setting of the loss "ranknet", which takes no'),
        ("hybrid", {"tau": 1.0}, 'tau: is no setting of the loss "hybrid", which takes alpha'),
        ("hybrid", {"alpha": 1.1}, 'alpha: 1.1 must be in [0, 1] for the loss "hybrid"'),
        ("hybrid", {"alpha": float("nan")}, "alpha: nan must be in [0, 1]"),
        ("listnet", {"temperature": 0.0}, "temperature: 0.0 must be above 0"),
        ("listnet", {"temperature": float("inf")}, "temperature: inf must be above 0 and finite"),
        ("lambdaloss", {"mu": -1.0}, "mu: -1.0 must be at least 0 and finite"),
    ],
)
def test_a_wrong_setting_is_refused(name: str, settings: dict[str, float], said: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        distillation_loss(name, **settings)
    assert said in str(refused.value)


def test_everything_wrong_is_said_at_once() -> None:
    with pytest.raises(InvalidRequest) as refused:
        distillation_loss("adr_mse", alpha=0.5, temperature=-1.0)
    assert [each.field for each in refused.value.violations] == ["alpha", "temperature"]
