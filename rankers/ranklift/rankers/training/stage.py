"""What every stage does around its steps: go on where it was interrupted, leave a whole version."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from ranklift.rankers.artefacts import Manifest, new_artefact
from ranklift.rankers.saving import save
from ranklift.rankers.training.card import Learnt, write_card
from ranklift.rankers.training.checkpoints import remove_abandoned, remove_checkpoints
from ranklift.rankers.training.loop import Steps, Trained
from ranklift.rankers.training.processes import is_writer


class Optimised(Protocol):
    """The options that every stage has."""

    @property
    def learning_rate(self) -> float: ...
    @property
    def seed(self) -> int: ...
    @property
    def bf16(self) -> bool: ...
    @property
    def accumulation(self) -> int: ...


def steps_of(options: Optimised, *, sharded: bool = False) -> Steps:
    """Return how the optimiser steps under a stage's options."""
    return Steps(
        learning_rate=options.learning_rate,
        seed=options.seed,
        bf16=options.bf16,
        accumulation=options.accumulation,
        sharded=sharded,
    )


def leave(
    folder: Path,
    manifest: Manifest,
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    learnt: Learnt,
    trained: Trained,
    checkpoints: Path | None,
) -> None:
    """Write the version into `folder`, whole, and remove the checkpoints that led to it.

    Not until then are those of abandoned work removed: this one may have been waiting as long.
    """
    if not is_writer():
        return
    with new_artefact(folder, manifest) as temporary:
        save(model, tokenizer, temporary, max_tokens=manifest.max_tokens)
        write_card(temporary, manifest, learnt, trained)
    if checkpoints:
        remove_checkpoints(checkpoints)
        remove_abandoned(checkpoints.parent)
