"""What a forward pass must compute, and which share of the machine that is.

One pair of L tokens through `layers` layers of width d and feed-forward width f takes
2 * L * (4 d^2 + 2 d f) floating-point operations in the linear layers and 2 * 2 * L^2 * d in the
attention of each layer. LayerNorm, activations, embeddings and the head are left out: they are
below 1 %.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ranklift.rankers.artefacts import read_manifest
from ranklift.rankers.bench.outcomes import Window
from ranklift.v1.errors import InvalidRequest


@dataclass(frozen=True, slots=True)
class Shape:
    """Layers of an encoder, their width and that of their feed-forward part."""

    layers: int
    width: int
    feed_forward: int

    def flops(self, pairs: int, tokens: int) -> float:
        """Return the floating-point operations of `pairs` with `tokens` in all.

        The lengths of the single pairs are not known; as equal ones they have the least possible
        sum of squares. Where attention is 3 % of the whole that is a matter of less than 1 %.
        """
        linear = 2 * tokens * (4 * self.width**2 + 2 * self.width * self.feed_forward)
        attention = 2 * 2 * tokens**2 / pairs * self.width
        return float(self.layers * (linear + attention))


def read_shape(folder: Path) -> Shape:
    """Return the shape of the encoder whose artefact is in `folder`.

    Raises:
        NotFound: no artefact is there.
        InvalidRequest: it is no encoder, or its config.json does not tell.
    """
    manifest = read_manifest(folder)
    if manifest.kind != "encoder":
        raise InvalidRequest.of(
            "artefact",
            f'"{folder}" is of kind "{manifest.kind}"; operations are counted for encoders only',
        )
    try:
        config = json.loads((folder / "config.json").read_text("utf-8"))
        return Shape(
            layers=int(config["num_hidden_layers"]),
            width=int(config["hidden_size"]),
            feed_forward=int(config["intermediate_size"]),
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InvalidRequest.of(
            "artefact", f'"{folder}" has no config.json with the shape of an encoder: {error!r}'
        ) from error


@dataclass(frozen=True, slots=True)
class Peak:
    """Floating-point operations a second by numerics, measured with so many threads."""

    flops_per_second: Mapping[str, float]
    threads: int


def share_of_peak(window: Window, shapes: Mapping[str, Shape], peak: Peak) -> float | None:
    """Return the operations that the answers of a window needed, divided by those of `peak`.

    `shapes` are those of artefacts by digest. None when an answer does not tell its tokens, comes
    from another artefact, or from numerics without a measured peak.
    """
    needed = 0.0
    for outcome in window.answered:
        reply = outcome.reply
        shape, rate = shapes.get(reply.digest), peak.flops_per_second.get(reply.numerics)
        if shape is None or rate is None or reply.tokens is None:
            return None
        needed += shape.flops(outcome.pairs, reply.tokens) / rate
    return needed / window.seconds
