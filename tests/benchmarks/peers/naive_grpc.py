"""What one writes first: RankingService over grpc.aio and sentence-transformers' CrossEncoder.

python -m tests.benchmarks.peers.naive_grpc FOLDER PORT

Each request is one call of `predict` with its defaults (fp32, batches of 32), one after the other.
"""

from __future__ import annotations

import asyncio
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import torch
from grpc import aio
from sentence_transformers import CrossEncoder

from ranklift.v1 import ranking_pb2, ranking_pb2_grpc


class Naive(ranking_pb2_grpc.RankingServiceServicer):
    def __init__(self, folder: str) -> None:
        self._model = CrossEncoder(
            folder, device="cpu", local_files_only=True, activation_fn=torch.nn.Identity()
        )
        self._worker = ThreadPoolExecutor(max_workers=1)

    async def Rank(self, request: ranking_pb2.RankRequest, context: Any) -> Any:  # noqa: N802
        pairs = [(request.query, f"{d.title} {d.text}".strip()) for d in request.documents]
        scores = await asyncio.get_running_loop().run_in_executor(self._worker, self._scores, pairs)
        order = sorted(range(len(scores)), key=lambda i: -scores[i])
        return ranking_pb2.RankResponse(
            results=[
                ranking_pb2.RankedDocument(
                    index=i, id=request.documents[i].id, relevance_score=scores[i]
                )
                for i in order
            ],
            model=ranking_pb2.ServedModel(name="naive", numerics="fp32"),
        )

    def _scores(self, pairs: list[tuple[str, str]]) -> list[float]:
        return [float(score) for score in self._model.predict(pairs, show_progress_bar=False)]


async def main(folder: str, port: str) -> None:
    server = aio.server()
    ranking_pb2_grpc.add_RankingServiceServicer_to_server(Naive(folder), server)
    server.add_insecure_port(f"127.0.0.1:{port}")
    await server.start()
    await server.wait_for_termination()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
