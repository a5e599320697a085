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
from ranklift.traffic.splitter import Splitter
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


def selector(text: str) -> ModelSelector:
    name, _, number = text.partition("@")
    return ModelSelector(name=name, version=number)


def explored(**fields: object) -> pb.Arm:
    given = {"method": pb.EXPLORATION_METHOD_SWAP, "top_k": 5, "probability": 0.1, **fields}
    return pb.Arm(name="all", share=1.0, exploration=pb.Exploration(**given))  # type: ignore[arg-type]


def mixed(*models: str, method: int = 0, share: float = 1.0) -> pb.Arm:
    interleaving = pb.Interleaving(
        models=[selector(model) for model in models],
        method=method,  # type: ignore[arg-type]
    )
    return pb.Arm(name="mixed", share=share, interleaving=interleaving)


def shadowed(*models: str) -> pb.Arm:
    return pb.Arm(name="all", share=1.0, shadows=[selector(model) for model in models])


NOTHING = pb.Arm(name="nothing", share=0.5)
BALANCED = pb.INTERLEAVING_METHOD_BALANCED


@pytest.mark.parametrize(
    ("of", "field", "says"),
    [
        (definition(arm("a", 0.5), NOTHING), "arms[1].model", "every arm must"),
        (definition(pb.Arm(name="b", share=0.5), NOTHING), "arms[1]", "does nothing"),
        (definition(mixed("a@1")), "arms[0].interleaving.models", "must have 2 to 8"),
        (definition(mixed("a@1", "a@1")), "arms[0].interleaving.models[1]", "again"),
        (definition(mixed("a@1", "b@")), "arms[0].interleaving.models[1].version", "is empty"),
        (
            definition(mixed("a@1", "b@1", "c@1", method=BALANCED)),
            "arms[0].interleaving.models",
            "must have 2 with the balanced method",
        ),
        (definition(mixed("a@1", "b@1", method=9)), "arms[0].interleaving.method", "is no method"),
        (definition(explored(method=0)), "arms[0].exploration.method", "is not given"),
        (definition(explored(top_k=1)), "arms[0].exploration.top_k", "is not in [2, 50]"),
        (definition(explored(probability=0)), "arms[0].exploration.probability", "0 is no prob"),
        (definition(explored(temperature=-1)), "arms[0].exploration.temperature", "above 0"),
        (definition(shadowed("a@1", "A@1")), "arms[0].shadows[1].name", "is no valid name"),
        (
            definition(shadowed(*(f"a@{i}" for i in range(9)))),
            "arms[0].shadows",
            "must have at most 8",
        ),
    ],
)
def test_compositions_that_are_wrong(of: pb.Experiment, field: str, says: str) -> None:
    (violation,) = violations(of)
    assert violation.field == field
    assert says in violation.description


def test_one_arm_that_composes_may_be_alone_and_a_control_may_do_nothing() -> None:
    for alone in (mixed("a@1", "b@1"), explored(), shadowed("a@1")):
        assert len(check_experiment(definition(alone), now=NOW).arms) == 1
    exploring = explored()
    exploring.share = 0.5
    assert not check_experiment(definition(NOTHING, exploring), now=NOW).ranks


def with_parts(**parts: object) -> pb.Experiment:
    of = definition()
    of.MergeFrom(pb.Experiment(**parts))  # type: ignore[arg-type]
    return of


def steps(*shares: float) -> pb.Ramp:
    return pb.Ramp(steps=[pb.RampStep(traffic_share=share) for share in shares])


COUNTRY = pb.Condition(attribute="country", values=["at"])
NOT_COUNTRY = pb.Condition(attribute="country", values=["at"], negated=True)


