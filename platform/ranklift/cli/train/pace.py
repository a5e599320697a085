"""How fast a stage learns and how much it reads where nobody says: by what it starts from.

                          small, as from scratch    pretrained
    cpt                   5e-3                      5e-5
    sft of a decoder      2e-3                      2e-5
    sft of an encoder     2e-3                      1e-4
    distil                3e-3                      1e-4
    longest input         64                        256, or what it reads if that is less

What a stage starts from counts as small by its width, however it came to be. The rate of a small
model would undo within a few steps what a pretrained one knows.
"""

from __future__ import annotations

from typing import Final, Literal, TypeAlias

from transformers import PreTrainedModel

from ranklift.cli.output import out
from ranklift.rankers.backbones import TINY_DECODER, longest_input
from ranklift.rankers.saving import kind_of
from ranklift.rankers.training.cpt import CptOptions
from ranklift.rankers.training.distil import DistilOptions
from ranklift.rankers.training.processes import is_writer
from ranklift.rankers.training.sft import SftOptions

Stage: TypeAlias = Literal["cpt", "sft", "distil"]

SMALL_WIDTH: Final = TINY_DECODER.width
SMALL_TOKENS, TOKENS = 64, 256
DECODERS_SFT = 2e-5


def learning_rate_for(stage: Stage, start: PreTrainedModel | None) -> float:
    """Return the highest rate of a stage that starts from a model, or from scratch."""
    if _is_small(start):
        return {
            "cpt": CptOptions().learning_rate,
            "sft": SftOptions().learning_rate,
            "distil": DistilOptions().learning_rate,
        }[stage]
    if stage == "sft" and start is not None and kind_of(start) == "decoder":
        return DECODERS_SFT
    return {"cpt": 5e-5, "sft": 1e-4, "distil": 1e-4}[stage]


def max_tokens_for(start: PreTrainedModel | None, usual: int = 0) -> int:
    """Return the longest input in tokens of a stage that starts from a model, or from scratch.

    It is `usual`, or if that is 0 what fits the model's size, and never more than it reads.
    """
    wanted = usual or (SMALL_TOKENS if _is_small(start) else TOKENS)
    longest = None if start is None else longest_input(start)
    return wanted if longest is None else min(wanted, longest)


def told(learning_rate: float, max_tokens: int) -> None:
    """Say at which rate a stage learns, and how much it reads."""
    if is_writer():
        out.print(f"learning rate {learning_rate:g}, {max_tokens} tokens at most")


def _is_small(start: PreTrainedModel | None) -> bool:
    return start is None or int(start.config.hidden_size) <= SMALL_WIDTH
