"""Artefacts become registered model versions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from ranklift.rankers.artefacts import digest_of, read_manifest
from ranklift.store.database import utc_now
from ranklift.store.registry import Registry
from ranklift.store.values import Lineage, ModelRef, ModelVersion


def new_version(registry: Registry, models_folder: Path, model: str) -> tuple[ModelRef, Path]:
    """Return the next version of a model and the folder that its artefact is to be written to.

    A number whose folder is there is left out: who wrote it was killed before it was registered.
    """
    folder = models_folder.absolute() / model
    number = int(registry.models.next_version(model))
    while (folder / str(number)).exists():
        number += 1
    return ModelRef(model, str(number)), folder / str(number)


def register(
    registry: Registry,
    ref: ModelRef,
    folder: Path,
    *,
    parents: Sequence[ModelRef] = (),
    metrics: Mapping[str, float] | None = None,
) -> ModelVersion:
    """Register the artefact in `folder` under `ref`, with where it comes from."""
    manifest = read_manifest(folder)
    return registry.models.register(
        ModelVersion(
            ref=ref,
            kind=manifest.kind,
            digest=digest_of(folder),
            numerics=manifest.numerics,
            uri=str(folder.absolute()),
            lineage=Lineage(
                stage=manifest.lineage.stage,
                parents=tuple(map(str, parents)),
                metrics=metrics or {},
            ),
            created=utc_now(),
        )
    )
