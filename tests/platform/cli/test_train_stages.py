"""What training stages choose, refuse, leave out, and leave behind when they are interrupted."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Never

import pytest
import torch

from ranklift.cli.composition import registry_of
from ranklift.cli.datasets import open_dataset
from ranklift.rankers.artefacts import digest_of, lists_digest, read_manifest
from ranklift.rankers.backbones import Size, new_decoder, new_encoder
from ranklift.rankers.base import RankingList
from ranklift.rankers.data.splits import folds
from ranklift.rankers.saving import save
from ranklift.rankers.tokenizers import train_tokenizer
from ranklift.settings import load_settings
from ranklift.simulator.collections import Collection, Document, save_beir
from ranklift.store.values import ModelRef, ModelVersion

WORDS = ("amber", "birch", "cedar", "delta", "ember", "fjord")
SIZE = Size(layers=1, width=16, heads=2, feed_forward=32)
FEW = ("--steps", "2", "--batch", "4", "--max-tokens", "16")
Run = Callable[..., int]


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def collection(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Every query's first word is what the one relevant document says."""
    documents = {f"d{i}": Document(f"d{i}", "", word) for i, word in enumerate(WORDS)}
    queries = {f"q{a}{b}": f"{a} or {b}" for a in WORDS for b in WORDS if a != b}
    judgments = {
        query_id: {f"d{i}": int(text.startswith(word)) for i, word in enumerate(WORDS)}
        for query_id, text in queries.items()
    }
    folder = tmp_path_factory.mktemp("collection")
    save_beir(Collection(documents, queries, judgments), folder)
    return str(folder)


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("encoder")
    tokenizer = train_tokenizer([*WORDS, "or"], 100)
    save(new_encoder(SIZE, tokenizer, 32, seed=1), tokenizer, folder)
    return str(folder)


