"""Generate the protocol's Python code beside its .proto files.

    python tools/protos.py            # write
    python tools/protos.py --check    # exit 1 when the committed code is stale

The generator is pinned in pyproject.toml: generated code refuses a grpcio or a
protobuf older than the one it was made with, so the pin sets both floors.
"""

from __future__ import annotations

import argparse
import filecmp
import sys
import tempfile
from pathlib import Path

from grpc_tools import protoc

ROOT = Path(__file__).resolve().parents[1] / "proto"
GENERATED = ("*_pb2.py", "*_pb2.pyi", "*_pb2_grpc.py", "*_pb2_grpc.pyi")


def generate(target: Path) -> None:
    """Write the generated modules of every .proto under `target`.

    Raises:
        RuntimeError: when protoc refuses a file; it has printed why.
    """
    sources = sorted(str(path.relative_to(ROOT)) for path in ROOT.rglob("*.proto"))
    well_known = Path(protoc.__file__).parent / "_proto"
    status = protoc.main(
        [
            "protoc",
            f"-I{ROOT}",
            f"-I{well_known}",
            f"--python_out={target}",
            f"--mypy_out={target}",
            f"--grpc_python_out={target}",
            f"--mypy_grpc_out={target}",
            *sources,
        ]
    )
    if status:
        raise RuntimeError(f"protoc ended with status {status}")


def stale() -> list[str]:
    """Return the generated files, relative to proto/, that are not as generated now."""
    with tempfile.TemporaryDirectory() as folder:
        fresh = Path(folder)
        generate(fresh)
        expected = {p.relative_to(fresh) for g in GENERATED for p in fresh.rglob(g)}
        present = {p.relative_to(ROOT) for g in GENERATED for p in ROOT.rglob(g)}
        differing = {
            path
            for path in expected & present
            if not filecmp.cmp(fresh / path, ROOT / path, shallow=False)
        }
        return sorted(str(path) for path in differing | (expected ^ present))


def main() -> int:
    parser = argparse.ArgumentParser(description="Generate the protocol's Python code.")
    parser.add_argument("--check", action="store_true", help="compare instead of writing")
    if not parser.parse_args().check:
        generate(ROOT)
        return 0
    if files := stale():
        print(f"stale: {', '.join(files)}; run: python tools/protos.py", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
