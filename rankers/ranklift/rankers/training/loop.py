"""The loop that every stage runs: transformers' Trainer, silent, over prepared batches.

One process, or several that torchrun started: each then takes its share of
every batch (DDP), or the model is spread over them too (FSDP).
"""

from __future__ import annotations

import gc
import operator
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

import torch
from safetensors.torch import load_model, save_model
from torch import Tensor, nn
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
from ranklift.rankers.failures import TrainingFailed
from ranklift.rankers.training.checkpoints import (
    keep_losses,
    kept_losses,
    last_checkpoint,
    steps_between,
)
from ranklift.rankers.training.processes import is_writer, rank, world_size
from ranklift.rankers.training.sharding import become, blank_of
from ranklift.v1.errors import InvalidRequest

Progress = Callable[[int, int], None]
WARM_UP_SHARE = 0.1
WEIGHT_DECAY = 0.01
# The reported loss is the mean over so large a part of the steps, the last ones.
TAIL_SHARE = 0.1
WEIGHTS = "model.safetensors"

Example = TypeVar("Example")


@dataclass(frozen=True, slots=True)
class Trained:
    """How a stage went: `loss` is the mean over the last tenth of the `steps`.

    `seconds` are those of this process, without what a run before it did.
    """

    loss: float
    steps: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Steps:
    """How the optimiser steps: AdamW at `learning_rate`, in fp32 or with bf16 products.

    A batch is computed in `accumulation` parts, one after the other, where it
    is too large for the memory. `sharded` spreads the model over all processes.
    """

    learning_rate: float
    seed: int
    bf16: bool = False
    accumulation: int = 1
    sharded: bool = False


def no_progress(done: int, total: int) -> None:
    """Show nothing."""


def train(
    model: PreTrainedModel,
    batches: Sequence[Sequence[Example]],
    loss_of: Callable[[PreTrainedModel, Sequence[Example]], Tensor],
    how: Steps,
    *,
    progress: Progress,
    checkpoints: Path | None = None,
) -> Trained:
    """Take one step for each batch, in their order, in place.

    The rate rises over the first tenth of the steps and then falls to 0 in a
    line. Same model, batches and settings on the same machine: same weights,
    interrupted and resumed or not; `checkpoints` is this work's own folder. With
    several processes or parts, the loss of a batch is the mean of those of its
    parts. A model that was spread is whole afterwards in the process that writes.

    Raises:
        TrainingFailed: the loss is not finite.
        InvalidRequest: a batch does not divide into its parts, or there is
            nothing to spread the model over.
    """
    started = time.perf_counter()
    parts = how.accumulation * world_size()
    if any(len(batch) % parts for batch in batches):
        raise InvalidRequest.of(
            "batch",
            f"{len(batches[0])} must be a multiple of {parts}: "
            f"{how.accumulation} parts for each of {world_size()} processes",
        )
    if how.sharded and not torch.accelerator.is_available():
        # Without one, accelerate would quietly keep the whole model in every process.
        raise InvalidRequest.of(
            "sharded", "a model is spread over GPUs, and there is none; train without it"
        )
    resumed = last_checkpoint(checkpoints) if checkpoints else None
    losses: list[float] = kept_losses(resumed) if resumed else []

    def checked_loss(module: PreTrainedModel, batch: Sequence[Example]) -> Tensor:
        loss = loss_of(module, batch)
        losses.append(loss.item())
        if not torch.isfinite(loss):
            step = (len(losses) - 1) // how.accumulation + 1
            raise TrainingFailed(
                f"the loss is {losses[-1]} at step {step} of {len(batches)}; "
                f"lower the learning rate of {how.learning_rate:g}"
            )
        return loss

    with ExitStack() as stack:
        folder = (
            str(checkpoints) if checkpoints else stack.enter_context(tempfile.TemporaryDirectory())
        )
        stack.enter_context(seeded(how.seed))
        stack.enter_context(quiet())
        stack.enter_context(_frozen())
        blank = blank_of(model) if how.sharded else None
        trainer = _BatchTrainer(
            model=_Loss(model, checked_loss),
            args=_arguments(folder, len(batches), how, kept=checkpoints is not None),
            train_dataset=_Parts(batches, how.accumulation),
            callbacks=[_Report(progress, losses, Path(folder))],
        )
        trainer.remove_callback(PrinterCallback)
        trainer.train(resume_from_checkpoint=str(resumed) if resumed else None)
        if blank is not None:
            trainer.gather_into(model, blank)
        # The writer removes checkpoints next, of which the others may still write a part.
        trainer.accelerator.wait_for_everyone()
    tail = losses[-max(1, int(TAIL_SHARE * len(losses))) :]
    if blank is None or is_writer():
        model.cpu()
    return Trained(
        loss=sum(tail) / len(tail), steps=len(batches), seconds=time.perf_counter() - started
    )


