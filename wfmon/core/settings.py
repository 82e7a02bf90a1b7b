"""Settings as one frozen tree. Each field defines a setting's name, default, bounds and help text.

``settings_files`` reads and saves them.
"""

from __future__ import annotations

import dataclasses
import os
import typing
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from wfmon.core.errors import SettingsError


def opt(
    default: Any,  # noqa: ANN401  any plain type
    help_: str,
    *,
    low: float | None = None,
    high: float | None = None,
    choices: tuple[str, ...] = (),
    restart: bool = True,
) -> Any:  # noqa: ANN401
    """Declare a setting. ``restart``: a change takes effect at the next start."""
    return field(
        default=default,
        metadata={"help": help_, "low": low, "high": high, "choices": choices, "restart": restart},
    )


def default_data_dir() -> Path:
    """Return ``WFMON_DATA``, else this user's data folder; absolute."""
    if given := os.environ.get("WFMON_DATA"):
        return data_folder(Path(given))
    from platformdirs import user_data_path

    return user_data_path("wfmon", appauthor=False)


def data_folder(given: Path | None) -> Path:
    """Return the data folder as an absolute path with ``~`` expanded; None: the default folder."""
    if given is None:
        return default_data_dir()
    try:
        return given.expanduser().absolute()
    except RuntimeError:
        raise SettingsError(f"{given}: that user has no home folder; use the data folder's full path.") from None


def _section(cls: type[Any]) -> Any:  # noqa: ANN401
    return field(default_factory=cls)


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """The listener."""

    port: int = opt(9445, "Port on 127.0.0.1. 0: any free port.", low=0, high=65_535)
    tls: bool = opt(False, "Serve HTTPS and HTTP/2.")
    cert_file: str = opt("", "Certificate (PEM) for TLS. Empty: one is created in the data folder.")
    key_file: str = opt("", "Key (PEM) of that certificate.")
    open_browser: bool = opt(True, "Open the page in the browser at start.")
    max_clients: int = opt(
        64, "Maximum number of stream clients. Further ones are refused with a reason.", low=1, high=1_000
    )


@dataclass(frozen=True, slots=True)
class SystemSettings:
    """CPU, memory, disk, temperatures."""

    enabled: bool = opt(True, "Measure CPU, memory, swap, disk and temperatures.", restart=False)
    rate_hz: float = opt(10.0, "Polls per second.", low=0.1, high=60)
    processes: bool = opt(True, "List the ten busiest processes while that panel is visible.")


@dataclass(frozen=True, slots=True)
class GpuSettings:
    """Graphics cards."""

    enabled: bool = opt(True, "Measure graphics cards (NVIDIA through NVML, AMD through sysfs).", restart=False)
    rate_hz: float = opt(10.0, "Polls per second.", low=0.1, high=60)


@dataclass(frozen=True, slots=True)
class NetworkSettings:
    """Traffic on localhost."""

    enabled: bool = opt(True, "Measure loopback traffic, connections and listeners.", restart=False)
    rate_hz: float = opt(1.0, "Polls per second.", low=0.1, high=10)


@dataclass(frozen=True, slots=True)
class MonitorSettings:
    """The monitor's own cost and health."""

    enabled: bool = opt(True, "Measure the monitor itself.", restart=False)
    rate_hz: float = opt(1.0, "Polls per second.", low=0.1, high=10)


@dataclass(frozen=True, slots=True)
class UxSettings:
    """What open pages report about themselves."""

    enabled: bool = opt(True, "Record the frame times and input latency that open pages report.", restart=False)


@dataclass(frozen=True, slots=True)
class ModelSettings:
    """What hooks and the proxy report about models."""

    enabled: bool = opt(
        True, "Receive what hooks and the proxy report about models: times and counts, never text.", restart=False
    )
    requests: int = opt(200, "Number of recent requests kept in memory.", low=10, high=2_000)


@dataclass(frozen=True, slots=True)
class ServersSettings:
    """Model servers on this machine."""

    enabled: bool = opt(True, "Find model servers listening on this machine, and read their statistics.", restart=False)
    rate_hz: float = opt(1.0, "Polls per second.", low=0.1, high=1)


@dataclass(frozen=True, slots=True)
class CollectSettings:
    """One section per collector."""

    system: SystemSettings = _section(SystemSettings)
    gpu: GpuSettings = _section(GpuSettings)
    network: NetworkSettings = _section(NetworkSettings)
    monitor: MonitorSettings = _section(MonitorSettings)
    ux: UxSettings = _section(UxSettings)
    model: ModelSettings = _section(ModelSettings)
    servers: ServersSettings = _section(ServersSettings)


