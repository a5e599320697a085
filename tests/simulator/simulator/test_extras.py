"""Devices, tastes, bots, seasons, drift and dwell shifts: rates, pairing, rows and the truth."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest
from scipy import stats

from ranklift.clicks.dbn import Dbn
from ranklift.clicks.keys import hash_ids
from ranklift.clicks.pbm import Pbm
from ranklift.clicks.results import Floats
from ranklift.simulator.behaviour import Behaviour, behave
from ranklift.simulator.bots import Bots
from ranklift.simulator.censoring import Censoring, last_clicks
from ranklift.simulator.collections import Collection, Document
from ranklift.simulator.compact import compact_log, script
from ranklift.simulator.devices import Devices, Segment
from ranklift.simulator.drift import Drift
from ranklift.simulator.dwell import DwellShifts, LogNormal
from ranklift.simulator.season import HOURLY_TRAFFIC, WEEKDAY_TRAFFIC, Season
from ranklift.simulator.truth import true_metrics
from ranklift.simulator.users import Population
from ranklift.simulator.vectorised import SimulatedRanker, simulate
from ranklift.simulator.visits import Sessions
from ranklift.simulator.world import Rankings, World, shown_by_query
from ranklift.v1.errors import InvalidRequest

EXTRAS: dict[str, Callable[[World], World]] = {
    "tastes": lambda world: changed(world, taste_sigma=0.8),
    "devices": lambda world: changed(world, devices=Devices()),
    "bots": lambda world: changed(world, bots=Bots(0.02, 5.0)),
    "season": lambda world: changed(world, season=Season()),
    "drift": lambda world: changed(world, drift=Drift(result_sigma=0.3, renewed=0.1)),
    "shifts": lambda world: replace(
        world, behaviour=replace(world.behaviour, dwell_shifts=DwellShifts(first_click=0.8))
    ),
}


def changed(world: World, **fields: Any) -> World:
    return replace(world, population=replace(world.population, **fields))


@pytest.mark.parametrize("extra", EXTRAS.values(), ids=EXTRAS)
@pytest.mark.parametrize("browsing", [Pbm(), Dbn()], ids=["pbm", "dbn"])
def test_the_truth_knows_what_the_log_shows(
    world: World, ideal: Rankings, extra: Callable[[World], World], browsing: Any
) -> None:
    world = replace(world, behaviour=replace(world.behaviour, browsing=browsing))
    large = changed(extra(world), users=30_000)
    truth = true_metrics(large, ideal)
    frames = simulate(large, SimulatedRanker(ideal, "ideal", "1"))
    found = frames.clicks["impression_id"].n_unique() / len(frames.pages)
    # Given the pages clicks are independent, whatever users they are of.
    error = np.sqrt(truth.page_ctr * (1 - truth.page_ctr) / len(frames.pages))
    assert abs(found - truth.page_ctr) < 4 * error
    seconds = frames.dwells["dwell_ms"].to_numpy() / 1_000
    assert abs(seconds.mean() - truth.dwell_per_click) < 4 * seconds.std() / np.sqrt(len(seconds))


@pytest.mark.parametrize("extra", EXTRAS.values(), ids=EXTRAS)
@pytest.mark.parametrize("sessions", [None, Sessions()], ids=["planned", "reacting"])
def test_a_page_depends_on_its_own_row_only(
    world: World, ideal: Rankings, extra: Callable[[World], World], sessions: Sessions | None
) -> None:
    world = replace(extra(world), sessions=sessions)
    pages, table = world.first_pages(), shown_by_query(world, ideal)
    rows = np.arange(len(pages))[::-7]
    together = behave(world.behaviour, pages.key, world.users_at(pages), table, pages.query)
    some = pages[rows]
    apart = behave(world.behaviour, some.key, world.users_at(some), table, some.query)
    np.testing.assert_array_equal(together.clicked[rows], apart.clicked)
    next_together = world.next_pages(pages, together)
    one = pages[rows[:1]]
    alone = behave(world.behaviour, one.key, world.users_at(one), table, one.query)
    next_apart = world.next_pages(one, alone)
    (same,) = (next_together.user == one.user[0]).nonzero()
    np.testing.assert_array_equal(next_together.time_us[same], next_apart.time_us)
    np.testing.assert_array_equal(next_together.query[same], next_apart.query)


@pytest.mark.parametrize("extra", EXTRAS.values(), ids=EXTRAS)
def test_every_arm_has_the_same_users(
    world: World, as_sent: Rankings, ideal: Rankings, extra: Callable[[World], World]
) -> None:
    """A document that is looked at in any order attracts or not as in any other."""
    always = Behaviour(browsing=Pbm((1.0,) * 16), page_size=16)
    world = extra(replace(world, behaviour=always))
    clicks = [
        set(frames.clicks.select("impression_id", "document_id").rows())
        for rankings in (as_sent, ideal)
        for frames in [simulate(world, SimulatedRanker(rankings, "m", "1"))]
    ]
    if world.population.devices is None:  # what a small screen shows depends on the order
        assert clicks[0] == clicks[1]
    assert clicks[0]


def test_users_have_the_devices_of_the_shares(world: World, ideal: Rankings) -> None:
    mobile = Segment("mobile", 0.4, log_propensity=-1.0, depth=2)
    world = changed(
        world,
        users=20_000,
        propensity_sigma=0.0,
        devices=Devices((Segment("desktop", 0.6), mobile)),
    )
    frames = simulate(world, SimulatedRanker(ideal, "m", "1"))
    expected = pl.List(pl.Struct({"name": pl.String(), "value": pl.String()}))
    assert frames.pages.schema["attributes"] == expected
    assert list(frames.pages.columns)[-1] == "attributes"
    device = pl.col("attributes").list.first().struct.field("value")
    pages = frames.pages.with_columns(device=device)
    assert pages.select(
        pl.col("attributes").list.first().struct.field("name")
    ).to_series().unique().to_list() == ["device"]
    users = pages.unique("user_id")
    share = (users["device"] == "mobile").mean()
    assert isinstance(share, float)
    assert abs(share - 0.4) < 4 * np.sqrt(0.24 / 20_000)
    clicks = frames.clicks.join(pages, on="impression_id")
    assert clicks.filter(pl.col("device") == "mobile")["position"].max() == 2
    assert clicks.filter(pl.col("device") == "desktop")["position"].max() == 10


def test_nobody_looks_below_the_depth_of_the_device(world: World, ideal: Rankings) -> None:
    world = changed(world, devices=Devices((Segment("watch", 1.0, depth=3),)))
    pages, table = world.pages(), shown_by_query(world, ideal)
    actions = behave(world.behaviour, pages.key, world.users_at(pages), table, pages.query)
    assert not actions.examined[:, 3:].any()
    assert actions.examined[:, 2].any()


def test_devices_change_good_abandonment_and_patience(world: World, ideal: Rankings) -> None:
    def pages(**fields: Any) -> int:
        one = Devices((Segment("one", 1.0, **fields),))
        reacting = replace(changed(world, devices=one, users=2_000), sessions=Sessions())
        return len(simulate(reacting, SimulatedRanker(ideal, "m", "1")).pages)

    plain = pages()
    alike = replace(changed(world, users=2_000), sessions=Sessions())
    assert plain == len(simulate(alike, SimulatedRanker(ideal, "m", "1")).pages)
    assert pages(patience=0.7) > 1.1 * plain
    assert pages(good_abandonment=1.0) < 0.95 * plain


def test_tastes_stay_with_user_and_document(world: World) -> None:
    world = changed(world, users=20_000, taste_sigma=0.8)
    users = world.users_at(world.first_pages())
    assert users.taste is not None
    (one, other) = hash_ids(("a", "b"))
    every = slice(None)
    document, second = np.full(20_000, one), np.full(20_000, other)
    taste = users.taste.log_odds(every, document)
    np.testing.assert_array_equal(taste, users.taste.log_odds(every, document))
    assert stats.kstest(taste / 0.8, "norm").pvalue > 1e-3
    correlation = np.corrcoef(taste, users.taste.log_odds(every, second))[0, 1]
    assert abs(correlation) < 4 / np.sqrt(20_000)


def test_bots_click_all_they_see_and_stay_nowhere(world: World, ideal: Rankings) -> None:
    bots = Bots(0.05, 10.0)
    world = changed(world, users=20_000, bots=bots)
    pages, table = world.pages(), shown_by_query(world, ideal)
    users = world.users_at(pages)
    assert users.bot is not None
    actions = behave(world.behaviour, pages.key, users, table, pages.query)
    np.testing.assert_array_equal(actions.clicked[users.bot], actions.examined[users.bot])
    assert (actions.dwell_ms[users.bot[actions.page]] == 0).all()
    are = bots.are(world.seed, np.arange(20_000))
    assert abs(are.mean() - 0.05) < 4 * np.sqrt(0.05 * 0.95 / 20_000)
    more = np.bincount(pages.user) - 1  # than one page
    ratio = more[are].mean() / more[~are].mean()
    # A Gamma-Poisson number of mean m has variance m + m^2: here of means 15 and 1.5.
    errors = np.array([240 / 15**2 / are.sum(), 3.75 / 1.5**2 / (~are).sum()])
    assert abs(ratio / 10 - 1) < 4 * np.sqrt(errors.sum())


def test_people_live_as_in_a_world_without_bots(world: World, ideal: Rankings) -> None:
    bots = Bots(0.2, 3.0)
    names = {world.user_id(u) for u in np.arange(120)[~bots.are(world.seed, np.arange(120))]}
    logs = [
        simulate(one, SimulatedRanker(ideal, "m", "1"))
        for one in (world, changed(world, bots=bots))
    ]
    people = [[i for i in log.clicks["event_id"] if i.rsplit("-", 3)[0] in names] for log in logs]
    assert people[0] == people[1]
    assert people[0]


def test_visits_come_by_weekday_and_hour(world: World) -> None:
    pages = changed(world, users=40_000, season=Season(), mean_gap=timedelta(seconds=1)).pages()
    first = pages[(pages.step == 0).nonzero()[0]]
    hours = (first.time_us - world.population.start_us) // 3_600_000_000
    expected = np.outer(WEEKDAY_TRAFFIC, HOURLY_TRAFFIC).ravel()
    found = np.bincount(hours, minlength=7 * 24)
    expected = expected / expected.sum() * len(first)
    # Visits of one user are independent, up to their order.
    assert stats.chisquare(found, expected).pvalue > 1e-3


def test_users_who_react_follow_the_season(world: World, ideal: Rankings) -> None:
    world = replace(
        changed(world, users=4_000, season=Season(hourly_traffic=(1e-9,) * 12 + (1.0,) * 12)),
        sessions=Sessions(go_on_satisfied=0, go_on_unsatisfied=0, patience_sigma=0),
    )
    pages = simulate(world, SimulatedRanker(ideal, "m", "1")).pages
    assert len(pages) > 1_000
    assert pages.select((pl.col("page_time").dt.hour() >= 12).all()).item()


def test_a_season_keeps_who_searches_for_what(world: World) -> None:
    plain, seasonal = world.pages(), changed(world, season=Season()).pages()
    np.testing.assert_array_equal(plain.key, seasonal.key)
    np.testing.assert_array_equal(plain.query, seasonal.query)
    assert (plain.time_us != seasonal.time_us).any()


def test_a_season_is_even_where_nothing_changes() -> None:
    flat = Season(weekday_traffic=(1.0,) * 7, hourly_traffic=(1.0,) * 24)
    clock = flat.clock(datetime(2025, 1, 6, 5, 17, tzinfo=UTC), timedelta(days=3, minutes=7))
    times = np.linspace(0, 3 * 86_400e6, 50)
    np.testing.assert_allclose(clock.real(times), times)
    np.testing.assert_allclose(clock.even(clock.real(times)), times)


def test_days_have_their_odds_and_holidays_their_own() -> None:
    season = Season(holidays=(date(2025, 1, 8),))
    days = [
        int(datetime(2025, 1, day, 12, tzinfo=UTC).timestamp()) * 1_000_000 for day in (6, 7, 8, 11)
    ]  # Monday, Tuesday, holiday, Saturday
    np.testing.assert_allclose(np.exp(season.log_odds(np.array(days))), [1.00, 1.01, 0.95, 0.98])
    week = season.clock(datetime(2025, 1, 6, tzinfo=UTC), timedelta(days=7))
    each = np.diff(week.even(np.linspace(0, 7 * 86_400e6, 8)))
    np.testing.assert_allclose(each[2] / each[0], 0.6 / 1.05)


def test_queries_drift_as_an_autoregression() -> None:
    drift = Drift(query_sigma=0.3, query_correlation=0.9)
    x = drift.query_log_weights(1, hash_ids([str(n) for n in range(20_000)]), 10)
    np.testing.assert_allclose(x.std(axis=1), 0.3, rtol=4 / np.sqrt(2 * 20_000))
    for lag in (1, 5):
        found = np.corrcoef(x[0], x[lag])[0, 1]
        assert abs(found - 0.9**lag) < 4 / np.sqrt(20_000)


def test_the_mix_of_queries_changes_from_day_to_day(world: World) -> None:
    drifting = changed(world, users=20_000, drift=Drift(query_sigma=1.0, query_correlation=0.0))
    pages = drifting.pages()
    day = drifting.population.day(pages.time_us)
    tables = [
        np.array([np.bincount(pages.query[day == d], minlength=len(world.query_ids)) for d in pair])
        for pair in ((0, 1), (2, 5))
    ]
    for table in tables:
        shown = table[:, table.sum(axis=0) > 0]
        assert stats.chi2_contingency(shown).pvalue < 1e-6
    plain = changed(world, users=20_000).pages()
    np.testing.assert_array_equal(plain.time_us, pages.time_us)  # who searches when is as before


def test_results_walk_at_random_and_are_renewed() -> None:
    queries, documents = (
        np.zeros(20_000, dtype=np.uint64),
        hash_ids([str(n) for n in range(20_000)]),
    )
    walk: Floats = Drift(result_sigma=0.1, renewed=0.0).result_log_odds(1, queries, documents, 6)
    assert (walk[0] == 0).all()
    expected = 0.1 * np.sqrt(np.arange(1, 6))
    np.testing.assert_allclose(walk[1:].std(axis=1), expected, rtol=4 / np.sqrt(40_000))
    jumps = Drift(result_sigma=0.0, renewed=0.1).result_log_odds(1, queries, documents, 2)
    share = (jumps[1] != 0).mean()
    assert abs(share - 0.1) < 4 * np.sqrt(0.09 / 20_000)
    assert jumps[1][jumps[1] != 0].std() == pytest.approx(0.5, rel=0.1)


def test_the_first_click_is_worth_its_shift_by_hand() -> None:
    """Two certain clicks, then one of two: brute force over the patterns of clicks."""
    collection = Collection({d: Document(d, d, "") for d in "ab"}, {"q": "query"}, {"q": {"a": 1}})
    world = World(
        "hand",
        1,
        collection,
        {"q": ("a", "b")},
        Population(users=2, pages_per_user=1, propensity_sigma=0, dwell_sigma=0),
        Behaviour(
            browsing=Pbm((1.0, 0.5)),
            page_size=2,
            attractiveness=(0.2, 0.6),
            satisfaction=(0.0, 1.0),
            satisfied_dwell=LogNormal(np.log(100), 1e-6),
            unsatisfied_dwell=LogNormal(np.log(10), 1e-6),
            dwell_shifts=DwellShifts(
                by_grade=0.5, mean_grade=0, by_log_words=1.0, typical_words=1, first_click=0.3
            ),
        ),
    )
    # a: title of one word, none in the text; 100 s e^.5. b: 10 s.
    a, b, first = 100 * np.exp(0.5), 10.0, np.exp(0.3)
    patterns = {(1, 0): 0.6 * 0.9, (0, 1): 0.4 * 0.1, (1, 1): 0.6 * 0.1}
    dwell = patterns[1, 0] * a * first + patterns[0, 1] * b * first
    dwell += patterns[1, 1] * (a * first + b)
    clicks = sum(p * sum(pattern) for pattern, p in patterns.items())
    assert true_metrics(world, world.candidates).dwell_per_click == pytest.approx(dwell / clicks)


def test_only_the_last_click_of_a_visit_is_censored() -> None:
    # user 0: visit 0 of two pages, visit 1 of one; user 1: one page without clicks.
    user, visit = np.array([0, 0, 0, 1]), np.array([0, 0, 1, 0])
    step, page = np.array([0, 1, 0, 0]), np.array([0, 0, 1, 1, 2])
    last = last_clicks(user, visit, step, page)
    assert last.tolist() == [False, False, False, True, True]


@pytest.mark.parametrize("sessions", [None, Sessions()], ids=["planned", "reacting"])
def test_the_log_has_a_lower_bound_of_a_censored_dwell(
    world: World, ideal: Rankings, sessions: Sessions | None
) -> None:
    world = replace(changed(world, users=2_000), sessions=sessions)
    cut = replace(world, behaviour=replace(world.behaviour, censoring=Censoring(60.0)))
    ranker = SimulatedRanker(ideal, "m", "1")
    if sessions is None:
        full, seen = simulate(world, ranker).dwells, simulate(cut, ranker).dwells
        assert full["event_id"].equals(seen["event_id"])
        assert not full["censored"].any()
        shorter = seen["dwell_ms"] < full["dwell_ms"]
        assert shorter.equals(seen["censored"].rename("dwell_ms"))
    log, frames = compact_log(script(cut, {"a": ideal}), 0, 2_000), simulate(cut, ranker)
    assert log.clicks["censored"].to_list() == frames.dwells["censored"].to_list()
    assert 0.05 < frames.dwells["censored"].to_numpy().mean() < 0.5
    np.testing.assert_allclose(
        log.clicks["dwell_seconds"].to_numpy(), frames.dwells["dwell_ms"] / 1_000, rtol=1e-6
    )


@pytest.mark.parametrize(
    ("make", "field"),
    [
        (lambda: Segment("m", 0.0), 'segment "m".share'),
        (lambda: Segment("m", 1.0, depth=0), 'segment "m".depth'),
        (lambda: Devices((Segment("m", 0.5),)), "devices.segments"),
        (lambda: Bots(share=1.5), "bots.share"),
        (lambda: Season(weekday_traffic=(1.0,)), "season.weekday_traffic"),
        (lambda: Drift(query_correlation=1.0), "drift.query_correlation"),
        (lambda: Censoring(0.0), "censoring.mean_seconds"),
        (lambda: Population(taste_sigma=-1.0), "population.taste_sigma"),
    ],
)
def test_impossible_values_are_refused(make: Callable[[], Any], field: str) -> None:
    with pytest.raises(InvalidRequest) as raised:
        make()
    assert [violation.field for violation in raised.value.violations] == [field]
