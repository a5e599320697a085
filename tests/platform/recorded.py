"""A registry with one running experiment, and a home with what its users were recorded to do."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from ranklift.events.log import EventLog
from ranklift.events.pending import PendingClick, PendingDwell
from ranklift.events.values import Document, Page, PageAssignment
from ranklift.store.analysis import AnalysisPlan, Form, Guardrail, Metric
from ranklift.store.registry import Registry
from ranklift.store.values import (
    Arm,
    Experiment,
    Lineage,
    ModelRef,
    ModelVersion,
    RegisteredExperiment,
)
from ranklift.traffic.splitter import Splitter

NAME = "title-boost"
PLAN = AnalysisPlan(
    guardrails=(Guardrail("latency", 0.05),),
    metrics=(
        Metric(
            name="deep_clicks",
            title="Clicks per unit",
            unit="clicks per unit",
            definition="Clicks divided by units.",
            numerator="clicks",
            form=Form.MEAN,
            cap_quantile=0.99,
        ),
    ),
)
SHOWN = ("d1", "d2", "d3")
SECOND = timedelta(seconds=1)


def define(registry: Registry, traffic_share: int = 10_000) -> RegisteredExperiment:
    """Register an experiment with `PLAN`, as a draft."""
    refs = ModelRef("bm25", "1"), ModelRef("student", "1")
    for ref in refs:
        version = ModelVersion(
            ref, "encoder", "sha256:" + "0" * 64, "fp32", "m", Lineage("sft"), datetime.now(UTC)
        )
        registry.models.register(version)
    experiment = Experiment(
        name=NAME,
        arms=(Arm("old", 5_000, refs[0]), Arm("new", 5_000, refs[1])),
        control="old",
        salt="default/title-boost",
        traffic_share=traffic_share,
        analysis=PLAN,
    )
    return registry.experiments.create(experiment, actor="ann")


def start(registry: Registry) -> RegisteredExperiment:
    """Start the experiment."""
    return registry.experiments.start(NAME, actor="ann", reason="go")


def pages_of(
    registered: RegisteredExperiment, users: Sequence[str], since: datetime, *, pages: int = 2
) -> list[Page]:
    """Return pages as the gateway records them: users who take no part have no assignment."""
    splitter = Splitter.of(registered.experiment)
    found = []
    for number, user in enumerate(user for user in users for _ in range(pages)):
        assigned = splitter.assign(user)
        found.append(
            Page(
                impression_id=f"{user}-{number}-{since.timestamp()}",
                page_time=since + number * timedelta(milliseconds=1),
                user_id=user,
                session_id=f"s-{user}",
                query="wing flutter",
                documents=SHOWN,
                scores=(2.5, 0.25, -1.0),
                model="student",
                version="1",
                digest="sha256:00",
                assignments=()
                if assigned is None
                else (
                    PageAssignment(NAME, 2, "default", assigned.arm.name, user, assigned.bucket),
                ),
                fallback_reason="",
                latency_ms=10.0 + number % 7,
            )
        )
    return found


def moved(pages: Sequence[Page], arm: str) -> list[Page]:
    """Return the pages as if all of them had been shown in one arm."""
    return [
        replace(page, assignments=tuple(replace(one, arm=arm) for one in page.assignments))
        for page in pages
    ]


async def record(home: Path, pages: Sequence[Page], *, click_every: int = 3) -> None:
    """Record pages with a click and its dwell on some of them."""
    documents = [Document(name, "title", "text") for name in SHOWN]
    async with await EventLog.open(home) as log:
        await asyncio.gather(*(log.record_page(page, documents) for page in pages))
        for page in pages[::click_every]:
            event = f"c-{page.impression_id}"
            dwell = 5_000 + 1_000 * (len(event) + page.page_time.microsecond // 1_000 % 40)
            await log.record_events(
                [
                    PendingClick(event, page.impression_id, "d2", page.page_time + SECOND / 2),
                    PendingDwell(f"{event}-dwell", event, dwell),
                ]
            )
