"""`ranklift train distil --targets`: a student of scores that a file brings, without their teacher.

A document is as good as its first word; its grade says the opposite. What a student has learnt
tells which of the two it has read.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

from ranklift.cli.composition import registry_of
from ranklift.rankers.artefacts import digest_of, lists_digest, load_ranker, read_manifest
from ranklift.rankers.backbones import Size, new_encoder
from ranklift.rankers.base import RankingList
from ranklift.rankers.data.jsonl import read_target_lists
from ranklift.rankers.data.splits import folds
from ranklift.rankers.evaluation import evaluate
from ranklift.rankers.saving import save
from ranklift.rankers.tokenizers import train_tokenizer
from ranklift.settings import load_settings
from ranklift.simulator.collections import Collection, Document, save_beir
from ranklift.store.values import ModelRef, ModelVersion

WORDS = ("amber", "birch", "cedar", "delta", "ember")
# Two spaces, as people type them; they make no other query.
QUERIES = tuple(f"{a}  or {b}" for a in WORDS for b in WORDS)
LEARN = ("--batch", "5", "--learning-rate", "1e-2", "--max-tokens", "16")

Run = Callable[..., int]


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The folder of an encoder that knows nothing yet, as pretrained ones are stored."""
    folder = tmp_path_factory.mktemp("encoder")
    tokenizer = train_tokenizer([*QUERIES, *WORDS], 100)
    size = Size(layers=1, width=32, heads=2, feed_forward=64)
    save(new_encoder(size, tokenizer, 32, seed=1), tokenizer, folder)
    return str(folder)


@pytest.fixture
def run(train: Run) -> Run:
    """Run `ranklift train distil ARGUMENTS`."""
    return partial(train, "distil")


def rows(*, graded: bool) -> list[dict[str, Any]]:
    """Return a list for every query: the first word is worth most, graded it is worth least."""
    return [
        {
            "query": query,
            "query_id": f"q{number}",
            "documents": [
                {"id": f"d{i}", "text": word, "target": -7.5 - i} | ({"grade": i} if graded else {})
                for i, word in enumerate(WORDS)
            ],
        }
        for number, query in enumerate(QUERIES)
    ]


def written(path: Path, lists: Sequence[object]) -> str:
    path.write_text("".join(f"{json.dumps(row)}\n" for row in lists))
    return str(path)


@pytest.fixture
def targets(tmp_path: Path) -> str:
    return written(tmp_path / "scored.jsonl", rows(graded=False))


@pytest.fixture
def graded(tmp_path: Path) -> str:
    return written(tmp_path / "graded.jsonl", rows(graded=True))


def made(tmp_path: Path, version: str = "1") -> ModelVersion:
    with registry_of(load_settings(home=tmp_path / "home")) as registry:
        return registry.models.get(ModelRef("student", version))


def learnt_without(lists: Sequence[RankingList], fold: int, of: int) -> str:
    """Return the digest of `lists` but for those whose query a fold keeps for judging."""
    by_text = {query: query for query in QUERIES}
    tested = set(folds(by_text, of)[fold - 1].test)
    assert 0 < len(tested) < len(QUERIES)
    return lists_digest([each for each in lists if each.query not in tested])


