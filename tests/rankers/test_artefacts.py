"""Artefacts: whole or not there, unchanged or found out, loaded or refused in one line."""

import hashlib
import json
import pickle
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from ranklift.rankers.artefacts import (
    Lineage,
    Manifest,
    digest_of,
    load_ranker,
    load_version,
    new_artefact,
    read_manifest,
)
from ranklift.v1.errors import AlreadyExists, InvalidRequest, NotFound, RequestError

MANIFEST = Manifest("bm25", "fp32", 0, Lineage("index", ("sha256:ab",), "sha256:cd", {"k": 1.5}))


def test_a_manifest_is_read_back_as_written(tmp_path: Path) -> None:
    with new_artefact(tmp_path / "models" / "one", MANIFEST) as folder:
        (folder / "weights").write_bytes(b"123")
        filled = folder.stat().st_ino
    # The very folder that was filled: there was no moment with half of it.
    assert (tmp_path / "models" / "one").stat().st_ino == filled
    assert read_manifest(tmp_path / "models" / "one") == MANIFEST
    assert [path.name for path in (tmp_path / "models").iterdir()] == ["one"]


def test_a_failure_leaves_nothing_behind(tmp_path: Path) -> None:
    def interrupted() -> None:
        with new_artefact(tmp_path / "one", MANIFEST) as folder:
            (folder / "weights").write_bytes(b"123")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert list(tmp_path.iterdir()) == []


def test_a_version_is_never_overwritten(tmp_path: Path) -> None:
    with new_artefact(tmp_path / "one", MANIFEST):
        pass
    before = digest_of(tmp_path / "one")
    with pytest.raises(AlreadyExists), new_artefact(tmp_path / "one", MANIFEST):
        pass
    assert digest_of(tmp_path / "one") == before


def test_the_digest_is_sha256_over_names_and_contents_in_name_order(tmp_path: Path) -> None:
    (tmp_path / "b").write_bytes(b"xy")
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "c").write_bytes(b"")
    eight = (0).to_bytes(7, "big")
    expected = eight + b"\x03a/c" + eight + b"\x00" + eight + b"\x01b" + eight + b"\x02xy"
    assert digest_of(tmp_path) == f"sha256:{hashlib.sha256(expected).hexdigest()}"


@pytest.mark.parametrize("change", ["content", "name", "moved bytes", "more"])
def test_every_change_changes_the_digest(tmp_path: Path, change: str) -> None:
    (tmp_path / "a").write_bytes(b"12")
    (tmp_path / "b").write_bytes(b"3")
    before = digest_of(tmp_path)
    if change == "content":
        (tmp_path / "a").write_bytes(b"13")
    elif change == "name":
        (tmp_path / "b").rename(tmp_path / "c")
    elif change == "moved bytes":
        (tmp_path / "a").write_bytes(b"1")
        (tmp_path / "b").write_bytes(b"23")
    else:
        (tmp_path / "c").touch()
    assert digest_of(tmp_path) != before


@pytest.mark.parametrize("kind", ["bm25", "decoder", "encoder"])
def test_every_kind_is_loaded_by_its_manifest(artefacts: dict[str, Path], kind: str) -> None:
    ranker = load_ranker(artefacts[kind])
    assert (ranker.kind, ranker.numerics) == (kind, "fp32")