@pytest.fixture(scope="module")
def decoder(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("decoder")
    tokenizer = train_tokenizer([*WORDS, "or"], 100)
    save(new_decoder(SIZE, tokenizer, 32, seed=1), tokenizer, folder, max_tokens=16)
    return str(folder)


def versions(tmp_path: Path, model: str) -> list[ModelVersion]:
    with registry_of(load_settings(home=tmp_path / "home")) as registry:
        return registry.models.list(model)[0]


def interrupted(*_: object, **__: object) -> Never:
    raise KeyboardInterrupt


def test_a_version_that_was_being_judged_is_there_and_the_next_one_has_its_figures(
    train: Run,
    collection: str,
    encoder: str,
    decoder: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    data = ("--data", collection, "--fold", "1/3", *FEW)
    for stage, model, begin in (
        ("sft", "teacher", ("--start", decoder)),
        ("distil", "student", ("--teacher", "teacher@1", "--start", encoder)),
    ):
        with monkeypatch.context() as planted:
            planted.setattr("ranklift.cli.train.judging.evaluate", interrupted)
            assert train(stage, *begin, *data) == 130
        assert train(stage, *begin, *data) == 0
        first, second = versions(tmp_path, model)
        assert (first.ref.version, second.ref.version) == ("1", "2")
        assert first.digest == second.digest == digest_of(Path(first.uri))
        assert not first.lineage.metrics
        assert 0 <= second.lineage.metrics["pair_accuracy"] <= 1


def test_a_folder_that_nobody_registered_is_in_nobodys_way(
    train: Run, collection: str, encoder: str, tmp_path: Path
) -> None:
    lost = tmp_path / "home" / "models" / "bm25" / "1"
    lost.mkdir(parents=True)
    (lost / "part").write_text("of a killed run")
    for expected in ("2", "3"):
        assert train("bm25", "--collection", collection) == 0
        assert versions(tmp_path, "bm25")[-1].ref == ModelRef("bm25", expected)
    assert (lost / "part").is_file()


@pytest.fixture
def wide(tmp_path: Path) -> tuple[str, str]:
    """The folders of a decoder and an encoder as wide as pretrained ones, that read 300 and 80."""
    tokenizer = train_tokenizer([*WORDS, "or"], 100)
    size = Size(layers=1, width=104, heads=2, feed_forward=32)
    folders = tmp_path / "wide-decoder", tmp_path / "wide-encoder"
    save(new_decoder(size, tokenizer, 300, seed=1), tokenizer, folders[0])
    save(new_encoder(size, tokenizer, 80, seed=1), tokenizer, folders[1])
    return str(folders[0]), str(folders[1])


def learnt_as(tmp_path: Path, model: str) -> tuple[float, int]:
    """Return the rate of a model's latest version, and the longest input that it reads."""
    manifest = read_manifest(Path(versions(tmp_path, model)[-1].uri))
    rate = manifest.lineage.options["learning_rate"]
    assert isinstance(rate, float)
    return rate, manifest.max_tokens


def test_a_stage_goes_at_the_pace_of_what_it_starts_from(
    train: Run,
    collection: str,
    wide: tuple[str, str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    decoder, encoder = wide
    few = ("--data", collection, "--steps", "1", "--batch", "4")
    assert train("cpt", *few, "--name", "small-lm") == 0
    assert "learning rate 0.005, 64 tokens at most\n" in capsys.readouterr().out
    assert train("sft", *few, "--start", "small-lm@1", "--name", "small") == 0
    assert train("distil", *few, "--teacher", "small@1", "--name", "smallest") == 0
    assert train("cpt", *few, "--start", decoder, "--name", "wide-lm") == 0
    assert train("sft", *few, "--start", "wide-lm@1", "--name", "wide") == 0
    assert train("sft", *few, "--start", encoder, "--name", "crossed") == 0
    assert train("distil", *few, "--teacher", "wide@1", "--start", encoder, "--name", "wider") == 0
    names = [version.ref.model for version in versions(tmp_path, "")]
    assert {name: learnt_as(tmp_path, name) for name in names} == {
        "small-lm": (5e-3, 64),
        "small": (2e-3, 64),
        "smallest": (3e-3, 64),
        "wide-lm": (5e-5, 256),
        "wide": (2e-5, 256),
        "crossed": (1e-4, 80),  # it reads no more
        "wider": (1e-4, 80),
    }
    given = ("--learning-rate", "7e-4", "--max-tokens", "20")
    assert train("sft", *few, "--start", encoder, "--name", "crossed", *given) == 0
    assert learnt_as(tmp_path, "crossed") == (7e-4, 20)


def test_cpt_learns_nothing_of_the_queries_that_a_fold_keeps(
    train: Run, collection: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    judged = open_dataset(collection)
    kept = set(folds(judged.queries, 3)[0].train)
    relevant = [
        RankingList(text, (judged.documents[document_id],), (1.0,))
        for query_id, text in judged.queries.items()
        if query_id in kept
        for document_id, grade in judged.grades[query_id].items()
        if grade
    ]
    assert 0 < len(relevant) < len(judged.queries)
    file = tmp_path / "run.toml"
    file.write_text(f'data = "{collection}"\nfold = "1/3"\n[cpt]\nsteps = 1\n')
    assert train("cpt", "--file", str(file)) == 0
    assert f"{len(relevant)} clicks" in capsys.readouterr().out
    (version,) = versions(tmp_path, "language-model")
    assert read_manifest(Path(version.uri)).lineage.data == lists_digest(relevant)
    assert train("cpt", "--data", collection, "--fold", "4/3") == 2
    assert 'fold: "4/3" must be like 2/5' in capsys.readouterr().err


def test_what_is_wrong_is_said_before_the_teacher_scores(
    train: Run, collection: str, encoder: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train("bm25", "--collection", collection) == 0
    taught = ("distil", "--teacher", "bm25@1", "--data", collection)
    for given, says in (
        (("--start", encoder, "--loss", "nosuch"), 'loss: "nosuch" must be one of hybrid'),
        (("--start", encoder, "--max-tokens", "99"), "max_tokens: 99 is more than the 32"),
        (("--start", "bm25@1"), 'is of kind "bm25", a student starts from an encoder'),
        (("--start", encoder, "--layers", "4"), "layers: "),
    ):
        capsys.readouterr()
        assert train(*taught, *given) == 2
        error = capsys.readouterr().err
        assert says in error
        assert error.count("\n") == 1
        assert not (tmp_path / "home" / "cache").exists()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("distil", "--teacher", "t@1", "--loss", "point_mse", "--alpha", "0.5"), "alpha: is no"),
        (("distil", "--teacher", "t@1", "--temperature", "1"), "temperature: is no setting of the"),
        (("sft", "--start", "lm@1", "--loss", "ranknet", "--tau", "1"), "tau: is no setting of"),
        (("sft", "--start", "lm@1", "--labels", "3"), "labels: are those of --head genfr"),
        (("cpt", "--start", "lm@1", "--vocabulary", "500"), "vocabulary: is that of --start"),
        (("cpt", "--start", "lm@1", "--file", "{file}"), "vocabulary: is that of --start"),
    ],
)
def test_a_flag_that_nothing_reads_is_refused(
    train: Run,
    collection: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    arguments: tuple[str, ...],
    says: str,
) -> None:
    file = tmp_path / "run.toml"
    file.write_text("[cpt]\nvocabulary = 500\n")
    stage, *given = (each.format(file=file) for each in arguments)
    assert train(stage, *given, "--data", collection) == 2
    error = capsys.readouterr().err
    assert says in error
    assert error.count("\n") == 1
    # Left out, it is the next thing that is missed.
    flags = [each for each in given if "=" not in each][:-2]
    assert train(stage, *flags, "--data", collection) == 2
    assert "there is no model" in capsys.readouterr().err


def test_of_several_teachers_none_is_compared_alone(
    train: Run, collection: str, encoder: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """An untrained teacher is worse than a student that goes on from the trained one beside it."""
    data = ("--data", collection, "--fold", "1/3", "--max-tokens", "16")
    learn = ("--steps", "60", "--batch", "5", "--learning-rate", "1e-2")
    assert train("bi-encoder", "--start", encoder, "--max-tokens", "16", "--name", "poor") == 0
    assert train("sft", "--start", encoder, "--name", "good", *data, *learn) == 0
    stay = ("--start", "good@1", "--steps", "1", "--batch", "5", "--learning-rate", "1e-9")
    poor, good = ("--teacher", "poor@1"), ("--teacher", "good@1=9")
    for teachers, warned in ((good, True), ((*poor, *good), False)):
        capsys.readouterr()
        assert train("distil", *teachers, *data, *stay) == 0
        said = capsys.readouterr()
        assert " queries that were held out" in said.out
        assert ("the teacher is not better than its student" in said.err) is warned
