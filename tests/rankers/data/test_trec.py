"""TREC files: as ir_measures and trec_eval read them, and every bad line named."""

from __future__ import annotations

from pathlib import Path

import ir_measures
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ranklift.rankers.data.trec import read_qrels, read_run
from ranklift.v1.errors import InvalidRequest

IDS = st.text("abz019-_.:é", min_size=1, max_size=4)
VASWANI = Path(__file__).parents[4] / "shared" / "data" / "vaswani" / "qrels" / "test.tsv"


@settings(deadline=None)
@given(grades=st.dictionaries(st.tuples(IDS, IDS), st.integers(0, 4), min_size=1))
def test_qrels_are_read_as_ir_measures_reads_them(
    grades: dict[tuple[str, str], int], tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("qrels") / "qrels"
    lines = [f"{q} 0\t{d}  {grade}\n" for (q, d), grade in grades.items()]
    path.write_text("".join(lines), encoding="utf-8")
    judged = ir_measures.read_trec_qrels(str(path))  # type: ignore[no-untyped-call]
    theirs = {(qrel.query_id, qrel.doc_id): qrel.relevance for qrel in judged}
    ours = {
        (q, d): grade for q, of_query in read_qrels(path).items() for d, grade in of_query.items()
    }
    assert ours == theirs == grades


@settings(deadline=None)
@given(scores=st.dictionaries(st.tuples(IDS, IDS), st.floats(-1e9, 1e9), min_size=1))
def test_runs_are_read_as_ir_measures_reads_them(
    scores: dict[tuple[str, str], float], tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("run") / "run"
    lines = [f"{q} Q0 {d} 1 {score!r} tag\n" for (q, d), score in scores.items()]
    path.write_text("".join(lines), encoding="utf-8")
    run = ir_measures.read_trec_run(str(path))  # type: ignore[no-untyped-call]
    theirs = {(found.query_id, found.doc_id): found.score for found in run}
    ours = {
        (q, d): score for q, of_query in read_run(path).items() for d, score in of_query.items()
    }
    assert ours == theirs == scores


def test_a_run_is_ordered_as_trec_eval_orders_it(tmp_path: Path) -> None:
    """By score whatever the rank says; of equal scores the greater id first, as P@1 shows."""
    path = tmp_path / "run"
    path.write_text("q Q0 b 1 1.0 t\nq Q0 c 2 2.0 t\nq Q0 d 3 2.0 t\nq Q0 a 4 1.0 t\n")
    order = list(read_run(path)["q"])
    assert order == ["d", "c", "b", "a"]
    run = list(ir_measures.read_trec_run(str(path)))  # type: ignore[no-untyped-call]
    for place, document in enumerate(order, start=1):
        judged = [ir_measures.Qrel("q", document, 1)]
        measured = ir_measures.calc_aggregate([ir_measures.RR], judged, run)
        assert measured[ir_measures.RR] == pytest.approx(1 / place)


def test_qrels_in_beirs_columns_are_read_too(tmp_path: Path) -> None:
    path = tmp_path / "test.tsv"
    path.write_text("query-id\tcorpus-id\tscore\nq 1\td\t2\nq 1\te\t0\n")
    assert read_qrels(path) == {"q 1": {"d": 2, "e": 0}}
    path.write_text("query-id\tcorpus-id\tscore\n")
    with pytest.raises(InvalidRequest, match=r"test.tsv: judges nothing"):
        read_qrels(path)


def test_real_qrels_are_read_whole() -> None:
    if not VASWANI.is_file():
        pytest.skip(f"the collection is not at {VASWANI}")
    grades = read_qrels(VASWANI)
    assert len(grades) == 93
    assert sum(map(len, grades.values())) == 2_083


QRELS = "q1 0 d1 1\n"
RUN = "q1 Q0 d1 1 0.5 t\n"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("q1 0 d2", "has 3 columns, must have 4: query, iteration, document, grade"),
        ("q1 0 d2 1 x", "has 5 columns"),
        ("q1 0 d2 nan", 'grade is "nan", must be a whole number of at least 0'),
        ("q1 0 d2 -1", 'grade is "-1"'),
        ("q1 0 d2 1.5", 'grade is "1.5"'),
        ("q1 0 d2 ٣", 'grade is "٣"'),
        ("q1 0 d2 12345678901", 'grade is "12345678901"'),
        ("q9 0 d2 1", 'query "q9" is not in the collection; add it, or drop the line'),
        ("q1 0 d9 1", 'document "d9" is not in the collection'),
        ("q1 0 d1 2", '"d1" is judged twice for "q1"; keep one'),
    ],
)
def test_a_bad_line_of_qrels_is_named(tmp_path: Path, line: str, message: str) -> None:
    path = tmp_path / "qrels"
    path.write_text(f"{QRELS}{line}\nq1 0 d2\n", encoding="utf-8")
    with pytest.raises(InvalidRequest) as raised:
        read_qrels(path, queries={"q1"}, documents={"d1", "d2"})
    assert [v.field for v in raised.value.violations] == [f"{path}:2", f"{path}:3"]
    assert raised.value.violations[0].description.startswith(message)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("q1 Q0 d2 1 0.5", "has 5 columns, must have 6: query, Q0, document, rank, score, tag"),
        ("q1 Q0 d2 1 nan t", 'score is "nan", must be a finite number'),
        ("q1 Q0 d2 1 inf t", 'score is "inf"'),
        ("q1 Q0 d2 1 high t", 'score is "high"'),
        ("q9 Q0 d2 1 0.5 t", 'query "q9" is not in the collection'),
        ("q1 Q0 d9 1 0.5 t", 'document "d9" is not in the collection'),
        ("q1 Q0 d1 2 0.4 t", '"d1" is ranked twice for "q1"; keep one'),
    ],
)
def test_a_bad_line_of_a_run_is_named(tmp_path: Path, line: str, message: str) -> None:
    path = tmp_path / "run"
    path.write_text(f"{RUN}{line}\nq1\n")
    with pytest.raises(InvalidRequest) as raised:
        read_run(path, queries={"q1"}, documents={"d1", "d2"})
    assert [v.field for v in raised.value.violations] == [f"{path}:2", f"{path}:3"]
    assert raised.value.violations[0].description.startswith(message)
