"""One settings tree: defaults < ranklift.toml < environment < flags, and no silent misspelling."""

from __future__ import annotations

from pathlib import Path

import pytest

from ranklift.settings import load_settings
from ranklift.v1.errors import InvalidRequest


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("RANKLIFT_HOME", raising=False)
    return tmp_path


def test_later_sources_win(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert load_settings().gateway.address == "127.0.0.1:7400"
    (folder / "ranklift.toml").write_text(
        '[gateway]\naddress = "127.0.0.1:1"\ndeadline_seconds = 2.5\n'
    )
    assert load_settings().gateway.address == "127.0.0.1:1"
    monkeypatch.setenv("RANKLIFT_GATEWAY__ADDRESS", "127.0.0.1:2")
    assert load_settings().gateway.address == "127.0.0.1:2"
    settings = load_settings(gateway={"address": "127.0.0.1:3"})
    assert settings.gateway.address == "127.0.0.1:3"
    # What a later source does not mention stays as the earlier one has it.
    assert settings.gateway.deadline_seconds == 2.5


def test_the_registry_is_a_file_under_the_home_unless_said_otherwise(folder: Path) -> None:
    assert load_settings(home=Path("h")).registry_url == f"sqlite:///{folder / 'h' / 'registry.db'}"
    assert load_settings(registry="postgresql://h/d").registry_url == "postgresql://h/d"


def test_a_wrong_value_is_named(folder: Path) -> None:
    (folder / "ranklift.toml").write_text("[gateway]\ndeadline_seconds = -1\n")
    with pytest.raises(InvalidRequest, match=r"gateway\.deadline_seconds: .*greater than 0"):
        load_settings()


@pytest.mark.parametrize("content", ["[gatway]\naddress = 'x'\n", "[gateway]\nadress = 'x'\n"])
def test_an_unknown_key_is_named(folder: Path, content: str) -> None:
    (folder / "ranklift.toml").write_text(content)
    with pytest.raises(InvalidRequest, match=r"ga.*: extra inputs are not permitted"):
        load_settings()


def test_a_misspelled_variable_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANKLIFT_HOEM", "x")
    with pytest.raises(InvalidRequest, match=r"RANKLIFT_HOEM: no such setting; known: .*HOME"):
        load_settings()


def test_toml_that_is_none_is_one_line(folder: Path) -> None:
    (folder / "ranklift.toml").write_text("[gateway\n")
    with pytest.raises(InvalidRequest, match=r"ranklift\.toml: "):
        load_settings()
