"""The order of clicks: the set is the model's, the law Mallows', what is sampled is recovered."""

from __future__ import annotations

from collections import Counter
from itertools import permutations

import numpy as np
import pytest

from ranklift.clicks.keys import extend
from ranklift.clicks.transitions import (
    DOWNWARD,
    ClickSequence,
    Transitions,
    fit,
    moves,
    score,
)

# Distinct clicks on a page of a web-search log: 0, 1, 2, 3, 4, 5 or more.
DISTINCT = (0.32, 0.40, 0.13, 0.06, 0.04, 0.05)


def pages(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    number = rng.choice(6, size=count, p=DISTINCT)
    place = rng.permuted(np.tile(np.arange(10), (count, 1)), axis=1)
    return place < number[:, None], extend(seed, np.arange(count)[:, None], np.arange(10))


def sequence(*clicks: list[int]) -> ClickSequence:
    rows = [
        (page, rank, nth) for page, ranks in enumerate(clicks) for nth, rank in enumerate(ranks)
    ]
    page, rank, nth = np.array(rows, dtype=np.int64).T
    return ClickSequence(page, rank, nth)


def test_downward_is_every_click_once_in_page_order() -> None:
    clicked, keys = pages(500, 1)
    found = DOWNWARD.order(clicked, keys)
    np.testing.assert_array_equal(np.stack([found.page, found.rank]), clicked.nonzero())


def test_the_set_of_clicked_results_is_that_of_the_click_model() -> None:
    clicked, keys = pages(2_000, 2)
    found = Transitions(0.4, 0.3, 0.6).order(clicked, keys)
    again = np.zeros_like(clicked)
    again[found.page, found.rank] = True
    np.testing.assert_array_equal(again, clicked)
    assert len(found.page) > clicked.sum()


def test_orders_have_the_probabilities_of_mallows() -> None:
    clicked = np.ones((60_000, 3), dtype=bool)
    keys = extend(3, np.arange(len(clicked))[:, None], np.arange(3))
    found = Transitions(0, 0, 0.5).order(clicked, keys)
    seen = Counter(map(tuple, found.rank.reshape(-1, 3).tolist()))
    for order in permutations(range(3)):
        inverted = sum(order[i] > order[j] for j in range(3) for i in range(j))
        p = 0.5**inverted / ((1 + 0.5) * (1 + 0.5 + 0.25))
        assert abs(seen[order] / len(clicked) - p) < 4 * np.sqrt(p / len(clicked))


def test_score_is_worked_by_hand() -> None:
    # Ranks 3, 3, 1, 3: one out of order of two (pass_over / (1 + pass_over)); four ends of a
    # click, one of them again; after the second result, one back and one not.
    expected = 0.2 / 1.2 * 0.1 * 0.9**3 * 0.3 * 0.7
    found = score(Transitions(0.1, 0.3, 0.2), sequence([2, 2, 0, 2]))
    assert found == pytest.approx(np.log(expected) / 4)
    assert score(DOWNWARD, sequence([0, 3])) == 0
    assert score(DOWNWARD, sequence([3, 0])) == -np.inf


def test_probabilities_of_all_short_sequences_sum_to_one() -> None:
    """Two clicked results, up to nine clicks: what is longer has next to no probability."""
    model, total = Transitions(0.1, 0.1, 0.4), 0.0
    for length in range(2, 10):
        for bits in range(2**length):
            ranks = [bits >> i & 1 for i in range(length)]
            if len(set(ranks)) == 2:
                total += np.exp(score(model, sequence(ranks)) * length)
    assert total == pytest.approx(1, abs=2e-5)


def test_sampled_transitions_are_recovered_within_three_errors() -> None:
    truth = Transitions(0.15, 0.08, 0.3)
    fitted = fit(truth.order(*pages(30_000, 4)))
    for name, found in fitted.parameters.items():
        assert abs(found.value - getattr(truth, name)) < 3 * found.error, name


def test_errors_are_the_spread_of_fits() -> None:
    truth = Transitions(0.15, 0.08, 0.3)
    fits = [fit(truth.order(*pages(1_000, 100 + seed))).parameters for seed in range(200)]
    for name in ("again", "back", "pass_over"):
        values = np.array([one[name].value for one in fits])
        errors = np.array([one[name].error for one in fits])
        assert 0.85 < values.std() / errors.mean() < 1.15, name


def test_sampled_sequences_score_as_they_should() -> None:
    model = Transitions()
    one, other = model.order(*pages(20_000, 5)), model.order(*pages(20_000, 6))
    assert score(model, one) == pytest.approx(score(model, other), abs=0.02)
    assert score(fit(one).transitions, one) >= score(model, one)


def test_the_default_goes_down_up_and_again_as_a_web_search_log_does() -> None:
    clicked, keys = pages(100_000, 7)
    found = Transitions().order(clicked, keys)
    shares = moves(found)
    assert shares.down == pytest.approx(0.63, abs=0.02)
    assert shares.up == pytest.approx(0.18, abs=0.02)
    assert shares.same == pytest.approx(0.19, abs=0.02)
    distinct = clicked.sum(axis=1)
    repeated = np.bincount(found.page, minlength=len(clicked)) > distinct
    assert repeated.mean() == pytest.approx(0.106, abs=0.02)


def test_each_page_depends_on_its_own_row_only() -> None:
    clicked, keys = pages(300, 8)
    model = Transitions(0.3, 0.3, 0.5)
    whole, part = model.order(clicked, keys), model.order(clicked[100:], keys[100:])
    kept = whole.page >= 100
    np.testing.assert_array_equal(whole.page[kept] - 100, part.page)
    np.testing.assert_array_equal(whole.rank[kept], part.rank)


def test_pages_without_clicks_have_no_sequence() -> None:
    found = Transitions().order(np.zeros((3, 4), dtype=bool), extend(1, np.zeros((3, 4), int)))
    assert len(found.page) == 0
    with pytest.raises(ValueError, match="no clicks"):
        fit(found)


@pytest.mark.parametrize("values", [(1.0, 0, 0), (0, -0.1, 0), (0, 0, 1.1)])
def test_impossible_transitions_are_refused(values: tuple[float, float, float]) -> None:
    with pytest.raises(ValueError, match="must be in"):
        Transitions(*values)
