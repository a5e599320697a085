"""A model version on disk: a folder that says what it is and never changes.

Nothing here imports torch: a BM25 ranker starts without it.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from ranklift.rankers.base import Ranker, RankingList, Text
from ranklift.v1.errors import AlreadyExists, InvalidRequest, NotFound

if TYPE_CHECKING:
    from ranklift.rankers.cascade import Cascade

MANIFEST = "ranklift.json"
MODEL_FILES = ("config.json", "model.safetensors", "tokenizer.json")
CHUNK_BYTES = 1 << 20
# Pickles, as other tools name them. To read one is to run what it says.
PICKLES = frozenset({".bin", ".ckpt", ".joblib", ".pickle", ".pkl", ".pt", ".pth"})

Option: TypeAlias = str | int | float | bool | None


@dataclass(frozen=True, slots=True)
class Lineage:
    """Where an artefact comes from.

    `stage` is "index", "cpt", "sft", "distil", "convert", "cascade" or "import"; `parents` are
    digests of the artefacts it was made from; `data` is the digest of what it learnt from. It
    holds no clock time, so that the same work twice has the same digest.
    """

    stage: str
    parents: tuple[str, ...] = ()
    data: str = ""
    options: Mapping[str, Option] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class CascadePlan:
    """The best `top_k` documents, 1 or more, are ranked again, within `budget_ms` of the call.

    `budget_ms` is at least 0 and counts from the call's arrival. It holds for
    served calls; offline there is time.
    """

    top_k: int
    budget_ms: float


@dataclass(frozen=True, slots=True)
class Manifest:
    """What an artefact is.

    `kind` is "bm25", "encoder", "decoder", "bi_encoder", "cascade" or "causal_lm".

    `max_tokens` is the longest input in tokens, special ones included; 0 when
    there is no limit. A "causal_lm" is continued pre-training's result, a step
    on the way to a decoder and no ranker. Only a cascade has a `cascade`.
    """

    kind: str
    numerics: str
    max_tokens: int
    lineage: Lineage
    cascade: CascadePlan | None = None


def read_manifest(folder: Path) -> Manifest:
    """Return the manifest of the artefact in `folder`.

    Raises:
        NotFound: no artefact is there.
        InvalidRequest: its manifest cannot be read.
    """
    path = folder / MANIFEST
    if not os.path.isfile(path):  # as in `digest_of`
        raise NotFound.of("uri", f'"{folder}" holds no model version: it has no {MANIFEST}')
    try:
        content = json.loads(path.read_text("utf-8"))
        lineage = content["lineage"]
        return Manifest(
            kind=str(content["kind"]),
            numerics=str(content["numerics"]),
            max_tokens=int(content["max_tokens"]),
            lineage=Lineage(
                stage=str(lineage["stage"]),
                parents=tuple(map(str, lineage["parents"])),
                data=str(lineage["data"]),
                options=dict(lineage["options"]),
            ),
            cascade=_plan(content.get("cascade")),
        )
    except (ValueError, KeyError, TypeError) as error:
        raise InvalidRequest.of(
            "uri", f'"{path}" is not a manifest ({error!r}); make the model version again'
        ) from error


def _plan(content: Mapping[str, Any] | None) -> CascadePlan | None:
    if content is None:
        return None
    return CascadePlan(int(content["top_k"]), float(content["budget_ms"]))


@contextmanager
def new_artefact(folder: Path, manifest: Manifest) -> Iterator[Path]:
    """Yield a temporary folder to fill; on success it becomes `folder`, whole, at once.

    Raises:
        AlreadyExists: `folder` is there already; versions never change.
    """
    refuse_existing(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        yield temporary
        content = asdict(manifest)
        if manifest.cascade is None:
            del content["cascade"]
        document = json.dumps(content, indent=2, sort_keys=True)
        (temporary / MANIFEST).write_text(document + "\n", "utf-8")
        temporary.chmod(0o755)  # mkdtemp shuts out the other users of the installation
        refuse_existing(folder)
        temporary.rename(folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def refuse_existing(folder: Path) -> None:
    """Check that `folder` is free for a new artefact; worth asking before hours of training.

    Raises:
        AlreadyExists: it is there already.
    """
    if folder.exists():
        raise AlreadyExists.of(
            "uri", f'"{folder}" exists already and a model version never changes; name a new one'
        )


def digest_of(folder: Path) -> str:
    """Return "sha256:<hex>" over names and contents of all files in `folder`, in name order.

    Every name and content is preceded by its length, so that no two folders
    run together into the same bytes.

    Raises:
        NotFound: there is no such folder.
    """
    # Not `Path.is_dir`, to which a name that is too long is a fault.
    if not os.path.isdir(folder):
        raise NotFound.of("uri", f'there is no folder "{folder}"')
    files = {
        path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()
    }
    digest = hashlib.sha256()
    for name in sorted(files):
        encoded = name.encode()
        digest.update(len(encoded).to_bytes(8, "big") + encoded)
        digest.update(files[name].stat().st_size.to_bytes(8, "big"))
        with files[name].open("rb") as file:
            while chunk := file.read(CHUNK_BYTES):
                digest.update(chunk)
    return f"sha256:{digest.hexdigest()}"


def text_digest(query: str, document: Text) -> str:
    """Return the hexadecimal SHA-256 of what a ranker reads of a pair; the id is no part of it."""
    return hashlib.sha256(json.dumps([query, document.title, document.text]).encode()).hexdigest()


def lists_digest(lists: Sequence[RankingList]) -> str:
    """Return "sha256:<hex>" over training lists in their order."""
    digest = hashlib.sha256()
    for ranking in lists:
        pairs = [text_digest(ranking.query, document) for document in ranking.documents]
        digest.update(json.dumps([pairs, list(ranking.targets)]).encode())
    return f"sha256:{digest.hexdigest()}"


def load_version(folder: Path, *, token_cache_tokens: int = 0) -> Ranker[Any] | Cascade:
    """Return the ranker or the cascade whose artefact is in `folder`.

    `token_cache_tokens` bounds the token cache of a neural ranker, 0 for none;
    see `TokenCache`.

    Raises:
        NotFound: no artefact is there, or one of its files is missing.
        InvalidRequest: it ranks nothing, or its files do not fit together.
    """
    manifest = read_manifest(folder)
    if manifest.kind == "cascade":
        from ranklift.rankers.cascade import load_cascade

        return load_cascade(folder, manifest, token_cache_tokens)
    return _load(folder, manifest, token_cache_tokens)


def load_ranker(folder: Path, *, token_cache_tokens: int = 0) -> Ranker[Any]:
    """Return the ranker whose artefact is in `folder`, which scores pair by pair.

    Raises:
        NotFound, InvalidRequest: as `load_version`, and a cascade is refused.
    """
    return _load(folder, read_manifest(folder), token_cache_tokens)


def _load(folder: Path, manifest: Manifest, token_cache_tokens: int) -> Ranker[Any]:
    pickles = sorted(path.name for path in folder.iterdir() if path.suffix.lower() in PICKLES)
    if pickles:
        raise InvalidRequest.of(
            "uri",
            f'"{folder}" holds {", ".join(pickles)}: a pickle can run code, and none is read; '
            "make the model version again, with safetensors alone",
        )
    if manifest.kind == "bm25":
        from ranklift.rankers.bm25 import load_bm25

        return load_bm25(folder)
    if manifest.kind in ("encoder", "decoder"):
        missing = [name for name in MODEL_FILES if not (folder / name).is_file()]
        if missing:
            raise NotFound.of("uri", f'"{folder}" lacks {", ".join(missing)}')
        from ranklift.rankers.cross_encoder import load_cross_encoder

        return load_cross_encoder(folder, manifest, token_cache_tokens)
    if manifest.kind == "bi_encoder":
        from ranklift.rankers.bi_encoder import load_bi_encoder

        return load_bi_encoder(folder, manifest.max_tokens, bf16=manifest.numerics == "bf16")
    if manifest.kind == "cascade":
        raise InvalidRequest.of(
            "uri", f'"{folder}" is a cascade, which scores whole lists; name one of its stages'
        )
    if manifest.kind == "causal_lm":
        raise InvalidRequest.of(
            "uri", f'"{folder}" is a language model, not a ranker; fine-tune it on ranking first'
        )
    raise InvalidRequest.of(
        "uri",
        f'"{folder}" is of kind "{manifest.kind}", must be bm25, encoder, decoder, '
        "bi_encoder or cascade",
    )
