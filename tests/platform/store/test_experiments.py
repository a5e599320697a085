"""What the registry promises of experiments, on every database."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from threading import Barrier

import pytest
from alembic import command
from alembic.config import Config
from hypothesis import HealthCheck, given, settings
from sqlalchemy import create_engine, text
from sqlalchemy.exc import DatabaseError, IntegrityError
from tests.platform.plans import plans
from tests.platform.store.defined import NEW, NOON, OLD, experiment, register_models

from ranklift.store.analysis import (
    AnalysisPlan,
    Direction,
    Form,
    Guardrail,
    Horizon,
    Metric,
    ZeroRule,
)
from ranklift.store.database import open_engine, reading, upgrade, writing
from ranklift.store.experiments import Experiments
from ranklift.store.registry import Registry, open_registry
from ranklift.store.values import (
    Arm,
    Condition,
    Decision,
    ExperimentState,
    Exploration,
    ExplorationMethod,
    HarmAction,
    Interleaving,
    InterleavingMethod,
    Layer,
    ModelRef,
    Prerequisite,
    Ramp,
    RampStep,
    RegisteredExperiment,
    Unit,
)
from ranklift.v1.errors import (
    AlreadyExists,
    Conflict,
    InvalidRequest,
    NotFound,
    NotReady,
    RequestError,
)

DRAFT, RUNNING, PAUSED, CONCLUDED = (
    ExperimentState.DRAFT,
    ExperimentState.RUNNING,
    ExperimentState.PAUSED,
    ExperimentState.CONCLUDED,
)


@pytest.fixture
def experiments(registry: Registry) -> Experiments:
    register_models(registry)
    return registry.experiments


@pytest.fixture
def rivals(registry_url: str, experiments: Experiments) -> Iterator[list[Experiments]]:
    """The same registry as several processes would see it: an engine each."""
    engines = [open_engine(registry_url) for _ in range(6)]
    yield [Experiments(engine) for engine in engines]
    for engine in engines:
        engine.dispose()


def start(experiments: Experiments, name: str, etag: str = "") -> RegisteredExperiment:
    return experiments.start(name, actor="ann", reason="go", etag=etag)


def pause(experiments: Experiments, name: str) -> RegisteredExperiment:
    return experiments.pause(name, actor="ann", reason="look")


def fields(error: pytest.ExceptionInfo[RequestError]) -> list[str]:
    return [violation.field for violation in error.value.violations]


def test_what_is_created_is_what_is_read(experiments: Experiments) -> None:
    full = experiment(
        layer="ranking",
        unit=Unit.SESSION,
        traffic_share=1,
        control="new",
        primary_metric="user_ctr",
        owner="search",
        hypothesis="more clicks — für alle",
        planned_end=datetime(2026, 6, 1, 2, 30, 0, 123_456, timezone(timedelta(hours=2))),
    )
    made = experiments.create(full, actor="ann", request_id="r-1")
    assert made == experiments.get("bert")
    assert made.experiment == full
    assert (made.state, made.revision, made.request_id) == (DRAFT, 1, "r-1")
    assert [(r.number, r.state, r.actor) for r in made.revisions] == [(1, DRAFT, "ann")]
    assert made.created.tzinfo is UTC


def test_a_repeated_request_returns_the_first_result(experiments: Experiments) -> None:
    first = experiments.create(experiment(), actor="ann", request_id="r-1")
    assert experiments.create(experiment(), actor="bob", request_id="r-1") == first
    assert experiments.version() == 1


def test_a_repeated_request_with_other_content_is_refused(experiments: Experiments) -> None:
    experiments.create(experiment(), actor="ann", request_id="r-1")
    with pytest.raises(AlreadyExists, match='made experiment "bert" with other content') as error:
        experiments.create(experiment("other"), actor="ann", request_id="r-1")
    assert fields(error) == ["request_id"]


def test_a_name_is_taken_once(experiments: Experiments) -> None:
    experiments.create(experiment(), actor="ann", request_id="r-1")
    with pytest.raises(AlreadyExists) as error:
        experiments.create(experiment(), actor="ann", request_id="r-2")
    assert fields(error) == ["name"]


def test_an_arm_needs_a_registered_version_and_each_missing_one_is_named(
    experiments: Experiments,
) -> None:
    arms = (
        Arm("a", 4_000, ModelRef("absent", "1")),
        Arm("b", 3_000, OLD),
        Arm("c", 3_000, ModelRef("student", "9")),
    )
    with pytest.raises(NotFound, match="student@9 is not registered") as error:
        experiments.create(experiment(arms=arms, control="b"), actor="ann")
    assert fields(error) == ["arms[0].model", "arms[2].model"]
    assert experiments.list() == ([], "")


def test_an_arm_needs_a_version_that_ranks(registry: Registry, experiments: Experiments) -> None:
    known = registry.models.get(OLD)
    registry.models.register(replace(known, ref=ModelRef("lm", "1"), kind="causal_lm"))
    arms = (Arm("a", 5_000, ModelRef("lm", "1")), Arm("b", 5_000, OLD))
    with pytest.raises(InvalidRequest, match="lm@1 is a language model") as error:
        experiments.create(experiment(arms=arms, control="b"), actor="ann")
    assert fields(error) == ["arms[0].model"]


def test_a_control_that_is_no_arm_and_shares_that_do_not_sum_to_1_are_refused(
    experiments: Experiments,
) -> None:
    with pytest.raises(InvalidRequest, match='"absent" is not an arm'):
        experiments.create(experiment(control="absent"), actor="ann")
    with pytest.raises(InvalidRequest, match=r"the shares sum to 0\.75, must sum to 1"):
        experiments.create(experiment(arms=experiment().arms[:1]), actor="ann")


def test_an_unknown_name_is_not_found(experiments: Experiments) -> None:
    for call in (experiments.get, lambda name: start(experiments, name)):
        with pytest.raises(NotFound, match='no experiment "absent"') as error:
            call("absent")
        assert fields(error) == ["name"]


def test_the_life_of_an_experiment_is_on_record(experiments: Experiments) -> None:
    experiments.create(experiment(), actor="ann")
    first = start(experiments, "bert")
    pause(experiments, "bert")
    again = start(experiments, "bert")
    assert again.started == first.started
    assert experiments.running() == (again,)
    over = experiments.conclude("bert", Decision.SHIP, arm="new", actor="bob", reason="better")
    assert over == experiments.get("bert")
    assert (over.state, over.decision, over.revision) == (CONCLUDED, Decision.SHIP, 5)
    assert over.ended == over.updated == over.revisions[-1].created
    assert [r.state for r in over.revisions] == [DRAFT, RUNNING, PAUSED, RUNNING, CONCLUDED]
    assert experiments.running() == ()


def test_a_state_that_does_not_allow_it_is_named(experiments: Experiments) -> None:
    experiments.create(experiment(), actor="ann")
    with pytest.raises(NotReady, match='"bert" is draft, must be running to become paused'):
        pause(experiments, "bert")


def test_a_stale_etag_is_a_conflict_and_changes_nothing(experiments: Experiments) -> None:
    seen = experiments.create(experiment(), actor="ann").etag
    started = start(experiments, "bert", seen)
    pause(experiments, "bert")
    with pytest.raises(Conflict, match="is stale") as error:
        start(experiments, "bert", started.etag)
    assert fields(error) == ["etag"]
    assert experiments.get("bert").state is PAUSED


def test_of_racing_changes_of_one_etag_one_wins(
    experiments: Experiments, rivals: list[Experiments]
) -> None:
    etag = experiments.create(experiment(), actor="ann").etag
    together = Barrier(len(rivals))

    def attempt(rival: Experiments) -> str:
        together.wait(10)
        try:
            start(rival, "bert", etag)
        except RequestError as error:
            return error.code
        return "won"

    with ThreadPoolExecutor(len(rivals)) as pool:
        outcomes = sorted(pool.map(attempt, rivals))
    assert outcomes == ["ABORTED"] * (len(rivals) - 1) + ["won"]
    assert experiments.get("bert").revision == 2


def test_racing_creations_of_one_request_make_one_experiment(
    experiments: Experiments, rivals: list[Experiments]
) -> None:
    together = Barrier(len(rivals))

    def attempt(rival: Experiments) -> RegisteredExperiment:
        together.wait(10)
        return rival.create(experiment(layer="new"), actor="ann", request_id="r-1")

    with ThreadPoolExecutor(len(rivals)) as pool:
        made = list(pool.map(attempt, rivals))
    assert made == [experiments.get("bert")] * len(rivals)


def test_values_that_contradict_each_other_never_reach_the_tables(
    registry: Registry, experiments: Experiments
) -> None:
    experiments.create(experiment(), actor="ann")
    for change in (
        "state = 'unheard_of'",
        "state = 'running'",
        "state = 'concluded', ended = created",
        "decision = 'ship'",
        "traffic_share = 0",
        "traffic_share = 10001",
        "layer_share = NULL",
        "revision = 0",
        "layer = 'absent'",
    ):
        with pytest.raises(IntegrityError), writing(registry.engine) as session:
            session.execute(text(f"UPDATE experiments SET {change}"))  # noqa: S608


def test_pages_of_the_list_join_to_the_whole_list(experiments: Experiments) -> None:
    names = [f"e{i:02}" for i in range(7)]
    for name in reversed(names):
        experiments.create(experiment(name), actor="ann")
    seen: list[str] = []
    token = ""
    for expected in (3, 3, 1):
        page, token = experiments.list(page_size=3, page_token=token)
        assert len(page) == expected
        seen += [e.experiment.name for e in page]
    assert (seen, token) == (names, "")
    assert len(experiments.list(page_size=7)[0]) == 7
    assert experiments.list(page_size=7)[1] == ""


def test_the_list_can_be_of_one_state(experiments: Experiments) -> None:
    for name in ("first", "second"):
        experiments.create(experiment(name), actor="ann")
    start(experiments, "second")
    assert [e.experiment.name for e in experiments.list(DRAFT)[0]] == ["first"]
    assert [e.experiment.name for e in experiments.list(RUNNING)[0]] == ["second"]


def test_a_token_of_no_list_is_refused(experiments: Experiments) -> None:
    for token in ("nonsense", "é", "WzFd", "WyJhIiwgImIiXQ==", "e30="):
        with pytest.raises(InvalidRequest) as error:
            experiments.list(page_token=token)
        assert fields(error) == ["page_token"]


def test_a_page_size_out_of_range_is_refused(experiments: Experiments) -> None:
    for size in (-1, 1001):
        with pytest.raises(InvalidRequest, match=r"is not in \[0, 1000\]") as error:
            experiments.list(page_size=size)
        assert fields(error) == ["page_size"]


def test_the_version_grows_with_every_change_and_with_nothing_else(
    experiments: Experiments,
) -> None:
    assert experiments.version() == 0
    experiments.create(experiment(), actor="ann")
    versions = [experiments.version(), experiments.version()]
    start(experiments, "bert")
    versions.append(experiments.version())
    with pytest.raises(NotReady):
        start(experiments, "bert")
    versions.append(experiments.version())
    assert versions == [1, 1, 2, 2]


PLAN = AnalysisPlan(
    secondary_metrics=("user_ctr", "deep_clicks"),
    guardrails=(Guardrail("latency", 0.05), Guardrail("abandonment", 1 / 3)),
    metrics=(
        Metric(
            name="deep_clicks",
            title="Clicks — für alle",
            unit="clicks per page",
            definition="Clicks divided by pages.",
            numerator="clicks",
            denominator="pages",
            form=Form.UNIT_RATIO,
            direction=Direction.DOWN,
            cap_quantile=0.999,
            when_zero=ZeroRule.ZERO,
            parts_per_unit=1_000_000_000,
        ),
    ),
    horizon=Horizon.ALWAYS_VALID,
    planned_units=200_000,
    alpha=0.01,
    power=0.9,
    minimal_lift=0.005,
    covariates=False,
    bot_pages_per_day=0,
)


def test_a_plan_comes_back_whole_through_every_state(experiments: Experiments) -> None:
    made = experiments.create(experiment(analysis=PLAN), actor="ann", request_id="r-1")
    assert made.experiment.analysis == PLAN
    assert experiments.get("bert").experiment.analysis == PLAN
    assert start(experiments, "bert").experiment.analysis == PLAN
    assert [one.experiment.analysis for one in experiments.running()] == [PLAN]
    assert [one.experiment.analysis for one in experiments.list()[0]] == [PLAN]


def test_the_plan_is_part_of_what_a_request_made(experiments: Experiments) -> None:
    experiments.create(experiment(analysis=PLAN), actor="ann", request_id="r-1")
    experiments.create(experiment(analysis=PLAN), actor="ann", request_id="r-1")
    with pytest.raises(AlreadyExists, match="with other content"):
        experiments.create(
            experiment(analysis=replace(PLAN, alpha=0.02)), actor="ann", request_id="r-1"
        )


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(plan=plans)
def test_any_plan_survives_the_database(experiments: Experiments, plan: AnalysisPlan) -> None:
    name = f"e{experiments.version()}"
    experiments.create(experiment(name, analysis=plan), actor="ann")
    assert experiments.get(name).experiment.analysis == plan


def test_a_plan_of_a_newer_version_is_named_and_not_guessed(
    registry: Registry, experiments: Experiments
) -> None:
    experiments.create(experiment(), actor="ann")
    with writing(registry.engine) as session:
        session.execute(text("""UPDATE experiments SET analysis = '{"looks": 5}'"""))
    with pytest.raises(InvalidRequest, match=r"analysis\.looks: is no known key"):
        experiments.get("bert")


COMPOSED = experiment(
    "composed",
    arms=(
        Arm("plain", 5_000, OLD),
        Arm(
            "mixed",
            5_000,
            interleaving=Interleaving((OLD, NEW), InterleavingMethod.OPTIMIZED),
            exploration=Exploration(ExplorationMethod.PLACKETT_LUCE, 10, 1 / 3, 0.5),
            shadows=(NEW, OLD),
        ),
    ),
    control="plain",
    layer_share=2_500,
    conditions=(
        Condition("country", ("at", "de — ö")),
        Condition("platform", ("",), negated=True),
    ),
    prerequisites=(Prerequisite("bert", ("old", "new")),),
    forced=(("user-1", "mixed"), ("user-2", "plain")),
    traffic_share=100,
    ramp=Ramp(
        (RampStep(100, timedelta(days=1, microseconds=5)), RampStep(5_000, min_units=2**40)),
        HarmAction.PAUSE,
    ),
)


def test_compositions_targeting_and_ramps_come_back_whole(experiments: Experiments) -> None:
    experiments.create(experiment("bert", "other"), actor="ann")
    made = experiments.create(COMPOSED, actor="ann", request_id="r-1")
    assert made.experiment == COMPOSED
    assert experiments.get("composed").experiment == COMPOSED
    assert experiments.create(COMPOSED, actor="ann", request_id="r-1") == made


def test_every_missing_version_of_a_composition_is_named(experiments: Experiments) -> None:
    absent = ModelRef("absent", "1")
    arms = (Arm("all", 10_000, interleaving=Interleaving((OLD, absent)), shadows=(absent,)),)
    with pytest.raises(NotFound) as error:
        experiments.create(experiment(arms=arms, control="all"), actor="ann")
    assert fields(error) == ["arms[0].interleaving.models[1]", "arms[0].shadows[0]"]


def test_a_draft_may_change_in_all_but_its_name(experiments: Experiments) -> None:
    experiments.create(experiment("bert", "other"), actor="ann")
    experiments.create(experiment("composed"), actor="ann")
    every = set(COMPOSED.__slots__) - {"name"}
    changed = experiments.update("composed", COMPOSED, every, actor="bob", reason="second thoughts")
    assert changed == experiments.get("composed")
    assert changed.experiment == COMPOSED
    assert (changed.state, changed.revision) == (DRAFT, 2)
    assert (changed.revisions[-1].actor, changed.revisions[-1].reason) == ("bob", "second thoughts")
    assert changed.revisions[-1].traffic_share == 100


def test_the_meaning_of_what_ran_does_not_change(experiments: Experiments) -> None:
    experiments.create(experiment("bert", "other", conditions=NOBODY), actor="ann")
    experiments.create(experiment("composed"), actor="ann")
    running = start(experiments, "composed")
    every = set(COMPOSED.__slots__) - {"name"}
    open_ = {"owner", "hypothesis", "planned_end", "forced"}
    for field in sorted(every - open_):
        if getattr(COMPOSED, field) == getattr(running.experiment, field):
            continue
        with pytest.raises(NotReady, match="cannot change once it ran") as error:
            experiments.update("composed", COMPOSED, {field}, actor="ann", reason="")
        assert fields(error) == [field]
    assert experiments.get("composed") == running
    new = replace(COMPOSED, owner="bob", hypothesis="h", planned_end=NOON)
    changed = experiments.update("composed", new, open_, actor="ann", reason="")
    assert changed.experiment == replace(
        running.experiment, owner="bob", hypothesis="h", planned_end=NOON, forced=COMPOSED.forced
    )
    assert (changed.state, changed.revision) == (RUNNING, 3)


NOBODY = (Condition("country", ("nowhere",)),)


def test_a_change_that_changes_nothing_is_no_revision(experiments: Experiments) -> None:
    made = experiments.create(experiment(owner="ann"), actor="ann")
    of = experiment(owner="ann")
    assert experiments.update("bert", of, {"owner", "arms"}, actor="ann", reason="") == made


def test_arms_with_forecasts_stay(registry: Registry, experiments: Experiments) -> None:
    experiments.create(experiment(), actor="ann")
    with writing(registry.engine) as session:
        session.execute(
            text(
                "INSERT INTO forecasts (experiment, arm, metric, estimator, lift, lower, upper,"
                " confidence_level, effective_units, support, log_digest, made) VALUES"
                " ('bert', 'new', 'page_ctr', 'ips', 0, 0, 0, 0.9, 1, 1, '', :now)"
            ),
            {"now": "2026-05-01 12:00:00"},
        )
    other = experiment(arms=(Arm("old", 5_000, OLD), Arm("new", 5_000, NEW)))
    with pytest.raises(NotReady, match="has forecasts for its arms"):
        experiments.update("bert", other, {"arms"}, actor="ann", reason="")
    experiments.update("bert", experiment(owner="bob"), {"owner"}, actor="ann", reason="")


def test_a_traffic_share_only_grows(experiments: Experiments) -> None:
    experiments.create(experiment(traffic_share=400), actor="ann")
    with pytest.raises(NotReady, match="is draft, must be paused or running"):
        experiments.ramp("bert", 800, actor="ann", reason="")
    start(experiments, "bert")
    ramped = experiments.ramp("bert", 800, actor="ramp", reason="no harm at 4 %")
    assert ramped == experiments.get("bert")
    assert ramped.experiment.traffic_share == 800
    assert [one.traffic_share for one in ramped.revisions] == [400, 400, 800]
    assert (ramped.state, ramped.revision, ramped.revisions[-1].actor) == (RUNNING, 3, "ramp")
    for share in (800, 400):
        with pytest.raises(NotReady, match="only grows") as error:
            experiments.ramp("bert", share, actor="ann", reason="")
        assert fields(error) == ["traffic_share"]
    for share in (0, 10_001):
        with pytest.raises(InvalidRequest, match=r"must be in \(0, 1\]"):
            experiments.ramp("bert", share, actor="ann", reason="")
    pause(experiments, "bert")
    assert experiments.ramp("bert", 10_000, actor="ann", reason="").state is PAUSED


def test_shipping_an_arm_makes_its_version_the_champion(
    registry: Registry, experiments: Experiments
) -> None:
    experiments.create(experiment(), actor="ann")
    start(experiments, "bert")
    for arm, says in (("", "is empty"), ("nobody", '"nobody" is no arm')):
        with pytest.raises(InvalidRequest, match=says):
            experiments.conclude("bert", Decision.SHIP, arm=arm, actor="ann", reason="")
    assert registry.models.champion() is None
    experiments.conclude("bert", Decision.SHIP, arm="new", actor="ann", reason="better")
    champion = registry.models.champion()
    assert champion is not None
    assert champion.ref == NEW


def test_a_conclusion_that_fails_half_way_ships_nothing(
    registry: Registry, experiments: Experiments
) -> None:
    """The champion is written, then the layer cannot be: as if the process died in between."""
    experiments.create(experiment(), actor="ann")
    running = start(experiments, "bert")
    with writing(registry.engine) as session:
        session.execute(text("ALTER TABLE layer_revisions RENAME TO away"))
    try:
        with pytest.raises(DatabaseError):
            experiments.conclude("bert", Decision.SHIP, arm="new", actor="ann", reason="")
    finally:
        with writing(registry.engine) as session:
            session.execute(text("ALTER TABLE away RENAME TO layer_revisions"))
    assert registry.models.champion() is None
    assert experiments.get("bert") == running


def test_an_interleaving_is_nothing_to_ship(experiments: Experiments) -> None:
    experiments.create(experiment("bert", "other", conditions=NOBODY), actor="ann")
    experiments.create(replace(COMPOSED, prerequisites=()), actor="ann")
    start(experiments, "composed")
    with pytest.raises(InvalidRequest, match='"mixed" has no model version of its own'):
        experiments.conclude("composed", Decision.SHIP, arm="mixed", actor="ann", reason="")


def test_the_list_can_be_of_a_layer_and_an_owner(experiments: Experiments) -> None:
    for name, layer, owner in (("a", "x", "ann"), ("b", "x", "bob"), ("c", "y", "ann")):
        experiments.create(experiment(name, layer, owner=owner), actor="ann")

    def names(**wanted: str) -> list[str]:
        return [one.experiment.name for one in experiments.list(**wanted)[0]]  # type: ignore[arg-type]

    assert names(layer="x") == ["a", "b"]
    assert names(owner="ann") == ["a", "c"]
    assert names(layer="x", owner="ann") == ["a"]
    assert names(layer="z") == []


# What an installation of schema 0001 holds: an experiment that runs.
OLD_ROWS = (
    "INSERT INTO layers (name) VALUES ('default')",
    "INSERT INTO models (name) VALUES ('bm25')",
    "INSERT INTO model_versions (model, version, kind, digest, numerics, uri, stage, parents,"
    " run_id, metrics, created) VALUES ('bm25', '1', 'bm25', 'sha256:" + "0" * 64 + "', 'fp32',"
    " 'm', 'index', '[]', '', '{}', '2026-05-01 12:00:00.000000')",
    "INSERT INTO experiments (name, layer, unit, traffic_share, salt, primary_metric, owner,"
    " hypothesis, state, revision, created, updated, started) VALUES ('bert', 'default', 'user',"
    " 10000, 's', 'page_ctr', '', '', 'running', 2, '2026-05-01 12:00:00.000000',"
    " '2026-05-01 12:00:00.000000', '2026-05-01 12:00:00.000000')",
    "INSERT INTO arms (experiment, name, position, share, is_control, model, version)"
    " VALUES ('bert', 'old', 0, 5000, TRUE, 'bm25', '1')",
    "INSERT INTO arms (experiment, name, position, share, is_control, model, version)"
    " VALUES ('bert', 'new', 1, 5000, FALSE, 'bm25', '1')",
)


def migrate(change: Callable[[Config, str], None], url: str, revision: str) -> None:
    engine = create_engine(url)
    config = Config()
    config.set_main_option("script_location", "ranklift.migrations:")
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        change(config, revision)
    engine.dispose()


def test_what_ran_before_layers_had_slots_keeps_its_meaning(empty_url: str) -> None:
    migrate(command.upgrade, empty_url, "0004")
    engine = open_engine(empty_url)
    with writing(engine) as session:
        for statement in OLD_ROWS:
            session.execute(text(statement))
        session.execute(text("UPDATE experiments SET traffic_share = 5000"))
        session.execute(
            text(
                "INSERT INTO experiments (name, layer, unit, traffic_share, salt, primary_metric,"
                " owner, hypothesis, state, revision, created, updated, started)"
                " SELECT 'waits', layer, unit, traffic_share, 't', primary_metric, owner,"
                " hypothesis, 'paused', 3, created, updated, started FROM experiments"
            )
        )
        session.execute(
            text(
                "INSERT INTO arms (experiment, name, position, share, is_control, model, version)"
                " SELECT 'waits', name, position, share, is_control, model, version FROM arms"
            )
        )
        for number, state in ((1, "draft"), (2, "running")):
            session.execute(
                text(
                    "INSERT INTO experiment_revisions (experiment, number, state, actor, reason,"
                    " created) VALUES ('bert', :number, :state, '', '', '2026-05-01')"
                ),
                {"number": number, "state": state},
            )
        session.execute(
            text(
                "INSERT INTO forecasts (experiment, arm, metric, estimator, lift, lower, upper,"
                " confidence_level, effective_units, support, log_digest, made) VALUES"
                " ('bert', 'new', 'page_ctr', 'ips', 0, 0, 0, 0.9, 1, 1, '', '2026-05-01')"
            )
        )
    upgrade(empty_url)
    registry = open_registry(empty_url)
    bert = registry.experiments.get("bert")
    assert (bert.slots, bert.experiment.layer_share) == (((0, 10_000),), 10_000)
    assert [one.traffic_share for one in bert.revisions] == [5_000, 5_000]
    assert registry.experiments.layers() == (Layer("default", "default/slots/1", 0),)
    with pytest.raises(NotReady, match='"bert" \\(1\\) hold the rest'):
        start(registry.experiments, "waits")
    registry.experiments.conclude("bert", Decision.NONE, actor="", reason="")
    assert start(registry.experiments, "waits").slots == ((0, 10_000),)
    registry.close()
    migrate(command.downgrade, empty_url, "0004")
    with reading(engine) as session:
        rows = session.execute(text("SELECT experiment, model FROM arms")).all()
        assert len(rows) == 4
        assert session.execute(text("SELECT count(*) FROM forecasts")).scalar_one() == 1
    engine.dispose()


def test_experiments_from_before_plans_get_the_empty_plan_and_can_go_back(empty_url: str) -> None:
    """On SQLite the way back builds the table anew: rows that point to it must survive that."""
    migrate(command.upgrade, empty_url, "0001")
    engine = open_engine(empty_url)
    with writing(engine) as session:
        for statement in OLD_ROWS:
            session.execute(text(statement))
    upgrade(empty_url)
    registry = open_registry(empty_url)
    old = registry.experiments.get("bert")
    assert old.experiment.analysis == AnalysisPlan()
    assert [arm.name for arm in old.experiment.arms] == ["old", "new"]
    registry.close()
    migrate(command.downgrade, empty_url, "0001")
    with reading(engine) as session:
        (row,) = session.execute(text("SELECT * FROM experiments")).mappings()
        assert row["name"] == "bert"
        assert "analysis" not in row
    engine.dispose()
    upgrade(empty_url)
    registry = open_registry(empty_url)
    assert registry.experiments.get("bert") == old
    registry.close()
