"""The loop that every stage runs: transformers' Trainer, silent, over prepared batches."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from transformers import (
    PreTrainedModel,
    PrinterCallback,
    Trainer,
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
)

from ranklift.rankers.backbones import quiet, seeded
from ranklift.rankers.training.batches import EncodedList, collate_lists, list_scores

Progress = Callable[[int, int], None]
WARM_UP_SHARE = 0.1
WEIGHT_DECAY = 0.01
# Logits live on a scale of 1 (the margin of the rank loss, the standard
# deviation of the teacher's scores), where fp32 keeps six digits: a spread below
# this is rounding. An untrained head has ten times as much.
LEAST_SPREAD = 5e-6
# The reported loss is the mean over so large a part of the steps, the last ones.
TAIL_SHARE = 0.1

Example = TypeVar("Example")


class TrainingFailed(Exception):
    """A model that learnt nothing, and why."""


@dataclass(frozen=True, slots=True)
class Trained:
    """How a stage went: `loss` is the mean over the last tenth of the `steps`."""

    loss: float
    steps: int
    seconds: float


def no_progress(done: int, total: int) -> None:
    """Show nothing."""


def train(
    model: PreTrainedModel,
    batches: Sequence[Sequence[Example]],
    loss_of: Callable[[PreTrainedModel, Sequence[Example]], Tensor],
    *,
    learning_rate: float,
    seed: int,
    progress: Progress,
) -> Trained:
    """Take one AdamW step for each batch, in their order, in place.

    The rate rises over the first tenth of the steps and then falls to 0 in a
    line. Same model, batches and seed on the same machine: same weights.

    Raises:
        TrainingFailed: the loss is not finite.
    """
    started = time.perf_counter()
    losses: list[float] = []

    def checked_loss(module: PreTrainedModel, batch: Sequence[Example]) -> Tensor:
        loss = loss_of(module, batch)
        losses.append(loss.item())
        if not torch.isfinite(loss):
            raise TrainingFailed(
                f"the loss is {losses[-1]} at step {len(losses)} of {len(batches)}; "
                f"lower the learning rate of {learning_rate:g}"
            )
        return loss

    with tempfile.TemporaryDirectory() as scratch, seeded(seed), quiet():
        arguments = TrainingArguments(
            output_dir=scratch,
            max_steps=len(batches),
            learning_rate=learning_rate,
            lr_scheduler_type="linear",
            warmup_steps=int(WARM_UP_SHARE * len(batches)),
            weight_decay=WEIGHT_DECAY,
            seed=seed,
            save_strategy="no",
            logging_strategy="no",
            report_to="none",
            disable_tqdm=True,
        )
        trainer = _BatchTrainer(
            model=model,
            args=arguments,
            train_dataset=_Batches(batches),
            callbacks=[_Report(progress)],
        )
        trainer.loss_of = checked_loss
        trainer.remove_callback(PrinterCallback)
        trainer.train()
    tail = losses[-max(1, int(TAIL_SHARE * len(losses))) :]
    model.cpu()
    return Trained(
        loss=sum(tail) / len(tail), steps=len(batches), seconds=time.perf_counter() - started
    )


def refuse_collapse(model: PreTrainedModel, kind: str, lists: Sequence[EncodedList]) -> None:
    """Check on `lists` that the model tells documents of one query apart.

    Raises:
        TrainingFailed: all scores of a query are the same, as after a rate too high.
    """
    batch = collate_lists(lists)
    model.eval()  # type: ignore[no-untyped-call]
    with torch.inference_mode():
        scores = list_scores(model, kind, batch)
    rows = [row[mask].double() for row, mask in zip(scores, batch.mask, strict=True)]
    spread = max(row.std(correction=0).item() for row in rows)
    if not spread >= LEAST_SPREAD:
        raise TrainingFailed(
            f"the model gives all documents of a query the same score (spread {spread:.1e}); "
            "lower the learning rate, or pre-train longer"
        )


class _Batches(Dataset[dict[str, Sequence[Example]]], Generic[Example]):
    """One item per step. Examples become tensors in the loss, which knows what it needs."""

    def __init__(self, batches: Sequence[Sequence[Example]]) -> None:
        self._batches = batches

    def __len__(self) -> int:
        return len(self._batches)

    def __getitem__(self, step: int) -> dict[str, Sequence[Example]]:
        return {"batch": self._batches[step]}

    def __iter__(self) -> Iterator[dict[str, Sequence[Example]]]:
        return (self[step] for step in range(len(self)))


class _BatchTrainer(Trainer):
    """A Trainer that is handed its batches and its loss."""

    loss_of: Callable[[PreTrainedModel, Sequence[Any]], Tensor]

    def get_train_dataloader(self) -> DataLoader[Any]:
        assert isinstance(self.train_dataset, Dataset)  # noqa: S101
        return DataLoader(self.train_dataset, batch_size=None, shuffle=False)

    def compute_loss(
        self,
        model: Any,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: Any = None,
    ) -> Any:
        return self.loss_of(model, inputs["batch"])

    def floating_point_ops(self, inputs: dict[str, Any]) -> int:
        """Return 0: nobody reads the count, and the batches are not the Trainer's own kind."""
        return 0


class _Report(TrainerCallback):
    def __init__(self, progress: Progress) -> None:
        self._progress = progress

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        self._progress(state.global_step, state.max_steps)
