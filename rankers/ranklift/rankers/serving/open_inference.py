"""The Open Inference Protocol over a ranker: Triton's and KServe's clients get its scores.

A request becomes a `RankRequest` and goes where those go, so that limits, deadlines and admission
are the same.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib import metadata
from typing import Protocol

import numpy as np

from ranklift.inference import open_inference_pb2 as pb
from ranklift.inference.open_inference_pb2_grpc import GRPCInferenceServiceServicer
from ranklift.rankers.base import Values
from ranklift.rankers.serving.tensors import (
    DOCUMENTS,
    QUERY,
    SCORES,
    TITLES,
    Texts,
    add_scores,
    texts_of,
)
from ranklift.v1 import ranking_pb2 as ranking
from ranklift.v1.errors import InvalidRequest, NotFound, Unreachable
from ranklift.v1.observing import Context, Ranking

OPEN_INFERENCE_SERVICE = pb.DESCRIPTOR.services_by_name["GRPCInferenceService"].full_name

NAME = "ranklift"

Tensor = pb.ModelMetadataResponse.TensorMetadata


class Version(Protocol):
    """A loaded model version."""

    @property
    def model(self) -> str: ...
    @property
    def version(self) -> str: ...


class Versions(Protocol):
    """The model versions that are loaded."""

    def all(self) -> Sequence[Version]: ...

    def select(self, model: str, version: str) -> Version:
        """Return the version that answers for these names.

        Raises:
            InvalidRequest, NotFound, Unreachable: none does.
        """
        ...


class OpenInferenceServicer(GRPCInferenceServiceServicer):
    """Serves what `ranking` ranks; `ready` says whether the whole server is."""

    def __init__(
        self,
        ranking: Ranking,
        versions: Versions,
        *,
        max_documents: int,
        ready: Callable[[], bool],
    ) -> None:
        self._ranking = ranking
        self._versions = versions
        self._max_documents = max_documents
        self._ready = ready

    async def ServerLive(  # noqa: N802
        self, request: pb.ServerLiveRequest, context: Context
    ) -> pb.ServerLiveResponse:
        return pb.ServerLiveResponse(live=True)

    async def ServerReady(  # noqa: N802
        self, request: pb.ServerReadyRequest, context: Context
    ) -> pb.ServerReadyResponse:
        return pb.ServerReadyResponse(ready=self._ready())

    async def ModelReady(  # noqa: N802
        self, request: pb.ModelReadyRequest, context: Context
    ) -> pb.ModelReadyResponse:
        try:
            self._versions.select(request.name, request.version)
        except (InvalidRequest, NotFound, Unreachable):
            return pb.ModelReadyResponse(ready=False)
        return pb.ModelReadyResponse(ready=True)

    async def ServerMetadata(  # noqa: N802
        self, request: pb.ServerMetadataRequest, context: Context
    ) -> pb.ServerMetadataResponse:
        return pb.ServerMetadataResponse(name=NAME, version=metadata.version(NAME))

    async def ModelMetadata(  # noqa: N802
        self, request: pb.ModelMetadataRequest, context: Context
    ) -> pb.ModelMetadataResponse:
        found = self._versions.select(request.name, request.version)
        return pb.ModelMetadataResponse(
            name=found.model,
            versions=[one.version for one in self._versions.all() if one.model == found.model],
            platform=NAME,
            inputs=[
                Tensor(name=QUERY, datatype="BYTES", shape=[1]),
                Tensor(name=DOCUMENTS, datatype="BYTES", shape=[-1]),
                Tensor(name=TITLES, datatype="BYTES", shape=[-1]),
            ],
            outputs=[Tensor(name=SCORES, datatype="FP32", shape=[-1])],
        )

    async def ModelInfer(  # noqa: N802
        self, request: pb.ModelInferRequest, context: Context
    ) -> pb.ModelInferResponse:
        texts = texts_of(request, self._max_documents)
        reply = await self._ranking.Rank(_rank_request(request, texts), context)
        response = pb.ModelInferResponse(
            model_name=reply.model.name,
            model_version=reply.model.version,
            id=request.id,
            parameters=_parameters(reply),
        )
        add_scores(response, _in_order(reply), raw=bool(request.raw_input_contents))
        return response


def _rank_request(request: pb.ModelInferRequest, texts: Texts) -> ranking.RankRequest:
    return ranking.RankRequest(
        query=texts.query,
        documents=[
            ranking.Document(id=str(i), title=title, text=text)
            for i, (title, text) in enumerate(zip(texts.titles, texts.documents, strict=True))
        ],
        model=ranking.ModelSelector(name=request.model_name, version=request.model_version),
    )


def _in_order(reply: ranking.RankResponse) -> Values:
    """Return the scores in the order of the documents, shape (documents,)."""
    scores = np.empty(len(reply.results))
    for result in reply.results:
        scores[result.index] = result.relevance_score
    return scores


def _parameters(reply: ranking.RankResponse) -> dict[str, pb.InferParameter]:
    """Return what a `RankResponse` says beside its results."""
    timing = reply.timing
    spans = {
        "queue": timing.queue,
        "tokenize": timing.tokenize,
        "inference": timing.inference,
        "total": timing.total,
    }
    return {
        "digest": pb.InferParameter(string_param=reply.model.digest),
        "numerics": pb.InferParameter(string_param=reply.model.numerics),
        "tokens": pb.InferParameter(int64_param=reply.tokens),
        # The ids are positions: `_rank_request` made them.
        "truncated_documents": pb.InferParameter(
            string_param=",".join(reply.truncated_document_ids)
        ),
        **{
            f"{name}_seconds": pb.InferParameter(double_param=span.ToNanoseconds() / 1e9)
            for name, span in spans.items()
        },
    }
