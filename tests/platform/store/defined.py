"""Experiments to register, and the model versions that they need."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

from ranklift.store.registry import Registry
from ranklift.store.values import Arm, Experiment, Lineage, ModelRef, ModelVersion

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)
OLD, NEW = ModelRef("bm25", "1"), ModelRef("student", "1")


def register_models(registry: Registry) -> None:
    """Register the versions of `experiment`."""
    for ref in (OLD, NEW):
        registry.models.register(
            ModelVersion(ref, "encoder", "sha256:" + "0" * 64, "fp32", "m", Lineage("sft"), NOON)
        )


def experiment(name: str = "bert", layer: str = "default", **changes: object) -> Experiment:
    """Return an experiment of two models, which decides the ranker."""
    made = Experiment(
        name=name,
        arms=(Arm("old", 7_500, OLD), Arm("new", 2_500, NEW)),
        control="old",
        salt=f"{layer}/{name}",
        layer=layer,
    )
    return replace(made, **changes)  # type: ignore[arg-type]