def test_bm25_is_loaded_without_torch(artefacts: dict[str, Path]) -> None:
    program = (
        "import sys; from pathlib import Path; from ranklift.rankers.artefacts import load_ranker; "
        f"load_ranker(Path({str(artefacts['bm25'])!r})); sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


@pytest.mark.parametrize(
    ("name", "error", "message"),
    [
        ("config.json", NotFound, r"lacks config\.json"),
        ("model.safetensors", NotFound, r"lacks model\.safetensors"),
        ("tokenizer.json", NotFound, r"lacks tokenizer\.json"),
        ("ranklift.json", NotFound, r"has no ranklift\.json"),
    ],
)
def test_a_missing_file_is_named(
    tmp_path: Path,
    artefacts: dict[str, Path],
    name: str,
    error: type[RequestError],
    message: str,
) -> None:
    shutil.copytree(artefacts["encoder"], tmp_path / "copy")
    (tmp_path / "copy" / name).unlink()
    with pytest.raises(error, match=message):
        load_ranker(tmp_path / "copy")


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "tokenizer.json"])
@pytest.mark.parametrize("content", [b"", b"\x00broken", b"{}"])
def test_a_broken_file_is_refused_in_one_line(
    tmp_path: Path, artefacts: dict[str, Path], name: str, content: bytes
) -> None:
    shutil.copytree(artefacts["decoder"], tmp_path / "copy")
    (tmp_path / "copy" / name).write_bytes(content)
    with pytest.raises(InvalidRequest) as caught:
        load_ranker(tmp_path / "copy")
    assert "copy" in str(caught.value)
    assert "\n" not in str(caught.value)


class Trap:
    """Touches a file when it is read from a pickle."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self._path,)


@pytest.mark.parametrize("alone", [True, False])
@pytest.mark.parametrize("kind", ["encoder", "bm25"])
def test_a_planted_pickle_is_refused_and_never_read(
    tmp_path: Path, artefacts: dict[str, Path], kind: str, alone: bool
) -> None:
    shutil.copytree(artefacts[kind], tmp_path / "copy")
    planted, sprung = tmp_path / "copy" / "pytorch_model.bin", tmp_path / "sprung"
    planted.write_bytes(pickle.dumps(Trap(sprung)))
    if alone:
        (tmp_path / "copy" / "model.safetensors").unlink(missing_ok=True)
    with pytest.raises(InvalidRequest, match=r"holds pytorch_model\.bin: .*") as caught:
        load_version(tmp_path / "copy")
    assert "\n" not in str(caught.value)
    assert not sprung.exists()
    pickle.loads(planted.read_bytes())  # noqa: S301 - ours, and the trap does work
    assert sprung.exists()


def test_weights_without_a_scoring_head_are_refused(
    tmp_path: Path, artefacts: dict[str, Path]
) -> None:
    shutil.copytree(artefacts["decoder"], tmp_path / "copy")
    shutil.copy(artefacts["causal_lm"] / "model.safetensors", tmp_path / "copy")
    with pytest.raises(InvalidRequest, match=r"incomplete: no score\.weight"):
        load_ranker(tmp_path / "copy")


def test_what_is_no_ranker_is_refused(tmp_path: Path, artefacts: dict[str, Path]) -> None:
    with pytest.raises(NotFound, match="holds no model version"):
        load_ranker(tmp_path / "nowhere")
    with pytest.raises(InvalidRequest, match="language model, not a ranker"):
        load_ranker(artefacts["causal_lm"])
    with new_artefact(tmp_path / "one", Manifest("forest", "fp32", 0, Lineage("import"))):
        pass
    with pytest.raises(
        InvalidRequest, match='kind "forest", must be bm25, encoder, decoder, bi_encoder or cascade'
    ):
        load_ranker(tmp_path / "one")


@pytest.mark.parametrize("content", ["", "[]", '{"kind": "bm25"}', json.dumps({"lineage": 3})])
def test_a_broken_manifest_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "ranklift.json").write_text(content)
    with pytest.raises(InvalidRequest, match="is not a manifest"):
        read_manifest(tmp_path)


@pytest.mark.parametrize("name", ["y" * 5_000, "a\0b", "absent"])
def test_a_folder_that_cannot_be_is_not_there(name: str) -> None:
    """Found by random messages: a name too long for the file system was a fault of ours."""
    with pytest.raises(NotFound, match="there is no folder"):
        digest_of(Path(name))
    with pytest.raises(NotFound, match="holds no model version"):
        read_manifest(Path(name))
