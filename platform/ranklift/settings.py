"""Every setting of an installation, read once and validated once.

Later sources win: defaults < ranklift.toml < RANKLIFT_* < command-line flags. A
nested setting is spelled with two underscores in the environment:
RANKLIFT_GATEWAY__ADDRESS.
"""

from __future__ import annotations

import os
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, field_validator
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from ranklift.v1.errors import InvalidRequest, Violation

CONFIG_FILE = "ranklift.toml"


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class TLSSettings(_Section):
    """PEM files of a server: `certificate` chain and `key`; with `client_ca`, every client needs
    a certificate of that authority (mTLS). In the clear, and on loopback only, when empty."""

    certificate: str = ""
    key: str = ""
    client_ca: str = ""


class SecuritySettings(_Section):
    """Whether servers ask for bearer tokens; off loopback they always do."""

    tokens: Literal["off", "required"] = "off"


class ClientSettings(_Section):
    """What the gateway shows to rankers, and commands to servers: `ca` signs the servers'
    certificates, `certificate` and `key` are our own where servers ask for one, and `token`."""

    ca: str = ""
    certificate: str = ""
    key: str = ""
    token: SecretStr = SecretStr("")


class GatewaySettings(_Section):
    """The gateway and the services beside it.

    `rankers` are the addresses it forwards to. `deadline_seconds` holds for
    callers that set none. Prometheus finds metrics at `metrics_address`; there
    are none when it is empty. A shadow has `shadow_deadline_seconds` to score a
    page; at most `shadows_in_flight` do so at a time, and more are dropped.
    """

    address: str = "127.0.0.1:7400"
    tls: TLSSettings = TLSSettings()
    metrics_address: str = ""
    rankers: tuple[str, ...] = ("127.0.0.1:7401",)
    deadline_seconds: float = Field(default=5.0, gt=0)
    shadow_deadline_seconds: float = Field(default=2.0, gt=0)
    shadows_in_flight: int = Field(default=64, ge=0)


class RankerSettings(_Section):
    """A ranker server. `threads` are the cores that scoring may use; 0 takes all of them.

    `batch_tokens` go through the model at a time: the longest that an urgent
    call waits for work under way. `queue_tokens` is all that may wait; more is
    refused. After `patience_seconds` a waiting call is overtaken by no new one.
    Prometheus finds metrics at `metrics_address`; there are none when it is empty.

    `token_cache_tokens` bounds the ids of documents that each neural version
    keeps, 4 bytes a token. `score_cache_pairs` bounds the scores that the server
    keeps, 320 bytes each; calls of experiments use them only with
    `score_cache_in_experiments`, for a cached arm is quicker than the one that
    was launched. 0 turns a cache off.
    """

    address: str = "127.0.0.1:7401"
    tls: TLSSettings = TLSSettings()
    metrics_address: str = ""
    threads: int = Field(default=0, ge=0)
    batch_tokens: int = Field(default=1_024, ge=1)
    queue_tokens: int = Field(default=1 << 20, ge=1)
    patience_seconds: float = Field(default=1.0, ge=0)
    token_cache_tokens: int = Field(default=8_000_000, ge=0)
    score_cache_pairs: int = Field(default=0, ge=0)
    score_cache_in_experiments: bool = False


class LimitSettings(_Section):
    """What one ranking call may hold."""

    max_documents: int = Field(default=1_000, ge=1)
    max_text_chars: int = Field(default=100_000, ge=1)


class TelemetrySettings(_Section):
    """Traces: the OTLP collector that gets them, e.g. http://127.0.0.1:4317; none when empty."""

    otlp_endpoint: str = ""


class EventSettings(_Section):
    """The event log. Recorded events move into Parquet files every `export_seconds`. With
    `durability` "strict" a page is on disk before the user is answered, with "prompt" within
    100 ms after; events are on disk before they are acknowledged either way. Days that are more
    than `retention_days` old are dropped whole; 0 keeps all. The Parquet files lie under the home,
    or at `url`, e.g. s3://bucket/prefix; `storage_options` go to its fsspec file system. With
    `hash_units` ids of users and sessions are recorded under the key in `hash_key_file`, which is
    unit-ids.key under the home, made when missing, if it is not given."""

    hash_units: bool = False
    hash_key_file: Path | None = None
    export_seconds: float = Field(default=60.0, gt=0)
    durability: Literal["prompt", "strict"] = "prompt"
    retention_days: int = Field(default=0, ge=0)
    url: str = ""
    storage_options: dict[str, Any] = Field(default_factory=dict)


