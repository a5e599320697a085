"""Texts as tensors: what is read, and what is refused."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ranklift.inference import open_inference_pb2 as pb
from ranklift.rankers.serving.tensors import add_scores, texts_of
from ranklift.v1.errors import InvalidRequest

LIMIT = 8
TEXTS = st.lists(st.text(st.characters(codec="utf-8"), max_size=20), max_size=LIMIT)


def raw_of(texts: Sequence[bytes]) -> bytes:
    """The protocol's binary form: each element behind its length, little-endian."""
    return b"".join(struct.pack("<I", len(text)) + text for text in texts)


def request_of(raw: bool, **inputs: Sequence[bytes]) -> pb.ModelInferRequest:
    request = pb.ModelInferRequest()
    for name, texts in inputs.items():
        tensor = request.inputs.add(name=name, datatype="BYTES", shape=[len(texts)])
        if raw:
            request.raw_input_contents.append(raw_of(texts))
        else:
            tensor.contents.bytes_contents.extend(texts)
    return request


@given(documents=TEXTS, raw=st.booleans())
def test_texts_come_back_from_both_forms(documents: list[str], raw: bool) -> None:
    encoded = [text.encode() for text in documents]
    found = texts_of(request_of(raw, documents=encoded, query=["ü".encode()]), LIMIT)
    assert (found.query, list(found.documents)) == ("ü", documents)
    assert list(found.titles) == [""] * len(documents)
    titled = texts_of(request_of(raw, titles=encoded, documents=encoded, query=[b"q"]), LIMIT)
    assert list(titled.titles) == documents


def test_the_binary_form_is_the_one_of_the_standard() -> None:
    request = pb.ModelInferRequest(
        inputs=[
            pb.ModelInferRequest.InferInputTensor(name="query", datatype="BYTES", shape=[1]),
            pb.ModelInferRequest.InferInputTensor(name="documents", datatype="BYTES", shape=[2]),
        ],
        raw_input_contents=[b"\x01\0\0\0q", b"\x02\0\0\0ab\x00\0\0\0"],
    )
    found = texts_of(request, LIMIT)
    assert (found.query, found.documents) == ("q", ["ab", ""])


def test_scores_leave_in_both_forms() -> None:
    raw, plain = pb.ModelInferResponse(), pb.ModelInferResponse()
    scores = np.array([1.5, -0.1])
    rounded = [float(np.float32(score)) for score in scores]
    add_scores(raw, scores, raw=True)
    add_scores(plain, scores, raw=False)
    assert raw.raw_output_contents == [struct.pack("<2f", 1.5, -0.1)]
    assert not raw.outputs[0].HasField("contents")
    assert list(plain.outputs[0].contents.fp32_contents) == rounded
    for response in (raw, plain):
        (output,) = response.outputs
        assert (output.name, output.datatype, list(output.shape)) == ("scores", "FP32", [2])


Change = Callable[[pb.ModelInferRequest], object]


@pytest.mark.parametrize(
    ("raw", "change", "field", "reason"),
    [
        (False, lambda r: r.inputs.pop(0), "query", "is missing"),
        (False, lambda r: r.ClearField("inputs"), "query", "is missing"),
        (False, lambda r: r.inputs.pop(1), "documents", "is missing"),
        (False, lambda r: r.inputs.add(name="top_n"), "inputs[2].name", '"top_n" is no input'),
        (False, lambda r: r.inputs.append(r.inputs[1]), "inputs[2].name", "is there twice"),
        (False, lambda r: set_field(r.inputs[1], "datatype", "FP32"), "inputs[1].datatype", "FP32"),
        (False, lambda r: shape(r, 0, 2), "inputs[0].shape", "[2], must be [1]"),
        (False, lambda r: shape(r, 0), "inputs[0].shape", "[], must be [1]"),
        (False, lambda r: shape(r, 1, 2, 1), "inputs[1].shape", "[2, 1], must be [N]"),
        (False, lambda r: shape(r, 1, -1), "inputs[1].shape", "[-1], must be [N]"),
        (False, lambda r: shape(r, 1, LIMIT + 1), "inputs[1].shape", "at most 8"),
        (False, lambda r: shape(r, 1, 2**40), "inputs[1].shape", "at most 8"),
        (True, lambda r: shape(r, 1, 2**40), "inputs[1].shape", "at most 8"),
        (False, lambda r: shape(r, 1, 3), "documents", "holds 2 texts, its shape says 3"),
        (True, lambda r: shape(r, 1, 3), "documents", "holds 2 texts, its shape says 3"),
        (True, lambda r: shape(r, 1, 1), "documents", "5 bytes more than the 1 texts"),
        (True, lambda r: r.raw_input_contents.pop(), "raw_input_contents", "1 tensors for 2"),
        (True, lambda r: write(r, b"\x09\0\0\0a"), "documents[0]", "of 9 bytes, of which 1 came"),
        (True, lambda r: write(r, b"\x01\0\0\0a\x01\0"), "documents", "holds 1 texts"),
        (True, lambda r: write(r, raw_of([b"a", b"\xff"])), "documents[1]", "is no UTF-8"),
        # A lone surrogate, as some encoders let it through.
        (True, lambda r: write(r, raw_of([b"\xed\xa0\x80", b""])), "documents[0]", "is no UTF-8"),
        (
            True,
            lambda r: r.inputs[0].contents.bytes_contents.append(b"q"),
            "raw_input_contents",
            "beside typed contents",
        ),
        (False, lambda r: r.outputs.add(name="ranks"), "outputs[0].name", "there is one: scores"),
        (
            False,
            lambda r: r.inputs.append(request_of(False, titles=[b"t"]).inputs[0]),
            "titles",
            "1 texts for 2 documents",
        ),
    ],
)
def test_a_wrong_tensor_is_named(raw: bool, change: Change, field: str, reason: str) -> None:
    request = request_of(raw, query=[b"q"], documents=[b"a", b"b"])
    texts_of(request, LIMIT)
    change(request)
    with pytest.raises(InvalidRequest) as caught:
        texts_of(request, LIMIT)
    first = caught.value.violations[0]
    assert first.field == field
    assert reason in first.description


def set_field(message: object, name: str, value: object) -> None:
    setattr(message, name, value)


def shape(request: pb.ModelInferRequest, place: int, *sizes: int) -> None:
    request.inputs[place].shape[:] = sizes


def write(request: pb.ModelInferRequest, raw: bytes) -> None:
    request.raw_input_contents[1] = raw
