"""Other packages, given the same random data, find the same numbers.

The quick form of tests/benchmarks/lift_peers.py, which has gbstats too.
"""

from __future__ import annotations

from tests.benchmarks.lift_peer_tables import largest_gaps, tables
from tests.benchmarks.lift_peers import sample_ratio_pairs, statsmodels_pairs, tea_tasting_pairs


def test_tea_tasting_finds_the_same_means_ratios_proportions_cuped_and_corrections() -> None:
    gaps = largest_gaps(pair for table in tables(8) for pair in tea_tasting_pairs(table))
    assert len(gaps) == 11
    assert {name: gap for name, gap in gaps.items() if gap > 1e-9} == {}


def test_tea_tasting_finds_the_same_sample_ratio_in_the_four_digits_that_we_print() -> None:
    gaps = largest_gaps(pair for table in tables(8) for pair in sample_ratio_pairs(table))
    assert gaps["sample ratio"] < 1e-3


def test_clustered_least_squares_has_the_same_difference_and_error() -> None:
    gaps = largest_gaps(
        pair for table in tables(4, smallest=1_000) for pair in statsmodels_pairs(table)
    )
    assert gaps["clustered least squares, difference"] < 1e-8
    assert gaps["clustered least squares, SE"] < 1e-3