class RampSettings(_Section):
    """Guarded ramps. The scheduler looks at all that run every `interval_seconds`."""

    interval_seconds: float = Field(default=60.0, gt=0)


class RetrainSettings(_Section):
    """Retraining. A run takes `steps` steps of `lists` ranking lists each. `learning_rate` suits
    small students from scratch; pretrained ones, as MiniLM, want about 1e-4. `click_weight` is the
    weight of a margin loss on clicked documents beside the teacher's scores. `judgments` is a
    folder in BEIR layout that new versions are compared on; held-out clicks when it is empty.
    `ramp` are the traffic shares, growing, that a new version's experiment goes through, each for
    `ramp_hold_hours` at least; it takes all traffic at once when empty."""

    steps: int = Field(default=600, ge=1)
    lists: int = Field(default=8, ge=1)
    learning_rate: float = Field(default=1e-3, gt=0)
    click_weight: float = Field(default=0.1, ge=0)
    judgments: str = ""
    seed: int = Field(default=0, ge=0)
    ramp: tuple[Annotated[float, Field(gt=0, le=1)], ...] = (0.01, 0.05, 0.25, 0.5)
    ramp_hold_hours: float = Field(default=24.0, ge=0)

    @field_validator("ramp")
    @classmethod
    def _grows(cls, shares: tuple[float, ...]) -> tuple[float, ...]:
        if any(later <= earlier for earlier, later in pairwise(shares)):
            raise ValueError(f"{', '.join(map(str, shares))} must grow from step to step")
        return shares


class Settings(BaseSettings):
    """The settings tree of one installation."""

    model_config = SettingsConfigDict(
        env_prefix="RANKLIFT_",
        env_nested_delimiter="__",
        toml_file=CONFIG_FILE,
        frozen=True,
        extra="forbid",
    )

    home: Path = Path(".ranklift")
    registry: str = ""
    gateway: GatewaySettings = GatewaySettings()
    ranker: RankerSettings = RankerSettings()
    security: SecuritySettings = SecuritySettings()
    client: ClientSettings = ClientSettings()
    limits: LimitSettings = LimitSettings()
    telemetry: TelemetrySettings = TelemetrySettings()
    events: EventSettings = EventSettings()
    ramps: RampSettings = RampSettings()
    retrain: RetrainSettings = RetrainSettings()

    @property
    def registry_url(self) -> str:
        """The registry's SQLAlchemy URL: `registry`, or a SQLite file under the home."""
        return self.registry or f"sqlite:///{self.home.absolute() / 'registry.db'}"

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls)


def load_settings(**flags: Any) -> Settings:
    """Return the settings; `flags` are the ones given on the command line, None for not given.

    Raises:
        InvalidRequest: a value is wrong, or ranklift.toml or the environment
            names a setting that does not exist.
    """
    given = {name: value for name, value in flags.items() if value is not None}
    _refuse_unknown_environment()
    try:
        return Settings(**given)
    except ValidationError as error:
        raise InvalidRequest(
            [
                Violation(".".join(map(str, item["loc"])), item["msg"].lower())
                for item in error.errors()
            ]
        ) from error
    except ValueError as error:  # the TOML itself
        raise InvalidRequest.of(CONFIG_FILE, str(error)) from error


def _refuse_unknown_environment() -> None:
    """A misspelled variable would be ignored in silence, and so would the wish behind it."""
    known = {f"RANKLIFT_{name}".upper() for name in Settings.model_fields}
    unknown = [
        variable
        for variable in os.environ
        if variable.startswith("RANKLIFT_") and variable.split("__")[0] not in known
    ]
    if unknown:
        raise InvalidRequest(
            [
                Violation(name, f"no such setting; known: {', '.join(sorted(known))}")
                for name in unknown
            ]
        )
