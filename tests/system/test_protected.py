"""Real processes behind mTLS and tokens, with unit ids under a key: who gets in, what is left."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import grpc
import polars as pl
import pytest
from tests.system.certificates import Files
from tests.system.installation import BM25, STUDENT

from ranklift.cli.composition import registry_of
from ranklift.cli.processes import children, free_address, wait_until_serving
from ranklift.settings import load_settings
from ranklift.v1 import events_pb2, events_pb2_grpc, ranking_pb2, ranking_pb2_grpc
from ranklift.v1.access import Role
from ranklift.v1.credentials import Credentials

EXPERIMENT = """
name = "boost"
unit = "user"
primary_metric = "user_ctr"
arms = [
    { name = "control", share = 0.5, model = "bm25@1" },
    { name = "treatment", share = 0.5, model = "student@1" },
]
"""
USERS = [f"zebra-{i}" for i in range(40)]
REVOKED_SECONDS = 30.0  # within two, and a busy machine's delay


@dataclass(frozen=True)
class Protected:
    """Servers that ask for certificates and tokens, and what their callers may show."""

    home: Path
    gateway: str
    environment: Mapping[str, str]
    files: Files
    tokens: Mapping[Role, str]

    def shows(self, role: Role) -> Credentials:
        return Credentials(
            self.files.ca, self.files.client, self.files.client_key, self.tokens[role]
        )

    def command(self, *arguments: str, role: Role = Role.ADMIN) -> str:
        """Return what `ranklift ARGUMENTS` prints, with the token of `role` in its settings."""
        done = subprocess.run(
            [sys.executable, "-m", "ranklift.cli", *arguments],
            env={**self.environment, "RANKLIFT_CLIENT__TOKEN": self.tokens[role]},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout


@pytest.fixture
def protected(home: Path, tmp_path: Path) -> Iterator[Protected]:
    files = Files(tmp_path / "certificates")
    with registry_of(load_settings(home=home)) as registry:
        roles = {Role.ADMIN: "ops", Role.READ: "dashboard", Role.RANK: "shop"}
        tokens = {role: registry.tokens.create(name, [role]) for role, name in roles.items()}
        tokens[Role.EVENTS] = registry.tokens.create("tracker", [Role.EVENTS])
    first, second, gateway = free_address(), free_address(), free_address()
    settings = {"RANKLIFT_SECURITY__TOKENS": "required", "RANKLIFT_EVENTS__HASH_UNITS": "true"}
    for server in ("GATEWAY", "RANKER"):
        settings |= {
            f"RANKLIFT_{server}__TLS__CERTIFICATE": files.certificate,
            f"RANKLIFT_{server}__TLS__KEY": files.key,
            f"RANKLIFT_{server}__TLS__CLIENT_CA": files.ca,
        }
    settings |= {
        "RANKLIFT_HOME": str(home),
        "RANKLIFT_RANKER__THREADS": "1",
        "RANKLIFT_CLIENT__CA": files.ca,
        "RANKLIFT_CLIENT__CERTIFICATE": files.client,
        "RANKLIFT_CLIENT__KEY": files.client_key,
        "RANKLIFT_CLIENT__TOKEN": tokens[Role.ADMIN],
    }
    made = Protected(home, gateway, {**os.environ, **settings}, files, tokens)
    file = tmp_path / "boost.toml"
    file.write_text(EXPERIMENT)
    made.command("experiment", "apply", str(file))
    made.command("experiment", "start", "boost")
    shown = made.shows(Role.READ)
    with children(tmp_path / "logs", settings) as start:
        for address, ref in ((first, BM25), (second, STUDENT)):
            ranker = start(ref.model, "serve", "ranker", "--load", str(ref), "--address", address)
            wait_until_serving(ranker, address, credentials=shown)
        behind = ("--ranker", first, "--ranker", second)
        process = start("gateway", "serve", "gateway", "--address", gateway, *behind)
        wait_until_serving(process, gateway, credentials=shown)
        yield made


def rank(at: str, shown: Credentials, user: str = "") -> ranking_pb2.RankResponse:
    documents = [ranking_pb2.Document(id=f"d{i}", text=f"red shoe {i}") for i in range(3)]
    request = ranking_pb2.RankRequest(
        query="red shoe", documents=documents, user_id=user, session_id=user and f"visit-{user}"
    )
    with shown.channel(at) as channel:
        return ranking_pb2_grpc.RankingServiceStub(channel).Rank(request, timeout=20)


def said(at: str, shown: Credentials) -> str:
    """Return "ok", or the status that a page was refused with."""
    try:
        rank(at, shown)
    except grpc.RpcError as error:
        return cast(grpc.Call, error).code().name
    return "ok"


def test_only_who_may_gets_in_and_no_id_is_left_in_the_clear(protected: Protected) -> None:
    at, files, shop = protected.gateway, protected.files, protected.shows(Role.RANK)
    clicks = []
    for i, user in enumerate(USERS):
        page = rank(at, shop, user)
        assert [one.experiment for one in page.assignments] == ["boost"]
        assert not page.fallback_reason
        click = events_pb2.Click(impression_id=page.impression_id, document_id=page.results[0].id)
        clicks.append(events_pb2.Event(event_id=f"e{i}", click=click))
    with protected.shows(Role.EVENTS).channel(at) as channel:
        stub = events_pb2_grpc.EventServiceStub(channel)
        recorded = stub.RecordEvents(events_pb2.RecordEventsRequest(events=clicks), timeout=20)
    assert recorded.recorded_count == len(USERS)

    # Nobody else.
    assert said(at, protected.shows(Role.READ)) == "PERMISSION_DENIED"
    assert said(at, protected.shows(Role.EVENTS)) == "PERMISSION_DENIED"
    nobody = Credentials(files.ca, files.client, files.client_key)
    assert said(at, nobody) == "UNAUTHENTICATED"
    bare = Credentials(files.ca, token=shop.token)  # no certificate
    assert said(at, bare) == "UNAVAILABLE"
    assert said(at, Credentials(token=shop.token)) == "UNAVAILABLE"

    # Commands show what the settings say.
    load = ("--rate", "20", "--seconds", "1", "--warm-up", "0")
    told = protected.command(
        "bench", "rank", f"grpc://{at}", *load, "--format", "json", role=Role.RANK
    )
    assert json.loads(told)
    told = protected.command("simulate", "replay", "--server", at, "--users", "5", "--name", "more")
    assert " 0 failed calls" in told

    # Reports count users, and no file knows who they are.
    report = json.loads(protected.command("report", "boost", "--format", "json"))
    assert sum(arm["exposed_units"] for arm in report["arms"]) >= len(USERS)
    for path in protected.home.rglob("*"):
        if path.is_file():
            assert b"zebra" not in path.read_bytes(), path
            if path.suffix == ".parquet":
                assert "zebra" not in pl.read_parquet(path).write_json(), path
    # Who knows the key finds one again, under the id that the shop knows.
    assert protected.command("events", "forget", USERS[7]).startswith("1 pages, 1 clicks")
    assert protected.command("events", "forget", USERS[7], "--yes").startswith("1 pages, 1 clicks")
    assert protected.command("events", "forget", USERS[7]).startswith("nothing")

    # A revoked token is worthless before long.
    protected.command("token", "revoke", "shop")
    ends = time.monotonic() + REVOKED_SECONDS
    while (answer := said(at, shop)) == "ok" and time.monotonic() < ends:
        time.sleep(0.05)
    assert answer == "UNAUTHENTICATED"
