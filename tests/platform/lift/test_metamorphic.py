"""What must not change a report does not; what must change it does, exactly so."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ranklift.lift.report import LiftReport, Measured, lift_report
from ranklift.lift.sums import EventTables
from ranklift.store.values import RegisteredExperiment

Log = Callable[..., EventTables]
Change = Callable[[pl.LazyFrame], pl.LazyFrame]
seeds = st.integers(0, 2**32 - 1)
few = settings(max_examples=30, deadline=None)


@pytest.fixture(scope="session")
def change(tables: Log) -> Callable[[EventTables, Change], EventTables]:
    """Apply a change to each of the tables."""

    def apply(events: EventTables, change: Change) -> EventTables:
        return tables(change(events.pages), change(events.clicks), change(events.dwells))

    return apply


def numbers(report: LiftReport) -> dict[str, Measured]:
    found = {lift.metric: lift.found for lift in report.lifts}
    return {name: value for name, value in found.items() if isinstance(value, Measured)}


def flat(measured: Measured) -> tuple[float, ...]:
    interval = measured.relative_lift_interval
    return (
        measured.control_value,
        measured.arm_value,
        measured.relative_lift,
        interval.lower,
        interval.upper,
        measured.p_value,
    )


def with_dwells(tables: Log, events: EventTables, dwells: pl.LazyFrame) -> EventTables:
    return tables(events.pages, events.clicks, dwells)


def with_assignment(tables: Log, events: EventTables, **fields: pl.Expr) -> EventTables:
    """Rewrite fields of every assignment, as expressions over `pl.element()`."""
    rewritten = pl.element().struct.with_fields(**fields)
    pages = events.pages.with_columns(pl.col("assignments").list.eval(rewritten))
    return tables(pages, events.clicks, events.dwells)


@few
@given(seed=seeds, order=seeds)
def test_row_order_changes_no_bit(
    experiment: RegisteredExperiment,
    random_log: Log,
    change: Callable[[EventTables, Change], EventTables],
    seed: int,
    order: int,
) -> None:
    events = random_log(seed)

    def shuffle(frame: pl.LazyFrame) -> pl.LazyFrame:
        return frame.collect().sample(fraction=1, shuffle=True, seed=order).lazy()

    assert lift_report(experiment, change(events, shuffle)) == lift_report(experiment, events)


@few
@given(seed=seeds, part=st.floats(0.1, 1))
def test_what_is_delivered_twice_counts_once(
    experiment: RegisteredExperiment,
    random_log: Log,
    change: Callable[[EventTables, Change], EventTables],
    seed: int,
    part: float,
) -> None:
    events = random_log(seed)

    def repeat(frame: pl.LazyFrame) -> pl.LazyFrame:
        return pl.concat([frame, frame.collect().sample(fraction=part, seed=seed).lazy()])

    assert lift_report(experiment, change(events, repeat)) == lift_report(experiment, events)


@few
@given(seed=seeds)
def test_other_names_for_the_units_change_nothing(
    experiment: RegisteredExperiment, random_log: Log, tables: Log, seed: int
) -> None:
    events = random_log(seed)
    # Reversing the names also reverses the order in which the units are summed.
    renamed = with_assignment(
        tables, events, unit_id=pl.element().struct.field("unit_id").str.reverse()
    )
    before, after = lift_report(experiment, events), lift_report(experiment, renamed)
    assert (after.arms, after.checks) == (before.arms, before.checks)
    for metric, measured in numbers(before).items():
        assert flat(numbers(after)[metric]) == pytest.approx(flat(measured), rel=1e-9, abs=1e-12)


@few
@given(seed=seeds)
def test_swapping_the_arms_flips_the_lift(
    experiment: RegisteredExperiment, random_log: Log, seed: int
) -> None:
    events = random_log(seed)
    swapped = replace(experiment, experiment=replace(experiment.experiment, control="student"))
    there, back = numbers(lift_report(experiment, events)), numbers(lift_report(swapped, events))
    assert there.keys() == back.keys()
    for metric, one in there.items():
        other = back[metric]
        ends = one.relative_lift_interval, other.relative_lift_interval
        assert (other.control_value, other.arm_value) == (one.arm_value, one.control_value)
        assert other.p_value == pytest.approx(one.p_value, rel=1e-9)
        assert [
            math.log1p(other.relative_lift),
            math.log1p(ends[1].lower),
            math.log1p(ends[1].upper),
        ] == pytest.approx(
            [
                -math.log1p(one.relative_lift),
                -math.log1p(ends[0].upper),
                -math.log1p(ends[0].lower),
            ],
            rel=1e-9,
            abs=1e-12,
        )


@few
@given(seed=seeds, factor=st.integers(2, 50))
def test_longer_dwells_scale_the_dwell_and_nothing_else(
    experiment: RegisteredExperiment, random_log: Log, tables: Log, seed: int, factor: int
) -> None:
    events = random_log(seed)
    scaled = with_dwells(tables, events, events.dwells.with_columns(pl.col("dwell_ms") * factor))
    before, after = lift_report(experiment, events), lift_report(experiment, scaled)
    assert (after.arms, after.checks) == (before.arms, before.checks)
    for metric, one in numbers(before).items():
        other = numbers(after)[metric]
        if metric != "dwell_per_click":
            assert other == one
            continue
        assert (other.control_value, other.arm_value) == pytest.approx(
            (factor * one.control_value, factor * one.arm_value), rel=1e-12
        )
        assert flat(other)[2:] == pytest.approx(flat(one)[2:], rel=1e-9, abs=1e-12)


@few
@given(seed=seeds, other=seeds)
def test_another_experiment_on_the_same_log_changes_nothing(
    experiment: RegisteredExperiment, random_log: Log, tables: Log, seed: int, other: int
) -> None:
    events = random_log(seed)
    elsewhere = with_assignment(
        tables,
        random_log(other),
        experiment=pl.lit("elsewhere"),
    )
    pages = elsewhere.pages.with_columns(pl.col("impression_id") + "-else")
    both = tables(pl.concat([events.pages, pages]), events.clicks, events.dwells)
    assert lift_report(experiment, both) == lift_report(experiment, events)


@few
@given(seed=seeds)
def test_censoring_every_dwell_takes_only_the_dwell_away(
    experiment: RegisteredExperiment, random_log: Log, tables: Log, seed: int
) -> None:
    events = random_log(seed)
    censored = with_dwells(tables, events, events.dwells.with_columns(censored=pl.lit(True)))
    before = numbers(lift_report(experiment, events))
    after = numbers(lift_report(experiment, censored))
    assert after == {name: one for name, one in before.items() if name != "dwell_per_click"}