@dataclass(frozen=True, slots=True)
class EnergySettings:
    """The energy index: docs/energy.md has the formulas."""

    profile: str = opt(
        "learned", "Full speed: learned (the model's own peak), or fixed for a lite, dual or studio machine.",
        choices=("learned", "lite", "dual", "studio"),
    )  # fmt: skip
    tps_min: float = opt(0.0, "Tokens per second that count as speed 0.", low=0, high=1_000)
    tps_max_lite: float = opt(20.0, "Tokens per second that count as full speed, profile lite.", low=1, high=100_000)
    tps_max_dual: float = opt(60.0, "The same, profile dual.", low=1, high=100_000)
    tps_max_studio: float = opt(200.0, "The same, profile studio.", low=1, high=100_000)
    peak_floor: float = opt(
        20.0, "Lower limit of the learned peak, tokens per second, profile learned.", low=1, high=100_000
    )
    peak_half_life_s: float = opt(300.0, "Half-life of the learned peak, in seconds.", low=1, high=86_400)
    weight_velocity: float = opt(0.5, "Weight of speed.", low=0, high=1)
    weight_certainty: float = opt(0.3, "Weight of certainty.", low=0, high=1)
    weight_steadiness: float = opt(0.2, "Weight of steadiness.", low=0, high=1)
    weight_velocity_alone: float = opt(0.7, "Weight of speed if certainty is not known.", low=0, high=1)
    weight_steadiness_alone: float = opt(0.3, "Weight of steadiness if certainty is not known.", low=0, high=1)
    smoothing: float = opt(
        0.35, "Weight of the newest token in the index; the rest is the previous value.", low=0.01, high=1
    )
    half_life_ms: float = opt(700.0, "Half-life of the index without tokens, in ms.", low=10, high=60_000)
    steady_ms: float = opt(
        400.0,
        "Longest interval between tokens that counts as steady, in ms; a longer one is a stall.",
        low=1,
        high=60_000,
    )
    unsteady_ms: float = opt(1_500.0, "Interval between tokens at which steadiness is 0, in ms.", low=2, high=600_000)
    stall_tokens: int = opt(2, "Number of stalls in a row after which the model is stalling.", low=1, high=100)
    saturated_at: float = opt(0.85, "Energy at which the model becomes saturated.", low=0, high=1)
    saturated_ms: float = opt(800.0, "Time for which it must stay there, in ms.", low=0, high=60_000)
    saturated_until: float = opt(0.7, "Energy below which it is no longer saturated.", low=0, high=1)
    drained_ms: float = opt(
        2_000.0,
        "Time after its last request for which a model is drained before it is idle, in ms.",
        low=0,
        high=60_000,
    )


