"""A model version in other numerics: the same weights, computed another way, under another digest.

The weights stay in fp32 on disk; an engine packs them when the version is
loaded. What differs is the manifest, and so the scores, the digest, and what an
experiment may attribute an effect to.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from ranklift.rankers.agreement import Agreement, agreement
from ranklift.rankers.artefacts import (
    MANIFEST,
    Lineage,
    digest_of,
    load_ranker,
    new_artefact,
    read_manifest,
    refuse_existing,
)
from ranklift.rankers.base import RankingList, score_texts
from ranklift.rankers.cross_encoder import load_cross_encoder
from ranklift.v1.errors import InvalidRequest


def convert(source: Path, numerics: str, folder: Path) -> None:
    """Write the encoder or decoder in `source`, fp32, to `folder` as a version of `numerics`.

    Raises:
        AlreadyExists: `folder` is there already.
        InvalidRequest: the source is no neural ranker in fp32, or cannot be computed so.
        NotReady: its scores would be too far off on this machine.
    """
    refuse_existing(folder)
    manifest = read_manifest(source)
    if manifest.kind not in ("encoder", "decoder") or manifest.numerics != "fp32":
        raise InvalidRequest.of(
            "source",
            f'"{source}" is of kind "{manifest.kind}" and numerics "{manifest.numerics}"; '
            "only encoders and decoders in fp32 are converted",
        )
    if numerics == "fp32":
        raise InvalidRequest.of("numerics", "the version is in fp32 already; name other numerics")
    converted = replace(
        manifest,
        numerics=numerics,
        lineage=Lineage("convert", (digest_of(source),), options={"numerics": numerics}),
    )
    # Loading it is the proof that some engine computes it, and near enough.
    load_cross_encoder(source, converted)
    with new_artefact(folder, converted) as temporary:
        shutil.copytree(
            source, temporary, dirs_exist_ok=True, ignore=shutil.ignore_patterns(MANIFEST)
        )


def measured_agreement(parent: Path, child: Path, lists: Sequence[RankingList]) -> Agreement:
    """Return how two versions' scores of the same lists agree."""
    expected, found = (
        [score_texts(ranker, each.query, each.documents).values for each in lists]
        for ranker in (load_ranker(parent), load_ranker(child))
    )
    return agreement(expected, found)
