"""What the system tests know of the installation they run against."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ranklift.cli.processes import Child
from ranklift.store.values import ModelRef

BM25, STUDENT = ModelRef("bm25", "1"), ModelRef("student", "1")


@dataclass(frozen=True)
class Installation:
    """Running servers, their home and their addresses."""

    home: Path
    gateway: str
    bm25: Child
    student: Child
    student_address: str
