"""A soak of twenty seconds; docs/benchmarks/soak.md is the same for ten minutes."""

from __future__ import annotations

from tests.benchmarks.soak import soak


def test_nothing_is_wrong_and_nothing_lost_while_rankers_registry_and_disk_fail() -> None:
    soaked = soak(20.0, rate=40.0, quota=True)
    judged = soaked.judged

    # What was to go wrong did.
    assert sum(soaked.faults.kills.values()) > 0
    assert any(not readable for _, _, readable in soaked.health)
    assert judged.refused["RESOURCE_EXHAUSTED"] > 0
    assert soaked.pages_lost > 0

    # And harmed nobody but by the stated rules.
    assert judged.calls == 20 * 40
    assert judged.failed == []
    assert judged.wrong == []
    assert all(serves for _, serves, _ in soaked.health)
    assert set(judged.refused) <= {"RESOURCE_EXHAUSTED", "NOT_FOUND"}
    assert judged.miscounted == []
    assert dict.fromkeys(judged.acknowledged, 1) == soaked.clicks_in_log
    assert set(soaked.pages_in_log) <= judged.pages
    assert set(soaked.pages_in_log.values()) == {1}
    assert soaked.pages_missing == soaked.pages_lost
