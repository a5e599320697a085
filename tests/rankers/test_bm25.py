"""BM25 against bm25s itself, and the first stage."""

import math
from pathlib import Path

import bm25s
import numpy as np
import pytest

from ranklift.rankers.base import ClickedText, Text, score_texts
from ranklift.rankers.bm25 import build_bm25, load_bm25, tokenize
from ranklift.v1.errors import InvalidRequest, NotFound


def texts(*bodies: str) -> list[Text]:
    return [Text(f"d{i}", "", body) for i, body in enumerate(bodies)]


def test_scores_are_those_of_bm25s_on_the_indexed_documents(
    tmp_path: Path, clicks: list[ClickedText]
) -> None:
    documents = [each.document for each in clicks[:300]] + texts("", "the of and")
    ours = build_bm25(documents, tmp_path / "bm25")
    peer = bm25s.BM25(dtype="float64")
    peer.index(tokenize([document.body for document in documents]), show_progress=False)
    for query in [clicks[0].query, clicks[1].document.body, "cbaba cbaba cbaba ababo"]:
        expected = peer.get_scores(tokenize([query])[0])
        assert expected.max() > 0
        np.testing.assert_allclose(score_texts(ours, query, documents).values, expected, atol=1e-6)


def test_the_formula_by_hand(tmp_path: Path) -> None:
    ranker = build_bm25(texts("apple pear", "apple apple", "plum pear"), tmp_path / "bm25")
    # N = 3, average length 2; "plum" is in one document: idf = ln(1 + 2.5 / 1.5);
    # once in a text of 4: 1 / (1 + 1.5 * (0.25 + 0.75 * 4 / 2))
    expected = math.log(1 + 2.5 / 1.5) / (1 + 1.5 * (0.25 + 0.75 * 2))
    score = score_texts(ranker, "plum", texts("plum never seen words")).values
    assert score[0] == pytest.approx(expected)


def test_a_saved_ranker_scores_as_the_one_that_was_built(
    tmp_path: Path, clicks: list[ClickedText]
) -> None:
    built = build_bm25([each.document for each in clicks[:50]], tmp_path / "bm25")
    loaded = load_bm25(tmp_path / "bm25")
    assert loaded == built
    assert (loaded.kind, loaded.numerics) == ("bm25", "fp32")


def test_a_limit_cuts_documents_and_says_which(tmp_path: Path) -> None:
    ranker = build_bm25(texts("apple pear", "plum"), tmp_path / "bm25")
    scores = score_texts(
        ranker, "plum", texts("apple pear plum", "plum"), max_tokens_per_document=2
    )
    assert scores.truncated == (0,)
    assert scores.values[0] == 0
    assert scores.values[1] > 0
    assert scores.tokens == 3


@pytest.mark.parametrize("query", ["", "the", "unseen", "\x00\x01", "😀"])
def test_a_query_without_known_terms_scores_nothing(tmp_path: Path, query: str) -> None:
    ranker = build_bm25(texts("apple pear"), tmp_path / "bm25")
    assert score_texts(ranker, query, texts("apple", "")).values.tolist() == [0, 0]


def test_an_empty_collection_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match="documents"):
        build_bm25([], tmp_path / "bm25")


def test_a_collection_without_a_single_term_still_ranks(tmp_path: Path) -> None:
    ranker = build_bm25(texts(""), tmp_path / "bm25")
    assert score_texts(ranker, "a", texts("b")).values.tolist() == [0]


def test_missing_and_broken_statistics_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match=r"bm25\.json"):
        load_bm25(tmp_path)
    (tmp_path / "bm25.json").write_text('{"documents": 3}')
    with pytest.raises(InvalidRequest, match="no BM25 statistics"):
        load_bm25(tmp_path)
