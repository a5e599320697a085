"""Models that read down the page, against all that can happen on a short one."""

from itertools import pairwise, product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ranklift.clicks.cascade import Cascade
from ranklift.clicks.ccm import Ccm
from ranklift.clicks.dbn import Dbn
from ranklift.clicks.dcm import Dcm
from ranklift.clicks.keys import Keys, extend
from ranklift.clicks.model import Browsing
from ranklift.clicks.results import Floats, Rows, Sample, Table, table
from ranklift.clicks.sdbn import Sdbn

MODELS: dict[str, Browsing] = {
    "cascade": Cascade(),
    "DCM": Dcm((0.7, 0.3, 0.9)),
    "CCM": Ccm(after_skip=0.9, after_irrelevant=0.8, after_relevant=0.2),
    "DBN": Dbn(0.8),
    "SDBN": Sdbn(),
}
# P(next is examined) after a skip and after a click at each rank, written out once more.
AFTER_SKIP = {"cascade": 1.0, "DCM": 1.0, "CCM": 0.9, "DBN": 0.8, "SDBN": 1.0}
A = np.array([[0.3, 0.6, 0.2, 0.5]])
S = np.array([[0.7, 0.4, 0.1, 0.5]])
AFTER_CLICK = {
    "cascade": np.zeros(4),
    "DCM": np.array([0.7, 0.3, 0.9, 0.0]),
    "CCM": 0.8 * (1 - A[0]) + 0.2 * A[0],
    "DBN": 0.8 * (1 - S[0]),
    "SDBN": 1 - S[0],
}
every_model = pytest.mark.parametrize("name", MODELS)


def pattern_probability(name: str, clicked: tuple[bool, ...], rank: int = 0) -> float:
    """P(clicks from `rank` on | it is examined), by going through what users may do."""
    if rank == len(clicked):
        return 1.0
    here = A[0, rank] if clicked[rank] else 1 - A[0, rank]
    goes_on = AFTER_CLICK[name][rank] if clicked[rank] else AFTER_SKIP[name]
    leaves = 0.0 if any(clicked[rank + 1 :]) else 1 - goes_on
    return float(here * (goes_on * pattern_probability(name, clicked, rank + 1) + leaves))


@every_model
def test_conditionals_multiply_to_the_probability_of_every_pattern(name: str) -> None:
    patterns = list(product([False, True], repeat=4))
    clicked = np.array(patterns)
    a, s = (np.repeat(values, len(clicked), axis=0) for values in (A, S))
    p = MODELS[name].conditional(a, s, clicked)
    joint = np.where(clicked, p, 1 - p).prod(axis=1)
    expected = [pattern_probability(name, pattern) for pattern in patterns]
    np.testing.assert_allclose(joint, expected, atol=1e-15)
    np.testing.assert_allclose(joint.sum(), 1)


@every_model
def test_marginal_is_the_sum_over_all_patterns(name: str) -> None:
    patterns = list(product([False, True], repeat=4))
    joint = np.array([pattern_probability(name, pattern) for pattern in patterns])
    np.testing.assert_allclose(MODELS[name].marginal(A, S)[0], joint @ np.array(patterns))


def draws(name: str, pages: int) -> Sample:
    keys = extend(np.uint64(3), np.arange(pages)[:, None], np.arange(4))
    return MODELS[name].sample(table(keys, A, S))


@every_model
def test_sampled_patterns_come_as_often_as_they_should(name: str) -> None:
    pages = 40_000
    clicked = draws(name, pages).clicked
    for pattern in product([False, True], repeat=4):
        expected = pattern_probability(name, pattern)
        error = np.sqrt(expected * (1 - expected) / pages)
        assert abs((clicked == pattern).all(axis=1).mean() - expected) <= 4 * error


@every_model
def test_latents_are_those_of_a_user_who_reads_down_and_leaves(name: str) -> None:
    drawn = draws(name, 5_000)
    np.testing.assert_array_equal(drawn.clicked, drawn.examined & drawn.attracted)
    assert not (drawn.satisfied & ~drawn.clicked).any()
    assert drawn.examined[:, 0].all()
    assert not (drawn.examined[:, 1:] & ~drawn.examined[:, :-1]).any()
    clicks = drawn.clicked.sum(axis=0)
    assert (abs(drawn.satisfied.sum(axis=0) / clicks - S[0]) < 4 * 0.5 / np.sqrt(clicks)).all()


@pytest.mark.parametrize("name", ["DBN", "SDBN"])
def test_satisfaction_ends_the_page(name: str) -> None:
    drawn = draws(name, 5_000)
    assert not (drawn.examined[:, 1:] & drawn.satisfied[:, :-1]).any()


