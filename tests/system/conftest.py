"""A small installation with real processes: two rankers, a gateway, and what they need."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import grpc
import numpy as np
import pytest
from tests.system.installation import BM25, STUDENT, Installation

from ranklift.cli.collections import Ground
from ranklift.cli.composition import registry_of
from ranklift.cli.processes import children, free_address, wait_until_serving
from ranklift.cli.versions import register
from ranklift.rankers.artefacts import Lineage, Manifest, new_artefact
from ranklift.rankers.backbones import Size, new_encoder
from ranklift.rankers.bm25 import build_bm25
from ranklift.rankers.saving import save
from ranklift.rankers.tokenizers import train_tokenizer
from ranklift.settings import load_settings
from ranklift.simulator.synthetic import SyntheticSize, synthesize

SIZE = SyntheticSize(concepts=8, attributes=6, fillers=20, attributes_per_concept=3)


@pytest.fixture(scope="session")
def ground() -> Ground:
    made = synthesize(SIZE, rng=np.random.default_rng(11))
    return Ground(made.collection, made.candidates)


@pytest.fixture
def home(tmp_path: Path, ground: Ground) -> Path:
    """An installation with a BM25 version, the champion, and an untrained student."""
    folder = tmp_path / "home"
    with registry_of(load_settings(home=folder)) as registry:
        models = folder / "models"
        build_bm25(ground.texts(), models / "bm25" / "1")
        register(registry, BM25, models / "bm25" / "1")
        write_student(ground, models / "student" / "1", seed=1)
        register(registry, STUDENT, models / "student" / "1")
        registry.models.set_champion(BM25, actor="test", reason="")
    return folder


def write_student(ground: Ground, folder: Path, *, seed: int) -> None:
    tokenizer = train_tokenizer((text.body for text in ground.texts()), 500)
    size = Size(layers=1, width=32, heads=2, feed_forward=64)
    with new_artefact(folder, Manifest("encoder", "fp32", 64, Lineage("distil"))) as temporary:
        save(new_encoder(size, tokenizer, 64, seed=seed), tokenizer, temporary)


@pytest.fixture
def installation(home: Path) -> Iterator[Installation]:
    """Gateway, BM25's ranker and the student's ranker, each a process."""
    gateway, first, second = free_address(), free_address(), free_address()
    at = ("--home", str(home))
    environment = {"RANKLIFT_RANKER__THREADS": "1"}
    with children(home / "logs", environment) as start:
        bm25 = start("bm25", "serve", "ranker", *at, "--load", str(BM25), "--address", first)
        student = start(
            "student", "serve", "ranker", *at, "--load", str(STUDENT), "--address", second
        )
        wait_until_serving(bm25, first)
        wait_until_serving(student, second)
        behind = ("--ranker", first, "--ranker", second)
        process = start("gateway", "serve", "gateway", *at, "--address", gateway, *behind)
        wait_until_serving(process, gateway)
        yield Installation(home, gateway, bm25, student, second)


@pytest.fixture
def channel(installation: Installation) -> Iterator[grpc.Channel]:
    with grpc.insecure_channel(installation.gateway) as opened:
        yield opened
