"""What a definition must hold, and that all that is wrong is said at once."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import given, settings
from hypothesis import strategies as st

from ranklift.store.analysis import AnalysisPlan, Form, Guardrail, Horizon, Metric
from ranklift.store.values import (
    BUCKETS,
    Arm,
    ExperimentState,
    ModelRef,
    RegisteredExperiment,
    Revision,
    Unit,
)
from ranklift.traffic.experiment_messages import experiment_message
from ranklift.traffic.experiments import check_experiment
from ranklift.v1 import experiments_pb2 as pb
from ranklift.v1.errors import InvalidRequest, Violation
from ranklift.v1.ranking_pb2 import ModelSelector

NOW = datetime(2030, 1, 1, tzinfo=UTC)


def arm(name: str, share: float, model: str = "student", version: str = "1") -> pb.Arm:
    return pb.Arm(name=name, share=share, model=ModelSelector(name=model, version=version))


def definition(*arms: pb.Arm) -> pb.Experiment:
    chosen = arms or (arm("control", 0.5, "bm25"), arm("treatment", 0.5))
    return pb.Experiment(name="title-boost", arms=chosen)


def violations(of: pb.Experiment) -> list[Violation]:
    with pytest.raises(InvalidRequest) as caught:
        check_experiment(of, now=NOW)
    return list(caught.value.violations)


def test_defaults_are_filled_in() -> None:
    experiment = check_experiment(definition(), now=NOW)
    assert experiment.arms == (
        Arm("control", 5_000, ModelRef("bm25", "1")),
        Arm("treatment", 5_000, ModelRef("student", "1")),
    )
    assert experiment.control == "control"
    assert experiment.layer == "default"
    assert experiment.salt == "default/title-boost"
    assert experiment.unit is Unit.USER
    assert experiment.traffic_share == BUCKETS
    assert experiment.primary_metric == "page_ctr"
    assert experiment.planned_end is None


def test_what_is_given_is_taken() -> None:
    given_definition = definition()
    end = Timestamp()
    end.FromDatetime(NOW + timedelta(days=14))
    given_definition.MergeFrom(
        pb.Experiment(
            owner="search",
            hypothesis="more clicks",
            layer="ranker",
            unit=pb.UNIT_SESSION,
            control="treatment",
            traffic_share=0.1,
            salt="pepper",
            primary_metric="dwell_per_click",
            planned_end_time=end,
            state=pb.EXPERIMENT_STATE_RUNNING,
            revision=9,
        )
    )
    experiment = check_experiment(given_definition, now=NOW)
    assert (experiment.owner, experiment.hypothesis) == ("search", "more clicks")
    assert (experiment.layer, experiment.unit) == ("ranker", Unit.SESSION)
    assert (experiment.control, experiment.traffic_share) == ("treatment", 1_000)
    assert (experiment.salt, experiment.primary_metric) == ("pepper", "dwell_per_click")
    assert experiment.planned_end == NOW + timedelta(days=14)


@pytest.mark.parametrize(
    ("of", "field", "says"),
    [
        (definition(arm("a", 0.5), arm("b", 0.4)), "arms", "sum to 0.9, must sum to 1"),
        (definition(arm("a", 0.5), arm("b", 0.6)), "arms", "sum to 1.1, must sum to 1"),
        (definition(arm("a", 1.0)), "arms", "has 1 arms, must have 2 or more"),
        (definition(arm("a", 0.5), arm("a", 0.5)), "arms[1].name", '"a" names arms[0] too'),
        (definition(arm("A b", 0.5), arm("b", 0.5)), "arms[0].name", '"A b" is no valid name'),
        (definition(arm("a", 0.5), arm("", 0.5)), "arms[1].name", "is empty"),
        (definition(arm("a", 0.5), arm("x" * 65, 0.5)), "arms[1].name", "1 to 64"),
        (definition(arm("a", 1.0), arm("b", 0.0)), "arms[1].share", "above 0 and at most 1"),
        (definition(arm("a", 1.5), arm("b", -0.5)), "arms[1].share", "-0.5 is no share"),
        (definition(arm("a", float("nan")), arm("b", 0.5)), "arms[0].share", "nan is no share"),
        (definition(arm("a", float("inf")), arm("b", 0.5)), "arms[0].share", "inf is no share"),
        (definition(arm("a", 0.99995), arm("b", 0.00005)), "arms[1].share", "multiple of 0.0001"),
        (definition(arm("a", 0.5, ""), arm("b", 0.5)), "arms[0].model.name", "is empty"),
        (
            definition(arm("a", 0.5), arm("b", 0.5, "student", "")),
            "arms[1].model.version",
            "is empty",
        ),
    ],
)
def test_arms_that_are_wrong(of: pb.Experiment, field: str, says: str) -> None:
    found = [violation for violation in violations(of) if violation.field == field]
    assert len(found) == 1
    assert says in found[0].description


def changed(change: Callable[[pb.Experiment], None]) -> pb.Experiment:
    message = definition()
    change(message)
    return message


def with_field(field: str, value: object) -> pb.Experiment:
    return changed(lambda message: setattr(message, field, value))


def ending(seconds: int) -> pb.Experiment:
    return changed(lambda message: message.planned_end_time.MergeFrom(Timestamp(seconds=seconds)))


@pytest.mark.parametrize(
    ("of", "field", "says"),
    [
        (with_field("name", ""), "name", "is empty"),
        (with_field("name", "Title Boost"), "name", '"Title Boost" is no valid name'),
        (with_field("name", "title-boost\n"), "name", "is no valid name"),
        (with_field("layer", "a/b"), "layer", '"a/b" is no valid name'),
        (with_field("unit", 7), "unit", "UNIT_USER or UNIT_SESSION"),
        (with_field("control", "nobody"), "control", '"nobody" is no arm'),
        (with_field("traffic_share", 1.01), "traffic_share", "1.01 is no share"),
        (with_field("traffic_share", -0.1), "traffic_share", "-0.1 is no share"),
        (with_field("traffic_share", float("nan")), "traffic_share", "nan is no share"),
        (with_field("traffic_share", 0.00001), "traffic_share", "multiple of 0.0001"),
        (with_field("salt", "x" * 129), "salt", "at most 128"),
        (with_field("primary_metric", "revenue"), "primary_metric", "one of abandonment, "),
        (ending(0), "planned_end_time", "must be in the future"),
        (ending(10**12), "planned_end_time", "no valid instant"),
    ],
)
def test_fields_that_are_wrong(of: pb.Experiment, field: str, says: str) -> None:
    (violation,) = violations(of)
    assert violation.field == field
    assert says in violation.description


def test_all_that_is_wrong_is_said_at_once() -> None:
    of = definition(arm("a", 0.5, version=""), arm("a", 0.4))
    of.name, of.primary_metric = "?", "revenue"
    assert [violation.field for violation in violations(of)] == [
        "name",
        "arms[0].model.version",
        "arms[1].name",
        "arms",
        "primary_metric",
    ]


def test_a_refusal_stays_short() -> None:
    """What gRPC carries in a trailer is limited to 8 KB."""
    of = definition(*(arm("?" * 1_000, 2.0, "?" * 1_000) for _ in range(1_000)))
    of.name = of.layer = of.control = of.primary_metric = "?" * 100_000
    found = violations(of)
    assert len(found) == 21
    assert found[-1].description == "and more"
    assert sum(len(str(violation)) for violation in found) < 4_000


@settings(deadline=None)
@given(split=st.lists(st.integers(1, BUCKETS - 1), min_size=1, max_size=5, unique=True))
def test_decimal_shares_that_sum_to_one_are_taken_exactly(split: list[int]) -> None:
    """0.1 + 0.2 is not 0.3 in doubles, but ten-thousandths add up."""
    edges = [0, *sorted(split), BUCKETS]
    shares = [end - start for start, end in itertools.pairwise(edges)]
    of = definition(*(arm(f"arm-{i}", share / BUCKETS) for i, share in enumerate(shares)))
    assert [one.share for one in check_experiment(of, now=NOW).arms] == shares


def test_a_message_tells_what_is_registered() -> None:
    experiment = check_experiment(definition(), now=NOW)
    registered = RegisteredExperiment(
        experiment=experiment,
        state=ExperimentState.DRAFT,
        revision=1,
        created=NOW,
        updated=NOW,
        revisions=(Revision(1, ExperimentState.DRAFT, "ann", "created", NOW),),
    )
    message = experiment_message(registered)
    assert check_experiment(message, now=NOW) == experiment
    assert message.state == pb.EXPERIMENT_STATE_DRAFT
    assert (message.revision, message.etag) == (1, "title-boost-1")
    assert message.create_time.ToDatetime(tzinfo=UTC) == NOW
    assert not message.HasField("start_time")
    assert message.decision == pb.DECISION_UNSPECIFIED
    (revision,) = message.revisions
    assert (revision.actor, revision.state) == ("ann", pb.EXPERIMENT_STATE_DRAFT)


DEEP = pb.Metric(
    name="deep_clicks",
    title="Clicks per unit",
    unit="clicks per unit",
    definition="Clicks divided by units.",
    numerator="clicks",
    form=pb.METRIC_FORM_MEAN,
)


def analysed(plan: pb.AnalysisPlan, **fields: str) -> pb.Experiment:
    of = definition()
    of.MergeFrom(pb.Experiment(analysis=plan, **fields))  # type: ignore[arg-type]
    return of


def test_the_analysis_is_taken_and_told() -> None:
    plan = pb.AnalysisPlan(
        secondary_metrics=["user_ctr"],
        guardrails=[pb.Guardrail(metric="latency", margin=0.05)],
        metrics=[DEEP],
        horizon=pb.HORIZON_FIXED,
        planned_units=9_000,
        covariates=False,
        bot_pages_per_day=0,
    )
    experiment = check_experiment(analysed(plan, primary_metric="deep_clicks"), now=NOW)
    assert experiment.primary_metric == "deep_clicks"
    assert experiment.analysis == AnalysisPlan(
        secondary_metrics=("user_ctr",),
        guardrails=(Guardrail("latency", 0.05),),
        metrics=(
            Metric(
                name="deep_clicks",
                title="Clicks per unit",
                unit="clicks per unit",
                definition="Clicks divided by units.",
                numerator="clicks",
                form=Form.MEAN,
            ),
        ),
        horizon=Horizon.FIXED,
        planned_units=9_000,
        covariates=False,
        bot_pages_per_day=0,
    )
    registered = RegisteredExperiment(experiment, ExperimentState.DRAFT, 1, NOW, NOW)
    assert check_experiment(experiment_message(registered), now=NOW) == experiment


def test_without_an_analysis_it_is_the_default() -> None:
    assert check_experiment(definition(), now=NOW).analysis == AnalysisPlan()


def test_all_that_is_wrong_with_an_analysis_is_said_at_once() -> None:
    bad = pb.Metric(name="page_ctr", title="x", unit="", definition="x", numerator="scrolls")
    plan = pb.AnalysisPlan(
        secondary_metrics=["nothing", "page_ctr"],
        guardrails=[pb.Guardrail(metric="page_ctr", margin=2)],
        metrics=[DEEP, bad],
        horizon=pb.HORIZON_GROUP_SEQUENTIAL,
        alpha=0.9,
        power=1,
        minimal_lift=-1,
        bot_pages_per_day=-1,
    )
    assert [violation.field for violation in violations(analysed(plan, name="?"))] == [
        "name",
        "analysis.metrics[1].name",
        "analysis.metrics[1].unit",
        "analysis.metrics[1].numerator",
        "analysis.metrics[1].denominator",
        "analysis.secondary_metrics[0]",
        "analysis.secondary_metrics[1]",
        "analysis.guardrails[0].metric",
        "analysis.guardrails[0].margin",
        "analysis.alpha",
        "analysis.power",
        "analysis.minimal_lift",
        "analysis.bot_pages_per_day",
        "analysis.horizon",
    ]


def test_a_planned_end_makes_looks_possible() -> None:
    of = analysed(pb.AnalysisPlan(horizon=pb.HORIZON_GROUP_SEQUENTIAL))
    assert [violation.field for violation in violations(of)] == ["analysis.horizon"]
    of.planned_end_time.FromDatetime(NOW + timedelta(days=14))
    assert check_experiment(of, now=NOW).analysis.horizon is Horizon.GROUP_SEQUENTIAL


def test_a_form_of_a_newer_version_is_not_guessed() -> None:
    plan = pb.AnalysisPlan(metrics=[pb.Metric(form=9)])  # type: ignore[arg-type]
    (violation,) = violations(analysed(plan))
    assert violation.field == "analysis.metrics[0].form"
