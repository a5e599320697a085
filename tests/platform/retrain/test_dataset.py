"""What a log teaches: hand-worked counts, and a truth that debiasing must find."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

import numpy as np
import polars as pl
import pytest
from numpy.typing import NDArray

from ranklift.events.frames import EventFrames
from ranklift.retrain.dataset import (
    PRIOR_EXAMINATIONS,
    QueryLog,
    RetrainData,
    is_held_out,
    retrain_data,
)
from ranklift.retrain.examination import Counts, default_examination, examination_of

from .conftest import NOON, MakeLog

DAY = timedelta(days=1)


def everything(frames: EventFrames) -> RetrainData:
    return retrain_data(frames, NOON - 365 * DAY, NOON + DAY)


def halves(pair: Counts, rank: Counts, impressions: Counts, clicks: Counts) -> NDArray[np.float64]:
    """An examination that is easy to work with: 1, 1/2, 1/4, ..."""
    return np.asarray(0.5 ** np.arange(rank.max() + 1))


def queries(data: RetrainData) -> dict[str, QueryLog]:
    return {log.query: log for log in (*data.train, *data.held_out)}


def test_counts_and_rates_of_a_small_log_by_hand(make_log: MakeLog) -> None:
    frames = make_log(
        [
            ("q", ["a", "b", "c"], ["b"]),
            ("q", ["b", "a", "c"], ["a", "c"]),
            ("q", ["a", "b", "c"], []),
        ]
    )
    data = retrain_data(frames, NOON - DAY, NOON + DAY, examination=halves)
    assert (data.pages, data.clicked_pages, data.fallback_pages, data.without_text) == (3, 2, 0, 0)
    # Examined: a 1 + 1/2 + 1, b 1/2 + 1 + 1/2, c 3 * 1/4; in all 5.25 for 3 clicks.
    mean = 3 / 5.25
    m = PRIOR_EXAMINATIONS
    expected = {
        "a": (3, 1, (1 + m * mean) / (2.5 + m)),
        "b": (3, 1, (1 + m * mean) / (2.0 + m)),
        "c": (3, 1, (1 + m * mean) / (0.75 + m)),
    }
    documents = queries(data)["q"].documents
    assert [d.document_id for d in documents] == ["c", "b", "a"]
    for document in documents:
        impressions, clicks, rate = expected[document.document_id]
        assert (document.impressions, document.clicks) == (impressions, clicks)
        assert document.click_rate == pytest.approx(rate, rel=1e-12)
    assert (documents[0].title, documents[0].text) == ("C", "text of c")


def test_debiased_rates_order_documents_as_their_attractiveness_does(make_log: MakeLog) -> None:
    """Several rankers put the worst first; clicks alone believe them."""
    rng = np.random.default_rng(7)
    attractiveness = dict(zip("abcdef", [0.35, 0.4, 0.45, 0.5, 0.55, 0.6], strict=True))
    examination = default_examination(6)
    orders = ["abcdef", "bacdfe", "acbedf"]
    pages = []
    for _ in range(20_000):
        shown = orders[rng.integers(len(orders))]
        seen = rng.random(6) < examination
        liked = rng.random(6) < [attractiveness[d] for d in shown]
        pages.append(("q", list(shown), [d for d, c in zip(shown, seen & liked, strict=True) if c]))
    documents = queries(everything(make_log(pages, every=timedelta(seconds=1))))["q"].documents
    assert [d.document_id for d in documents] == list("fedcba")
    for d in documents:
        assert d.click_rate == pytest.approx(attractiveness[d.document_id], abs=0.04)
    naive = sorted(documents, key=lambda d: -d.clicks / d.impressions)
    assert [d.document_id for d in naive] != list("fedcba")


def test_the_order_of_the_rows_means_nothing(make_log: MakeLog) -> None:
    pages = [(f"q{i % 5}", [f"d{(i + k) % 7}" for k in range(4)], [f"d{i % 7}"]) for i in range(40)]
    frames = make_log(pages)
    shuffled = EventFrames(
        *(
            getattr(frames, name).collect().sample(fraction=1.0, shuffle=True, seed=3).lazy()
            for name in ("pages", "clicks", "dwells", "documents")
        )
    )
    one, other = everything(frames), everything(shuffled)
    assert (one.train, one.held_out) == (other.train, other.held_out)
    assert one.examination.tolist() == other.examination.tolist()


def test_the_window_is_closed_at_its_begin_and_open_at_its_end(make_log: MakeLog) -> None:
    frames = make_log([("q", ["a", "b"], ["a"])] * 4, every=DAY)

    def pages(start: datetime, end: datetime) -> int:
        return retrain_data(frames, start, end).pages

    assert pages(NOON - 2 * DAY, NOON) == 2
    assert pages(NOON - 3 * DAY, NOON + timedelta(microseconds=1)) == 4


def test_several_clicks_on_one_document_of_one_page_count_once(make_log: MakeLog) -> None:
    data = everything(make_log([("q", ["a", "b"], ["a", "a", "a"])]))
    assert {d.document_id: d.clicks for d in queries(data)["q"].documents} == {"a": 1, "b": 0}


def test_pages_that_fell_back_count_as_any_other(make_log: MakeLog) -> None:
    pages = [("q", ["a", "b"], ["a"]), ("q", ["b", "a"], ["b"])]
    plain, fallen = everything(make_log(pages)), everything(make_log(pages, fallbacks=[1]))
    assert fallen.fallback_pages == 1
    assert (plain.train, plain.held_out) == (fallen.train, fallen.held_out)


def test_a_document_without_text_is_in_no_list_but_counts_for_the_rest(make_log: MakeLog) -> None:
    pages = [("q", ["x", "a", "b"], ["x"]), ("r", ["x", "a"], [])]
    data = everything(make_log(pages, texts={"a": "", "b": "text"}))
    assert {d.document_id for d in queries(data)["q"].documents} == {"a", "b"}
    assert data.without_text == 2
    assert "r" not in queries(data)  # one document teaches no order
    assert len(data.examination) == 3


def test_of_several_texts_of_a_document_it_is_always_the_same(make_log: MakeLog) -> None:
    frames = make_log([("q", ["a", "b"], ["a"])])
    newer = frames.documents.with_columns(digest=pl.lit("1"), text=pl.lit("another"))
    for order in ([frames.documents, newer], [newer, frames.documents]):
        data = everything(replace(frames, documents=pl.concat(order)))
        assert [d.text for d in queries(data)["q"].documents] == ["text of a", "text of b"]


def test_a_fifth_of_the_queries_is_held_out_and_no_query_is_on_both_sides(
    make_log: MakeLog,
) -> None:
    data = everything(make_log([(f"q{i}", ["a", "b"], []) for i in range(1_000)]))
    train, held_out = ({log.query for log in part} for part in (data.train, data.held_out))
    assert len(train) + len(held_out) == 1_000
    assert not train & held_out
    assert 150 < len(held_out) < 250  # binomial, 99.9 %: 158 to 242
    assert held_out == {f"q{i}" for i in range(1_000) if is_held_out(f"q{i}")}


def test_queries_that_say_the_same_are_on_one_side(make_log: MakeLog) -> None:
    asked = [f"wing flutter {i}" for i in range(50)]
    spelt = [*asked, *(query.upper() for query in asked), *(f" {query}?" for query in asked)]
    data = everything(make_log([(query, ["a", "b"], []) for query in spelt]))
    held_out = {log.query for log in data.held_out}
    assert 0 < len(held_out) < len(spelt)
    for query in asked:
        assert len({query in held_out, query.upper() in held_out, f" {query}?" in held_out}) == 1


def test_an_empty_window_teaches_nothing(make_log: MakeLog) -> None:
    data = everything(make_log([]))
    assert (data.pages, data.clicked_pages, data.train, data.held_out) == (0, 0, (), ())


def test_a_window_without_a_click_teaches_no_rates(make_log: MakeLog) -> None:
    data = everything(make_log([("q", ["a", "b"], [])]))
    assert [d.click_rate for d in queries(data)["q"].documents] == [0.0, 0.0]


def test_a_log_of_one_order_takes_the_default_examination() -> None:
    """Every document stood at one rank only: the fit has nothing to go by."""
    rank = np.arange(12)
    impressions, clicks = np.full(12, 100), np.arange(12, 0, -1)
    fitted = examination_of(rank, rank, impressions, clicks)
    assert fitted.tolist() == default_examination(12).tolist()
    assert fitted[11] == fitted[9]


def test_few_clicks_move_the_examination_little_and_many_move_it_far() -> None:
    """Both ranks are examined alike, the default says 0.693 for the second."""
    pair, rank = np.array([0, 0, 1, 1]), np.array([0, 1, 0, 1])
    few = examination_of(pair, rank, np.full(4, 8), np.full(4, 4))
    many = examination_of(pair, rank, np.full(4, 20_000), np.full(4, 10_000))
    assert few[1] == pytest.approx(0.693 + (1 - 0.693) * 8 / 58, abs=1e-3)
    assert many[1] == pytest.approx(1.0, abs=0.01)
