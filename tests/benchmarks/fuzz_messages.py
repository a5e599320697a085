"""Random messages made from descriptors, mutations of good ones, and bytes that are no message."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

F = FieldDescriptor
MAX_DEPTH = 6
TEXTS = (
    "", "a", "control", "treatment", "bm25", "bm25@1", "1", "../../etc/passwd", "\0", "\u202e",
    "..", "'; DROP TABLE experiments; --", "\U0001f600" * 9, "x" * 300, "y" * 120_000,
    "ä\u0301", "\ud7ff",
    "%s%n{0}", "sha256:" + "0" * 64, "-1", "1e309", "NaN", "user_ctr", "*/5 * * * *", "[]", "\n\t",
)  # fmt: skip
FLOATS = (0.0, -0.0, 1.0, -1.0, 0.5, 1e-320, 1e308, float("inf"), float("-inf"), float("nan"))
INTEGERS = (0, 1, -1, 2, 7, 1_000, 10_000, 2**31 - 1, -(2**31), 2**63 - 1, -(2**63), 2**64 - 1)
_BITS: Mapping[int, tuple[int, int]] = {
    F.CPPTYPE_INT32: (-(2**31), 2**31 - 1),
    F.CPPTYPE_INT64: (-(2**63), 2**63 - 1),
    F.CPPTYPE_UINT32: (0, 2**32 - 1),
    F.CPPTYPE_UINT64: (0, 2**64 - 1),
}


def random_message(kind: Descriptor, rng: random.Random, depth: int = 0) -> Message:
    """Return a message of `kind` with random fields."""
    message: Message = GetMessageClass(kind)()
    density = rng.choice((0.2, 0.5, 0.9))
    for field in kind.fields:
        if rng.random() < density:
            set_random(message, field, rng, depth)
    return message


def set_random(message: Any, field: FieldDescriptor, rng: random.Random, depth: int = 0) -> None:
    """Set one field of `message` to something."""
    inner = field.message_type
    if inner is not None and depth >= MAX_DEPTH:
        return
    if inner is not None and inner.GetOptions().map_entry:
        key, value = inner.fields_by_name["key"], inner.fields_by_name["value"]
        entries = getattr(message, field.name)
        for _ in range(rng.choice((1, 2, 40))):
            if value.message_type is None:
                entries[_scalar(key, rng)] = _scalar(value, rng)
            else:
                entries[_scalar(key, rng)].CopyFrom(
                    random_message(value.message_type, rng, depth + 1)
                )
    elif field.is_repeated:
        items = getattr(message, field.name)
        many = rng.choice((1, 2, 3, 20) if depth else (1, 2, 3, 20, 1_500))
        if inner is not None:
            one = random_message(inner, rng, depth + 1)
            for i in range(many):
                # Many at once are one and the same: what counts is how many.
                new = one if many > 20 or not i else random_message(inner, rng, depth + 1)
                items.add().CopyFrom(new)
        else:
            items.extend(_scalar(field, rng) for _ in range(many))
    elif inner is not None:
        getattr(message, field.name).CopyFrom(random_message(inner, rng, depth + 1))
    else:
        setattr(message, field.name, _scalar(field, rng))


def _scalar(field: FieldDescriptor, rng: random.Random) -> Any:
    kind = field.cpp_type
    if kind in _BITS:
        low, high = _BITS[kind]
        return min(high, max(low, rng.choice((*INTEGERS, rng.getrandbits(64) - 2**63))))
    if kind == F.CPPTYPE_FLOAT or kind == F.CPPTYPE_DOUBLE:
        return rng.choice((*FLOATS, rng.random()))
    if kind == F.CPPTYPE_BOOL:
        return rng.random() < 0.5
    if field.enum_type is not None:
        return rng.choice((*(v.number for v in field.enum_type.values), 99, -1, 2**31 - 1))
    if field.type == F.TYPE_BYTES:
        return rng.randbytes(rng.choice((0, 1, 4, 100)))
    return rng.choice((*TEXTS, f"name-{rng.randrange(50)}"))


def mutated(seed: Message, rng: random.Random) -> Message:
    """Return a copy of `seed` with one to three fields cleared, doubled or set to something."""
    copy: Message = type(seed)()
    copy.CopyFrom(seed)
    for _ in range(rng.choice((0, 1, 1, 2, 3))):
        at: Any = copy
        while True:
            fields = at.DESCRIPTOR.fields
            if not fields:
                break
            field = rng.choice(fields)
            is_map = bool(field.message_type and field.message_type.GetOptions().map_entry)
            if field.message_type is not None and not is_map and rng.random() < 0.7:
                if field.is_repeated and len(getattr(at, field.name)):
                    at = rng.choice(getattr(at, field.name))
                    continue
                if not field.is_repeated and at.HasField(field.name):
                    at = getattr(at, field.name)
                    continue
            if rng.random() < 0.2:
                at.ClearField(field.name)
            else:
                set_random(at, field, rng, 2)
            break
    return copy


def _flipped(data: bytes, rng: random.Random) -> bytes:
    changed = bytearray(data or b"\0")
    for _ in range(rng.choice((1, 3, 10))):
        changed[rng.randrange(len(changed))] = rng.randrange(256)
    return bytes(changed)


def _nested(data: bytes, rng: random.Random) -> bytes:
    """Return fields inside fields, deeper than a parser's hundred levels."""
    inner, tag = b"", bytes([rng.choice((1, 2, 3, 4, 5)) << 3 | 2])
    for _ in range(rng.choice((20, 99, 300))):
        inner = tag + _varint(len(inner)) + inner
    return data + inner


def _varint(number: int) -> bytes:
    found = b""
    while number > 127:
        found, number = found + bytes([number & 127 | 128]), number >> 7
    return found + bytes([number])


_WIRE: tuple[Callable[[bytes, random.Random], bytes], ...] = (
    _flipped,
    _nested,
    lambda data, rng: data[: rng.randrange(len(data) + 1)],
    lambda data, rng: rng.randbytes(rng.choice((0, 1, 10, 1_000))),
    lambda data, rng: data + data,
    # Field 500, unknown; then field 1 as text that is no UTF-8.
    lambda data, rng: data + b"\xa2\x1f\x03abc",
    lambda data, rng: data + b"\x0a\x02\xc3\x28",
)


def on_the_wire(data: bytes, rng: random.Random) -> bytes:
    """Return the bytes of a message, or one time in five something else."""
    return rng.choice(_WIRE)(data, rng) if rng.random() < 0.2 else data
