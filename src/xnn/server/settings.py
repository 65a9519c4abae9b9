"""Settings of the service: the command line, then `XNN_*` of the environment, then a TOML file."""

import difflib
import ipaddress
import tomllib
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError, model_validator
from pydantic_settings import (
    BaseSettings,
    InitSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from xnn.errors import ConfigError
from xnn.files import disk_errors

ENVIRONMENT_PREFIX = "XNN_"
ScorePolicy = Literal["exact", "rounded", "hidden"]


class ServeSettings(BaseSettings):
    """Everything an operator may set. Each name is also `XNN_NAME` and a line of the TOML file."""

    model_config = SettingsConfigDict(
        env_prefix=ENVIRONMENT_PREFIX, extra="forbid", frozen=True, env_ignore_empty=True
    )

    bundle: Path = Field(description="Folder of the server bundle.")
    gallery: str = Field(
        repr=False, description="Where the gallery is: sqlite:///FILE or postgresql://..."
    )
    device_bundle: Path | None = Field(
        None, description="Folder of the device bundle that the console's browser fetches."
    )

    master_key_file: Path | None = Field(
        None,
        description="Key that seals templates at rest, mode 0600; or XNN_MASTER_KEY holds it.",
    )

    host: str = Field("127.0.0.1", description="Address to listen on.")
    port: int = Field(8000, ge=0, le=65535, description="Port; 0 takes a free one.")
    tls_cert: Path | None = Field(None, description="Certificate chain, PEM.")
    tls_key: Path | None = Field(None, description="Its private key, PEM, mode 0600.")
    tls_client_ca: Path | None = Field(
        None, description="Only clients with a certificate of this CA are let in (mutual TLS)."
    )
    allow_plain_http: bool = Field(
        False,
        description="Listen beyond this machine without TLS: only behind a proxy that has it.",
    )
    trusted_proxies: str = Field(
        "", description="Addresses whose X-Forwarded-For and -Proto count, separated by commas."
    )

    max_records: int = Field(
        64, ge=1, le=4096, description="Records in one message; nothing larger is read."
    )
    body_timeout_s: float = Field(30.0, gt=0, le=3600, description="Time for a body to arrive.")
    max_in_flight: int = Field(64, ge=1, le=10_000, description="Requests served at once.")
    requests_per_s: float = Field(
        50.0, gt=0, le=1e6, description="Of one API key, in the long run."
    )
    request_burst: int = Field(100, ge=1, le=10**6, description="Of one API key, at once.")
    probes_per_hour: float = Field(
        3600.0, gt=0, le=1e9, description="Probes that one API key may search or verify."
    )
    probe_burst: int = Field(600, ge=1, le=10**9, description="The same, at once.")
    scores: ScorePolicy = Field(
        "rounded",
        description="What callers see of scores: `exact`, `rounded` to two digits, or `hidden`.",
    )
    thresholds: dict[float, float] = Field(
        {},
        description="Scores by false accept rate, measured by the operator on people of his own; "
        "empty takes the bundle's calibration.",
    )
    max_top_k: int = Field(50, ge=1, le=1000, description="Candidates that a search may ask for.")

    max_batch: int = Field(32, ge=1, le=4096, description="Records the student takes at once.")
    batch_wait_ms: float = Field(2.0, ge=0, le=1000, description="How long a batch is gathered.")
    max_queued: int = Field(512, ge=1, le=10**6, description="Records that may wait for it.")
    torch_threads: int = Field(0, ge=0, le=1024, description="Of the student; 0 is torch's choice.")
    workers: int = Field(16, ge=1, le=256, description="Threads that talk to the gallery.")

    replay_window_s: float = Field(
        300.0,
        gt=0,
        le=86_400,
        description="How far a device's clock may be off; replays are known.",
    )
    drain_s: float = Field(
        0.0, ge=0, le=600, description="After a stop signal: not ready, but serving, for so long."
    )
    stop_timeout_s: int = Field(
        30, ge=1, le=3600, description="How long requests that are being served may take to end."
    )
    metrics: Literal["key", "open"] = Field(
        "key", description="/metrics with any API key, or for everybody."
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="Of logs.")
    log_subjects: bool = Field(False, description="Let subject ids stand in the log.")

    @model_validator(mode="after")
    def _fit_together(self) -> "ServeSettings":
        if (self.tls_cert is None) != (self.tls_key is None):
            raise ValueError("tls_cert and tls_key belong together: give both or none")
        if self.tls_client_ca is not None and self.tls_cert is None:
            raise ValueError("tls_client_ca needs tls_cert and tls_key: clients see TLS first")
        if not all(0 < far < 1 and -1 <= score <= 1 for far, score in self.thresholds.items()):
            raise ValueError("thresholds: rates are fractions in (0, 1), scores are in [-1, 1]")
        if self.tls_cert is None and not self.allow_plain_http and not _is_loopback(self.host):
            raise ValueError(
                f"host={self.host} is reached from other machines and there is no TLS: API keys "
                "would cross the network in the clear; give tls_cert and tls_key, or "
                "allow_plain_http behind a proxy that has TLS"
            )
        return self


def load_settings(config: Path | None = None, **given: Any) -> ServeSettings:
    """Gather the settings.

    Args:
        config: TOML file, flat; None for none.
        given: What the command line says; None counts as not said.

    Raises:
        ConfigError: A name is unknown, a value out of range, or two contradict each other.
        StorageError: The file cannot be read.
    """
    content = {} if config is None else _read_toml(config)

    class FromEverywhere(ServeSettings):
        """The settings with the file's content as the last source."""

        @classmethod
        def settings_customise_sources(
            cls,
            settings_cls: type[BaseSettings],
            init_settings: PydanticBaseSettingsSource,
            env_settings: PydanticBaseSettingsSource,
            dotenv_settings: PydanticBaseSettingsSource,
            file_secret_settings: PydanticBaseSettingsSource,
        ) -> tuple[PydanticBaseSettingsSource, ...]:
            """Return the sources, strongest first."""
            return init_settings, env_settings, InitSettingsSource(settings_cls, content)

    try:
        return FromEverywhere(**{k: v for k, v in given.items() if v is not None})
    except ValidationError as error:
        raise ConfigError(_one_line(error)) from None  # the chained one would print the values


def _read_toml(path: Path) -> dict[str, Any]:
    with disk_errors("read the settings", path), path.open("rb") as file:
        try:
            content = tomllib.load(file)
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise ConfigError(f"{path.name!r} is not TOML: {error}") from None
    known = ServeSettings.model_fields
    for name in content:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(known)}"
            raise ConfigError(f"{path.name!r} has an unknown setting {name!r}; {hint}")
    return content


def _one_line(error: ValidationError) -> str:
    """Say what is wrong without the values: a gallery's address may hold a password."""
    parts = []
    for problem in error.errors(include_input=False, include_url=False):
        name = ".".join(map(str, problem["loc"]))
        text = problem["msg"].removeprefix("Value error, ")
        missing = problem["type"] == "missing"
        hint = f" (--{name.replace('_', '-')}, {ENVIRONMENT_PREFIX}{name.upper()} or the file)"
        parts.append(f"{name}: {text}{hint if missing else ''}" if name else text)
    return "; ".join(parts)


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
