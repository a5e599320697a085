"""Experiments of a small world: who is in them, what is true of them, and a faulty test found."""

from dataclasses import dataclass, replace

import numpy as np
import polars as pl
import pytest
from numpy.typing import NDArray
from scipy.stats import norm

from ranklift.clicks.keys import extend, uniform
from ranklift.simulator.calibration.aa import aa_report
from ranklift.simulator.calibration.experiment import (
    Experiments,
    both_arms,
    check_experiments,
    play_users,
    two_arms,
)
from ranklift.simulator.calibration.injection import with_lift
from ranklift.simulator.calibration.readout import ARM, CONTROL, ExperimentLog, Reading, Readings
from ranklift.simulator.calibration.repeat import repeat
from ranklift.simulator.calibration.truths import closed_form_lifts, for_truth, true_lifts_of
from ranklift.simulator.truth import true_lifts
from ranklift.simulator.users import Population
from ranklift.simulator.visits import Sessions
from ranklift.simulator.world import Rankings, World
from ranklift.v1.errors import InvalidRequest

USERS = 1_500


def halves(users: NDArray[np.int64], experiment: int) -> NDArray[np.int64]:
    """Split evenly, anew for each experiment."""
    return (uniform(extend(np.uint64(experiment), users)) < 0.5).astype(np.int64)


@dataclass(frozen=True)
class PageCtrTest:
    """A z-test of PageCTR's difference, by the delta method over users or, wrongly, over pages."""

    by: str = "user_id"

    def __call__(self, log: ExperimentLog) -> Readings:
        clicked = log.clicks.select("page_id", clicked=1).unique()
        units = (
            log.pages.join(clicked, on="page_id", how="left")
            .group_by("arm", self.by)
            .agg(n=pl.len(), c=pl.col("clicked").fill_null(0).sum())
        )
        rates, variances = [], []
        for arm in (CONTROL, ARM):
            n, c = (units.filter(pl.col("arm") == arm)[name].to_numpy() for name in ("n", "c"))
            rates.append(c.sum() / n.sum())
            variances.append(((c - rates[-1] * n) ** 2).sum() / n.sum() ** 2)
        lift = rates[1] / rates[0]
        z = (rates[1] - rates[0]) / sum(variances) ** 0.5
        error = (variances[0] / rates[0] ** 2 + variances[1] / rates[1] ** 2) ** 0.5
        ends = lift * np.exp(np.array([-1.96, 1.96]) * error) - 1
        p_value = float(2 * norm.sf(abs(z)))
        return Readings({"page_ctr": Reading(lift - 1, float(ends[0]), float(ends[1]), p_value)})


@pytest.fixture(scope="module")
def searching(world: World) -> World:
    """Users with ten pages each, who differ as real ones do."""
    return replace(world, population=Population(users=USERS, pages_per_user=10))


@pytest.mark.parametrize(("by", "honest"), [("user_id", True), ("page_id", False)])
def test_a_test_over_pages_is_caught(
    searching: World, as_sent: Rankings, by: str, honest: bool
) -> None:
    played = Experiments(two_arms(searching, as_sent, as_sent), USERS, halves, PageCtrTest(by))
    report = aa_report(repeat(played, range(150)))
    (metric,) = report.metrics
    assert report.honest == honest
    if not honest:
        # Users who differ in how much they click make pages alike: about two in five rejected.
        assert metric.rejected.value > 0.2


def test_every_experiment_has_other_users(searching: World, as_sent: Rankings) -> None:
    played = Experiments(two_arms(searching, as_sent, as_sent), 50, halves, PageCtrTest())
    whole = play_users(played.script, 0, np.zeros(150, dtype=np.int64)).pages
    start = 0
    for number in range(3):
        pages = played.log(number).pages
        expected = whole.filter(pl.col("user_id").is_between(50 * number, 50 * number + 49))
        assert pages["timestamp"].equals(expected["timestamp"])
        assert pages["user_id"].unique().sort().to_list() == list(range(50))
        start += len(pages)
    assert start == len(whole)


