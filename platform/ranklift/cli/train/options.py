"""The flags that training stages share, and the installation they work in."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ranklift.cli.output import out

if TYPE_CHECKING:
    from ranklift.settings import Settings
    from ranklift.store.registry import Registry
    from ranklift.store.values import ModelRef, ModelVersion

SomeData = Annotated[
    str,
    typer.Option(
        "--data", "--collection", help="As for the other stages; the event log by default."
    ),
]
Steps = Annotated[int, typer.Option(min=1, help="Optimiser steps.")]
Batch = Annotated[int, typer.Option(min=1, help="Lists, or clicks, a step.")]
Rate = Annotated[
    float,
    typer.Option(
        "--learning-rate",
        min=0,
        help="AdamW's highest rate; 0: by what it starts from. Small models (96 wide at most) and "
        "those from scratch learn at 5e-3 (cpt), 2e-3 (sft) or 3e-3 (distil), pretrained encoders "
        "at 1e-4, pretrained decoders at 5e-5 (cpt) or 2e-5 (sft).",
    ),
]
MaxTokens = Annotated[int, typer.Option(min=8, help="Longest input in tokens.")]
Seed = Annotated[int, typer.Option(min=0, help="Same seed, data and machine: same model.")]
Bf16 = Annotated[bool, typer.Option(help="Products in bf16; weights and scores stay fp32.")]
Accumulation = Annotated[
    int, typer.Option(min=1, help="Parts that a batch is computed in, to save memory.")
]
LoraRank = Annotated[
    int, typer.Option(min=0, help="Train low-rank adapters and merge them; 0 trains all weights.")
]
Sharded = Annotated[bool, typer.Option(help="Spread the model over torchrun's processes (FSDP).")]


def ref_of(field: str, text: str) -> ModelRef:
    """Return the model version that "model@version" names.

    Raises:
        InvalidRequest: it is not of that form.
    """
    from ranklift.store.values import ModelRef
    from ranklift.v1.errors import InvalidRequest

    try:
        return ModelRef.parse(text)
    except ValueError as error:
        raise InvalidRequest.of(field, str(error)) from error


@contextmanager
def installation(home: Path | None) -> Iterator[tuple[Settings, Registry]]:
    """Yield the settings and the registry of an installation."""
    from ranklift.cli.composition import registry_of
    from ranklift.settings import load_settings

    settings = load_settings(home=home)
    with registry_of(settings) as registry:
        yield settings, registry


def made(version: ModelVersion) -> None:
    """Say that a version was made."""
    out.print(f"{version.ref} is registered: {version.kind}, {version.digest[:19]}, {version.uri}")
