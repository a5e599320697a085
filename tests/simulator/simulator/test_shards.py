"""Files of the compact log by user range: shards of one run, wherever they were written."""

import shutil
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from ranklift.clicks.dbn import Dbn
from ranklift.simulator.behaviour import Behaviour
from ranklift.simulator.compact import CompactLog, Script, compact_log, script
from ranklift.simulator.shards import Written, read_log, write_log, write_with_spark
from ranklift.simulator.visits import Sessions
from ranklift.simulator.world import Rankings, World
from ranklift.v1.errors import InvalidRequest

USERS = 120


@pytest.fixture(scope="module")
def played(world: World, ideal: Rankings) -> Script:
    world = replace(world, behaviour=Behaviour(Dbn()), sessions=Sessions(visits_per_month=20))
    return script(world, {"control": world.candidates, "student": ideal})


@pytest.fixture(scope="module")
def whole(played: Script) -> CompactLog:
    return compact_log(played, 0, USERS)


def assert_same(one: CompactLog, other: CompactLog) -> None:
    assert_frame_equal(one.pages, other.pages)
    assert_frame_equal(one.clicks, other.clicks)


def files_of(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


@pytest.mark.parametrize(("workers", "users_per_file"), [(1, 1_000), (2, 50), (3, 7)])
def test_the_files_hold_the_log(
    played: Script, whole: CompactLog, tmp_path: Path, workers: int, users_per_file: int
) -> None:
    written = write_log(played, tmp_path, 0, USERS, workers=workers, users_per_file=users_per_file)
    files = -(-USERS // users_per_file)
    assert written == Written(files, len(whole.pages), len(whole.clicks))
    assert_same(read_log(tmp_path), whole)
    assert len(list(tmp_path.rglob("*.parquet"))) == 2 * files + 3
    assert not [name for name in files_of(tmp_path) if "/." in name or name.startswith(".")]


def test_shards_of_two_machines_are_one_run(
    played: Script, whole: CompactLog, tmp_path: Path
) -> None:
    second = write_log(played, tmp_path, 45, USERS, users_per_file=50)
    first = write_log(played, tmp_path, 0, 45, users_per_file=50)
    assert first + second == Written(3, len(whole.pages), len(whole.clicks))
    assert_same(read_log(tmp_path), whole)
    # And the files are plain Parquet in order of the users, for whoever reads a folder.
    assert_frame_equal(pl.read_parquet(tmp_path / "pages"), whole.pages)


def test_a_shard_that_was_broken_off_is_written_again(played: Script, tmp_path: Path) -> None:
    write_log(played, tmp_path, 0, USERS, users_per_file=50)
    before = files_of(tmp_path)
    next((tmp_path / "pages").iterdir()).unlink()
    write_log(played, tmp_path, 0, USERS, users_per_file=50)
    assert files_of(tmp_path) == before


def test_numbers_can_be_looked_up(
    played: Script, whole: CompactLog, ideal: Rankings, tmp_path: Path
) -> None:
    write_log(played, tmp_path, 0, USERS)
    tables = {
        name: pl.read_parquet(tmp_path / f"{name}.parquet")
        for name in ("queries", "documents", "rankings")
    }
    world = played.world
    assert tables["queries"]["query_id"].to_list() == list(world.query_ids)
    student = tables["rankings"].filter(pl.col("arm") == "student")
    shown = student.join(tables["queries"], on="query").join(tables["documents"], on="document")
    query_id = world.query_ids[3]
    of_query = shown.filter(pl.col("query_id") == query_id).sort("position")
    assert of_query["document_id"].to_list() == list(ideal[query_id])[:10]
    clicked = (
        whole.clicks.join(whole.pages, on="page_id")
        .join(tables["rankings"], on=["arm", "query", "position"], how="left")
    )  # fmt: skip
    assert clicked["document"].to_list() == clicked["document_right"].to_list()


def test_a_folder_holds_one_world(played: Script, tmp_path: Path) -> None:
    write_log(played, tmp_path, 0, 20)
    before = files_of(tmp_path)
    changed = replace(played.world, sessions=Sessions(go_on_satisfied=0.4))
    for other in (
        replace(played, world=changed),
        replace(played, arm_of=lambda user: user % 2),
        replace(played, world=replace(played.world, seed=9)),
    ):
        with pytest.raises(InvalidRequest, match="another world"):
            write_log(other, tmp_path, 20, 40)
    assert files_of(tmp_path) == before


def test_users_are_not_written_twice_in_two_cuts(played: Script, tmp_path: Path) -> None:
    write_log(played, tmp_path, 0, 40)
    before = files_of(tmp_path)
    with pytest.raises(InvalidRequest, match="cut in another way"):
        write_log(played, tmp_path, 30, 60)
    assert files_of(tmp_path) == before


@pytest.fixture(scope="module")
def spark_context() -> Iterator[Any]:
    """A Spark of two threads in this machine."""
    sql = pytest.importorskip("pyspark.sql", reason="pyspark is not installed")
    if shutil.which("java") is None:
        pytest.skip("Spark needs Java, which is not installed")
    local = {
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.driver.host": "127.0.0.1",
        "spark.log.level": "OFF",
        "spark.ui.enabled": "false",
    }
    with pytest.MonkeyPatch.context() as environment:
        # Workers are processes of their own, of whichever python3 comes first otherwise.
        environment.setenv("PYSPARK_PYTHON", sys.executable)
        session = sql.SparkSession.builder.master("local[2]").config(map=local).getOrCreate()
        yield session.sparkContext
        session.stop()


@pytest.mark.filterwarnings("ignore::ResourceWarning")  # of Spark's own sockets
def test_spark_writes_what_one_process_writes(
    spark_context: Any, played: Script, tmp_path: Path
) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    expected = write_log(played, here, 0, USERS, users_per_file=50)
    assert write_with_spark(spark_context, played, there, 0, USERS, users_per_file=50) == expected
    assert files_of(there) == files_of(here)
