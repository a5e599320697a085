"""Millions of units at once: bit for bit what one at a time says, and as random as it must be."""

from __future__ import annotations

import mmh3
import numpy as np
import polars as pl
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy import stats

from ranklift.store.values import BUCKETS, Arm, Experiment, Layer, ModelRef
from ranklift.traffic.many_units import assign_many
from ranklift.traffic.murmur3 import first_words
from ranklift.traffic.splitter import Place, Splitter, bucket_of

MODEL = ModelRef("student", "1")
MILLION = pl.Series([f"user-{i}" for i in range(1_000_000)])
# A sound splitter fails a check at this level once in a thousand choices of the salts below.
ALPHA = 0.001

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=300)


def experiment(*shares: int, traffic_share: int = BUCKETS, salt: str = "default/a") -> Experiment:
    arms = tuple(Arm(f"arm-{i}", share, MODEL) for i, share in enumerate(shares))
    return Experiment("a", arms, "arm-0", salt, traffic_share=traffic_share)


@given(st.binary(max_size=40), st.lists(st.binary(max_size=50), max_size=12))
@settings(deadline=None, derandomize=True)
@example(b"", [b"", b"x" * 16, b"x" * 15, b"x" * 17])
def test_the_hash_is_that_of_mmh3(prefix: bytes, keys: list[bytes]) -> None:
    lengths = np.array([len(key) for key in keys], np.int64)
    hashes = first_words(prefix, b"".join(keys), lengths)
    assert hashes.tolist() == [mmh3.mmh3_x64_128_utupledigest(prefix + key, 0)[0] for key in keys]


@given(st.lists(texts, max_size=20), texts, st.integers(1, BUCKETS - 1), st.integers(1, BUCKETS))
@settings(deadline=None, derandomize=True)
def test_many_units_meet_the_arms_that_each_meets_alone(
    units: list[str], salt: str, share: int, traffic_share: int
) -> None:
    one = experiment(share, BUCKETS - share, traffic_share=traffic_share, salt=salt)
    place = Place(Layer("l", f"{salt}/slots/1", 2_000), ((100, 4_000), (6_000, 9_000)))
    splitter = Splitter.of(one)
    together = assign_many(one, units, place)
    assert together.buckets.tolist() == [bucket_of(salt, unit) for unit in units]
    for unit, arm in zip(units, together.arms.tolist(), strict=True):
        alone = splitter.assign(unit) if place.has(unit) else None
        assert (one.arms[arm] if arm >= 0 else None) == (alone.arm if alone else None)


def test_units_are_told_apart_across_the_portions_they_are_taken_in(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("ranklift.traffic.many_units._UNITS_AT_A_TIME", 7)
    monkeypatch.setattr("ranklift.traffic.murmur3._AT_A_TIME", 3)
    units = [f"用户-{'x' * (i % 5)}{i}" for i in range(100)]
    found = assign_many(experiment(BUCKETS), units).buckets.tolist()
    assert found == [bucket_of("default/a", unit) for unit in units]


def test_units_that_are_no_texts_are_refused() -> None:
    with pytest.raises(TypeError, match="Int64"):
        assign_many(experiment(BUCKETS), pl.Series([1, 2]))
    with pytest.raises(TypeError, match="1 missing"):
        assign_many(experiment(BUCKETS), pl.Series(["a", None]))


@pytest.mark.parametrize("salt", ["default/a", "ranker/slots/1", "ranker/holdout", "s"])
def test_a_million_units_fall_evenly_into_the_buckets(salt: str) -> None:
    buckets = assign_many(experiment(BUCKETS, salt=salt), MILLION).buckets
    counts = np.bincount(buckets, minlength=BUCKETS)
    assert stats.chisquare(counts).pvalue > ALPHA


def test_arms_get_their_shares() -> None:
    arms = assign_many(experiment(1, 99, 2_400, 7_500), MILLION).arms
    expected = np.array([1, 99, 2_400, 7_500]) * len(MILLION) / BUCKETS
    assert stats.chisquare(np.bincount(arms, minlength=4), expected).pvalue > ALPHA


SALTS = ["default/a", "default/b", "default/slots/1", "default/slots/2", "default/holdout"]


@pytest.mark.parametrize(
    ("one", "other"), [(a, b) for i, a in enumerate(SALTS) for b in SALTS[i + 1 :]]
)
def test_layers_experiments_slots_and_holdouts_are_independent(one: str, other: str) -> None:
    """Also before and after a layer's salt changes: who was together is spread over everything."""
    found = [
        assign_many(experiment(BUCKETS, salt=salt), MILLION).buckets // 500 for salt in (one, other)
    ]
    table = np.zeros((20, 20))
    np.add.at(table, (found[0], found[1]), 1)
    assert stats.chi2_contingency(table).pvalue > ALPHA


def test_dependence_would_be_found() -> None:
    """The check above fails for a hash whose salt only turns the buckets round."""
    buckets = assign_many(experiment(BUCKETS), MILLION).buckets.astype(np.int64)
    table = np.zeros((20, 20))
    np.add.at(table, (buckets // 500, (buckets + 1_234) % BUCKETS // 500), 1)
    assert stats.chi2_contingency(table).pvalue < 1e-100


@given(st.integers(1, BUCKETS), st.integers(1, BUCKETS), st.integers(1, BUCKETS - 1))
@settings(deadline=None, derandomize=True, max_examples=25)
def test_a_ramp_only_adds_units_to_arms(one: int, other: int, share: int) -> None:
    small, large = sorted((one, other))
    units = MILLION[:20_000]
    before = assign_many(experiment(share, BUCKETS - share, traffic_share=small), units).arms
    after = assign_many(experiment(share, BUCKETS - share, traffic_share=large), units).arms
    assert np.array_equal(before[before >= 0], after[before >= 0])