def test_clicks_come_after_their_page_from_the_top(searching: World, as_sent: Rankings) -> None:
    log = play_users(two_arms(searching, as_sent, as_sent), 100, np.zeros(200, dtype=np.int64))
    assert log.pages["page_id"].to_list() == list(range(len(log.pages)))
    at = log.clicks.join(log.pages.select("page_id", shown="timestamp"), on="page_id")
    waited = (at["timestamp"] - at["shown"]).dt.total_seconds()
    assert (waited == 2 * at["position"].cast(pl.Int64)).all()  # two seconds a result


def test_in_both_arms_everybody_lives_twice(searching: World, as_sent: Rankings) -> None:
    log = both_arms(two_arms(searching, as_sent, as_sent), 0, 80)
    control, arm = (log.pages.filter(pl.col("arm") == name) for name in (CONTROL, ARM))
    assert arm["user_id"].to_list() == (control["user_id"] + 80).to_list()
    assert arm["timestamp"].equals(control["timestamp"])
    clicks = log.clicks.join(log.pages, on="page_id").group_by("arm").len()
    assert clicks["len"].n_unique() == 1  # both arms show the same, and draws are shared


def test_the_truth_is_the_closed_form_where_there_is_one(
    searching: World, as_sent: Rankings, ideal: Rankings
) -> None:
    script = two_arms(searching, as_sent, ideal)
    known = true_lifts(for_truth(searching), as_sent, ideal)
    found = true_lifts_of(script, PageCtrTest(), users=USERS, populations=3)
    assert closed_form_lifts(script) == {
        name: pytest.approx(lift.relative_lift, rel=1e-12) for name, lift in known.items()
    }
    assert found["page_ctr"].lift == pytest.approx(known["page_ctr"].relative_lift, rel=1e-12)
    assert found["page_ctr"].error == 0


def test_paired_lives_find_what_the_closed_form_says(
    searching: World, as_sent: Rankings, ideal: Rankings, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = two_arms(searching, as_sent, ideal)
    known = closed_form_lifts(script)["page_ctr"]
    monkeypatch.setattr(
        "ranklift.simulator.calibration.truths.closed_form_lifts", lambda script: {}
    )
    found = true_lifts_of(script, PageCtrTest(), users=USERS, populations=10)["page_ctr"]
    assert found.error > 0
    assert found.lift == pytest.approx(known, abs=4 * found.error)
    one = PageCtrTest()(Experiments(script, USERS, halves, PageCtrTest()).log(0))
    width = one.metrics["page_ctr"].upper - one.metrics["page_ctr"].lower
    assert found.error < width / 20


@pytest.mark.parametrize("lift", [0.0047, -0.02, 0.0])
def test_a_planted_lift_is_the_true_one(searching: World, as_sent: Rankings, lift: float) -> None:
    lifts = closed_form_lifts(with_lift(searching, as_sent, lift))
    assert lifts["page_ctr"] == pytest.approx(lift, abs=1e-8)
    assert lifts["dwell_per_click"] == pytest.approx(lift, abs=1e-8)


def test_a_lift_that_no_arm_can_have_is_refused(searching: World, as_sent: Rankings) -> None:
    with pytest.raises(InvalidRequest, match="lift"):
        with_lift(searching, as_sent, 30.0)


def test_users_who_react_have_a_truth_by_paired_lives(
    world: World, as_sent: Rankings, ideal: Rankings
) -> None:
    reacting = replace(world, sessions=Sessions())
    found = true_lifts_of(
        two_arms(reacting, as_sent, ideal), PageCtrTest(), users=400, populations=3
    )
    assert found["page_ctr"].lift > 0
    assert found["page_ctr"].error > 0


@pytest.mark.parametrize(
    ("experiments", "users", "field"),
    [(0, 10, "experiments"), (10, 1, "pages"), (10**6, 10**6, "experiments")],
)
def test_experiments_without_users_of_their_own_are_refused(
    experiments: int, users: int, field: str
) -> None:
    with pytest.raises(InvalidRequest, match=field):
        check_experiments(experiments, users)
