"""Shadow scores in the log: once for a page and a version, beside their page."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from ranklift.events.days import read_event_days
from ranklift.events.frames import read_events
from ranklift.events.log import EventLog
from ranklift.events.values import ShadowScores
from ranklift.v1.errors import InvalidRequest, NotFound

SHADOW = ShadowScores("p1", "student", "4", "sha256:01", (0.5, 0.25, -1.0), 1.0, 12.5, "")
FAILED = ShadowScores("p1", "student", "5", "", (), None, 2_000.0, "deadline")


def test_scores_come_back_as_they_went_in_also_after_an_export(
    tmp_path: Path, make_page: Any
) -> None:
    async def record() -> None:
        async with await EventLog.open(tmp_path) as log:
            page = make_page(page_time=datetime(2025, 3, 1, tzinfo=UTC))
            log.submit_page(lambda: (page, []), documents=0, size=0, urgent=False)
            futures = [log.submit_shadow(one) for one in (SHADOW, FAILED, SHADOW)]
            outcomes = [await asyncio.wrap_future(one) for one in futures]
            assert [one.recorded for one in outcomes] == [1, 1, 0]
            await log.export()
            await log.close()

    asyncio.run(record())
    first, second = read_events(tmp_path).shadows.collect().sort("version").to_dicts()
    assert ShadowScores(**{**first, "scores": tuple(first["scores"])}) == SHADOW
    assert ShadowScores(**{**second, "scores": tuple(second["scores"])}) == FAILED
    (day,) = read_event_days(tmp_path)
    assert day.frames.shadows.collect().height == 2


def test_scores_of_a_page_that_is_not_known_are_refused(tmp_path: Path) -> None:
    async def record() -> None:
        async with await EventLog.open(tmp_path) as log:
            with pytest.raises(NotFound, match="p1"):
                await asyncio.wrap_future(log.submit_shadow(SHADOW))

    asyncio.run(record())
    assert read_events(tmp_path).shadows.collect().is_empty()


def test_scores_that_are_not_finite_are_refused_alone(tmp_path: Path, make_page: Any) -> None:
    async def record() -> None:
        async with await EventLog.open(tmp_path) as log:
            await log.record_page(make_page(), [])
            bad = log.submit_shadow(
                ShadowScores("p1", "student", "4", "", (float("nan"),), None, 1.0, "")
            )
            good = log.submit_shadow(FAILED)
            with pytest.raises(InvalidRequest):
                await asyncio.wrap_future(bad)
            assert (await asyncio.wrap_future(good)).recorded == 1

    asyncio.run(record())