@dataclass(frozen=True, slots=True)
class ProxySettings:
    """The proxy that observes every client of a model server."""

    enabled: bool = opt(False, "Run the proxy together with the monitor.")
    upstream: str = opt("http://127.0.0.1:11434", "The model server, on this machine only.")
    listen: str = opt("127.0.0.1:11500", "Address on which the proxy listens, loopback only.")
    logprobs: int = opt(
        0, "Log-probabilities per token to request from the server and strip from the answer. 0: none.",
        low=0, high=20,
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class DemoSettings:
    """The built-in language model."""

    enabled: bool = opt(False, "Start the built-in model together with the monitor.")
    port: int = opt(11_599, "Its port on 127.0.0.1. 0, or a port in use: any free port.", low=0, high=65_535)
    tokens_per_second: float = opt(40.0, "Speed limit, slow enough to follow by eye. 0: none.", low=0, high=100_000)


@dataclass(frozen=True, slots=True)
class WindowSettings:
    """The hot cache."""

    cache_seconds: int = opt(300, "Seconds for which every sample is kept in memory.", low=30, high=900)
    cache_bytes: int = opt(
        12_000_000,
        "Size limit of the hot cache, in bytes; beyond it, it keeps less time and says so.",
        low=1_000_000,
        high=200_000_000,
    )


@dataclass(frozen=True, slots=True)
class StreamSettings:
    """Live frames."""

    rate_hz: int = opt(60, "Maximum frames per second for each client.", low=1, high=60)
    mailbox_frames: int = opt(
        60, "Frames that may wait for a client before it receives fewer updates.", low=10, high=600
    )
    stall_seconds: float = opt(
        3.0, "A client that reads nothing for this many seconds is disconnected.", low=0.5, high=60
    )


@dataclass(frozen=True, slots=True)
class StoreSettings:
    """The history in <data>/wfmon.db."""

    enabled: bool = opt(True, "Record measurements. When this is off, recorded data stays.", restart=False)
    keep_1s_days: float = opt(0.25, "Days for which each second is kept.", low=0.02, high=3_650, restart=False)
    keep_10s_days: float = opt(2.0, "The same for buckets of 10 seconds.", low=0.1, high=3_650, restart=False)
    keep_1min_days: float = opt(14.0, "The same for buckets of a minute.", low=0.5, high=3_650, restart=False)
    keep_5min_days: float = opt(30.0, "The same for buckets of 5 minutes.", low=2, high=3_650, restart=False)
    keep_1h_days: float = opt(730.0, "The same for buckets of an hour.", low=2, high=36_500, restart=False)
    keep_requests_days: float = opt(
        30.0, "Days for which requests to models are kept.", low=0.1, high=36_500, restart=False
    )
    keep_annotations_days: float = opt(
        30.0, "The same for events (starts, suspends, clock changes).", low=0.1, high=36_500, restart=False
    )
    keep_alerts_days: float = opt(30.0, "The same for alerts.", low=0.1, high=36_500, restart=False)
    max_bytes: int = opt(
        500_000_000, "Size limit of the history, in bytes; beyond it, the oldest data is deleted early.",
        low=20_000_000, high=1_000_000_000_000, restart=False,
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class AnalyseSettings:
    """Analysis of the recorded history."""

    anomalies: bool = opt(True, "Mark what is unusual for this hour of the day. See docs/insights.md.")


@dataclass(frozen=True, slots=True)
class LogSettings:
    """Log files: JSON lines in <data>/logs/, no user data."""

    level: str = opt("info", "Lowest level that is written.", choices=("debug", "info", "warning", "error"))
    max_bytes: int = opt(1_000_000, "Size at which a log file is rotated.", low=10_000, high=100_000_000)
    keep: int = opt(5, "Number of rotated files to keep.", low=0, high=100)


@dataclass(frozen=True, slots=True)
class Settings:
    """All settings. ``origin`` has each value's source, by dotted name."""

    power: str = opt(
        "normal", "eco: half the collectors' rates while the machine runs on battery.", choices=("normal", "eco")
    )
    server: ServerSettings = _section(ServerSettings)
    collect: CollectSettings = _section(CollectSettings)
    window: WindowSettings = _section(WindowSettings)
    stream: StreamSettings = _section(StreamSettings)
    store: StoreSettings = _section(StoreSettings)
    analyse: AnalyseSettings = _section(AnalyseSettings)
    log: LogSettings = _section(LogSettings)
    energy: EnergySettings = _section(EnergySettings)
    proxy: ProxySettings = _section(ProxySettings)
    demo: DemoSettings = _section(DemoSettings)
    data_dir: Path = field(default_factory=default_data_dir, metadata={"hidden": True})
    origin: Mapping[str, str] = field(default_factory=dict, metadata={"hidden": True})
    beneath: Mapping[str, tuple[Any, str]] = field(default_factory=dict, metadata={"hidden": True})
    """The value and source that each entry of settings.json overrides."""


@dataclass(frozen=True, slots=True)
class Setting:
    """A row of the catalogue of settings."""

    name: str
    type: type
    default: Any
    help: str
    low: float | None
    high: float | None
    choices: tuple[str, ...]
    restart: bool


def catalogue(cls: type[Any] = Settings, prefix: str = "") -> Iterator[Setting]:
    """Yield every setting, in order of declaration."""
    types = typing.get_type_hints(cls)
    for item in dataclasses.fields(cls):
        if item.metadata.get("hidden"):
            continue
        kind = types[item.name]
        if dataclasses.is_dataclass(kind):
            yield from catalogue(typing.cast("type[Any]", kind), f"{prefix}{item.name}.")
        else:
            meta = item.metadata
            yield Setting(
                prefix + item.name, kind, item.default, meta["help"], meta["low"], meta["high"], meta["choices"],
                meta["restart"],
            )  # fmt: skip


def value_of(settings: Settings, name: str) -> Any:  # noqa: ANN401
    """Return the value of a dotted name."""
    value: Any = settings
    for part in name.split("."):
        value = getattr(value, part)
    return value
