"""Counting a log: dense or sorted, weighted or not, whole or in parts, the sums are the same."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from ranklift.clicks import counts
from ranklift.clicks.counts import CellCounts, by_last_click, by_rank, last_click_cell
from ranklift.clicks.log import NO_PAIR, ClickLog, click_log


def random_log(seed: int, pages: int = 200, *, weighted: bool = False) -> ClickLog:
    """Pages of one to four results of six pairs."""
    rng = np.random.default_rng(seed)
    pair = rng.permuted(np.tile(np.arange(6), (pages, 1)), axis=1)[:, :4]
    pair[np.arange(4) >= rng.integers(1, 5, pages)[:, None]] = NO_PAIR
    clicked = (rng.random(pair.shape) < 0.4) & (pair != NO_PAIR)
    return click_log(pair, clicked, rng.integers(1, 5, pages) if weighted else None, pairs=6)


def by_hand(log: ClickLog, cell: NDArray[np.int64]) -> dict[tuple[int, int], tuple[float, float]]:
    found: dict[tuple[int, int], tuple[float, float]] = {}
    for row in range(len(log)):
        for rank in range(log.ranks):
            if log.pair[row, rank] != NO_PAIR:
                key = (int(log.pair[row, rank]), int(cell[row, rank]))
                shown, clicks = found.get(key, (0.0, 0.0))
                weight = log.weight[row]
                found[key] = (shown + weight, clicks + weight * log.clicked[row, rank])
    return found


def as_dict(found: CellCounts) -> dict[tuple[int, int], tuple[float, float]]:
    columns = (found.pair, found.cell, found.impressions, found.clicks)
    rows = zip(*(column.tolist() for column in columns), strict=True)
    return {(pair, cell): (shown, clicks) for pair, cell, shown, clicks in rows}


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("dense", [0, 1 << 26])
def test_counts_are_sums_over_results(
    monkeypatch: pytest.MonkeyPatch, weighted: bool, dense: int
) -> None:
    monkeypatch.setattr(counts, "_DENSE", dense)
    monkeypatch.setattr(counts, "_RESULTS_AT_ONCE", 64)  # many parts
    log = random_log(1, weighted=weighted)
    ranks = np.broadcast_to(np.arange(4), log.pair.shape)
    assert as_dict(by_rank(log)) == by_hand(log, ranks)
    assert as_dict(by_last_click(log)) == by_hand(log, last_click_cell(log.clicked))


@given(st.integers(0, 1_000), st.integers(1, 199))
def test_counts_of_two_parts_add_up(seed: int, cut: int) -> None:
    log = random_log(seed)
    for count_ in (by_rank, by_last_click):
        assert as_dict(count_(log[:cut]) + count_(log[cut:])) == as_dict(count_(log))


def test_equal_pages_may_share_a_row() -> None:
    one = click_log([[0, 1], [0, 1], [1, 0]], [[1, 0], [1, 0], [0, 0]])
    shared = click_log([[0, 1], [1, 0]], [[1, 0], [0, 0]], [2, 1])
    assert as_dict(by_rank(one)) == as_dict(by_rank(shared))


@pytest.mark.parametrize(
    ("pair", "clicked", "message"),
    [
        ([], [], "at least one page"),
        ([[0, 1]], [[1]], "one of each for a result"),
        ([[0], [-2]], [[0], [0]], "page 1 .* a pair outside"),
        ([[0], [0]], [[0], [2]], "page 1 .* neither 0 nor 1"),
        ([[0, -1]], [[0, 1]], "page 0 .* where nothing is shown"),
        ([[0, 1], [-1, 0]], [[0, 0], [0, 0]], "page 1 .* behind a gap"),
    ],
)
def test_malformed_logs_are_refused(
    pair: list[list[int]], clicked: list[list[int]], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        click_log(pair, clicked)
    with pytest.raises(ValueError, match="a weight that is not above 0"):
        click_log([[0]], [[0]], [0.0])
