"""The registry's schema: where it comes from, and what a server says when it is another."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from sqlalchemy import inspect, text
from sqlalchemy.exc import IntegrityError

from ranklift.store.database import (
    check_schema,
    needed_schema,
    open_engine,
    reading,
    upgrade,
    writing,
)
from ranklift.store.registry import open_registry
from ranklift.store.tables import Base, LayerRow
from ranklift.store.values import Lineage, ModelRef, ModelVersion
from ranklift.v1.errors import InvalidRequest, NotReady, Unreachable


def test_migrations_make_exactly_the_tables(registry_url: str) -> None:
    engine = open_engine(registry_url)
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, Base.metadata) == []
    engine.dispose()


@pytest.mark.parametrize(
    ("registry_url", "empty_url"),
    [("sqlite", "sqlite"), ("postgres", "postgres")],
    indirect=True,
)
def test_migrations_make_exactly_the_checks(registry_url: str, empty_url: str) -> None:
    """Alembic compares no CHECK constraints, so both ways of making them are compared here."""
    migrated, created = open_engine(registry_url), open_engine(empty_url)
    Base.metadata.create_all(created)
    for table in Base.metadata.tables:
        checks = [
            {check["name"]: check["sqltext"] for check in inspect(e).get_check_constraints(table)}
            for e in (migrated, created)
        ]
        assert checks[0] == checks[1], table
        partial = [
            {
                i["name"]: {k: str(v) for k, v in i.get("dialect_options", {}).items()}
                for i in inspect(e).get_indexes(table)
            }
            for e in (migrated, created)
        ]
        assert partial[0] == partial[1], table
    migrated.dispose()
    created.dispose()


def test_every_constraint_has_a_name(registry_url: str) -> None:
    engine = open_engine(registry_url)
    inspector = inspect(engine)
    for table in Base.metadata.tables:
        keys = [*inspector.get_foreign_keys(table), *inspector.get_unique_constraints(table)]
        keys.append(inspector.get_pk_constraint(table))
        assert all(key["name"] for key in keys), table
    engine.dispose()


def test_upgrade_twice_changes_nothing(registry_url: str) -> None:
    assert upgrade(registry_url) == needed_schema()


def test_upgrades_at_the_same_time_end_in_one_schema(empty_url: str) -> None:
    with ThreadPoolExecutor(4) as pool:
        assert set(pool.map(upgrade, [empty_url] * 4)) == {needed_schema()}
    open_registry(empty_url).close()


def test_first_users_of_a_sqlite_file_wait_for_each_other(tmp_path: Path) -> None:
    """SQLite refuses at once one of two that switch a new file to its write-ahead log.

    Without waiting, each of these meetings has a refusal in about one of twenty.
    """

    def meet(url: str, together: threading.Barrier) -> str:
        engine = open_engine(url)
        together.wait()
        with engine.connect() as connection:
            mode: str = connection.execute(text("PRAGMA journal_mode")).scalar_one()
        engine.dispose()
        return mode

    with ThreadPoolExecutor(8) as pool:
        for meeting in range(100):
            url = f"sqlite:///{tmp_path}/{meeting}.db"
            together = threading.Barrier(8)
            modes = pool.map(lambda _, url=url, all_=together: meet(url, all_), range(8))
            assert set(modes) == {"wal"}


def test_versions_and_who_refers_to_them_outlive_the_step_to_0004(empty_url: str) -> None:
    upgrade(empty_url)
    registry = open_registry(empty_url)
    old = ModelVersion(
        ref=ModelRef("student", "1"),
        kind="encoder",
        digest="sha256:" + "1" * 64,
        numerics="fp32",
        uri="models/student/1",
        lineage=Lineage("distil", ("teacher@1",), "nightly-1", {"ndcg@10": 0.1 + 0.2}),
        created=datetime(2026, 5, 1, tzinfo=UTC),
    )
    registry.models.register(old)
    registry.models.set_champion(old.ref, actor="ann", reason="")
    migrate(empty_url, command.downgrade, "0003")
    cascade = replace(old, ref=ModelRef("cascade", "1"), kind="cascade")
    with pytest.raises(IntegrityError, match="ck_model_versions_kind"):
        registry.models.register(cascade)
    migrate(empty_url, command.upgrade, "head")
    assert registry.models.champion() == registry.models.get(old.ref) == old
    registry.models.register(cascade)
    # The champion still needs its version, and a cascade has no place in the older schema.
    with pytest.raises(IntegrityError), writing(registry.engine) as session:
        session.execute(text("DELETE FROM model_versions WHERE model = 'student'"))
    with pytest.raises(IntegrityError):
        migrate(empty_url, command.downgrade, "0003")
    assert registry.models.get(cascade.ref) == cascade
    check_schema(registry.engine)
    registry.close()


def test_a_language_model_is_a_version_that_never_serves(empty_url: str) -> None:
    upgrade(empty_url)
    migrate(empty_url, command.downgrade, "0006")
    migrate(empty_url, command.upgrade, "head")
    registry = open_registry(empty_url)
    version = ModelVersion(
        ref=ModelRef("lm", "1"),
        kind="causal_lm",
        digest="sha256:" + "2" * 64,
        numerics="fp32",
        uri="models/lm/1",
        lineage=Lineage("cpt"),
        created=datetime(2026, 5, 1, tzinfo=UTC),
    )
    registry.models.register(version)
    assert registry.models.get(version.ref) == version
    with pytest.raises(InvalidRequest, match="lm@1 is a language model, which ranks nothing"):
        registry.models.set_champion(version.ref, actor="ann", reason="")
    assert registry.models.champion() is None
    registry.close()


def test_a_bi_encoder_is_a_version_that_may_serve(empty_url: str) -> None:
    upgrade(empty_url)
    migrate(empty_url, command.downgrade, "0007")
    migrate(empty_url, command.upgrade, "head")
    registry = open_registry(empty_url)
    version = ModelVersion(
        ref=ModelRef("cosine", "1"),
        kind="bi_encoder",
        digest="sha256:" + "3" * 64,
        numerics="bf16",
        uri="models/cosine/1",
        lineage=Lineage("import"),
        created=datetime(2026, 5, 1, tzinfo=UTC),
    )
    registry.models.register(version)
    registry.models.set_champion(version.ref, actor="ann", reason="")
    assert registry.models.champion() == version
    check_schema(registry.engine)
    registry.close()


def migrate(url: str, step: Callable[[Config, str], None], revision: str) -> None:
    config = Config()
    config.set_main_option("script_location", "ranklift.migrations:")
    engine = open_engine(url)
    try:
        with engine.begin() as connection:
            config.attributes["connection"] = connection
            step(config, revision)
    finally:
        engine.dispose()


def test_an_empty_database_names_the_command_to_run(empty_url: str) -> None:
    says = rf'schema none, .* needs {needed_schema()}; run "ranklift db upgrade"'
    with pytest.raises(NotReady, match=says):
        open_registry(empty_url)


def test_an_older_schema_names_the_command_to_run(
    registry_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    says = rf'schema {needed_schema()}, .* needs 9998; run "ranklift db upgrade"'
    monkeypatch.setattr("ranklift.store.database.needed_schema", lambda: "9998")
    with pytest.raises(NotReady, match=says):
        open_registry(registry_url)


def test_a_newer_schema_asks_for_a_newer_ranklift(empty_url: str) -> None:
    upgrade(empty_url)
    engine = open_engine(empty_url)
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    says = f"schema 9999, which is newer than {needed_schema()}; update ranklift"
    with pytest.raises(NotReady, match=says):
        check_schema(engine)
    engine.dispose()


@pytest.mark.parametrize("url", ["", "nonsense", "sqlite://", "sqlite:///:memory:", "mysql://h/d"])
def test_only_sqlite_files_and_postgresql_are_registries(url: str) -> None:
    with pytest.raises(InvalidRequest, match="neither sqlite:///<file> nor postgresql"):
        open_engine(url)


def test_a_database_that_does_not_answer_is_named_without_its_password(tmp_path: Path) -> None:
    with pytest.raises(Unreachable, match=r"postgresql\+psycopg://u:\*\*\*@/d.* does not answer"):
        open_registry(f"postgresql://u:secret@/d?host={tmp_path}")
    with pytest.raises(Unreachable, match=r"sqlite:///.*/absent/r.db does not answer"):
        upgrade(f"sqlite:///{tmp_path}/absent/r.db")


def test_an_exception_rolls_back_what_was_written(registry_url: str) -> None:
    engine = open_engine(registry_url)

    def interrupted() -> None:
        with writing(engine) as session:
            session.add(LayerRow(name="search"))
            session.flush()
            raise KeyError

    with pytest.raises(KeyError):
        interrupted()
    with reading(engine) as session:
        assert session.get(LayerRow, "search") is None
    engine.dispose()


def test_foreign_keys_are_enforced(registry_url: str) -> None:
    engine = open_engine(registry_url)
    with pytest.raises(IntegrityError), writing(engine) as session:
        session.execute(
            text(
                "INSERT INTO champions (number, model, version, actor, reason, created)"
                " VALUES (1, 'absent', '1', '', '', '2026-01-01')"
            )
        )
    engine.dispose()


def test_writers_of_one_sqlite_file_wait_for_each_other(sqlite_url: str) -> None:
    """A lost update shows that a writer began on an old snapshot."""
    engine = open_engine(sqlite_url)
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE counter (n INTEGER)"))
        connection.execute(text("INSERT INTO counter VALUES (0)"))

    def add_one(_: int) -> None:
        with writing(engine) as session:
            n = session.execute(text("SELECT n FROM counter")).scalar_one()
            session.execute(text("UPDATE counter SET n = :n"), {"n": n + 1})

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(add_one, range(40)))
    with engine.connect() as connection:
        assert connection.execute(text("SELECT n FROM counter")).scalar_one() == 40
    engine.dispose()
