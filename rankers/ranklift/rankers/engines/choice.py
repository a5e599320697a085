"""Which engine serves a version: by its kind, its numerics, and the device.

             CPU                                CUDA
    fp32     encoder packed, decoder reference  reference
    bf16     encoder packed, decoder varlen     varlen

In fp32 whatever the packed engine does not know, or gets wrong, goes to the
reference engine, and the log says so. bf16 was asked for by the version itself:
what cannot be served in it is refused. So is int8: with a scale for each token
and each output channel, `torch._int_mm` and the passes around it took twice the
time of bf16's one fused layer.
"""

from __future__ import annotations

import structlog
import torch
from transformers import PreTrainedModel

from ranklift.rankers.engines.base import Engine
from ranklift.rankers.engines.bert_weights import encoder_weights, why_unknown
from ranklift.rankers.engines.packed import PackedEngine
from ranklift.rankers.engines.packed_linear import quickest_linear
from ranklift.rankers.engines.reference import ReferenceEngine
from ranklift.rankers.engines.selfcheck import check_pairs, why_off
from ranklift.rankers.engines.varlen import VarlenEngine, why_not_varlen
from ranklift.rankers.templates import Template
from ranklift.v1.errors import InvalidRequest, NotReady

log = structlog.get_logger(__name__)

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}


def this_device() -> torch.device:
    """Return the device that models run on here: the first CUDA one, or else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def choose_engine(
    model: PreTrainedModel,
    kind: str,
    numerics: str,
    *,
    template: Template,
    max_tokens: int,
    device: torch.device,
) -> Engine:
    """Return the engine that serves `model`, checked against the reference engine.

    `kind` is "encoder" or "decoder". The model may be changed: it belongs to the engine now.

    Raises:
        InvalidRequest: no engine computes this model in these numerics.
        NotReady: the engine that does is too far off on this machine.
    """
    if numerics not in DTYPES:
        raise InvalidRequest.of("numerics", f'"{numerics}" must be one of {", ".join(DTYPES)}')
    reference = ReferenceEngine(model.to(device), kind)  # type: ignore[arg-type]
    if numerics == "fp32" and (kind == "decoder" or device.type == "cuda"):
        return reference
    packable = kind == "encoder" and device.type == "cpu"
    unknown = why_unknown(model) if packable else why_not_varlen(model, kind, max_tokens)
    if unknown and numerics == "fp32":
        log.info("served by the reference engine", reason=unknown)
        return reference
    if unknown:
        raise InvalidRequest.of(
            "numerics", f"this {kind} cannot be served in {numerics}: {unknown}; use fp32"
        )
    pairs = check_pairs(template, int(model.config.vocab_size), max_tokens)
    # Before the other engine is made: it may change the model's precision.
    expected = reference.scores(pairs)
    engine = (
        _packed(model, numerics)
        if packable
        else VarlenEngine(model, kind, DTYPES[numerics], numerics)
    )
    off = why_off(engine, pairs, expected)
    if off and numerics == "fp32":
        log.warning("served by the reference engine", reason=f"the {engine.name} one is off: {off}")
        return reference
    if off:
        raise NotReady.of(
            "numerics",
            f"the {engine.name} engine is too far off in {numerics} on this machine: {off}; "
            "serve the fp32 version",
        )
    return engine


def _packed(model: PreTrainedModel, numerics: str) -> PackedEngine:
    weights, dtype = encoder_weights(model), DTYPES[numerics]
    make = quickest_linear(weights.layers[0].feed_forward_in, weights.activation, dtype)
    if numerics == "bf16" and not has_bf16():
        log.warning("bf16 without instructions for it: right, but slower than fp32")
    return PackedEngine(weights, dtype, make, numerics)


def has_bf16() -> bool:
    """Return whether this processor multiplies bf16 natively."""
    found = torch.cpu.get_capabilities()
    # The names on x86, and that on Arm.
    return any(found.get(name, False) for name in ("avx512_bf16", "amx_bf16", "bf16"))
