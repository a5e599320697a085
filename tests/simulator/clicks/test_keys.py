"""Keyed randomness: known vectors, uniform, and the same however it is computed."""

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from ranklift.clicks.keys import Purpose, draw, extend, hash_id, hash_ids, mix, uniform

GAMMA, MASK = 0x9E3779B97F4A7C15, 2**64 - 1
words = st.integers(0, MASK)


def splitmix64(z: int) -> int:
    """SplitMix64's output for one state, in Python's unbounded integers."""
    z = (z + GAMMA) & MASK
    z = ((z ^ z >> 30) * 0xBF58476D1CE4E5B9) & MASK
    z = ((z ^ z >> 27) * 0x94D049BB133111EB) & MASK
    return z ^ z >> 31


def test_mix_gives_the_published_sequence_of_seed_1234567() -> None:
    states = [(1234567 + n * GAMMA) & MASK for n in range(5)]
    assert mix(np.array(states, dtype=np.uint64)).tolist() == [
        6457827717110365317,
        3203168211198807973,
        9817491932198370423,
        4593380528125082431,
        16408922859458223821,
    ]


@given(words)
def test_mix_is_splitmix64(z: int) -> None:
    assert int(mix(np.uint64(z))) == splitmix64(z)


@given(words, st.lists(st.tuples(words, words), min_size=1, max_size=5))
def test_extend_is_the_same_for_one_and_for_many(seed: int, fields: list[tuple[int, int]]) -> None:
    users, visits = (np.array(column, dtype=np.uint64) for column in zip(*fields, strict=True))
    together = extend(np.uint64(seed), users, visits)
    one_by_one = [
        splitmix64(splitmix64(seed ^ splitmix64(user)) ^ splitmix64(visit))
        for user, visit in fields
    ]
    assert together.tolist() == one_by_one


def test_the_order_of_fields_counts() -> None:
    assert extend(7, 1, 2) != extend(7, 2, 1)
    assert extend(7, 1, 1) != extend(7, 2, 2)


def test_keys_of_a_grid_do_not_collide() -> None:
    grid = extend(0, np.arange(300)[:, None, None], np.arange(50)[:, None], np.arange(20))
    assert len(np.unique(grid)) == grid.size


@pytest.mark.parametrize("purpose", [Purpose.EXAMINE, Purpose.ATTRACT])
def test_draws_are_uniform(purpose: Purpose) -> None:
    u = uniform(extend(11, np.arange(500)[:, None], np.arange(400), purpose)).ravel()
    observed = np.bincount((u * 256).astype(int), minlength=256)
    assert stats.chisquare(observed).pvalue > 1e-3


@pytest.mark.parametrize("field", ["user", "visit", "purpose"])
def test_draws_of_neighbouring_keys_are_independent(field: str) -> None:
    step = {"user": (1, 0, 0), "visit": (0, 1, 0), "purpose": (0, 0, 1)}[field]
    users = np.arange(20_000)
    here = uniform(extend(3, users, 5, 9))
    there = uniform(extend(3, users + step[0], 5 + step[1], 9 + step[2]))
    table = np.histogram2d(here, there, bins=8, range=[[0, 1], [0, 1]])[0]
    assert stats.chi2_contingency(table).pvalue > 1e-3


def test_draws_lie_in_the_open_interval() -> None:
    lowest, highest = uniform(np.array([0, MASK], dtype=np.uint64))
    assert 0.0 < lowest < 1e-15
    assert 1 - 1e-15 < highest < 1.0


def test_string_ids_hash_as_murmur3_and_the_same_in_another_process() -> None:
    assert hash_id("hello") == 0xCBD8A7B341BD9B02  # x64 128, seed 0
    assert hash_ids(("hello", "")).tolist() == [hash_id("hello"), 0]
    code = "from ranklift.clicks.keys import hash_id; print(hash_id('Zürich'))"
    other = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout
    assert int(other) == hash_id("Zürich")


def test_every_purpose_has_its_own_code() -> None:
    assert len({int(purpose) for purpose in Purpose}) == len(Purpose.__members__)


@given(st.lists(words, min_size=1, max_size=5), st.sampled_from(Purpose))
def test_a_draw_is_uniform_of_the_extended_key(keys: list[int], purpose: Purpose) -> None:
    many = np.array(keys, dtype=np.uint64)
    np.testing.assert_array_equal(draw(many, purpose), uniform(extend(many, purpose)))
    one_by_one = [splitmix64(key ^ splitmix64(purpose)) for key in keys]
    expected = [((h >> 12) + 0.5) * 2.0**-52 for h in one_by_one]
    assert draw(many, purpose).tolist() == expected
    assert many.tolist() == keys  # keys are left as they are
