"""The servers of `rank_served`: a process each, on the same weights.

infinity_emb runs in an environment of its own, since it needs older packages:

python3.11 -m venv build/peers/infinity
build/peers/infinity/bin/pip install torch==2.13.0
build/peers/infinity/bin/pip install "infinity_emb[torch,server,optimum,logging,cache]==0.0.77" \
    transformers==4.48.3 "optimum[onnxruntime]==1.24.0" sentence-transformers==3.4.1 \
    click==8.1.8 typer==0.12.5 torch==2.13.0
build/peers/infinity/bin/pip install pyarrow==19.0.1 pandas==2.2.3 datasets==3.5.0 dill==0.3.8 \
    multiprocess==0.70.16 fsspec==2024.12.0 scipy==1.15.3 scikit-learn==1.6.1 \
    onnxruntime==1.22.1 onnx==1.17.0 ml_dtypes==0.5.1
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import psutil
from transformers import AutoTokenizer

from ranklift.cli.composition import registry_of
from ranklift.rankers.artefacts import Lineage, Manifest, digest_of, new_artefact
from ranklift.rankers.backbones import load_scorer
from ranklift.rankers.pretrained import minilm_folder
from ranklift.rankers.saving import save
from ranklift.settings import load_settings
from ranklift.store.values import Lineage as StoredLineage
from ranklift.store.values import ModelRef, ModelVersion

INFINITY = Path(__file__).parents[2] / "build" / "peers" / "infinity" / "bin"
ONNX_EXPORT = Path(__file__).parent / "peers" / "infinity_onnx.py"
HEAD_SEED = 0
MAX_TOKENS = 512
STOP_SECONDS = 20


@dataclass(frozen=True, slots=True)
class Server:
    """How to start a server, and where it will be; `numerics` is what it computes in."""

    name: str
    numerics: str
    address: str
    command: tuple[str, ...]
    folder: Path | None = None
    variables: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Running:
    """A server's process."""

    server: Server
    process: psutil.Process

    def cpu_seconds(self) -> float:
        """Return the processor time that its processes have used so far."""
        times = [one.cpu_times() for one in (self.process, *self.process.children(recursive=True))]
        return float(sum(one.user + one.system for one in times))


def machine_cpu_seconds() -> float:
    """Return the processor time that all programs of the machine have used so far."""
    times = psutil.cpu_times()
    return float(sum(times) - times.idle - times.iowait - times.guest - times.guest_nice)


def export(folder: Path, numerics: str) -> None:
    """Write the artefact that all servers load: all-MiniLM-L6-v2 and a head drawn from a seed."""
    model = load_scorer(minilm_folder(), head_seed=HEAD_SEED)
    tokenizer = AutoTokenizer.from_pretrained(minilm_folder())
    with new_artefact(folder, Manifest("encoder", numerics, MAX_TOKENS, Lineage("cpt"))) as new:
        save(model, tokenizer, new)


def ranklift(home: Path, folder: Path, numerics: str) -> Server:
    """Return our own ranker, by its own command, with the artefact in `folder`."""
    ref = ModelRef("minilm", numerics)
    with registry_of(load_settings(home=home)) as registry:
        registry.models.register(
            ModelVersion(
                ref=ref,
                kind="encoder",
                digest=digest_of(folder),
                numerics=numerics,
                uri=str(folder),
                lineage=StoredLineage("cpt"),
                created=datetime.now(UTC),
            )
        )
    address = f"127.0.0.1:{free_port()}"
    command = ("-m", "ranklift.cli", "serve", "ranker", "--home", str(home))
    return Server(
        f"ranklift, packed {numerics}",
        numerics,
        f"grpc://{address}",
        (sys.executable, *command, "--load", str(ref), "--address", address),
    )


def naive(folder: Path) -> Server:
    """Return grpc.aio with CrossEncoder.predict."""
    port = str(free_port())
    return Server(
        "grpc.aio + CrossEncoder.predict",
        "fp32",
        f"grpc://127.0.0.1:{port}",
        (sys.executable, "-m", "tests.benchmarks.peers.naive_grpc", str(folder), port),
    )


def infinity(weights: Path) -> list[Server]:
    """Return infinity's servers: torch as it comes, torch on padded batches, and ONNX Runtime.

    Its ONNX engine looks for model.onnx where it is started, and serves what its optimizer makes
    of it.
    """
    onnx = weights.with_name("onnx")
    shutil.copytree(weights, onnx)
    subprocess.run(
        [str(INFINITY / "python"), str(ONNX_EXPORT), str(onnx)], check=True, capture_output=True
    )
    return [
        _infinity("infinity, torch, BetterTransformer", weights, "torch", "--bettertransformer"),
        _infinity("infinity, torch, padded", weights, "torch", "--no-bettertransformer"),
        _infinity("infinity, ONNX Runtime", onnx, "optimum"),
    ]


def _infinity(name: str, folder: Path, engine: str, *flags: str) -> Server:
    port = str(free_port())
    where = ("--model-id", ".", "--host", "127.0.0.1", "--port", port)
    how = ("--engine", engine, "--device", "cpu", "--dtype", "float32", "--no-model-warmup")
    return Server(
        name,
        "fp32",
        f"http://127.0.0.1:{port}/rerank",
        (str(INFINITY / "infinity_emb"), "v2", *where, *how, *flags),
        folder,
        {"HF_HUB_OFFLINE": "1", "DO_NOT_TRACK": "1"},
    )


@contextmanager
def running(server: Server, logs: Path) -> Iterator[Running]:
    """Run a server while the block does; it may not be ready yet."""
    with (logs / f"{server.address.rpartition(':')[2].partition('/')[0]}.log").open("wb") as log:
        process = subprocess.Popen(
            server.command,
            cwd=server.folder,
            env={**os.environ, **server.variables},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        try:
            yield Running(server, psutil.Process(process.pid))
        finally:
            process.terminate()
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])
