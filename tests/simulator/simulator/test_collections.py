"""Collections in BEIR layout: read back as written, real ones read whole, bad lines named."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ranklift.simulator.collections import (
    Collection,
    Document,
    Split,
    load_beir,
    queries_in,
    save_beir,
    split_of,
)
from ranklift.v1.errors import InvalidRequest, NotFound

REAL = Path(__file__).parents[4] / "shared" / "data"
TINY = Collection(
    documents={"d1": Document("d1", "Wings", "lift and drag"), "d2": Document("d2", "", "flüssig")},
    queries={"q1": "what is lift", "q2": "fluid"},
    judgments={"q1": {"d1": 2, "d2": 0}},
)


def test_a_saved_collection_loads_as_it_was(tmp_path: Path) -> None:
    save_beir(TINY, tmp_path)
    assert load_beir(tmp_path) == TINY


@given(
    texts=st.lists(
        st.text(st.characters(exclude_categories=["Cs"]), min_size=1), min_size=1
    ).filter(lambda texts: all(text.strip() for text in texts))
)
def test_any_text_survives(texts: list[str], tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("any")
    documents = {str(i): Document(str(i), text, text) for i, text in enumerate(texts)}
    collection = Collection(documents, {"q": texts[0]}, {"q": dict.fromkeys(documents, 1)})
    save_beir(collection, folder)
    assert load_beir(folder) == collection


@pytest.mark.parametrize(
    ("name", "documents", "queries", "judgments", "empty"),
    [
        # Cranfield's documents 471 and 995 have neither title nor text; 995 is judged once.
        ("cranfield", 1_398, 225, 1_836, ("471", "995")),
        ("vaswani", 11_429, 93, 2_083, ()),
    ],
)
def test_real_collections_load_whole(
    name: str, documents: int, queries: int, judgments: int, empty: tuple[str, ...]
) -> None:
    if not (REAL / name).is_dir():
        pytest.skip(f"the collection is not at {REAL / name}")
    collection = load_beir(REAL / name)
    assert len(collection.documents) == documents
    assert len(collection.queries) == queries
    assert sum(len(grades) for grades in collection.judgments.values()) == judgments
    assert collection.empty_documents == empty


def test_other_judgments_or_none_are_read_on_request(tmp_path: Path) -> None:
    save_beir(TINY, tmp_path)
    (tmp_path / "qrels" / "test.tsv").unlink()
    (tmp_path / "qrels" / "train.tsv").write_text("query-id\tcorpus-id\tscore\nq2\td2\t1\n")
    assert load_beir(tmp_path, judgments_file="qrels/train.tsv").judgments == {"q2": {"d2": 1}}
    assert load_beir(tmp_path, judgments_file=None).judgments == {}
    with pytest.raises(NotFound, match=r"dev.tsv does not exist"):
        load_beir(tmp_path, judgments_file="qrels/dev.tsv")


def test_unjudged_documents_have_grade_0() -> None:
    assert [TINY.grade("q1", "d1"), TINY.grade("q1", "d9"), TINY.grade("q2", "d1")] == [2, 0, 0]


def test_empty_documents_are_left_out_with_their_judgments(tmp_path: Path) -> None:
    empty = Document("d3", "", " \n")
    documents = {**TINY.documents, "d3": empty}
    save_beir(Collection(documents, TINY.queries, {"q1": {"d1": 2, "d3": 1}}), tmp_path)
    loaded = load_beir(tmp_path)
    assert loaded.documents == TINY.documents
    assert loaded.judgments == {"q1": {"d1": 2}}
    assert loaded.empty_documents == ("d3",)


DOCUMENT, QUERY, HEADER = '{"_id": "d", "text": "x"}\n', '{"_id": "q", "text": "x"}\n', "a\tb\tc\n"


@pytest.mark.parametrize(
    ("corpus", "queries", "judgments", "message"),
    [
        (DOCUMENT + "{nonsense\n", QUERY, HEADER, r"corpus.jsonl line 2: is not JSON"),
        (DOCUMENT + "[1]\n", QUERY, HEADER, r"corpus.jsonl line 2: is not a JSON object"),
        ('{"text": "x"}\n', QUERY, HEADER, r'corpus.jsonl line 1: "_id" is null'),
        ('{"_id": "d", "text": 3}\n', QUERY, HEADER, r'corpus.jsonl line 1: "text" is 3'),
        (DOCUMENT * 2, QUERY, HEADER, r'corpus.jsonl line 2: document "d" is there twice'),
        (DOCUMENT, QUERY * 2, HEADER, r'queries.jsonl line 2: query "q" is there twice'),
        (DOCUMENT, '{"_id": "q", "text": " "}\n', HEADER, r"queries.jsonl line 1: .* is blank"),
        (DOCUMENT, QUERY, HEADER + "q\tz\t1\n", r'test.tsv line 2: document "z" is not in'),
        (DOCUMENT, QUERY, HEADER + "z\td\t1\n", r'test.tsv line 2: query "z" is not in'),
        (DOCUMENT, QUERY, HEADER + "q\td\t-1\n", r'test.tsv line 2: grade is "-1"'),
        (DOCUMENT, QUERY, HEADER + "q\td\thigh\n", r'test.tsv line 2: grade is "high"'),
        (DOCUMENT, QUERY, HEADER + "q d 1\n", r"test.tsv line 2: has 1 columns, must have 3"),
        (DOCUMENT, QUERY, HEADER + "q\td\t1\n" * 2, r'test.tsv line 3: "d" is judged twice'),
    ],
)
def test_a_bad_line_is_named(
    tmp_path: Path, corpus: str, queries: str, judgments: str, message: str
) -> None:
    (tmp_path / "qrels").mkdir()
    (tmp_path / "corpus.jsonl").write_text(corpus)
    (tmp_path / "queries.jsonl").write_text(queries)
    (tmp_path / "qrels" / "test.tsv").write_text(judgments)
    with pytest.raises(InvalidRequest, match=message) as raised:
        load_beir(tmp_path)
    assert [violation.field for violation in raised.value.violations] == ["collection"]
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("name", ["corpus.jsonl", "queries.jsonl", "qrels/test.tsv"])
def test_a_missing_file_is_named(tmp_path: Path, name: str) -> None:
    save_beir(TINY, tmp_path)
    (tmp_path / name).unlink()
    with pytest.raises(NotFound, match=rf"{name} does not exist"):
        load_beir(tmp_path)


def test_splits_are_stable_and_in_proportion() -> None:
    ids = [f"q{n}" for n in range(10_000)]
    shares = {split: sum(split_of(q) is split for q in ids) / len(ids) for split in Split}
    assert shares == pytest.approx({"judged": 0.4, "unlabelled": 0.4, "held_out": 0.2}, abs=0.02)
    # Pinned: a query that changed its split would leak from evaluation into training.
    assert [split_of(q).value for q in ids[:3]] == ["judged", "judged", "unlabelled"]


def test_splits_part_the_queries() -> None:
    parts = [queries_in(TINY, split) for split in Split]
    assert sorted(query_id for part in parts for query_id in part) == ["q1", "q2"]
