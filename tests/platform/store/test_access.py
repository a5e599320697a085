"""What the registry promises of tokens and of the audit log, on every database."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import inspect, text
from sqlalchemy.exc import DBAPIError

from ranklift.store.database import check_schema, open_engine, upgrade
from ranklift.store.registry import Registry, open_registry
from ranklift.store.token_poller import TokenPoller
from ranklift.v1.access import Role
from ranklift.v1.errors import AlreadyExists, InvalidRequest, NotFound, NotReady
from ranklift.v1.guard import AuditEntry
from ranklift.v1.rate import Rate
from ranklift.v1.tokens import find

NOW = datetime(2026, 3, 1, tzinfo=UTC)


def test_a_token_is_known_by_its_hash_alone(registry: Registry) -> None:
    secret = registry.tokens.create(
        "shop",
        [Role.RANK, Role.EVENTS],
        rate=Rate(10.0, 20.0),
        expires=datetime.max.replace(year=2999, tzinfo=UTC),
    )
    found = find(secret, registry.tokens.valid(), datetime.now(UTC))
    assert found is not None
    assert (found.name, found.roles) == ("shop", frozenset({Role.RANK, Role.EVENTS}))
    assert found.rate == Rate(10.0, 20.0)
    with registry.engine.connect() as connection:
        rows = connection.execute(text("SELECT * FROM tokens")).all()
    assert secret not in str(rows)
    assert secret.rsplit("_", 1)[1] not in str(rows)


def test_a_revoked_token_is_worthless_and_keeps_its_name(registry: Registry) -> None:
    secret = registry.tokens.create("shop", [Role.RANK])
    registry.tokens.revoke("shop")
    assert find(secret, registry.tokens.valid(), datetime.now(UTC)) is None
    assert registry.tokens.list()[0].revoked is not None
    with pytest.raises(AlreadyExists, match="there is or was"):
        registry.tokens.create("shop", [Role.RANK])
    with pytest.raises(NotReady, match="was revoked"):
        registry.tokens.revoke("shop")
    with pytest.raises(NotFound, match="no token"):
        registry.tokens.revoke("absent")


@pytest.mark.parametrize("name", ["", "Shop", "local", "a b", "x" * 65])
def test_names_that_would_mislead_are_refused(registry: Registry, name: str) -> None:
    with pytest.raises(InvalidRequest, match="name"):
        registry.tokens.create(name, [Role.RANK])
    with pytest.raises(InvalidRequest, match="expires"):
        registry.tokens.create("shop", [Role.RANK], expires=NOW - timedelta(days=9_999))


def test_the_audit_log_only_grows(registry: Registry) -> None:
    entry = AuditEntry(NOW, "ci", "ann", "/x/Start", "title-boost", "ok")
    later = replace(entry, time=NOW + timedelta(hours=1), actor="local")
    registry.audit.record(entry)
    registry.audit.record(later)
    assert registry.audit.list() == (entry, later)
    assert registry.audit.list(since=later.time) == (later,)
    assert registry.audit.list(actor="ci") == (entry,)
    assert registry.audit.list(limit=1) == (later,)
    for statement in ("UPDATE audit_entries SET actor = 'x'", "DELETE FROM audit_entries"):
        with (
            pytest.raises(DBAPIError, match="append-only"),
            registry.engine.begin() as connection,
        ):
            connection.execute(text(statement))
    assert len(registry.audit.list()) == 2


def test_a_poller_learns_of_revocations_and_outlives_the_registry(registry: Registry) -> None:
    async def act() -> None:
        poller = TokenPoller(registry.tokens, interval_seconds=0.01)
        with pytest.raises(NotReady, match="ranklift token create"):
            await poller.start()
        registry.tokens.create("shop", [Role.RANK])
        registry.tokens.create("ops", [Role.ADMIN])
        await poller.start()
        assert {each.name for each in poller.current().values()} == {"shop", "ops"}
        registry.tokens.revoke("shop")
        async with asyncio.timeout(10):
            while len(poller.current()) > 1:
                await asyncio.sleep(0.01)
        await poller.close()
        with registry.engine.begin() as connection:
            connection.execute(text("ALTER TABLE tokens RENAME TO hidden"))
        try:
            await poller.refresh()
            assert {each.name for each in poller.current().values()} == {"ops"}
        finally:
            with registry.engine.begin() as connection:
                connection.execute(text("ALTER TABLE hidden RENAME TO tokens"))

    asyncio.run(act())


def migrate(url: str, step: Callable[[Config, str], None], revision: str) -> None:
    config = Config()
    config.set_main_option("script_location", "ranklift.migrations:")
    engine = open_engine(url)
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        step(config, revision)
    engine.dispose()


def test_the_step_to_0006_can_be_taken_back_and_again(empty_url: str) -> None:
    upgrade(empty_url)
    migrate(empty_url, command.downgrade, "0005")
    engine = open_engine(empty_url)
    assert not {"tokens", "audit_entries"} & set(inspect(engine).get_table_names())
    with pytest.raises(NotReady):
        check_schema(engine)
    engine.dispose()
    upgrade(empty_url)
    registry = open_registry(empty_url)
    assert registry.tokens.create("shop", [Role.RANK]).startswith("rl_")
    registry.audit.record(AuditEntry(NOW, "local", "", "ranklift layer set", "default", "ok"))
    with pytest.raises(DBAPIError), registry.engine.begin() as connection:
        connection.execute(text("DELETE FROM audit_entries"))
    assert len(registry.audit.list()) == 1
    registry.close()
