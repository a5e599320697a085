"""Random messages to every call of gateway and ranker, for some seconds."""

from __future__ import annotations

from pathlib import Path

from tests.benchmarks.fuzz import fuzz


def test_no_random_message_ends_as_a_fault_of_ours(tmp_path: Path) -> None:
    # It raises unless both servers rank at the end. Which methods came to an OK is the benchmark's.
    findings = fuzz(10.0, seed=7, home=tmp_path / "home")
    assert not findings.faults
    assert sum(counts["OK"] for counts in findings.statuses.values())
