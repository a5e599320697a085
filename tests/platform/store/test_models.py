"""What the registry promises of models, on every database."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from ranklift.store.database import writing
from ranklift.store.models import Models
from ranklift.store.registry import Registry
from ranklift.store.values import Lineage, ModelRef, ModelVersion
from ranklift.v1.errors import AlreadyExists, InvalidRequest, NotFound

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)


@pytest.fixture
def models(registry: Registry) -> Models:
    return registry.models


def version(model: str, number: str, minutes: int = 0) -> ModelVersion:
    return ModelVersion(
        ref=ModelRef(model, number),
        kind="encoder",
        digest="sha256:" + number.rjust(64, "0"),
        numerics="fp32",
        uri=f"models/{model}/{number}",
        lineage=Lineage("distil", ("teacher@1",), "nightly-1", {"ndcg@10": 0.1 + 0.2}),
        created=NOON + timedelta(minutes=minutes),
    )


def test_what_is_registered_is_what_is_read(models: Models) -> None:
    made = models.register(version("student", "1"))
    assert made == version("student", "1") == models.get(ModelRef("student", "1"))


def test_the_same_artefact_again_is_the_first_one(models: Models) -> None:
    first = models.register(version("student", "1"))
    assert models.register(replace(first, uri="elsewhere")) == first


def test_a_version_never_changes(models: Models) -> None:
    models.register(version("student", "1"))
    with pytest.raises(AlreadyExists, match="student@1 is registered with digest") as error:
        models.register(replace(version("student", "1"), digest="sha256:" + "f" * 64))
    assert error.value.violations[0].field == "version"


def test_metrics_come_with_the_version_or_once_later(models: Models) -> None:
    unjudged = replace(version("student", "1"), lineage=Lineage("distil", ("teacher@1",)))
    models.register(unjudged)
    judged = replace(unjudged, lineage=replace(unjudged.lineage, metrics={"ndcg@10": 0.1 + 0.2}))
    assert models.record_metrics(unjudged.ref, {"ndcg@10": 0.1 + 0.2}) == judged
    assert models.get(unjudged.ref) == judged
    models.register(version("student", "2"))
    for number in ("1", "2"):
        with pytest.raises(AlreadyExists, match=f"metrics: student@{number} has metrics"):
            models.record_metrics(ModelRef("student", number), {"ndcg@10": 0.9})
        assert models.get(ModelRef("student", number)).lineage.metrics == {"ndcg@10": 0.1 + 0.2}


def test_what_is_not_registered_is_not_found(models: Models) -> None:
    models.register(version("student", "1"))
    for ref, field in ((ModelRef("absent", "1"), "model"), (ModelRef("student", "9"), "version")):
        for call in (
            models.get,
            lambda ref: models.record_metrics(ref, {"ndcg@10": 0.5}),
            lambda ref: models.set_champion(ref, actor="ann", reason=""),
        ):
            with pytest.raises(NotFound) as error:
                call(ref)
            assert error.value.violations[0].field == field


def test_versions_are_listed_by_model_then_oldest_first_page_by_page(models: Models) -> None:
    expected = [
        version("a", "2", 0),
        version("a", "10", 1),
        version("a", "1", 2),
        version("b", "1", 0),
        version("b", "2", 0),
    ]
    for made in reversed(expected):
        models.register(made)
    seen: list[ModelVersion] = []
    token = ""
    for size in (2, 2, 1):
        page, token = models.list(page_size=2, page_token=token)
        assert len(page) == size
        seen += page
    assert (seen, token) == (expected, "")
    assert models.list("b")[0] == expected[3:]
    assert models.latest("a") == expected[2]
    assert models.latest("absent") is None


def test_a_token_of_no_list_is_refused(models: Models) -> None:
    for token in ("nonsense", "WyJhIiwgImIiLCAiYyJd"):
        with pytest.raises(InvalidRequest):
            models.list(page_token=token)


def test_numbers_follow_the_highest_number(models: Models) -> None:
    assert models.next_version("student") == "1"
    for number in ("9", "10", "2.1", "latest"):
        models.register(version("student", number))
    assert models.next_version("student") == "11"
    assert models.next_version("teacher") == "1"


def test_the_last_champion_serves_and_the_earlier_ones_stay_on_record(
    registry: Registry, models: Models
) -> None:
    assert models.champion() is None
    one, two = models.register(version("student", "1")), models.register(version("student", "2"))
    for made in (one, two, one):
        assert models.set_champion(made.ref, actor="ann", reason="better") == made
        assert models.champion() == made
    with registry.engine.connect() as connection:
        history = connection.execute(text("SELECT version FROM champions ORDER BY number"))
        assert [row.version for row in history] == ["1", "2", "1"]


def test_what_no_version_can_be_never_reaches_the_tables(
    registry: Registry, models: Models
) -> None:
    models.register(version("student", "1"))
    for change in ("kind = 'unheard_of'", "numerics = 'fp8'", "digest = 'md5:0'", "model = 'no'"):
        with pytest.raises(IntegrityError), writing(registry.engine) as session:
            session.execute(text(f"UPDATE model_versions SET {change}"))  # noqa: S608