def test_a_student_learns_the_targets_and_nobody_taught_it(
    run: Run, graded: str, encoder: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("--targets", graded, "--start", encoder, *LEARN, "--steps", "60") == 0
    said = capsys.readouterr().out
    assert "25 lists with scores that their file brought" in said
    assert "held out" not in said
    version = made(tmp_path)
    assert (version.kind, version.lineage.stage) == ("encoder", "distil")
    assert (version.lineage.parents, version.lineage.metrics) == ((), {})
    lists = read_target_lists(Path(graded))
    manifest = read_manifest(Path(version.uri))
    assert manifest.lineage.data == lists_digest(lists)
    assert manifest.lineage.parents == (digest_of(Path(encoder)),)
    assert manifest.lineage.options["teacher_mean"] == pytest.approx(-9.5)
    # Pair accuracy asks for no more than an order: targets may be below 0, grades not.
    as_grades = [
        RankingList(each.query, each.documents, tuple(12.5 + t for t in each.targets))
        for each in lists
    ]
    found = evaluate(load_ranker(Path(version.uri)), as_grades, resamples=1)
    assert found.pair_accuracy.value > 0.95


def test_the_same_content_is_the_same_student_and_goes_on_from_a_version(
    run: Run, targets: str, graded: str, encoder: str, tmp_path: Path
) -> None:
    for file in (targets, graded):
        assert run("--targets", file, "--start", encoder, *LEARN, "--steps", "2") == 0
    first, second = made(tmp_path, "1"), made(tmp_path, "2")
    assert first.digest == second.digest

    assert run("--targets", targets, "--start", "student@1", "--batch", "5", "--steps", "2") == 0
    third = made(tmp_path, "3")
    assert third.lineage.parents == ("student@1",)
    manifest = read_manifest(Path(third.uri))
    assert (manifest.max_tokens, manifest.lineage.parents) == (16, (first.digest,))


def test_what_a_fold_keeps_is_not_learnt_and_judged_where_the_file_has_grades(
    run: Run,
    targets: str,
    graded: str,
    encoder: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    learn = ("--start", encoder, *LEARN, "--steps", "60", "--fold", "2/3")
    expected = learnt_without(read_target_lists(Path(targets)), 2, 3)
    for number, file in enumerate((targets, graded), start=1):
        assert run("--targets", file, *learn) == 0
        version = made(tmp_path, str(number))
        assert read_manifest(Path(version.uri)).lineage.data == expected
        # Grades are the opposite of what was learnt.
        judged = version.lineage.metrics.get("pair_accuracy")
        assert judged is None if file == targets else judged is not None and judged < 0.1
        assert ("student@2 on " in capsys.readouterr().out) is (file == graded)


def test_data_beside_the_targets_is_what_the_student_is_judged_on(
    run: Run, targets: str, encoder: str, tmp_path: Path
) -> None:
    documents = {f"d{i}": Document(f"d{i}", "", word) for i, word in enumerate(WORDS)}
    # Other ids and another spacing, the same queries.
    asked = {f"other{i}": query.replace("  ", " ") for i, query in enumerate(QUERIES)}
    wanted = {query_id: {f"d{i}": 5 - i for i in range(len(WORDS))} for query_id in asked}
    save_beir(Collection(documents, asked, wanted), tmp_path / "collection")
    data = ("--data", str(tmp_path / "collection"), "--fold", "1/3")
    learn = ("--start", encoder, *LEARN, "--steps", "60")
    assert run("--targets", targets, *data, *learn) == 0
    version = made(tmp_path)
    lists = read_target_lists(Path(targets))
    assert read_manifest(Path(version.uri)).lineage.data == learnt_without(lists, 1, 3)
    assert version.lineage.metrics["pair_accuracy"] > 0.9


def test_data_without_a_fold_judges_by_the_queries_that_the_targets_have_not(
    run: Run, encoder: str, graded: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lists = rows(graded=False)
    learnt = written(tmp_path / "scored.jsonl", lists[:20])
    learn = ("--start", encoder, *LEARN, "--steps", "2")
    assert run("--targets", learnt, "--data", graded, *learn) == 0
    assert "student@1 on 5 queries that were held out" in capsys.readouterr().out
    version = made(tmp_path)
    assert version.lineage.metrics["queries"] == 5
    assert read_manifest(Path(version.uri)).lineage.data == lists_digest(
        read_target_lists(Path(learnt))
    )
    assert run("--targets", graded, "--data", graded, *learn) == 2
    assert "data: judges no query beside those that are learnt" in capsys.readouterr().err


def test_gamma_reads_the_grades_of_the_file(
    run: Run, targets: str, graded: str, encoder: str, tmp_path: Path
) -> None:
    for file in (targets, graded):
        learn = ("--start", encoder, *LEARN, "--steps", "2", "--gamma", "1")
        assert run("--targets", file, *learn) == 0
    assert made(tmp_path, "1").digest != made(tmp_path, "2").digest


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--data", "{targets}", "--start", "{encoder}"), "give either --teacher, or --targets"),
        (
            ("--teacher", "t@1", "--targets", "{targets}", "--data", "{targets}"),
            "give either --teacher, or --targets",
        ),
        (("--teacher", "t@1"), "data: is missing; give the lists that the teacher is to score"),
        (("--targets", "{targets}"), "start: scratch takes its vocabulary from a teacher"),
        (("--targets", "{targets}.gone", "--start", "{encoder}"), "does not exist"),
    ],
)
def test_what_does_not_go_together_is_one_line(
    run: Run,
    targets: str,
    encoder: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    arguments: tuple[str, ...],
    says: str,
) -> None:
    given = [each.format(targets=targets, encoder=encoder) for each in arguments]
    assert run(*given) == 2
    error = capsys.readouterr().err
    assert says in error
    assert error.count("\n") == 1
    assert not (tmp_path / "home" / "models").exists()


@pytest.mark.parametrize(
    ("target", "says"),
    [
        ({}, 'scored.jsonl:2: 1 documents have no "target", "d" first'),
        ({"target": float("nan")}, 'scored.jsonl:2: documents[0]: "target" is NaN, must be a'),
    ],
)
def test_a_target_that_is_missing_or_no_number_is_named(
    run: Run,
    encoder: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    target: dict[str, float],
    says: str,
) -> None:
    lists = [*rows(graded=False)[:1], {"query": "x", "documents": [{"id": "d", "text": "x"}]}]
    lists[1]["documents"][0] |= target
    file = written(tmp_path / "scored.jsonl", lists)
    assert run("--targets", file, "--start", encoder) == 2
    assert says in capsys.readouterr().err
    assert not (tmp_path / "home" / "models").exists()
