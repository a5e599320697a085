"""Distillation turns dropout off, which pretrained encoders bring along."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from transformers import PreTrainedTokenizerBase

from ranklift.rankers.artefacts import new_artefact, read_manifest
from ranklift.rankers.backbones import load_scorer
from ranklift.rankers.base import RankingList
from ranklift.rankers.saving import save
from ranklift.rankers.training.distil import DistilOptions, FromArtefact, distil


def test_a_student_is_distilled_without_dropout(
    tmp_path: Path,
    artefacts: dict[str, Path],
    tokenizer: PreTrainedTokenizerBase,
    unjudged: list[RankingList],
) -> None:
    model = load_scorer(artefacts["encoder"])
    model.config.update({"hidden_dropout_prob": 0.5, "attention_probs_dropout_prob": 0.5})
    with new_artefact(tmp_path / "start", read_manifest(artefacts["encoder"])) as temporary:
        save(model, tokenizer, temporary)
    rng = np.random.default_rng(1)
    documents = unjudged[0].documents
    only = RankingList(unjudged[0].query, documents, tuple(rng.normal(size=len(documents))))
    losses = []
    for seed in (1, 2):  # of one list there is one order: only dropout could tell the seeds apart
        options = DistilOptions(steps=1, batch=1, max_tokens=32, seed=seed)
        trained = distil(FromArtefact(tmp_path / "start"), [only], tmp_path / str(seed), options)
        losses.append(trained.loss)
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)
