"""The cosine of embeddings, against sentence-transformers."""

import json
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from ranklift.rankers.artefacts import (
    CascadePlan,
    digest_of,
    load_ranker,
    load_version,
    read_manifest,
)
from ranklift.rankers.backbones import load_scorer
from ranklift.rankers.base import Text, score_texts
from ranklift.rankers.bi_encoder import BiEncoder, import_bi_encoder, load_bi_encoder
from ranklift.rankers.cascade import build_cascade
from ranklift.v1.errors import InvalidRequest

QUERY = "cbaba ababo"


@pytest.fixture
def bi_encoder(artefacts: dict[str, Path]) -> BiEncoder:
    return load_bi_encoder(artefacts["encoder"], 32)


def test_scores_are_the_cosines_of_sentence_transformers(
    bi_encoder: BiEncoder, artefacts: dict[str, Path], documents: list[Text]
) -> None:
    sentence_transformers = pytest.importorskip("sentence_transformers")
    layers = pytest.importorskip("sentence_transformers.models")
    words = layers.Transformer(str(artefacts["encoder"]), max_seq_length=32)
    peer = sentence_transformers.SentenceTransformer(
        modules=[words, layers.Pooling(words.get_embedding_dimension()), layers.Normalize()],
        device="cpu",
    )
    expected = peer.encode([document.body for document in documents]) @ peer.encode(QUERY)
    scores = score_texts(bi_encoder, QUERY, documents)
    assert np.ptp(expected) > 0.05
    np.testing.assert_allclose(scores.values, expected, atol=1e-5)
    assert scores.truncated == (1, 4)


def test_a_text_is_its_own_best_match(bi_encoder: BiEncoder, documents: list[Text]) -> None:
    values = score_texts(bi_encoder, documents[2].body, documents).values
    assert values[2] == pytest.approx(1.0, abs=1e-5)
    assert values.argmax() == 2


def test_what_was_embedded_before_scores_the_same(
    bi_encoder: BiEncoder, documents: list[Text]
) -> None:
    alone = [score_texts(bi_encoder, QUERY, [document]).values[0] for document in documents]
    np.testing.assert_allclose(score_texts(bi_encoder, QUERY, documents).values, alone, atol=1e-6)


def test_bf16_is_close_and_says_so(
    bi_encoder: BiEncoder, artefacts: dict[str, Path], documents: list[Text]
) -> None:
    quick = load_bi_encoder(artefacts["encoder"], 32, bf16=True)
    assert (bi_encoder.numerics, quick.numerics) == ("fp32", "bf16")
    exact, rounded = (score_texts(each, QUERY, documents).values for each in (bi_encoder, quick))
    assert 0 < np.abs(exact - rounded).max() < 0.03


def test_a_limit_cuts_documents_and_says_which(
    bi_encoder: BiEncoder, documents: list[Text]
) -> None:
    whole = bi_encoder.encode(QUERY, documents).pairs
    cut = bi_encoder.encode(QUERY, documents, max_tokens_per_document=4)
    # Four of the text, between the special ones.
    assert [pair.document for pair in cut.pairs] == [
        pair.document if len(pair.document) <= 6 else (*pair.document[:5], pair.document[-1])
        for pair in whole
    ]
    assert cut.truncated == tuple(i for i, pair in enumerate(whole) if len(pair.document) > 6)
    assert {pair.query for pair in cut.pairs} == {whole[0].query}


