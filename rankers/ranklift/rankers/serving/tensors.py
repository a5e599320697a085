"""Texts and scores as tensors of the Open Inference Protocol: values in, values out."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from ranklift.inference import open_inference_pb2 as pb
from ranklift.rankers.base import Values
from ranklift.v1.errors import InvalidRequest, Violation, refuse_if_any

QUERY, DOCUMENTS, TITLES = INPUTS = ("query", "documents", "titles")
REQUIRED = (QUERY, DOCUMENTS)
SCORES = "scores"
_LENGTH = struct.Struct("<I")


@dataclass(frozen=True, slots=True)
class Texts:
    """A query and its documents; each has a title, "" where none was given."""

    query: str
    documents: Sequence[str]
    titles: Sequence[str]


def texts_of(request: pb.ModelInferRequest, max_documents: int) -> Texts:
    """Return the texts of a request, from typed or raw contents.

    Raises:
        InvalidRequest: a tensor is missing, unknown, of another datatype or shape than it says,
            or holds bytes that are no UTF-8.
    """
    refuse_if_any(_violations(request, max_documents))
    texts = {
        tensor.name: _decoded(_elements(request, place), tensor.name)
        for place, tensor in enumerate(request.inputs)
    }
    documents = texts[DOCUMENTS]
    titles = texts.get(TITLES, [""] * len(documents))
    if len(titles) != len(documents):
        raise InvalidRequest.of(
            TITLES, f"holds {len(titles)} texts for {len(documents)} documents, must hold as many"
        )
    return Texts(texts[QUERY][0], documents, titles)


def add_scores(response: pb.ModelInferResponse, scores: Values, *, raw: bool) -> None:
    """Add the output `scores`, shape (documents,), in raw contents or in typed ones."""
    tensor = response.outputs.add(name=SCORES, datatype="FP32", shape=[len(scores)])
    if raw:
        response.raw_output_contents.append(scores.astype("<f4").tobytes())
    else:
        tensor.contents.fp32_contents.extend(scores.astype(np.float32).tolist())


def _violations(request: pb.ModelInferRequest, max_documents: int) -> Iterator[Violation]:
    names = [tensor.name for tensor in request.inputs]
    for name in REQUIRED:
        if name not in names:
            yield Violation(name, "is missing; it is a required input of datatype BYTES")
    for place, tensor in enumerate(request.inputs):
        field = f"inputs[{place}]"
        if tensor.name not in INPUTS:
            yield Violation(
                f"{field}.name",
                f'"{tensor.name[:80]}" is no input; they are: {", ".join(INPUTS)}',
            )
            continue
        if names.index(tensor.name) != place:
            yield Violation(f"{field}.name", f'"{tensor.name}" is there twice')
        if tensor.datatype != "BYTES":
            yield Violation(
                f"{field}.datatype", f'of {tensor.name} is "{tensor.datatype[:80]}", must be BYTES'
            )
        yield from _shape_violations(tensor, f"{field}.shape", max_documents)
    for place, output in enumerate(request.outputs):
        if output.name != SCORES:
            yield Violation(
                f"outputs[{place}].name",
                f'"{output.name[:80]}" is no output; there is one: {SCORES}',
            )
    raw = len(request.raw_input_contents)
    if raw and raw != len(request.inputs):
        yield Violation(
            "raw_input_contents", f"holds {raw} tensors for {len(request.inputs)} inputs"
        )
    if raw and any(tensor.HasField("contents") for tensor in request.inputs):
        yield Violation("raw_input_contents", "is set beside typed contents; use one of them")


def _shape_violations(
    tensor: pb.ModelInferRequest.InferInputTensor, field: str, max_documents: int
) -> Iterator[Violation]:
    shape = list(tensor.shape[:8])
    if tensor.name == QUERY:
        if shape != [1]:
            yield Violation(field, f"of {QUERY} is {shape}, must be [1]: one text")
    # Before anything is read: so many elements are no more than the request may hold.
    elif len(shape) != 1 or not 0 <= shape[0] <= max_documents:
        yield Violation(
            field,
            f"of {tensor.name} is {shape}, must be [N]: one text for each of at most "
            f"{max_documents} documents",
        )


def _elements(request: pb.ModelInferRequest, place: int) -> Sequence[bytes]:
    tensor = request.inputs[place]
    count = tensor.shape[0]
    if request.raw_input_contents:
        return _split(request.raw_input_contents[place], count, tensor.name)
    held = tensor.contents.bytes_contents
    if len(held) != count:
        raise InvalidRequest.of(tensor.name, f"holds {len(held)} texts, its shape says {count}")
    return held


def _split(raw: bytes, count: int, name: str) -> list[bytes]:
    """Return the elements of a raw BYTES tensor, each behind its length."""
    found, at = [], 0
    for i in range(count):
        begin = at + _LENGTH.size
        if begin > len(raw):
            raise InvalidRequest.of(name, f"holds {i} texts, its shape says {count}")
        (length,) = _LENGTH.unpack_from(raw, at)
        at = begin + length
        if at > len(raw):
            raise InvalidRequest.of(
                f"{name}[{i}]", f"has a length of {length} bytes, of which {len(raw) - begin} came"
            )
        found.append(raw[begin:at])
    if at != len(raw):
        raise InvalidRequest.of(
            name, f"holds {len(raw) - at} bytes more than the {count} texts of its shape"
        )
    return found


def _decoded(elements: Sequence[bytes], name: str) -> list[str]:
    texts = []
    for i, element in enumerate(elements):
        try:
            texts.append(element.decode())
        except UnicodeDecodeError as error:
            raise InvalidRequest.of(
                f"{name}[{i}]", f"is no UTF-8: {error.reason} at byte {error.start}"
            ) from error
    return texts
