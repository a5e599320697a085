"""Random messages to every call of gateway and ranker, for some seconds."""

from __future__ import annotations

from pathlib import Path

from tests.benchmarks.fuzz import fuzz


def test_no_random_message_ends_as_a_fault_of_ours(tmp_path: Path) -> None:
    findings = fuzz(12.0, seed=7, home=tmp_path / "home")
    assert not findings.faults
    assert findings.calls
    assert sum(counts["OK"] for counts in findings.statuses.values())
