"""What a student begins as."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ranklift.cli.train.sources import source_of
from ranklift.cli.train.taught import weighted_ref
from ranklift.rankers.backbones import TINY_ENCODER, alternate, depth_of, first
from ranklift.rankers.training.distil import FromArtefact, FromPretrained, FromScratch, Start
from ranklift.store.registry import Registry
from ranklift.store.values import ModelRef
from ranklift.v1.errors import InvalidRequest

SCRATCH = "scratch"


@dataclass(frozen=True, slots=True)
class Begin:
    """How a student starts, and the versions that it goes on from.

    `max_tokens` is the longest input of what it goes on from, 0 where that says none.
    """

    start: Start
    parents: tuple[ModelRef, ...] = ()
    max_tokens: int = 0


def start_of(
    registry: Registry,
    home: Path,
    start: str,
    layers: int,
    first_layers: bool,
    teachers: Sequence[str],
) -> Begin:
    """Return what the flags of `ranklift train distil` make a student begin as.

    From scratch it takes the vocabulary of the first teacher.

    Raises:
        NotFound, NotReady, InvalidRequest: as `source_of`; from scratch without a teacher, or
            with layers to keep; from what is no encoder, or has not so many layers.
    """
    if first_layers and not layers:
        raise InvalidRequest.of("first_layers", "of how many is not said; give --layers too")
    if start == SCRATCH:
        if layers:
            raise InvalidRequest.of(
                "layers", f"{layers} of what: scratch has none to keep; give --start minilm"
            )
        if not teachers:
            raise InvalidRequest.of(
                "start",
                "scratch takes its vocabulary from a teacher, and targets have none; give "
                "--start minilm, a folder or model@version",
            )
        ref, _ = weighted_ref(teachers[0])
        return Begin(
            FromScratch(TINY_ENCODER, source_of(registry, home, "teacher", str(ref)).folder)
        )
    source = source_of(registry, home, "start", start)
    if source.kind not in {None, "encoder"}:
        raise InvalidRequest.of(
            "start", f'"{start}" is of kind "{source.kind}", a student starts from an encoder'
        )
    if layers:
        deep = depth_of(source.folder)
        if layers > deep:
            raise InvalidRequest.of("layers", f"{layers}, must be 1 to {deep}")
        kept = first(layers) if first_layers else alternate(layers, of=deep)
        return Begin(FromPretrained(source.folder, kept), source.parents, source.max_tokens)
    whole: Start = FromArtefact(source.folder) if source.kind else FromPretrained(source.folder)
    return Begin(whole, source.parents, source.max_tokens)
