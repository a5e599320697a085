"""Bad input: the field is named, nothing is lost, and nobody else notices."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from tests.system.installation import BM25, STUDENT, Installation

from ranklift.cli.demo.control import begin_experiment
from ranklift.events.frames import read_events
from ranklift.v1 import events_pb2 as events
from ranklift.v1 import events_pb2_grpc, experiments_pb2_grpc, lift_pb2_grpc, ranking_pb2_grpc
from ranklift.v1 import experiments_pb2 as experiments
from ranklift.v1 import lift_pb2 as lift
from ranklift.v1 import ranking_pb2 as ranking
from ranklift.v1.status import violations_of


def document(number: int, text: str = "words") -> ranking.Document:
    return ranking.Document(id=f"d{number}", title="title", text=text)


def rank_request(**change: Any) -> ranking.RankRequest:
    fields: dict[str, Any] = {
        "query": "words",
        "documents": [document(1), document(2)],
        "user_id": "u",
    }
    return ranking.RankRequest(**{**fields, **change})


def arm(name: str, share: float) -> experiments.Arm:
    return experiments.Arm(
        name=name, share=share, model=ranking.ModelSelector(name="bm25", version="1")
    )


def refused(call: Callable[[], object]) -> tuple[grpc.StatusCode, set[str]]:
    """Return the status of a call that must fail, and the fields it blames."""
    with pytest.raises(grpc.RpcError) as caught:
        call()
    error: Any = caught.value
    return error.code(), {violation.field for violation in violations_of(error)}


INVALID, NOT_FOUND = grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND


def test_bad_input_is_refused_by_field_and_disturbs_nothing(
    installation: Installation, channel: grpc.Channel
) -> None:
    ranker = ranking_pb2_grpc.RankingServiceStub(channel)
    registry = experiments_pb2_grpc.ExperimentServiceStub(channel)
    recorder = events_pb2_grpc.EventServiceStub(channel)
    reporter = lift_pb2_grpc.LiftServiceStub(channel)
    begin_experiment(installation.gateway, "x", control=BM25, challenger=STUDENT)
    page = ranker.Rank(rank_request())
    click = events.Event(
        event_id="c", click=events.Click(impression_id=page.impression_id, document_id="d1")
    )
    recorder.RecordEvents(events.RecordEventsRequest(events=[click]))

    def create(*arms: experiments.Arm) -> Callable[[], object]:
        definition = experiments.Experiment(name="y", arms=arms)
        request = experiments.CreateExperimentRequest(experiment=definition)
        return lambda: registry.CreateExperiment(request)

    def record(event: events.Event) -> Callable[[], object]:
        # A good event travels along: all or none, so it must not stay behind either.
        good = events.Event(event_id="good", click=click.click)
        return lambda: recorder.RecordEvents(events.RecordEventsRequest(events=[good, event]))

    def dwell(seconds: int, nanos: int = 0) -> events.Event:
        return events.Event(
            event_id="d",
            dwell=events.Dwell(
                click_event_id="c", dwell_duration=Duration(seconds=seconds, nanos=nanos)
            ),
        )

    cases: dict[str, tuple[Callable[[], object], grpc.StatusCode, set[str]]] = {
        "empty query": (lambda: ranker.Rank(rank_request(query=" ")), INVALID, {"query"}),
        "no documents": (lambda: ranker.Rank(rank_request(documents=[])), INVALID, {"documents"}),
        "duplicate ids": (
            lambda: ranker.Rank(rank_request(documents=[document(1), document(1)])),
            INVALID,
            {"documents[1].id"},
        ),
        "over-long text": (
            lambda: ranker.Rank(rank_request(documents=[document(1, "x" * 100_001)])),
            INVALID,
            {"documents[0].text"},
        ),
        "unknown experiment": (
            lambda: reporter.GetLiftReport(lift.GetLiftReportRequest(experiment="nope")),
            NOT_FOUND,
            {"experiment"},
        ),
        "unknown experiment to start": (
            lambda: registry.StartExperiment(experiments.StartExperimentRequest(name="nope")),
            NOT_FOUND,
            {"name"},
        ),
        "shares that do not sum to 1": (
            create(arm("a", 0.5), arm("b", 0.4)),
            INVALID,
            {"experiment.arms"},
        ),
        "two arms of one name": (
            create(arm("a", 0.5), arm("a", 0.5)),
            INVALID,
            {"experiment.arms[1].name"},
        ),
        "share that is NaN": (
            create(arm("a", float("nan")), arm("b", 0.5)),
            INVALID,
            {"experiment.arms[0].share"},
        ),
        "click on an unknown page": (
            record(
                events.Event(
                    event_id="e", click=events.Click(impression_id="nope", document_id="d1")
                )
            ),
            NOT_FOUND,
            {"events[1].click.impression_id"},
        ),
        "negative dwell": (record(dwell(-1)), INVALID, {"events[1].dwell.dwell_duration"}),
        # A duration has no NaN of its own: this is the nearest that the wire can carry.
        "dwell that is no number": (
            record(dwell(1, nanos=2_000_000_000)),
            INVALID,
            {"events[1].dwell.dwell_duration"},
        ),
    }
    got = {name: refused(call) for name, (call, _, _) in cases.items()}

    assert got == {name: (code, fields) for name, (_, code, fields) in cases.items()}
    # What was there before is all there is: no page, no event, no experiment came on top.
    log = read_events(installation.home)
    assert log.pages.collect()["impression_id"].to_list() == [page.impression_id]
    assert log.clicks.collect()["event_id"].to_list() == ["c"]
    assert log.dwells.collect().is_empty()
    names = [
        e.name for e in registry.ListExperiments(experiments.ListExperimentsRequest()).experiments
    ]
    assert names == ["x"]
    assert ranker.Rank(rank_request()).impression_id
