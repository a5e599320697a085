"""Our Open Inference Protocol is the one that Triton's client was built from."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterable, Iterator

from google.protobuf.descriptor_pb2 import DescriptorProto, FileDescriptorProto

from ranklift.inference import open_inference_pb2

# A process of its own: the two cannot register the same symbols in one.
DUMP = (
    "import sys; from tritonclient.grpc import service_pb2;"
    "sys.stdout.buffer.write(service_pb2.DESCRIPTOR.serialized_pb)"
)


def fields(messages: Iterable[DescriptorProto], prefix: str = "") -> Iterator[tuple[object, ...]]:
    """Give message, name, number, type and label of every field."""
    for message in messages:
        name = prefix + message.name
        yield from ((name, f.name, f.number, f.type, f.type_name, f.label) for f in message.field)
        yield from fields(message.nested_type, f"{name}.")


def methods(file: FileDescriptorProto) -> set[tuple[str, ...]]:
    return {
        (file.package, service.name, method.name, method.input_type, method.output_type)
        for service in file.service
        for method in service.method
    }


def test_every_field_and_method_is_tritons() -> None:
    dumped = subprocess.run([sys.executable, "-c", DUMP], capture_output=True, check=True)
    theirs = FileDescriptorProto.FromString(dumped.stdout)
    ours = FileDescriptorProto.FromString(open_inference_pb2.DESCRIPTOR.serialized_pb)
    names = {message.name for message in ours.message_type}

    assert set(fields(ours.message_type)) == set(
        fields(message for message in theirs.message_type if message.name in names)
    )
    assert len(methods(ours)) == 6
    assert methods(ours) <= methods(theirs)
