"""Model versions: checked when they are registered, and as the protocol's messages."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from datetime import datetime

from ranklift.store.values import Lineage, ModelRef, ModelVersion
from ranklift.traffic.checks import check_name, check_version, quoted
from ranklift.traffic.experiment_messages import to_timestamp
from ranklift.v1 import models_pb2 as pb
from ranklift.v1.errors import Violation, refuse_if_any

KINDS = ("bm25", "encoder", "decoder", "bi_encoder", "cascade")
NUMERICS = ("fp32", "bf16", "int8")
STAGES = ("index", "cpt", "sft", "distil", "convert", "cascade", "retrain", "import")

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


def check_model_version(message: pb.ModelVersion, *, now: datetime) -> ModelVersion:
    """Return the model version that a message describes, created `now`.

    Raises:
        InvalidRequest: with everything that is wrong at once.
    """
    refuse_if_any(_violations(message))
    lineage = message.lineage
    return ModelVersion(
        ref=ModelRef(message.model, message.version),
        kind=message.kind,
        digest=message.digest,
        numerics=message.numerics,
        uri=message.uri,
        lineage=Lineage(
            lineage.stage, tuple(lineage.parents), lineage.run_id, dict(lineage.metrics)
        ),
        created=now,
    )


def model_version_message(version: ModelVersion) -> pb.ModelVersion:
    """Return the message of a registered model version."""
    return pb.ModelVersion(
        model=version.ref.model,
        version=version.ref.version,
        kind=version.kind,
        digest=version.digest,
        numerics=version.numerics,
        uri=version.uri,
        lineage=pb.Lineage(
            stage=version.lineage.stage,
            parents=version.lineage.parents,
            run_id=version.lineage.run_id,
            metrics=version.lineage.metrics,
        ),
        create_time=to_timestamp(version.created),
    )


def check_ref(model: str, version: str) -> ModelRef:
    """Return the reference to a model version that a request names.

    Raises:
        InvalidRequest: a part is missing or malformed.
    """
    refuse_if_any([*check_name("model", model), *check_version("version", version)])
    return ModelRef(model, version)


def _violations(message: pb.ModelVersion) -> Iterator[Violation]:
    yield from check_name("model_version.model", message.model)
    yield from check_version("model_version.version", message.version)
    yield from _one_of("model_version.kind", message.kind, KINDS)
    if not _DIGEST.fullmatch(message.digest):
        yield Violation(
            "model_version.digest",
            f"{quoted(message.digest)} is no digest, "
            'must be "sha256:" and 64 lower-case hexadecimal digits',
        )
    yield from _one_of("model_version.numerics", message.numerics, NUMERICS)
    if not message.uri:
        yield Violation("model_version.uri", "is empty, must be the artefact's folder")
    yield from _one_of("model_version.lineage.stage", message.lineage.stage, STAGES)
    for i, parent in enumerate(message.lineage.parents):
        try:
            ModelRef.parse(parent)
        except ValueError:
            yield Violation(
                f"model_version.lineage.parents[{i}]",
                f"{quoted(parent)} is not model@version, e.g. student@1",
            )
    for name, figure in message.lineage.metrics.items():
        if not math.isfinite(figure):
            yield Violation(
                f"model_version.lineage.metrics[{quoted(name)}]", f"is {figure}, must be finite"
            )


def _one_of(field: str, given: str, allowed: tuple[str, ...]) -> Iterator[Violation]:
    if given not in allowed:
        shown = f"is {quoted(given)}" if given else "is empty"
        yield Violation(field, f"{shown}, must be one of {', '.join(allowed)}")
