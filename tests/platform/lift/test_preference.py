"""Preferences: votes of pages, clustered by unit, from the event log's own frames."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import numpy as np
import polars as pl
import pytest

from ranklift.events.rows import SCHEMAS, click_row, decode, page_row, shadow_row
from ranklift.events.values import (
    Click,
    ExploredPage,
    InterleavedPage,
    Page,
    PageAssignment,
    ShadowScores,
)
from ranklift.lift.clustered import cluster_robust
from ranklift.lift.experiment import lift_report
from ranklift.lift.preference.report import preferences
from ranklift.lift.preference.values import ArmPreferences, Preference
from ranklift.lift.render.as_json import as_text, modes
from ranklift.lift.render.as_proto import preference_message
from ranklift.lift.render.mode_grids import mode_grids
from ranklift.lift.shadows import shadow_summaries
from ranklift.store.values import (
    Arm,
    Experiment,
    ExperimentState,
    Interleaving,
    InterleavingMethod,
    ModelRef,
    RegisteredExperiment,
)
from ranklift.traffic.draws import KeyedDraws
from ranklift.traffic.interleaving import VOTES, interleave
from ranklift.v1.errors import NotReady

NOW = datetime(2025, 3, 1, tzinfo=UTC)
OLD, NEW, THIRD = ModelRef("old", "1"), ModelRef("new", "1"), ModelRef("third", "1")
DOCUMENTS = tuple(f"d{i}" for i in range(12))


@dataclass(frozen=True)
class Log:
    """Frames of an event log."""

    pages: pl.LazyFrame
    clicks: pl.LazyFrame
    shadows: pl.LazyFrame
    dwells: pl.LazyFrame

    @classmethod
    def of(
        cls, pages: Sequence[tuple[Page, Sequence[int]]], shadows: Sequence[ShadowScores] = ()
    ) -> Log:
        """Return the log of pages with the positions clicked on them."""
        clicks = [
            Click(f"{page.impression_id}-{at}", page.impression_id, page.documents[at - 1], at, NOW)
            for page, positions in pages
            for at in positions
        ]
        return cls(
            decode("pages", [page_row(page).body for page, _ in pages]).lazy(),
            decode("clicks", [click_row(click, "").body for click in clicks]).lazy(),
            decode("shadows", [shadow_row(one, "").body for one in shadows]).lazy(),
            pl.LazyFrame(schema=SCHEMAS["dwells"]),
        )


def experiment(
    *models: ModelRef, method: InterleavingMethod, **arm: object
) -> RegisteredExperiment:
    arms = (Arm("both", 10_000, interleaving=Interleaving(models, method)),)
    return RegisteredExperiment(
        Experiment("x", arms, "both", "default/x"),
        ExperimentState.RUNNING,
        revision=2,
        created=NOW,
        updated=NOW,
        started=NOW,
    )


def page(name: str, user: str, interleaving: InterleavedPage | None, **fields: object) -> Page:
    places = len(interleaving.teams) if interleaving else 3
    return replace(
        Page(
            impression_id=name,
            page_time=NOW,
            user_id=user,
            session_id="",
            query="q",
            documents=DOCUMENTS[:places],
            scores=tuple(1 / (place + 1) for place in range(places)),
            model="old",
            version="1",
            digest="",
            assignments=(PageAssignment("x", 2, "default", "both", user, 1),),
            fallback_reason="",
            latency_ms=10.0,
            interleaving=interleaving,
        ),
        **fields,  # type: ignore[arg-type]
    )


def drawn(
    rankings: Sequence[Sequence[int]], method: InterleavingMethod, key: str, user: str
) -> Page:
    """Return an interleaved page that shows document i as "di"."""
    models = [f"{name}@1" for name in ("old", "new", "third")][: len(rankings)]
    order, logged = interleave(
        method, dict(enumerate(rankings)), models, len(rankings[0]), KeyedDraws(key)
    )
    shown = tuple(f"d{document}" for document in order)
    return page(key, user, logged, documents=shown)


def only(found: tuple[ArmPreferences, ...]) -> Preference:
    ((preference,),) = (arm.preferences for arm in found)
    return preference


def team_draft(*teams: int) -> InterleavedPage:
    ranks = tuple(range(1, len(teams) + 1))
    return InterleavedPage("team_draft", ("old@1", "new@1"), teams, (ranks, ranks[::-1]))


def test_a_hand_worked_log() -> None:
    shown = team_draft(0, 1, 1)
    missing = replace(shown, missing=("new@1",), ranks=(shown.ranks[0], ()))
    log = Log.of(
        [
            (page("old wins", "ann", shown), [1]),
            (page("new wins", "ann", shown), [1, 2, 3]),
            (page("new wins too", "ann", shown), [2]),
            (page("no click", "bob", shown), []),
            (page("one each", "bob", shown), [1, 2]),
            (page("degraded", "bob", missing), [1]),
            (
                page(
                    "fallback",
                    "bob",
                    replace(shown, missing=("old@1", "new@1")),
                    fallback_reason="deadline",
                ),
                [1],
            ),
            (page("not interleaved", "bob", None), [1]),
            (page("of nobody", "bob", shown, assignments=()), [1]),
        ]
    )
    (arm,) = preferences(experiment(OLD, NEW, method=InterleavingMethod.TEAM_DRAFT), log, VOTES)
    found = only((arm,))
    assert (arm.pages, arm.degraded_pages, arm.units) == (5, 2, 2)
    assert (found.model_a, found.model_b) == ("old@1", "new@1")
    assert (found.wins_a, found.wins_b, found.ties) == (1, 2, 2)
    assert found.preference == pytest.approx(-1 / 5)
    assert found.overlap == 1  # three documents, shown by both among their first three
    # Units have (net, pages) of (-1, 3) and (0, 2): R = -1/5, residuals -2/5 and +2/5, and
    # V = (2 * 4/25) / 2 / (5/2)^2 with one degree of freedom.
    assert found.interval is not None
    assert found.interval.upper + 1 / 5 == pytest.approx(12.7062 * (0.16 / 6.25) ** 0.5, rel=1e-4)
    message = preference_message(arm)
    assert (message.preferences[0].wins_b, message.degraded_pages) == (2, 2)
    (grid,) = mode_grids((arm,), ())
    assert grid.rows[0].cells[:5] == ("old@1", "new@1", "1", "2", "2")
    assert '"wins_b": 2' in as_text(modes((arm,), ()))


def test_exploration_does_not_change_whose_click_it_is() -> None:
    # The page was made as old, new, new and then its first and last document changed places.
    disturbed = page(
        "p",
        "ann",
        InterleavedPage("team_draft", ("old@1", "new@1"), (1, 1, 0), ((3, 2, 1), (1, 2, 3))),
        exploration=ExploredPage("swap", (3, 2, 1), 0.1, (0.1, 0.5, 0.1)),
    )
    setup = experiment(OLD, NEW, method=InterleavingMethod.TEAM_DRAFT)
    found = only(preferences(setup, Log.of([(disturbed, [3])]), VOTES))
    assert (found.wins_a, found.wins_b) == (1, 0)
    # Probabilistic credit reads what stood above, in the order that the rankings made.
    probabilistic = replace(
        disturbed,
        interleaving=InterleavedPage(
            "probabilistic", ("old@1", "new@1"), (-1,) * 3, ((3, 2, 1), (1, 2, 3))
        ),
    )
    as_made = replace(
        probabilistic,
        interleaving=InterleavedPage(
            "probabilistic", ("old@1", "new@1"), (-1,) * 3, ((1, 2, 3), (3, 2, 1))
        ),
        exploration=None,
    )
    for at, mirrored in ((1, 3), (2, 2), (3, 1)):
        one = only(preferences(setup, Log.of([(probabilistic, [at])]), VOTES))
        other = only(preferences(setup, Log.of([(as_made, [mirrored])]), VOTES))
        assert one.preference == other.preference


@pytest.mark.parametrize("method", list(InterleavingMethod))
def test_identical_rankings_show_exactly_no_preference(method: InterleavingMethod) -> None:
    rng = np.random.default_rng(1)
    pages = []
    for number in range(200):
        ranking = rng.permutation(12).tolist()
        clicks = (1 + np.flatnonzero(rng.random(12) < 0.3)).tolist()
        pages.append((drawn([ranking] * 2, method, str(number), f"u{number % 20}"), clicks))
    found = only(preferences(experiment(OLD, NEW, method=method), Log.of(pages), VOTES))
    assert (found.preference, found.wins_a, found.wins_b, found.overlap) == (0, 0, 0, 1)
    assert (found.interval, found.p_value) == (None, None)


@pytest.mark.parametrize("method", list(InterleavingMethod))
def test_users_who_click_at_random_show_no_preference(method: InterleavingMethod) -> None:
    rng = np.random.default_rng(2)
    theta = (1 + np.arange(12)) ** -0.7
    # Other is one with its best documents one place up; for balanced, which that deceives, either.
    kinds = [(list(range(12)), [*range(1, place), 0, *range(place, 12)]) for place in range(2, 12)]
    if method is InterleavingMethod.BALANCED:
        kinds += [(other, one) for one, other in kinds]
    pages = []
    for number in range(3_000):
        one, other = kinds[number % len(kinds)]
        clicks = (1 + np.flatnonzero(rng.random(12) < 0.4 * theta)).tolist()
        shown = drawn([one, other], method, str(number), f"u{number % 300}")
        pages.append((shown, clicks))
    found = only(preferences(experiment(OLD, NEW, method=method), Log.of(pages), VOTES))
    assert found.interval is not None
    assert found.interval.lower < 0 < found.interval.upper
    assert found.wins_a > 300  # there was something to be seen


def test_a_preference_is_found_for_every_pair_of_three() -> None:
    rng = np.random.default_rng(3)
    best = list(range(12))
    rankings = [best, [*best[3:6], *best[:3], *best[6:]], best[::-1]]
    attractive = 0.9 ** (3.0 * np.arange(12))
    pages = []
    for number in range(400):
        shown = drawn(rankings, InterleavingMethod.TEAM_DRAFT, str(number), f"u{number % 100}")
        likely = attractive[[int(one[1:]) for one in shown.documents]]
        pages.append((shown, (1 + np.flatnonzero(rng.random(12) < likely)).tolist()))
    setup = experiment(OLD, NEW, THIRD, method=InterleavingMethod.TEAM_DRAFT)
    (arm,) = preferences(setup, Log.of(pages), VOTES)
    pairs = {(one.model_a, one.model_b): one for one in arm.preferences}
    assert set(pairs) == {("old@1", "new@1"), ("old@1", "third@1"), ("new@1", "third@1")}
    assert all(one.interval and one.interval.lower > 0 for one in pairs.values())
    assert pairs["old@1", "new@1"].overlap == 1
    assert pairs["old@1", "third@1"].overlap == pytest.approx(0.8)


def test_the_interval_is_that_of_a_regression_clustered_by_unit() -> None:
    rng = np.random.default_rng(4)
    rows = []
    for user in range(60):
        likes_old = rng.random() < 0.6
        for number in range(1 + user % 4):
            shown = page(f"{user}-{number}", f"u{user}", team_draft(0, 1))
            rows.append((shown, [1 if likes_old else 2]))
    found = only(
        preferences(experiment(OLD, NEW, method=InterleavingMethod.TEAM_DRAFT), Log.of(rows), VOTES)
    )
    # As the difference of two arms, one of which is this and the other all but constant.
    outcome = [1.0 if clicks == [1] else -1.0 for _, clicks in rows]
    frame = pl.DataFrame(
        {
            "outcome": outcome + [0.0] * 4_000,
            "arm": ["both"] * len(rows) + ["nothing"] * 4_000,
            "unit": [one.user_id for one, _ in rows] + [f"n{i}" for i in range(4_000)],
        }
    )
    regression = cluster_robust(frame, "outcome", "arm", "unit", control="nothing")
    assert found.interval is not None
    error = (found.interval.upper - found.interval.lower) / 2 / 2.001  # t with 59
    assert found.preference == pytest.approx(regression.difference)  # type: ignore[union-attr]
    assert error == pytest.approx(regression.standard_error, rel=0.01)  # type: ignore[union-attr]


def test_rankings_that_are_missing_unequally_often_are_told() -> None:
    shown = team_draft(0, 1)
    setup = experiment(OLD, NEW, method=InterleavingMethod.TEAM_DRAFT)

    def check_of(old: int, new: int) -> bool:
        lacking = ["old@1"] * old + ["new@1"] * new
        rows: list[tuple[Page, Sequence[int]]] = [
            (page(str(i), "ann", replace(shown, missing=(one,))), [])
            for i, one in enumerate(lacking)
        ]
        return preferences(setup, Log.of(rows), VOTES)[0].check.passed

    assert check_of(0, 0)
    assert check_of(55, 45)
    assert not check_of(90, 10)


def test_what_cannot_be_reported_is_said() -> None:
    setup = experiment(OLD, NEW, method=InterleavingMethod.TEAM_DRAFT)
    log = Log.of([])
    (empty,) = preferences(setup, log, VOTES)
    assert only((empty,)).preference is None
    assert mode_grids((empty,), ())[0].rows[0].reason == "no page yet"
    with pytest.raises(NotReady, match="never ran"):
        preferences(replace(setup, started=None), log, VOTES)
    plain = replace(setup, experiment=replace(setup.experiment, arms=(Arm("a", 10_000, OLD),)))
    with pytest.raises(NotReady, match="no arm"):
        preferences(plain, log, VOTES)
    future = Log.of([(page("p", "ann", replace(team_draft(0, 1), method="psychic")), [1])])
    with pytest.raises(NotReady, match="psychic"):
        preferences(setup, future, VOTES)
    with pytest.raises(NotReady, match="one arm"):
        lift_report(setup, log)


def test_shadows_are_summed_up_beside_what_was_served() -> None:
    setup = experiment(OLD, NEW, method=InterleavingMethod.TEAM_DRAFT)
    arms = (Arm("both", 10_000, OLD, shadows=(NEW, THIRD)),)
    setup = replace(setup, experiment=replace(setup.experiment, arms=arms))
    pages: list[tuple[Page, Sequence[int]]] = [
        (page("p1", "ann", None), []),
        (page("p2", "bob", None), []),
    ]
    shadows = [
        ShadowScores("p1", "new", "1", "", (2.0, 1.0, 0.5), 1.0, 20.0, ""),
        ShadowScores("p2", "new", "1", "", (1.0, 2.0, 0.5), 1 / 3, 40.0, ""),
        ShadowScores("p2", "third", "1", "", (), None, 900.0, "deadline"),
    ]
    new, third = shadow_summaries(setup, Log.of(pages, shadows))
    assert (new.model, new.pages, new.errors) == ("new@1", 2, 0)
    assert new.rank_correlation == pytest.approx(2 / 3)
    assert new.top_agreement == 0.5
    assert new.score_differences is not None
    # Served: 1, 1/2, 1/3 twice; differences 1, 1/2, 1/6, 0, 3/2, 1/6.
    assert new.score_differences[1] == pytest.approx(1 / 3)
    assert new.latencies_ms is not None
    assert new.latencies_ms[0] == pytest.approx(30)
    assert new.served_latencies_ms == (10, 10, 10)
    assert (third.pages, third.errors, third.rank_correlation) == (0, 1, None)
    (grid,) = mode_grids((), (new, third))
    assert grid.rows[0].cells[2:6] == ("2", "0", "0.667", "50.0 %")
