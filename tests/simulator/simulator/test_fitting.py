"""A world fitted to the log of a known world has its numbers; realism sees what is not alike."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from scipy.special import expit, ndtri

from ranklift.clicks.pbm import Pbm
from ranklift.clicks.ubm import DEFAULT_EXAMINATION, Ubm
from ranklift.simulator.behaviour import Behaviour
from ranklift.simulator.collections import Collection, Document
from ranklift.simulator.dwell import LogNormal
from ranklift.simulator.dwell_mixture import fit_dwell
from ranklift.simulator.fitted_appeals import of_median_user
from ranklift.simulator.fitting import Model, fit_world, pairs_of
from ranklift.simulator.logs.search_log import LoggedClick, LoggedPage, SearchLog, log_of
from ranklift.simulator.logs.simulated import simulated_log
from ranklift.simulator.realism import Realism, realism
from ranklift.simulator.scores import load_scores
from ranklift.simulator.users import Population
from ranklift.simulator.vectorised import SimulatedRanker, simulate
from ranklift.simulator.visits import Sessions
from ranklift.simulator.world import World
from ranklift.v1.errors import InvalidRequest

QUERIES, DOCUMENTS = 20, 6
THETA = (1.0, 0.6, 0.4, 0.25)


def known_world(browsing: Pbm | Ubm, users: int = 3_000) -> World:
    """Twenty queries with six documents of grades 0 to 2 each."""
    documents = {f"d{n}": Document(f"d{n}", "words", "") for n in range(DOCUMENTS)}
    queries = {f"q{n}": f"q{n}" for n in range(QUERIES)}
    judgments = {q: {f"d{n}": (n + k) % 3 for n in range(DOCUMENTS)} for k, q in enumerate(queries)}
    return World(
        "known",
        5,
        Collection(documents, queries, judgments),
        {query: tuple(documents) for query in queries},
        Population(users=users, span=timedelta(days=30)),
        Behaviour(
            browsing=browsing,
            page_size=4,
            attractiveness=(0.1, 0.3, 0.6),
            satisfied_dwell=LogNormal(4.5, 0.8),
            unsatisfied_dwell=LogNormal(1.5, 0.7),
        ),
        sessions=Sessions(go_on_satisfied=0.5, go_on_unsatisfied=0.5, same_query=0.3, near_query=0),
    )


def shuffled_log(world: World) -> SearchLog:
    """Half of the users see one order, the others another one: two rankers tell ranks apart."""
    orders = [
        {query: tuple(np.roll(ids, shift)) for query, ids in world.candidates.items()}
        for shift in (0, 1)
    ]
    logs = [
        simulated_log(replace(world, name=f"half{n}", seed=n), order)
        for n, order in enumerate(orders)
    ]
    pages = pl.concat([log.pages for log in logs])
    clicks = pl.concat(
        [
            log.clicks.with_columns(page=pl.col("page") + n * logs[0].pages.height)
            for n, log in enumerate(logs)
        ]
    )
    return SearchLog(pages, clicks)


@pytest.fixture(scope="module")
def log() -> SearchLog:
    return shuffled_log(known_world(Pbm(THETA)))


def test_browsing_attractiveness_and_sessions_are_found_again(log: SearchLog) -> None:
    fitted = fit_world(log, page_size=4)
    world = fitted.world
    assert isinstance(world.behaviour.browsing, Pbm)
    np.testing.assert_allclose(world.behaviour.browsing.examination, THETA, atol=0.03)
    for query, appeals in world.appeals.items():
        for document, appeal in appeals.items():
            grade = (int(document[1:]) + int(query[1:])) % 3
            assert abs(appeal.attractiveness - (0.1, 0.3, 0.6)[grade]) < 0.12
    assert world.sessions is not None
    assert abs(world.sessions.go_on_satisfied - 0.5) < 0.03
    assert abs(world.sessions.same_query - 0.3) < 0.02
    assert world.population.users == log.pages["user"].n_unique()
    assert all(one.fitted for one in fitted.found if one.part not in ("propensity", "patience"))


def test_dwell_laws_are_found_by_length_alone(log: SearchLog) -> None:
    behaviour = fit_world(log, page_size=4).world.behaviour
    for law, mu, sigma in (
        (behaviour.satisfied_dwell, 4.5, 0.8),
        (behaviour.unsatisfied_dwell, 1.5, 0.7),
    ):
        assert isinstance(law, LogNormal)
        assert abs(law.mu - mu) < 0.08
        assert abs(law.sigma - sigma) < 0.08


def test_a_world_of_ubm_is_found_by_ubm() -> None:
    browsing = Ubm(DEFAULT_EXAMINATION[:4])
    found = fit_world(shuffled_log(known_world(browsing)), model=Model.UBM, page_size=4)
    fitted = found.world.behaviour.browsing
    assert isinstance(fitted, Ubm)
    scale = browsing.examination[0][0] / fitted.examination[0][0]
    for true, row in zip(browsing.examination, fitted.examination, strict=True):
        np.testing.assert_allclose(np.array(row) * scale, true, atol=0.08)


def test_a_fitted_world_is_like_the_true_one_under_a_ranker_and_another_is_not(
    log: SearchLog,
) -> None:
    fitted, order = fit_world(log, page_size=4).world, known_world(Pbm(THETA)).candidates
    true = simulated_log(replace(known_world(Pbm(THETA), users=1_000), seed=77), order)
    assert abs(realism(true, simulated_log(fitted, order)).auc.value - 0.5) < 0.05
    bold = replace(fitted, behaviour=replace(fitted.behaviour, browsing=Pbm((1.0,) * 4)))
    assert realism(true, simulated_log(bold, order)).auc.value > 0.6


def compared(found: Realism, measure: str) -> tuple[list[float], list[float]]:
    (one,) = [one for one in found.compared if one.measure == measure]
    return one.real.tolist(), one.simulated.tolist()


def test_a_log_is_not_told_from_another_of_the_same_world(log: SearchLog) -> None:
    other = shuffled_log(replace(known_world(Pbm(THETA)), seed=99))
    found = realism(log, other)
    assert abs(found.auc.value - 0.5) < 3 * found.auc.error + 0.01
    for one in found.compared:
        assert one.distance < 4 * one.by_chance + 1e-12, one.measure


def test_what_happened_is_counted_by_hand() -> None:
    pages = [
        LoggedPage("s1", "a", ("x", "y", "z"), (LoggedClick(0), LoggedClick(2), LoggedClick(0))),
        LoggedPage("s1", "a", ("x", "y"), ()),
        LoggedPage("s2", "b", ("x",), (LoggedClick(0), LoggedClick(0))),
    ]
    log = log_of(pages, "by hand")
    found = realism(log, log)
    assert compared(found, "CTR by rank")[0][:3] == [2 / 3, 0, 1]
    assert compared(found, "pages without a click")[0] == [1 / 3]
    assert compared(found, "clicked results per page")[0][:3] == [1 / 3, 1 / 3, 1 / 3]
    assert compared(found, "first click's rank")[0][0] == 1
    assert compared(found, "last click's rank")[0][:3] == [0.5, 0, 0.5]
    assert compared(found, "queries per session")[0][:2] == [0.5, 0.5]
    assert compared(found, "the same query again")[0] == [1]
    assert compared(found, "from click to click")[0] == [1 / 3, 1 / 3, 1 / 3]
    assert [one.distance for one in found.compared] == [0] * len(found.compared)
    assert len(found.missing) == 2  # neither dwell nor users


def test_pairs_are_numbered_and_a_second_click_is_one() -> None:
    clicks = (LoggedClick(1), LoggedClick(1))
    log = log_of([LoggedPage("s", "a", ("x", "y"), clicks), LoggedPage("s", "b", ("x",), ())], "")
    pairs = pairs_of(log, 2)
    assert pairs.table.rows() == [("a", "x"), ("a", "y"), ("b", "x")]
    assert pairs.log.pair.tolist() == [[0, 1], [2, -1]]
    assert pairs.log.clicked.tolist() == [[False, True], [False, False]]


def test_a_teacher_speaks_for_pairs_that_were_never_shown(log: SearchLog) -> None:
    scores = {"q0": {"best": 9.0, "middle": 2.0, "worst": -5.0, "d0": 99.0}}
    plain, taught = (fit_world(log, page_size=4, scores=one).world for one in (None, scores))
    assert taught.appeals["q0"]["d0"] == plain.appeals["q0"]["d0"]  # the log knows it
    best, middle, worst = (
        taught.appeals["q0"][d].attractiveness for d in ("best", "middle", "worst")
    )
    assert 1 > best > middle > worst > 0
    assert set(taught.candidates["q0"]) == {*plain.candidates["q0"], "best", "middle", "worst"}


def test_attractiveness_to_all_is_that_of_the_median_user_spread() -> None:
    wanted = np.array([0.01, 0.3, 0.9])
    odds = of_median_user(wanted, 0.8)
    users = 0.8 * ndtri((np.arange(100_000) + 0.5) / 100_000)
    found = expit(np.log(odds / (1 - odds))[:, None] + users).mean(axis=1)
    np.testing.assert_allclose(found, wanted, rtol=1e-4)


def test_a_dwell_that_was_cut_off_counts_as_longer() -> None:
    rng = np.random.default_rng(1)
    dwell = np.exp(
        np.where(rng.random(40_000) < 0.6, rng.normal(4.5, 0.8, 40_000), rng.normal(1, 0.6, 40_000))
    )
    censored = dwell > 200
    found = fit_dwell(np.minimum(dwell, 200), censored)
    assert abs(found.satisfied.mu - 4.5) < 0.03
    assert abs(found.satisfied.sigma - 0.8) < 0.03
    assert abs(found.share - 0.6) < 0.02
    ignored = fit_dwell(np.minimum(dwell, 200), np.zeros(40_000, dtype=bool))
    assert ignored.satisfied.mu < found.satisfied.mu


def test_a_log_of_a_few_pages_is_no_world() -> None:
    log = log_of([LoggedPage("s", "a", ("x",), ())] * 5, "")
    with pytest.raises(InvalidRequest, match="has 5 pages; a fit needs at least 20"):
        fit_world(log)


def test_scores_are_read_line_by_line(tmp_path: Path) -> None:
    path = tmp_path / "run"
    path.write_text("q1 Q0 d1 1 0.5 t\n\nq1 Q0 d2 2 -1e3 t\n")
    assert load_scores(path) == {"q1": {"d1": 0.5, "d2": -1_000.0}}
    for line, message in (("q1 d1 0.5", "has 3 fields"), ("q1 Q0 d1 1 nan t", 'score "nan"')):
        path.write_text("q1 Q0 d1 1 0.5 t\n" + line + "\n")
        with pytest.raises(InvalidRequest, match=rf":2: {message}"):
            load_scores(path)


def test_frames_of_a_simulation_are_a_log() -> None:
    world = known_world(Pbm(THETA), users=50)
    events = simulate(world, SimulatedRanker(world.candidates, "m", "1"))
    log = simulated_log(world, world.candidates)
    assert (log.pages.height, log.clicks.height) == (events.pages.height, events.clicks.height)
    assert log.has_users
    assert log.has_dwell