def test_a_memory_that_is_full_forgets_and_scores_the_same(
    bi_encoder: BiEncoder,
    artefacts: dict[str, Path],
    documents: list[Text],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    expected = score_texts(bi_encoder, QUERY, documents).values
    monkeypatch.setattr("ranklift.rankers.bi_encoder.KEPT_BYTES", 8 * 32 * 4)
    bi_encoder = load_bi_encoder(artefacts["encoder"], 32)
    for document in documents[::-1]:
        score_texts(bi_encoder, document.body, documents)
    np.testing.assert_allclose(
        score_texts(bi_encoder, QUERY, documents).values, expected, atol=1e-6
    )


def test_what_cannot_be_read_is_refused(artefacts: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match="holds no model that can be read"):
        load_bi_encoder(tmp_path, 32)
    with pytest.raises(InvalidRequest, match="100000 is more than the 32 that this model reads"):
        load_bi_encoder(artefacts["encoder"], 100_000)
    with pytest.raises(InvalidRequest, match="2 leave no room for a text"):
        load_bi_encoder(artefacts["encoder"], 2)


def test_a_version_scores_as_the_encoder_that_it_was_made_of(
    bi_encoder: BiEncoder, artefacts: dict[str, Path], documents: list[Text], tmp_path: Path
) -> None:
    for name, bf16 in (("exact", False), ("quick", True)):
        import_bi_encoder(artefacts["encoder"], tmp_path / name, 32, bf16=bf16)
    version = load_ranker(tmp_path / "exact")
    assert version.kind == "bi_encoder"
    np.testing.assert_array_equal(
        score_texts(version, QUERY, documents).values,
        score_texts(bi_encoder, QUERY, documents).values,
    )
    manifest = read_manifest(tmp_path / "quick")
    assert (manifest.numerics, manifest.max_tokens) == ("bf16", 32)
    assert manifest.lineage.parents == (digest_of(artefacts["encoder"]),)
    assert load_ranker(tmp_path / "quick").numerics == "bf16"


@pytest.mark.parametrize(
    ("said", "mode"),
    [
        ({"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False}, "cls_token"),
        ({"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": True}, "cls_token and mean"),
        ({"pooling_mode": "lasttoken"}, "lasttoken"),
    ],
)
def test_an_encoder_that_pools_in_another_way_is_refused(
    artefacts: dict[str, Path], tmp_path: Path, said: dict[str, object], mode: str
) -> None:
    source = tmp_path / "source"
    shutil.copytree(artefacts["encoder"], source)
    pooling = source / "1_Pooling" / "config.json"
    pooling.parent.mkdir()
    for mean in ({"pooling_mode_mean_tokens": True}, {"pooling_mode": "mean"}):
        pooling.write_text(json.dumps(mean))
        import_bi_encoder(source, tmp_path / f"version-{len(mean)}-{mean.get('pooling_mode')}", 32)
    pooling.write_text(json.dumps(said))
    with pytest.raises(InvalidRequest, match=f"pools by {mode}; only encoders that pool by"):
        import_bi_encoder(source, tmp_path / "version", 32)
    assert not (tmp_path / "version").exists()


def test_it_is_the_cheap_stage_of_a_cascade(
    bi_encoder: BiEncoder, artefacts: dict[str, Path], documents: list[Text], tmp_path: Path
) -> None:
    import_bi_encoder(artefacts["encoder"], tmp_path / "cosine", 32)
    build_cascade(tmp_path / "cosine", artefacts["decoder"], tmp_path / "both", CascadePlan(2, 50))
    values = score_texts(load_version(tmp_path / "both"), QUERY, documents).values
    cosines = score_texts(bi_encoder, QUERY, documents).values
    best = set(np.argsort(-cosines)[:2])
    assert set(np.argsort(-values)[:2]) == best
    assert np.argsort(-values)[2:].tolist() == [i for i in np.argsort(-cosines) if i not in best]


def test_threads_ask_at_once_and_get_what_one_gets(
    bi_encoder: BiEncoder, artefacts: dict[str, Path], documents: list[Text]
) -> None:
    asked = [(f"cbaba {i}", documents[i % 3 :], limit) for i in range(20) for limit in (None, 2, 5)]

    def values(ranker: BiEncoder, query: str, of: list[Text], limit: int | None) -> list[float]:
        found = score_texts(ranker, query, of, max_tokens_per_document=limit)
        return [*found.values.tolist(), *map(float, found.truncated)]

    expected = [values(bi_encoder, *each) for each in asked]
    shared = load_bi_encoder(artefacts["encoder"], 32)
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda each: values(shared, *each), asked))
    for one, other in zip(found, expected, strict=True):
        assert one == pytest.approx(other, abs=1e-6)


def test_an_encoder_that_goes_on_after_pooling_is_refused(
    artefacts: dict[str, Path], tmp_path: Path
) -> None:
    source = tmp_path / "source"
    shutil.copytree(artefacts["encoder"], source)
    kinds = ["models.Transformer", "models.Pooling", "models.Normalize"]
    modules = [{"type": f"sentence_transformers.{kind}"} for kind in kinds]
    (source / "modules.json").write_text(json.dumps(modules))
    import_bi_encoder(source, tmp_path / "version", 32)
    modules.insert(2, {"type": "sentence_transformers.models.Dense"})
    (source / "modules.json").write_text(json.dumps(modules))
    with pytest.raises(InvalidRequest, match="ends in Dense; only Transformer, Pooling, Normalize"):
        import_bi_encoder(source, tmp_path / "other", 32)


def test_weights_that_are_missing_are_not_made_up(
    artefacts: dict[str, Path], tmp_path: Path
) -> None:
    source = tmp_path / "source"
    shutil.copytree(artefacts["encoder"], source)
    config = json.loads((source / "config.json").read_text())
    config["num_hidden_layers"] += 1
    (source / "config.json").write_text(json.dumps(config))
    with pytest.raises(InvalidRequest, match="are incomplete: no "):
        load_bi_encoder(source, 32)
    # A student that starts from it has a new head, and no new layers.
    with pytest.raises(InvalidRequest, match=r"are incomplete: no bert\.encoder\.layer"):
        load_scorer(source, head_seed=0)
