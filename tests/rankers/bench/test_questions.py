"""What is asked, and what is refused before anything is asked."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from transformers import AutoTokenizer

from ranklift.rankers.base import Text
from ranklift.rankers.bench.questions import WORDS, Question, generated, read_questions
from ranklift.rankers.bench.rounds import Plan
from ranklift.rankers.pretrained import minilm_folder
from ranklift.v1.errors import InvalidRequest, NotFound


def test_made_up_pairs_have_the_lengths_of_real_ones_by_berts_own_tokenizer() -> None:
    tokenizer = AutoTokenizer.from_pretrained(minilm_folder())
    questions = generated((10, 50), rng=np.random.default_rng(0), count=200)
    sizes = [len(each.documents) for each in questions]
    assert (min(sizes), max(sizes)) == (10, 50)
    assert np.mean(sizes) == pytest.approx(30, abs=3)
    pairs = [(each.query, one.body) for each in questions for one in each.documents]
    lengths = [len(ids) for ids in tokenizer(pairs)["input_ids"]]
    assert np.mean(lengths) == pytest.approx(73, abs=1.5)
    np.testing.assert_allclose(np.percentile(lengths, [5, 50, 95]), [42, 68, 122], atol=4)
    words = tokenizer(WORDS, add_special_tokens=False)["input_ids"]
    assert {len(ids) for ids in words} == {1}


def test_a_seed_makes_the_same_questions_and_no_document_twice() -> None:
    first = generated((1, 5), rng=np.random.default_rng(3))
    assert first == generated((1, 5), rng=np.random.default_rng(3))
    assert first != generated((1, 5), rng=np.random.default_rng(4))
    bodies = [one.body for each in first for one in each.documents]
    assert len(set(bodies)) == len(bodies)


def test_recorded_requests_are_those_of_the_usual_services(tmp_path: Path) -> None:
    path = tmp_path / "requests.jsonl"
    path.write_text(
        '{"query": "q", "documents": ["one", {"text": "two"}], "top_n": 3}\n\n'
        '{"query": "r", "documents": [{"id": "x", "title": "three", "text": ""}]}\n'
    )
    assert read_questions(path) == [
        Question("q", (Text("d0", "", "one"), Text("d1", "", "two"))),
        Question("r", (Text("x", "three", ""),)),
    ]


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("{", "is not JSON"),
        ("[1]", '"query"'),
        ('{"query": " ", "documents": ["a"]}', '"query"'),
        ('{"query": "q", "documents": []}', '"documents"'),
        ('{"query": "q", "documents": ["a", 7]}', "documents[1]"),
        ('{"query": "q", "documents": [{"title": " "}]}', "documents[0]"),
        ('{"query": "q", "documents": [{"id": 7, "text": "a"}]}', "documents[0]"),
        (
            '{"query": "q", "documents": [{"id": "a", "text": "a"}, {"id": "a", "text": "b"}]}',
            "twice",
        ),
    ],
)
def test_a_line_that_is_no_request_is_named(tmp_path: Path, line: str, complaint: str) -> None:
    path = tmp_path / "requests.jsonl"
    path.write_text(f'{{"query": "q", "documents": ["a"]}}\n{line}\n')
    with pytest.raises(InvalidRequest) as caught:
        read_questions(path)
    assert str(caught.value).startswith("requests.jsonl:2: ")
    assert complaint in str(caught.value)


def test_no_file_and_an_empty_file_are_said(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="no file"):
        read_questions(tmp_path / "nope")
    (tmp_path / "empty").touch()
    with pytest.raises(InvalidRequest, match="is empty"):
        read_questions(tmp_path / "empty")


@pytest.mark.parametrize(
    ("plan", "fields"),
    [
        (Plan(), ["rate"]),
        (Plan(rate=1, clients=1), ["rate"]),
        (Plan(rate=1e6), ["rate"]),
        (Plan(rate=float("nan")), ["rate"]),
        (Plan(clients=0), ["clients"]),
        (Plan(clients=513), ["clients"]),
        (Plan(clients=1, even=True), ["even"]),
        (Plan(rate=1, seconds=0, rounds=0, warm_up=-1), ["seconds", "rounds", "warm_up"]),
        (Plan(rate=1, deadline_seconds=0), ["deadline_ms"]),
        (Plan(rate=1, deadline_seconds=float("nan")), ["deadline_ms"]),
        (Plan(rate=1, seconds=1_000, rounds=2), ["seconds"]),
        (Plan(rate=10_000, seconds=100), ["rate"]),
    ],
    ids=str,
)
def test_load_without_end_or_sense_is_refused(plan: Plan, fields: list[str]) -> None:
    with pytest.raises(InvalidRequest) as caught:
        plan.check(endpoints=2)
    assert [violation.field for violation in caught.value.violations] == fields


def test_a_plan_within_bounds_is_fine() -> None:
    Plan(rate=500, seconds=60, rounds=3, deadline_seconds=0.1).check(endpoints=2)
    Plan(clients=8).check(endpoints=1)
