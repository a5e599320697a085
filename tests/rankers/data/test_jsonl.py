"""Lists of JSON, one a line: what is written is read, and every fault is named."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ranklift.rankers.base import RankingList, Text
from ranklift.rankers.data.jsonl import read_judged_lists, read_target_lists
from ranklift.v1.errors import InvalidRequest

ANY = st.text(st.characters(exclude_categories=["Cs"]), min_size=1).filter(lambda t: t.strip())


def write(path: Path, rows: list[object]) -> Path:
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
    return path


@settings(deadline=None)
@given(
    lists=st.lists(
        st.tuples(
            ANY,
            st.lists(st.tuples(ANY, st.integers(0, 4) | st.none()), min_size=1, max_size=4),
        ),
        min_size=1,
        max_size=4,
    )
)
def test_lists_are_read_as_written(
    lists: list[tuple[str, list[tuple[str, int | None]]]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    rows: list[object] = [
        {
            "query": query,
            "query_id": f"q{i}",
            "documents": [
                {"id": f"{i}-{k}", "text": text} | ({} if grade is None else {"grade": grade})
                for k, (text, grade) in enumerate(documents)
            ],
        }
        for i, (query, documents) in enumerate(lists)
    ]
    judged = read_judged_lists(write(tmp_path_factory.mktemp("lists") / "lists.jsonl", rows))
    assert judged.lists() == [
        RankingList(
            query,
            tuple(Text(f"{i}-{k}", "", text) for k, (text, _) in enumerate(documents)),
            tuple(float(grade or 0) for _, grade in documents),
        )
        for i, (query, documents) in enumerate(lists)
    ]
    graded = {
        f"q{i}": {f"{i}-{k}": g for k, (_, g) in enumerate(documents) if g is not None}
        for i, (_, documents) in enumerate(lists)
    }
    assert judged.grades == {query_id: grades for query_id, grades in graded.items() if grades}


def test_a_query_without_an_id_is_its_own_id(tmp_path: Path) -> None:
    document = {"id": "d", "title": "wings", "grade": 1.0}
    path = write(tmp_path / "lists.jsonl", [{"query": "lift", "documents": [document]}])
    judged = read_judged_lists(path)
    assert judged.queries == {"lift": "lift"}
    assert judged.grades == {"lift": {"d": 1}}
    assert judged.documents == {"d": Text("d", "wings", "")}


def test_targets_are_read_apart_from_grades_and_documents_by_id(tmp_path: Path) -> None:
    documents = [
        {"id": "e", "text": "tails", "target": 3},
        {"id": "d", "text": "wings", "grade": 2, "target": -1.25},
    ]
    path = write(tmp_path / "lists.jsonl", [{"query": "lift", "documents": documents}])
    texts = (Text("d", "", "wings"), Text("e", "", "tails"))
    assert read_target_lists(path) == [RankingList("lift", texts, (-1.25, 3.0))]
    assert [each.targets for each in read_judged_lists(path).lists()] == [(2.0, 0.0)]


def test_a_document_without_a_target_is_named(tmp_path: Path) -> None:
    documents = [{"id": "d", "text": "x", "target": 1}, {"id": "e", "text": "x", "grade": 1}]
    path = write(tmp_path / "lists.jsonl", [{"query": "lift", "documents": documents}])
    with pytest.raises(InvalidRequest, match=r'lists.jsonl:1: 1 documents have no "target", "e"'):
        read_target_lists(path)


def test_lists_with_targets_keep_the_same_rules(tmp_path: Path) -> None:
    row = {"query": "lift", "documents": [{"id": "d", "text": "x", "target": 1}]}
    path = write(tmp_path / "lists.jsonl", [row, row])
    with pytest.raises(InvalidRequest, match=r'lists.jsonl:2: query "lift" is there twice'):
        read_target_lists(path)


GOOD = '{"query": "q", "query_id": "1", "documents": [{"id": "d", "text": "x"}]}'


def of(document: str) -> str:
    return f'{{"query": "q", "query_id": "2", "documents": [{document}]}}'


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{nonsense", "is not JSON"),
        ("[1]", "is not a JSON object"),
        ("[" * 100_000, "is nested too deep"),
        ("1" * 5_000, "Exceeds the limit"),
        ('{"documents": []}', '"query" is null, must be a string'),
        ('{"query": " ", "documents": []}', '"query" is blank'),
        ('{"query": "q", "documents": []}', '"documents" must be a list of one'),
        ('{"query": "q", "documents": {}}', '"documents" must be a list of one'),
        ('{"query": "q", "docs": []}', '"docs" is not a key; there are documents, query, query_id'),
        (
            '{"query": "q", "query_id": 3, "documents": [{"id": "d", "text": "x"}]}',
            '"query_id" is 3',
        ),
        (GOOD, 'query "1" is there twice'),
        (of('{"id": "d", "text": "y"}'), 'document "d" has another text than in line 1'),
        (of('"d"'), "documents[0]: is not an object"),
        (of('{"text": "x"}'), 'documents[0]: "id" is null'),
        (of('{"id": "", "text": "x"}'), 'documents[0]: "id" is empty'),
        (of('{"id": "e", "text": 3}'), 'documents[0]: "text" is 3'),
        (of('{"id": "e", "text": "\\ud800"}'), 'documents[0]: "text" holds half of a surrogate'),
        (of('{"id": "e", "title": " "}'), "documents[0]: has neither title nor text"),
        (of('{"id": "e", "text": "x"}, {"id": "e", "text": "x"}'), 'documents[1]: "e" is in the'),
        (of('{"id": "e", "text": "x", "lable": 1}'), 'documents[0]: "lable" is not a key'),
        (of('{"id": "e", "text": "x", "grade": NaN}'), 'documents[0]: "grade" is NaN'),
        (of('{"id": "e", "text": "x", "grade": -1}'), 'documents[0]: "grade" is -1'),
        (of('{"id": "e", "text": "x", "grade": 0.5}'), 'documents[0]: "grade" is 0.5'),
        (of('{"id": "e", "text": "x", "grade": true}'), 'documents[0]: "grade" is true'),
        (of('{"id": "e", "text": "x", "grade": "1"}'), 'documents[0]: "grade" is "1"'),
        (of('{"id": "e", "text": "x", "target": NaN}'), 'documents[0]: "target" is NaN'),
        (of('{"id": "e", "text": "x", "target": Infinity}'), 'documents[0]: "target" is Infinity'),
        (
            of('{"id": "e", "text": "x", "target": 1' + "0" * 400 + "}"),
            'documents[0]: "target" is 1',
        ),
        (of('{"id": "e", "text": "x", "target": null}'), 'documents[0]: "target" is null'),
    ],
)
def test_a_bad_line_is_named(tmp_path: Path, line: str, message: str) -> None:
    path = tmp_path / "lists.jsonl"
    path.write_text(f"{GOOD}\n{line}\n")
    with pytest.raises(InvalidRequest) as raised:
        read_judged_lists(path)
    (violation,) = raised.value.violations
    assert violation.field == f"{path}:2"
    assert violation.description.startswith(message)
    assert len(violation.description) < 250
