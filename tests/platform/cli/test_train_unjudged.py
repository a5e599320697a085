"""From documents alone to a student: made-up queries, and two teachers that need no judgment."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from ranklift.cli.composition import registry_of
from ranklift.rankers.agreement import agreement
from ranklift.rankers.artefacts import load_ranker
from ranklift.rankers.backbones import Size, new_encoder
from ranklift.rankers.base import score_texts
from ranklift.rankers.data.jsonl import read_judged_lists
from ranklift.rankers.saving import save
from ranklift.rankers.tokenizers import train_tokenizer
from ranklift.settings import load_settings
from ranklift.simulator.collections import Collection, Document, save_beir
from ranklift.store.values import ModelRef, ModelVersion

WORDS = ("amber", "birch", "cedar", "delta", "ember", "fjord", "grove", "heath")
Run = Callable[..., int]


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def collection(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Forty documents of eight words, and a query that nobody judged."""
    rng = np.random.default_rng(5)
    documents = {
        f"d{i}": Document(f"d{i}", "", " ".join(rng.choice(WORDS, 8).tolist())) for i in range(40)
    }
    folder = tmp_path_factory.mktemp("collection")
    save_beir(Collection(documents, {"q": "amber"}, {}), folder)
    for judged in folder.glob("qrels/*"):
        judged.unlink()
    return folder


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("encoder")
    tokenizer = train_tokenizer(WORDS, 100)
    size = Size(layers=1, width=32, heads=2, feed_forward=64)
    save(new_encoder(size, tokenizer, 32, seed=1), tokenizer, folder)
    return str(folder)


def version(tmp_path: Path, model: str) -> ModelVersion:
    with registry_of(load_settings(home=tmp_path / "home")) as registry:
        return registry.models.get(ModelRef(model, "1"))


def test_a_student_learns_what_two_teachers_make_of_made_up_queries(
    train: Run,
    collection: Path,
    encoder: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    asked = tmp_path / "asked.jsonl"
    of = ("--collection", str(collection))
    assert train("bm25", *of) == 0
    assert train("bi-encoder", "--start", encoder, "--max-tokens", "16") == 0
    assert train("pseudo-queries", *of, "--output", str(asked), "--count", "60", "--seed", "3") == 0
    assert "60 queries of 12 documents at most" in capsys.readouterr().out
    cosine = version(tmp_path, "cosine")
    assert (cosine.kind, cosine.numerics, cosine.lineage.stage) == ("bi_encoder", "fp32", "import")
    made = read_judged_lists(asked)
    assert not made.grades
    teachers = ("--teacher", "cosine@1", "--teacher", "bm25@1=2")
    learn = ("--start", encoder, "--steps", "150", "--batch", "8", "--max-tokens", "32")
    assert train("distil", *teachers, "--data", str(asked), *learn, "--learning-rate", "5e-3") == 0
    assert f"{2 * 60 * 12} teacher scores computed" in capsys.readouterr().out
    student = version(tmp_path, "student")
    assert student.lineage.parents == ("cosine@1", "bm25@1")
    assert student.lineage.metrics == {}
    # It orders documents more like BM25, the heavier teacher, than chance would, which is at 0.
    lists = [
        (query, [made.documents[d] for d in made.candidates[query_id]])
        for query_id, query in made.queries.items()
    ]
    words, learnt = (
        [score_texts(ranker, query, documents).values for query, documents in lists]
        for ranker in (
            load_ranker(Path(version(tmp_path, model).uri)) for model in ("bm25", "student")
        )
    )
    assert agreement(words, learnt).kendall_tau > 0.2


def test_what_can_be_no_bi_encoder_is_one_line(
    train: Run, encoder: str, collection: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train("bm25", "--collection", str(collection)) == 0
    capsys.readouterr()
    for start, said in (
        ("bm25@1", 'start: "bm25@1" is of kind "bm25"; name a pretrained sentence encoder'),
        (str(tmp_path), "holds no model that can be read"),
        ("nothing", 'start: "nothing" is no folder'),
    ):
        assert train("bi-encoder", "--start", start) == 2
        assert said in capsys.readouterr().err.replace("\n", " ")
    assert train("bi-encoder", "--start", encoder, "--max-tokens", "4096") == 2
    assert "max_tokens: 4096 is more than the 32 that this model reads" in capsys.readouterr().err


def test_lists_go_into_a_folder_that_is_there(
    train: Run, collection: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "nowhere" / "asked.jsonl"
    assert train("pseudo-queries", "--collection", str(collection), "--output", str(output)) == 2
    assert "output: there is no folder" in capsys.readouterr().err
    assert train("pseudo-queries", "--collection", "nowhere", "--output", str(tmp_path)) == 2
    assert "is a folder; name a file" in capsys.readouterr().err
    again = [tmp_path / name for name in ("one.jsonl", "two.jsonl", "other.jsonl")]
    for path, seed in zip(again, ("1", "1", "2"), strict=True):
        of = ("--collection", str(collection), "--output", str(path), "--count", "9")
        assert train("pseudo-queries", *of, "--seed", seed) == 0
    one, two, other = (path.read_text("utf-8") for path in again)
    assert one == two != other
    assert all("grade" not in line and "target" not in line for line in one.splitlines())
    assert len({json.loads(line)["query"] for line in one.splitlines()}) == 9


def test_a_collection_that_no_list_comes_out_of_is_refused(
    train: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    texts = {f"d{i}": Document(f"d{i}", "", " ".join(WORDS[i:])) for i in range(3)}
    save_beir(Collection(texts, {"q": "amber"}, {}), tmp_path / "small")
    of = ("--collection", str(tmp_path / "small"), "--output", str(tmp_path / "asked.jsonl"))
    assert train("pseudo-queries", *of) == 2
    assert "collection: no query can be made" in capsys.readouterr().err
    assert not (tmp_path / "asked.jsonl").exists()
    assert train("pseudo-queries", *of, "--depth", "3") == 2
    assert "--depth" in capsys.readouterr().err