@contextmanager
def _frozen() -> Iterator[None]:
    """Keep out of garbage collection what is there already.

    accelerate collects before the first step: half a second for a process that
    has imported much, which is longer than a small model trains.
    """
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def _arguments(folder: str, steps: int, how: Steps, *, kept: bool) -> TrainingArguments:
    arguments = TrainingArguments(
        output_dir=folder,
        max_steps=steps,
        learning_rate=how.learning_rate,
        lr_scheduler_type="linear",
        warmup_steps=int(WARM_UP_SHARE * steps),
        weight_decay=WEIGHT_DECAY,
        seed=how.seed,
        bf16=how.bf16,
        use_cpu=not torch.accelerator.is_available(),
        gradient_accumulation_steps=how.accumulation,
        save_strategy="steps" if kept else "no",
        save_steps=steps_between(steps),
        save_total_limit=2,
        logging_strategy="no",
        report_to="none",
        disable_tqdm=True,
        ddp_find_unused_parameters=False,
        fsdp="full_shard auto_wrap" if how.sharded else None,
    )
    # Of several GPUs one process uses its own: the Trainer would put copies of the model on all,
    # which know nothing of what stands around its layers. To use them all is torchrun's work.
    if arguments.n_gpu > 1:
        arguments._n_gpu = 1
    return arguments


class _Loss(nn.Module, Generic[Example]):
    """From examples to the loss in one forward: what DDP and FSDP can stand around."""

    def __init__(
        self,
        scored: PreTrainedModel,
        loss_of: Callable[[PreTrainedModel, Sequence[Example]], Tensor],
    ) -> None:
        super().__init__()
        self.scored = scored
        self.loss_of = loss_of
        # What FSDP wraps one by one.
        self._no_split_modules = scored._no_split_modules

    def forward(self, examples: Sequence[Example]) -> Tensor:
        return self.loss_of(self.scored, examples)


class _Parts(Dataset[dict[str, Sequence[Example]]], Generic[Example]):
    """One item per part of a step: the share of it that this process computes.

    Examples become tensors in the loss, which knows what it needs.
    """

    def __init__(self, batches: Sequence[Sequence[Example]], accumulation: int) -> None:
        self._batches = batches
        self._parts = accumulation

    def __len__(self) -> int:
        return len(self._batches) * self._parts

    def __getitem__(self, item: int) -> dict[str, Sequence[Example]]:
        step, part = divmod(item, self._parts)
        stride = self._parts * world_size()
        return {"examples": self._batches[step][part * world_size() + rank() :: stride]}

    def __iter__(self) -> Iterator[dict[str, Sequence[Example]]]:
        return (self[item] for item in range(len(self)))


class _BatchTrainer(Trainer):
    """A Trainer that is handed its batches, and a model that is its own loss."""

    def get_train_dataloader(self) -> DataLoader[Any]:
        assert isinstance(self.train_dataset, Dataset)  # noqa: S101
        # A batch of one item is that item: without batches a resumed run cannot skip what is done.
        return DataLoader(self.train_dataset, batch_size=1, collate_fn=operator.itemgetter(0))

    def compute_loss(
        self,
        model: Any,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: Any = None,
    ) -> Any:
        return model(inputs["examples"])

    def floating_point_ops(self, inputs: dict[str, Any]) -> int:
        """Return 0: nobody reads the count, and the batches are not the Trainer's own kind."""
        return 0

    def gather_into(self, model: PreTrainedModel, blank: PreTrainedModel) -> None:
        """Make `model` whole again in the process that writes it; in others it stays in pieces."""
        state = self.accelerator.get_state_dict(self.model_wrapped)
        if is_writer():
            become(
                model,
                blank,
                {name.removeprefix("scored."): value for name, value in state.items()},
            )

    def _save(self, output_dir: str | None = None, state_dict: Any = None) -> None:
        # The Trainer's own would write weights that are tied twice, and fail. Those of FSDP are
        # saved with the optimiser's.
        if is_writer() and not self.is_fsdp_enabled:
            assert output_dir is not None  # noqa: S101
            os.makedirs(output_dir, exist_ok=True)
            save_model(self._scored(), os.path.join(output_dir, WEIGHTS))

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        if self.is_fsdp_enabled:
            super()._load_from_checkpoint(resume_from_checkpoint, model)
            return
        load_model(self._scored(), os.path.join(resume_from_checkpoint, WEIGHTS))

    def _scored(self) -> nn.Module:
        whole: Any = self.model
        scored: nn.Module = whole.scored
        return scored


class _Report(TrainerCallback):
    """Tells how far it is, and keeps the losses with every checkpoint."""

    def __init__(self, progress: Progress, losses: list[float], folder: Path) -> None:
        self._progress = progress
        self._losses = losses
        self._folder = folder

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        if is_writer():
            self._progress(state.global_step, state.max_steps)

    def on_save(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        if is_writer():
            keep_losses(self._folder, state.global_step, self._losses)
