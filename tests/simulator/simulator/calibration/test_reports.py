"""False positives, power and coverage of estimates that are normal, so that all is known."""

from collections.abc import Sequence

import numpy as np
import pytest
from tests.simulator.simulator.calibration.known import NormalExperiment

from ranklift.simulator.calibration.aa import aa_report
from ranklift.simulator.calibration.coverage import coverage_report
from ranklift.simulator.calibration.power import Size, power_rows
from ranklift.simulator.calibration.rates import band
from ranklift.simulator.calibration.readout import Reading, Readings
from ranklift.simulator.calibration.repeat import repeat
from ranklift.simulator.calibration.truths import Truth
from ranklift.v1.errors import InvalidRequest

EXPERIMENTS = 2_000


def run(experiment: NormalExperiment) -> Sequence[Readings]:
    return repeat(experiment, range(EXPERIMENTS))


def test_a_perfect_z_test_passes_aa() -> None:
    report = aa_report(run(NormalExperiment()))
    (metric,) = report.metrics
    assert report.honest
    assert report.wanted[0] <= metric.rejected.value <= report.wanted[1]
    assert metric.uniformity > 0.001


@pytest.mark.parametrize("claimed", [0.008, 0.0125])
def test_a_test_that_takes_its_error_for_another_fails_aa(claimed: float) -> None:
    report = aa_report(run(NormalExperiment(claimed=claimed)))
    (metric,) = report.metrics
    too_often = claimed < 0.01
    assert not report.honest
    assert (metric.rejected.value > 0.05) == too_often
    assert metric.uniformity < 0.001


def test_rejections_may_be_right_and_p_values_wrong() -> None:
    def experiment(number: int) -> Readings:
        # Rejects 5 % of the time, and else always says 0.5.
        u = float(np.random.default_rng([8, number]).random())
        return Readings({"metric": Reading(0, -1, 1, 0.01 if u < 0.05 else 0.5)})

    report = aa_report([experiment(number) for number in range(500)])
    (metric,) = report.metrics
    assert report.wanted[0] <= metric.rejected.value <= report.wanted[1]
    assert not metric.honest


def test_power_is_the_closed_form_within_its_monte_carlo_error() -> None:
    for distance in (0.5, 2.0, 2.8):
        experiment = NormalExperiment(truth=0.01 * distance)
        truth = Truth(float(np.expm1(experiment.truth)), 0.0)
        (row,) = power_rows(
            run(experiment),
            Size(10, 40),
            truth.lift,
            {"metric": truth},
            {"metric": experiment.power()},
        )
        low, high = band(EXPERIMENTS, experiment.power())
        assert low <= row.seen.value <= high
        assert row.as_planned
    (row,) = power_rows(run(NormalExperiment()), Size(10, 40), 0, {"metric": Truth(0, 0)}, {})
    assert row.as_planned is None


def test_a_plan_that_promises_too_much_is_not_as_planned() -> None:
    experiment = NormalExperiment(truth=0.02)
    truth = {"metric": Truth(float(np.expm1(0.02)), 0.0)}
    (row,) = power_rows(run(experiment), Size(10, 40), 0.02, truth, {"metric": 0.8})
    assert row.as_planned is False


def test_intervals_of_a_normal_estimate_hold_the_truth_and_z_is_standard() -> None:
    truth = Truth(float(np.expm1(0.03)), 0.0)
    report = coverage_report(run(NormalExperiment(truth=0.03)), {"metric": truth})
    (metric,) = report.metrics
    assert report.honest
    assert abs(metric.bias) < 4 * metric.bias_error
    assert metric.bias_error == pytest.approx(0.01 / EXPERIMENTS**0.5, rel=0.05)
    assert metric.z_mean == pytest.approx(0, abs=4 / EXPERIMENTS**0.5)
    assert metric.z_spread == pytest.approx(1, abs=0.06)


@pytest.mark.parametrize(
    ("experiment", "truth"),
    [
        (NormalExperiment(truth=0.03, claimed=0.008), 0.03),  # too narrow
        (NormalExperiment(truth=0.03), 0.04),  # biased
    ],
)
def test_intervals_that_are_too_narrow_or_elsewhere_are_found_out(
    experiment: NormalExperiment, truth: float
) -> None:
    report = coverage_report(run(experiment), {"metric": Truth(float(np.expm1(truth)), 0.0)})
    assert not report.honest


def test_the_error_of_the_truth_is_told_in_errors_of_an_experiment() -> None:
    report = coverage_report(run(NormalExperiment()), {"metric": Truth(0.0, 0.001)})
    assert report.metrics[0].truth_in_errors == pytest.approx(0.1, rel=0.01)


def test_a_metric_that_one_experiment_lacks_is_unavailable() -> None:
    reading = Reading(0, -1, 1, 0.5)
    found = [
        Readings({"a": reading, "b": reading}),
        Readings({"a": reading}, {"b": "no clicks"}, alarms=("sample_ratio",)),
    ]
    report = aa_report(found)
    assert [metric.metric for metric in report.metrics] == ["a"]
    assert report.unavailable == {"b": "no clicks"}
    assert report.alarms["sample_ratio"].hits == 1
    assert report.alarms["sample_ratio"].count == 2


def test_repeat_keeps_the_order_and_counts_up_whatever_the_number_of_workers() -> None:
    experiment = NormalExperiment()
    told: list[tuple[int, int]] = []
    alone = repeat(experiment, range(37), progress=lambda done, total: told.append((done, total)))
    assert alone == [experiment(number) for number in range(37)]
    assert told[-1] == (37, 37)
    assert repeat(experiment, range(37), workers=2) == alone


def test_no_worker_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="workers"):
        repeat(NormalExperiment(), range(3), workers=0)
