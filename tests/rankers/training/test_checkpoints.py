"""A stage that is interrupted goes on, and ends where it would have."""

from __future__ import annotations

import dataclasses
import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from structlog.testing import capture_logs
from transformers import PreTrainedTokenizerBase

from ranklift.rankers.artefacts import digest_of
from ranklift.rankers.backbones import Size, new_decoder
from ranklift.rankers.base import ClickedText, RankingList
from ranklift.rankers.training.checkpoints import ABANDONED_DAYS, last_checkpoint
from ranklift.rankers.training.cpt import CptOptions, pretrain
from ranklift.rankers.training.distil import DistilOptions, FromArtefact, distil
from ranklift.rankers.training.loop import Progress
from ranklift.rankers.training.sft import SftOptions, finetune

TINY = Size(layers=1, width=16, heads=2, feed_forward=32)
STEPS = 40


class Interrupted(Exception):
    """The process is gone."""


def until(last: int, seen: list[int]) -> Progress:
    def progress(done: int, total: int) -> None:
        seen.append(done)
        if done == last:
            raise Interrupted

    return progress


@pytest.fixture(params=["cpt", "sft", "sft with adapters", "distil", "in parts"])
def stage(
    request: pytest.FixtureRequest,
    tokenizer: PreTrainedTokenizerBase,
    clicks: list[ClickedText],
    judged: list[RankingList],
    artefacts: dict[str, Path],
) -> Callable[[Path, Path | None, Progress], object]:
    def cpt(folder: Path, checkpoints: Path | None, progress: Progress) -> object:
        model = new_decoder(TINY, tokenizer, 32, seed=1)
        options = CptOptions(steps=STEPS, batch=8, max_tokens=32)
        return pretrain(
            model, tokenizer, clicks, folder, options, progress=progress, checkpoints=checkpoints
        )

    def sft(rank: int = 0) -> Callable[[Path, Path | None, Progress], object]:
        options = SftOptions(steps=STEPS, batch=4, max_tokens=32, lora_rank=rank)
        return lambda folder, checkpoints, progress: finetune(
            artefacts["causal_lm"],
            judged,
            folder,
            options,
            progress=progress,
            checkpoints=checkpoints,
        )

    def distilled(parts: int) -> Callable[[Path, Path | None, Progress], object]:
        options = DistilOptions(steps=STEPS, batch=4, max_tokens=32, accumulation=parts)
        return lambda folder, checkpoints, progress: distil(
            FromArtefact(artefacts["encoder"]),
            judged,
            folder,
            options,
            progress=progress,
            checkpoints=checkpoints,
        )

    return {
        "cpt": cpt,
        "sft": sft(),
        "sft with adapters": sft(rank=2),
        "distil": distilled(1),
        "in parts": distilled(2),
    }[request.param]


def test_an_interrupted_stage_goes_on_and_leaves_the_same_version(
    tmp_path: Path, stage: Callable[[Path, Path | None, Progress], object]
) -> None:
    stage(tmp_path / "unbroken", None, until(0, []))
    checkpoints = tmp_path / "checkpoints"
    with pytest.raises(Interrupted):
        stage(tmp_path / "broken", checkpoints, until(STEPS // 2 + 1, []))
    assert not (tmp_path / "broken").exists()
    seen: list[int] = []
    stage(tmp_path / "broken", checkpoints, until(0, seen))
    assert seen == list(range(STEPS // 2 + 1, STEPS + 1))
    assert digest_of(tmp_path / "broken") == digest_of(tmp_path / "unbroken")
    assert list(checkpoints.iterdir()) == []


def test_a_checkpoint_that_is_not_whole_is_passed_over(tmp_path: Path) -> None:
    assert last_checkpoint(tmp_path / "none") is None
    for step, state in ((9, "{}"), (10, "{}"), (11, '{"global_')):
        folder = tmp_path / f"checkpoint-{step}"
        folder.mkdir()
        (folder / "losses.json").write_text("[]")
        (folder / "trainer_state.json").write_text(state)
    assert last_checkpoint(tmp_path) == tmp_path / "checkpoint-10"


def test_other_work_never_goes_on_from_these_checkpoints(
    tmp_path: Path, artefacts: dict[str, Path], judged: list[RankingList]
) -> None:
    options = DistilOptions(steps=20, batch=4, max_tokens=32)
    start, kept = FromArtefact(artefacts["encoder"]), tmp_path / "kept"

    def first_step(lists: list[RankingList], options: DistilOptions) -> int:
        seen: list[int] = []
        with pytest.raises(Interrupted):
            distil(
                start, lists, tmp_path / "a", options, checkpoints=kept, progress=until(10, seen)
            )
        return seen[0]

    assert first_step(judged, options) == 1
    assert first_step(judged, dataclasses.replace(options, learning_rate=0.5)) == 1
    assert first_step(judged[1:], options) == 1
    assert first_step(judged, options) == 10
    assert len(list(kept.iterdir())) == 3
    assert all('"learning_rate"' in (each / "work.json").read_text() for each in kept.iterdir())


def age(folder: Path, days: float) -> None:
    """Make a piece of work look as if nobody had touched it for so many days."""
    then = time.time() - days * 24 * 3600
    for path in (*folder.iterdir(), folder):
        os.utime(path, (then, then))


def test_work_that_nobody_goes_on_with_is_removed_and_named(
    tmp_path: Path, artefacts: dict[str, Path], judged: list[RankingList]
) -> None:
    options = DistilOptions(steps=20, batch=4, max_tokens=32)
    start, kept = FromArtefact(artefacts["encoder"]), tmp_path / "kept"

    def run(name: str, seed: int, progress: Progress) -> None:
        changed = dataclasses.replace(options, seed=seed)
        distil(start, judged, tmp_path / name, changed, checkpoints=kept, progress=progress)

    def interrupted(seed: int) -> Path:
        before = set(kept.iterdir()) if kept.is_dir() else set()
        with pytest.raises(Interrupted):
            run("never", seed, until(10, []))
        (made,) = set(kept.iterdir()) - before
        return made

    abandoned, waiting, saved = (interrupted(seed) for seed in range(3))
    age(abandoned, ABANDONED_DAYS + 1)
    age(waiting, ABANDONED_DAYS - 1)
    age(saved, ABANDONED_DAYS + 1)
    (saved / "checkpoint-11").mkdir()
    (kept / "of somebody else").mkdir()
    age(kept / "of somebody else", ABANDONED_DAYS + 1)

    with capture_logs() as logs:
        run("another", 3, until(0, []))
    assert {path.name for path in kept.iterdir()} == {waiting.name, saved.name, "of somebody else"}
    (line,) = logs
    assert (line["log_level"], line["folders"]) == ("warning", [str(abandoned)])

    # Its own work goes on, however long it waited.
    age(waiting, 10 * ABANDONED_DAYS)
    seen: list[int] = []
    run("late", 1, until(0, seen))
    assert seen[0] == 10
