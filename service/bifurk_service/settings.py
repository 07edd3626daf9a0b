"""Every setting of the service: read once, from arguments and ``BIFURK_*``, then frozen."""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Literal, TypeAlias

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

MEBIBYTE = 1 << 20

LogFormat: TypeAlias = Literal["text", "json"]
LogLevel: TypeAlias = Literal["debug", "info", "warning", "error"]


class Settings(BaseSettings):
    """One field a setting; the environment variable is ``BIFURK_`` and the field's name."""

    model_config = SettingsConfigDict(env_prefix="BIFURK_", frozen=True, extra="ignore")

    data_dir: Path = Field(
        Path("bifurk-data"), description="Folder of the SQLite database and blobs."
    )
    database_url: str | None = Field(
        None, description="SQLAlchemy URL; without one, SQLite in `data_dir`."
    )
    database_url_file: Path | None = Field(
        None, description="File that holds the database's URL, where that is a secret; it wins."
    )
    database_connections: int = Field(
        20, ge=1, description="Most connections to PostgreSQL that a process's requests use."
    )
    database_wait_seconds: float = Field(
        2.0,
        gt=0,
        description="How long a request waits for a connection to PostgreSQL before it is answered "
        "503.",
    )
    database_statement_seconds: float = Field(
        60.0, gt=0, description="Longest statement of a request to PostgreSQL; longer ones end."
    )
    blob_url: str | None = Field(
        None, description="fsspec URL of the blobs; without one, a folder in `data_dir`."
    )
    host: str = Field(
        "127.0.0.1", description="Address to listen on; others than loopback need a token."
    )
    port: int = Field(8700, ge=0, le=65535, description="Port to listen on; 0 takes a free one.")
    allowed_hosts: tuple[str, ...] = Field(
        (), description="Host names requests may name; empty: loopback names on loopback, else any."
    )
    max_part_bytes: int = Field(
        64 * MEBIBYTE, ge=1024, description="Largest body of one part as sent, in bytes."
    )
    max_decoded_bytes: int = Field(
        512 * MEBIBYTE, ge=1024, description="Largest part once unpacked, in bytes."
    )
    max_tensors: int = Field(20_000, ge=1, description="Most tensors in one part.")
    max_concurrent_parts: int = Field(
        8, ge=1, description="Parts taken in at once; more are answered 503."
    )
    upload_timeout_seconds: float = Field(
        60.0, gt=0, description="How long the body of an upload may take to arrive."
    )
    requests_per_minute: int | None = Field(
        None, ge=1, description="Requests that each token has a minute; none: no limit."
    )
    upload_bytes_per_minute: int | None = Field(
        None, ge=1024, description="Bytes of uploads that each token has a minute; none: no limit."
    )
    pipeline: bool = Field(
        default=True,
        description="Whether `bifurk serve` measures, judges and tells; else `bifurk worker` does.",
    )
    lease_seconds: float = Field(
        15.0, ge=1.0, description="Silence after which a pipeline's attempts are anybody's."
    )
    measure_workers: int = Field(
        max(1, (os.cpu_count() or 2) // 2), ge=1, description="Worker processes that measure."
    )
    dask_scheduler: str | None = Field(
        None,
        description="`tcp://` or `tls://` address of a Dask scheduler that measures instead.",
    )
    spectra_budget_seconds: float = Field(
        30.0, ge=0, description="Time for the spectra of one snapshot; at least one is measured."
    )
    spectra_vectors_every: int = Field(
        10, ge=1, description="One snapshot in so many has its singular vectors looked at."
    )
    part_timeout_seconds: float = Field(
        60.0, gt=0, description="How long judging waits for a missing snapshot or part."
    )
    silent_minimum_seconds: float = Field(
        600.0, gt=0, description="Shortest silence after which an attempt counts as lost."
    )
    retention_days: float | None = Field(
        None, gt=0, description="Runs without news for this long are deleted; none: never."
    )
    keep_bytes_per_run: int | None = Field(
        None, ge=1, description="Bytes from which on a run's past is thinned; none: never."
    )
    audit_days: float = Field(
        365.0, gt=0, description="How long the audit log goes back; older entries are deleted."
    )
    alerts_file: Path | None = Field(
        None, description="YAML file of rules, channels and baselines; none: nobody is told."
    )
    notify_allowed_hosts: tuple[str, ...] = Field(
        (), description="Hosts or networks that channels may lead to; empty: any that is public."
    )
    notify_private_addresses: bool = Field(
        default=False,
        description="Whether channels may lead into private networks and this machine.",
    )
    public_url: str | None = Field(
        None,
        pattern=r"^https?://[^\s]+$",
        description="Where people reach this server; none: messages hold no links to it.",
    )
    root_path: str = Field(
        "",
        pattern=r"^(/[\w.~-]+)*$",
        description="Prefix under which a proxy publishes the server, such as `/bifurk`.",
    )
    log_format: LogFormat = Field(
        "text", description="How lines of the log are written: `text` for people, or `json`."
    )
    log_level: LogLevel = Field(
        "info", description="From which level on: `debug`, `info`, `warning` or `error`."
    )
    metrics_series_per_run: int = Field(
        100, ge=0, description="Most training-state series that one run shows at `/metrics`."
    )
    metrics_series: int = Field(
        20_000, ge=0, description="Most training-state series in all at `/metrics`."
    )
    metrics_grace_seconds: float = Field(
        3600.0, ge=0, description="How long an ended run stays at `/metrics`."
    )

    @classmethod
    def given(cls, arguments: Mapping[str, object]) -> Settings:
        """Settings from arguments where given, else the environment, else the defaults."""
        return cls.model_validate({**cls().model_dump(), **arguments})

    @field_validator("database_url_file")
    @classmethod
    def _is_readable(cls, path: Path | None) -> Path | None:
        if path is not None:
            try:
                path.read_text(encoding="utf-8")
            except OSError as error:
                raise ValueError(f"{path} cannot be read: {error.strerror}") from error
        return path

    @property
    def resolved_database_url(self) -> str:
        """The database's URL, read from its file, or the default filled in."""
        if self.database_url_file is not None:
            return self.database_url_file.read_text(encoding="utf-8").strip()
        return self.database_url or f"sqlite:///{(self.data_dir / 'bifurk.db').absolute()}"

    @property
    def resolved_blob_url(self) -> str:
        """The blobs' URL, the default filled in."""
        return self.blob_url or str((self.data_dir / "blobs").absolute())

    @property
    def on_loopback(self) -> bool:
        """Whether only this machine can reach the server."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    @property
    def url_host(self) -> str:
        """The address as URLs and Host headers write it: IPv6 in brackets."""
        return f"[{self.host}]" if ":" in self.host else self.host