@pytest.mark.parametrize(
    ("of", "field", "says"),
    [
        (with_parts(layer_share=1.5), "layer_share", "1.5 is no share"),
        (with_parts(conditions=[pb.Condition(values=["x"])]), "conditions[0].attribute", "empty"),
        (
            with_parts(conditions=[pb.Condition(attribute="x")]),
            "conditions[0].values",
            "must have 1 to 1,000",
        ),
        (with_parts(conditions=[COUNTRY] * 17), "conditions", "must have at most 16"),
        (with_parts(conditions=[COUNTRY, NOT_COUNTRY]), "conditions", "meets them all"),
        (
            with_parts(prerequisites=[pb.Prerequisite(experiment="x")]),
            "prerequisites[0].arms",
            "is empty",
        ),
        (
            with_parts(prerequisites=[pb.Prerequisite(experiment="x", arms=["a"])] * 2),
            "prerequisites[1].experiment",
            "each must come once",
        ),
        (
            with_parts(forced_units=[pb.ForcedUnit(unit_id="u", arm="nobody")]),
            "forced_units[0].arm",
            '"nobody" is no arm',
        ),
        (
            with_parts(forced_units=[pb.ForcedUnit(unit_id="u", arm="control")] * 2),
            "forced_units[1].unit_id",
            "each must come once",
        ),
        (with_parts(ramp=pb.Ramp()), "ramp.steps", "must have 1 to 100"),
        (with_parts(ramp=steps(0.5, 0.5)), "ramp.steps[1].traffic_share", "must grow"),
        (
            with_parts(ramp=steps(0.01), traffic_share=0.5),
            "traffic_share",
            "must be left out or be 0.01",
        ),
        (with_parts(ramp=pb.Ramp(steps=steps(0.1).steps, on_harm=7)), "ramp.on_harm", "no action"),  # type: ignore[arg-type]
        (with_parts(salt="b/slots/3"), "salt", "is a layer's own"),
        (with_parts(salt="b/holdout"), "salt", "is a layer's own"),
    ],
)
def test_targeting_and_ramps_that_are_wrong(of: pb.Experiment, field: str, says: str) -> None:
    (violation,) = violations(of)
    assert violation.field == field
    assert says in violation.description


def test_no_name_makes_the_salt_of_a_holdout() -> None:
    """Such an experiment would lose its first buckets, and so a part of one arm, to the holdout."""
    (violation,) = violations(with_field("name", "holdout"))
    assert violation.field == "name"


def test_a_ramp_says_what_an_experiment_starts_with() -> None:
    experiment = check_experiment(with_parts(ramp=steps(0.01, 0.05, 0.5)), now=NOW)
    assert experiment.traffic_share == 100
    assert experiment.ramp is not None
    assert [step.traffic_share for step in experiment.ramp.steps] == [100, 500, 5_000]


@pytest.mark.parametrize(
    ("shares", "traffic", "allowed"),
    [
        ((0.5, 0.5), 0.0001, "a multiple of 0.0002"),
        ((0.25, 0.75), 0.001, "a multiple of 0.0004"),
        ((0.3333, 0.3333, 0.3334), 0.1, "1"),
        ((0.33, 0.33, 0.34), 0.001, "a multiple of 0.01"),
    ],
)
def test_every_arm_gets_whole_buckets(
    shares: tuple[float, ...], traffic: float, allowed: str
) -> None:
    """A part of a bucket counts as a whole one, so the arms would not have their shares."""
    of = definition(*(arm(f"arm-{i}", share) for i, share in enumerate(shares)))
    of.traffic_share = traffic
    (violation,) = violations(of)
    assert violation.field == "traffic_share"
    assert f"must be {allowed}, or choose rounder arm shares" in violation.description
    of.traffic_share = float(allowed.rpartition(" ")[2])
    experiment = check_experiment(of, now=NOW)
    splitter = Splitter.of(experiment)
    owned = [end - start for start, end in zip(splitter.starts, splitter.ends, strict=True)]
    assert [one * BUCKETS for one in owned] == [
        one.share * experiment.traffic_share for one in experiment.arms
    ]


def test_everything_of_a_definition_is_told_again() -> None:
    arms = (mixed("a@1", "b@1", method=BALANCED, share=0.5), arm("plain", 0.5))
    arms[0].exploration.CopyFrom(explored(temperature=0.5).exploration)
    arms[1].shadows.append(selector("c@1"))
    of = definition(*arms)
    of.layer_share = 0.25
    of.conditions.extend([COUNTRY, pb.Condition(attribute="os", values=["", "x"], negated=True)])
    of.prerequisites.append(pb.Prerequisite(experiment="base", arms=["old", "new"]))
    of.forced_units.append(pb.ForcedUnit(unit_id="u", arm="plain"))
    of.ramp.CopyFrom(steps(0.01, 0.5))
    of.ramp.steps[0].hold.FromTimedelta(timedelta(days=1))
    of.ramp.steps[0].min_units = 1_000
    of.ramp.on_harm = pb.HARM_ACTION_PAUSE
    experiment = check_experiment(of, now=NOW)
    registered = RegisteredExperiment(
        experiment, ExperimentState.DRAFT, 1, NOW, NOW, slots=((0, 10), (20, 30))
    )
    message = experiment_message(registered)
    assert check_experiment(message, now=NOW) == experiment
    assert [(one.start, one.end) for one in message.slots] == [(0, 10), (20, 30)]
    for field in ("arms", "conditions", "prerequisites", "forced_units", "ramp"):
        assert getattr(message, field) == getattr(of, field), field
