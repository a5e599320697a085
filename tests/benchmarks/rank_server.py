"""A MiniLM ranker in a process of its own, and questions of realistic length for it.

python -m tests.benchmarks.rank_server MODEL=FOLDER    # serves until its input ends

Each line of its input is answered by what happened since the last one, as JSON.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import structlog
from transformers import AutoTokenizer

from ranklift.rankers.artefacts import Lineage, Manifest, new_artefact
from ranklift.rankers.backbones import load_scorer
from ranklift.rankers.base import Text
from ranklift.rankers.loaded import VersionToLoad
from ranklift.rankers.pretrained import minilm_folder
from ranklift.rankers.saving import save
from ranklift.rankers.server import serve_ranker
from ranklift.rankers.serving.cores import shared
from ranklift.rankers.serving.options import ServingOptions
from ranklift.rankers.serving.ranking import RankerServicer
from ranklift.v1 import ranking_pb2
from ranklift.v1.errors import Expired, Overloaded
from ranklift.v1.hosting import share_interpreter

MAX_TOKENS = 512
QUERY_WORDS = (3, 8)
# With the query and the special tokens: 42 tokens a pair at the 5th percentile, 68 at the median,
# 120 at the 95th.
DOCUMENT_WORDS, DOCUMENT_SPREAD = 60, 0.33


@dataclass(frozen=True)
class Question:
    query: str
    documents: tuple[Text, ...]

    def request(self, model: str = "") -> bytes:
        """Return the message of a ranking call, ready to be sent any number of times."""
        return ranking_pb2.RankRequest(
            query=self.query,
            documents=[ranking_pb2.Document(id=d.id, text=d.text) for d in self.documents],
            model=ranking_pb2.ModelSelector(name=model),
        ).SerializeToString()


@dataclass(frozen=True)
class Handled:
    """What the server made of a call: answered, late, refused or expired; times in seconds of
    the clock that all processes of the machine share."""

    outcome: str
    arrived: float
    ended: float


def machine_cpu_seconds() -> float:
    """Return the processor time that all processes of the machine have used."""
    user, nice, system = Path("/proc/stat").read_text().split()[1:4]
    return (int(user) + int(nice) + int(system)) / os.sysconf("SC_CLK_TCK")


def write_minilm(folder: Path, head_seed: int) -> Path:
    """Write all-MiniLM-L6-v2 with a head drawn from a seed as a model version."""
    with new_artefact(folder, Manifest("encoder", "fp32", MAX_TOKENS, Lineage("sft"))) as temporary:
        save(
            load_scorer(minilm_folder(), head_seed=head_seed),
            AutoTokenizer.from_pretrained(minilm_folder()),
            temporary,
        )
    return folder


def questions(count: int, documents: tuple[int, int], seed: int) -> list[Question]:
    """Return questions with between so many documents, of words that are one token each."""
    vocabulary = AutoTokenizer.from_pretrained(minilm_folder()).get_vocab()
    words = np.array(sorted(word for word in vocabulary if word.isalpha() and len(word) > 2))
    rng = np.random.default_rng(seed)

    def some(number: int) -> str:
        return " ".join(rng.choice(words, number))

    def question() -> Question:
        lengths = rng.lognormal(
            np.log(DOCUMENT_WORDS), DOCUMENT_SPREAD, int(rng.integers(*documents, endpoint=True))
        )
        texts = tuple(Text(f"d{i}", "", some(int(n))) for i, n in enumerate(lengths))
        return Question(some(int(rng.integers(*QUERY_WORDS, endpoint=True))), texts)

    return [question() for _ in range(count)]


class Server:
    """The server's process, as its parent sees it."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self.address = self._line()

    @property
    def pid(self) -> int:
        return self._process.pid

    def handled(self) -> list[Handled]:
        """Return what happened since the last time."""
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        return [Handled(*each) for each in json.loads(self._line())]

    def resident_mib(self) -> float:
        pages = int(Path(f"/proc/{self.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 2**20

    def cpu_seconds(self) -> float:
        """Return the processor time that it has used."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def _line(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()


@contextmanager
def served(folder: Path, model: str = "minilm") -> Iterator[Server]:
    """Serve a model version in a process of its own."""
    command = [sys.executable, "-m", "tests.benchmarks.rank_server", f"{model}={folder}"]
    with subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": str(shared().threads)},
    ) as process:
        try:
            yield Server(process)
        finally:
            assert process.stdin is not None
            process.stdin.close()
            process.wait(30)


class Watched:
    """Writes down when calls come and how they end, around the servicer's own `rank`."""

    def __init__(self) -> None:
        self._inner = RankerServicer.rank
        self.handled: list[tuple[str, float, float]] = []

    async def rank(
        self, servicer: RankerServicer, request: Any, expires: float | None, **told: Any
    ) -> Any:
        arrived = time.perf_counter()
        outcome = "failed"
        try:
            reply = await self._inner(servicer, request, expires, **told)
            late = expires is not None and time.perf_counter() > expires
            outcome = "late" if late else "answered"
            return reply
        except Overloaded:
            outcome = "refused"
            raise
        except (Expired, asyncio.CancelledError):
            outcome = "expired"
            raise
        finally:
            self.handled.append((outcome, arrived, time.perf_counter()))


async def serve(versions: Sequence[VersionToLoad]) -> None:
    watched = Watched()

    async def rank(
        servicer: RankerServicer, request: Any, expires: float | None, **told: Any
    ) -> Any:
        return await watched.rank(servicer, request, expires, **told)

    # Our output is what the parent reads.
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    RankerServicer.rank = rank  # type: ignore[method-assign, assignment]
    share_interpreter()
    hosted = await serve_ranker("127.0.0.1:0", versions, ServingOptions(workers=shared().workers))
    print(hosted.address, flush=True)
    while await asyncio.to_thread(sys.stdin.readline):
        handled, watched.handled = watched.handled, []
        print(json.dumps(handled), flush=True)
    await hosted.stop(0)


if __name__ == "__main__":
    named = [argument.partition("=") for argument in sys.argv[1:]]
    asyncio.run(serve([VersionToLoad(model, "1", Path(folder)) for model, _, folder in named]))
