"""Explored pages of ranklift's own log as evidence for another ranking: the truth is recovered."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import polars as pl
import pytest

from ranklift.events.rows import SCHEMAS, click_row, decode, page_row
from ranklift.events.values import Click, InterleavedPage, Page
from ranklift.lift.offpolicy.estimate import Estimate, estimate
from ranklift.lift.offpolicy.estimators import ESTIMATORS
from ranklift.lift.offpolicy.position_model import fit_position
from ranklift.lift.offpolicy.read import of_events, read
from ranklift.store.values import Exploration, ExplorationMethod
from ranklift.traffic.draws import KeyedDraws
from ranklift.traffic.exploration import Explored, disturb, logged

NOW = datetime(2025, 3, 1, tzinfo=UTC)
SERVED, SCORES = ("a", "b", "c", "d"), (1.0, 0.5, 0.0, -0.5)
ATTRACTIVENESS = {"a": 0.2, "b": 0.6, "c": 0.4, "d": 0.3}
EXAMINATION = (1.0, 0.6, 0.4, 0.3)
WANTED = ("b", "a", "c", "d")
TRUTH = sum(ATTRACTIVENESS[one] * e for one, e in zip(WANTED, EXAMINATION, strict=True))
PAGES = 4_000


def draw(exploration: Exploration) -> tuple[list[Page], list[Click]]:
    rng = np.random.default_rng(1)
    pages, clicks = [], []
    for number in range(PAGES):
        ranks = disturb(exploration, SCORES, KeyedDraws(f"exploration:{number}"))
        shown = tuple(SERVED[rank - 1] for rank in ranks)
        page = Page(
            impression_id=str(number),
            page_time=NOW,
            user_id=f"u{number % 1_000}",
            session_id="",
            query="q",
            documents=shown,
            scores=SCORES,
            model="m",
            version="1",
            digest="",
            assignments=(),
            fallback_reason="",
            latency_ms=1.0,
            exploration=logged(Explored(exploration, SCORES, ranks)),
        )
        pages.append(page)
        for place, document in enumerate(shown):
            if rng.random() < ATTRACTIVENESS[document] * EXAMINATION[place]:
                name = f"{number}-{place}"
                clicks.append(Click(name, str(number), document, place + 1, NOW))
    return pages, clicks


def frames(pages: list[Page], clicks: list[Click]) -> tuple[pl.LazyFrame, ...]:
    return (
        decode("pages", [page_row(page).body for page in pages]).lazy(),
        decode("clicks", [click_row(click, "").body for click in clicks]).lazy(),
        pl.LazyFrame(schema=SCHEMAS["dwells"]),
    )


@pytest.mark.parametrize("name", ["ips", "snips", "independent_ips", "independent_snips"])
@pytest.mark.parametrize(
    "exploration",
    [
        Exploration(ExplorationMethod.SWAP, top_k=3, probability=0.75),
        Exploration(ExplorationMethod.PLACKETT_LUCE, top_k=4, probability=0.9, temperature=0.7),
    ],
    ids=lambda one: str(one.method),
)
def test_the_truth_is_recovered_from_explored_pages(exploration: Exploration, name: str) -> None:
    log = of_events(*frames(*draw(exploration)), explored=True)
    rankings = pl.DataFrame({"query": ["q"], "documents": [list(WANTED)]})
    found = estimate(ESTIMATORS[name], *read(log, rankings), fit=fit_position)
    assert isinstance(found, Estimate)
    served = sum(ATTRACTIVENESS[one] * e for one, e in zip(SERVED, EXAMINATION, strict=True))
    error = (found.interval.upper - found.interval.lower) / 2 / 1.96
    assert abs(found.value - TRUTH) < 3 * error
    assert abs(found.value - served) > 3 * error


def test_only_pages_that_were_explored_and_nothing_else_come_along() -> None:
    pages, clicks = draw(Exploration(ExplorationMethod.SWAP, top_k=3, probability=0.5))
    ranks = tuple(range(1, 5))
    mixed = [
        pages[0],
        replace(pages[1], exploration=None),
        replace(
            pages[2],
            interleaving=InterleavedPage("balanced", ("m@1", "n@1"), (-1,) * 4, (ranks, ranks)),
        ),
    ]
    log = of_events(*frames(mixed, clicks[:1]), explored=True)
    assert log["impression_id"].to_list() == ["0"]
    assert log["position_propensities"].to_list()[0][3] == 1
    everything = of_events(*frames(mixed, clicks[:1]))
    assert everything.height == 3
    assert "list_propensity" not in everything.columns