@pytest.mark.parametrize("name", ["cascade", "DCM", "CCM"])
def test_satisfaction_changes_no_click_of_the_other_models(name: str) -> None:
    keys = extend(np.uint64(3), np.arange(5_000)[:, None], np.arange(4))
    never, always = (MODELS[name].sample(table(keys, A, s)) for s in (0.0, 1.0))
    np.testing.assert_array_equal(never.clicked, always.clicked)
    np.testing.assert_array_equal(never.examined, always.examined)


def test_a_cascade_has_one_click_at_most() -> None:
    drawn = draws("cascade", 5_000)
    assert (drawn.clicked.sum(axis=1) <= 1).all()
    p = Cascade().conditional(A, S, np.array([[False, True, False, True]]))
    np.testing.assert_array_equal(p, [[0.3, 0.6, 0, 0]])


def test_a_dbn_that_never_gives_up_is_the_simplified_one() -> None:
    clicked = draws("DBN", 500).clicked
    a, s = (np.repeat(values, len(clicked), axis=0) for values in (A, S))
    np.testing.assert_array_equal(
        Dbn(1.0).conditional(a, s, clicked), Sdbn().conditional(a, s, clicked)
    )
    np.testing.assert_array_equal(Dbn(1.0).marginal(a, s), Sdbn().marginal(a, s))
    keys = extend(np.uint64(5), np.arange(500)[:, None], np.arange(4))
    np.testing.assert_array_equal(
        Dbn(1.0).sample(table(keys, A, S)).clicked, Sdbn().sample(table(keys, A, S)).clicked
    )


def test_two_ranks_of_a_dbn_are_worked_by_hand() -> None:
    # gamma 1/2, both results a = 1/2 and s = 1/4. After a click the next is examined with
    # 1/2 * 3/4 = 3/8; after a skip with 1/2, for the skipped result surely was.
    half, quarter = np.full((2, 2), 0.5), np.full((2, 2), 0.25)
    clicked = np.array([[True, False], [False, False]])
    p = Dbn(0.5).conditional(half, quarter, clicked)
    np.testing.assert_allclose(p, [[1 / 2, 3 / 16], [1 / 2, 1 / 4]])
    np.testing.assert_allclose(Dbn(0.5).marginal(half, quarter)[0], [1 / 2, 7 / 32])


def test_a_result_that_everybody_clicks_divides_nothing_by_zero() -> None:
    ones = np.ones((1, 3))
    p = Sdbn().conditional(ones, np.zeros((1, 3)), np.array([[False, False, True]]))
    np.testing.assert_array_equal(p, [[1, 0, 0]])


class Watched:
    """Results that remember which of them somebody asked for."""

    def __init__(self, results: Table) -> None:
        self.results = results
        self.asked = np.zeros(results.shape, dtype=bool)

    @property
    def shape(self) -> tuple[int, int]:
        return self.results.shape

    def page_keys(self, rows: Rows) -> Keys:
        return self.results.page_keys(rows)

    def keys(self, rank: int, rows: Rows) -> Keys:
        self.asked[rows, rank] = True
        return self.results.keys(rank, rows)

    def attractiveness(self, rank: int, rows: Rows) -> Floats:
        return self.results.attractiveness(rank, rows)

    def satisfaction(self, rank: int, rows: Rows) -> Floats:
        return self.results.satisfaction(rank, rows)


@every_model
def test_only_what_somebody_looks_at_is_asked_for(name: str) -> None:
    keys = extend(np.uint64(3), np.arange(500)[:, None], np.arange(4))
    watched = Watched(table(keys, A, S))
    drawn = MODELS[name].sample(watched)
    np.testing.assert_array_equal(watched.asked, drawn.examined)


@every_model
@given(cuts=st.lists(st.integers(0, 200), max_size=5), seed=st.integers(0, 99))
def test_batches_change_nothing(name: str, cuts: list[int], seed: int) -> None:
    rng = np.random.default_rng(seed)
    keys = extend(np.uint64(seed), np.arange(200)[:, None], np.arange(4))
    a, s = rng.uniform(size=(2, *keys.shape))
    whole = MODELS[name].sample(table(keys, a, s))
    edges = sorted({0, 200, *cuts})
    order = rng.permutation(200)
    for start, stop in pairwise(edges):
        rows = order[start:stop]
        part = MODELS[name].sample(table(keys[rows], a[rows], s[rows]))
        for latent in ("examined", "attracted", "clicked", "satisfied"):
            np.testing.assert_array_equal(getattr(part, latent), getattr(whole, latent)[rows])


def test_a_continuation_is_a_probability() -> None:
    with pytest.raises(ValueError, match=r"continuation 1.1, must be in \[0, 1\]"):
        Dbn(1.1)
    with pytest.raises(ValueError, match=r"continuation \(0.5, -0.1\), must be in \[0, 1\]"):
        Dcm((0.5, -0.1))
    with pytest.raises(ValueError, match=r"continuation \(1, 2, 0\), must be in \[0, 1\]"):
        Ccm(1, 2, 0)
