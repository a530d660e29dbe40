"""Configuration: the frozen shapes, and what can be said against a file.

The shapes are plain dataclasses. `config_file.py` fills them from TOML through pydantic, in a process that ends soon;
the gateway takes them over as JSON (`to_json`, `from_json`), because pydantic would cost it 13 MB for years.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Any

import msgspec

from gateway.config_sensors import DerivedConfig, FilterConfig, NeighbourConfig, QualityConfig, SensorConfig
from gateway.config_site import (
    BridgeConfig,
    GatewayConfig,
    HealthConfig,
    MqttConfig,
    OutboxConfig,
    RawLogConfig,
    SiteConfig,
    StoreConfig,
    WindowsConfig,
)


@dataclass(frozen=True, slots=True)
class Config:
    """A whole site file."""

    site: SiteConfig
    gateway: GatewayConfig
    rawlog: RawLogConfig = field(default_factory=RawLogConfig)
    windows: WindowsConfig = field(default_factory=WindowsConfig)
    mqtt: MqttConfig = field(default_factory=MqttConfig)
    outbox: OutboxConfig = field(default_factory=OutboxConfig)
    bridge: BridgeConfig = field(default_factory=BridgeConfig)
    store: StoreConfig = field(default_factory=StoreConfig)
    health: HealthConfig = field(default_factory=HealthConfig)
    quality: dict[str, dict[str, QualityConfig]] = field(default_factory=dict)
    filter: dict[str, dict[str, FilterConfig]] = field(default_factory=dict)
    neighbour: tuple[NeighbourConfig, ...] = ()
    sensor: tuple[SensorConfig, ...] = ()
    derived: tuple[DerivedConfig, ...] = ()

    @property
    def hash(self) -> str:
        """Name this configuration: the same values give the same hash."""
        return hashlib.sha256(to_json(self)).hexdigest()[:12]

    def quality_of(self, sensor: SensorConfig, domain: str, channel: str) -> QualityConfig:
        """Return the tests of a channel: the sensor's own, else the site's for the domain, else none."""
        return sensor.quality.get(channel) or self.quality.get(domain, {}).get(channel) or QualityConfig()

    def filter_of(self, sensor: SensorConfig, domain: str, channel: str) -> FilterConfig | None:
        """Return the filter of a channel: the sensor's own, else the site's for the domain, else none."""
        return sensor.filter.get(channel) or self.filter.get(domain, {}).get(channel)


def to_json(shape: Any) -> bytes:
    """Write a configuration, or a part of one, as JSON."""
    return msgspec.json.encode(shape, enc_hook=str)


def from_json(text: bytes) -> Config:
    """Take over a configuration that was checked elsewhere; raise msgspec.DecodeError when it is none."""
    return msgspec.json.decode(text, type=Config, dec_hook=lambda kind, value: kind(value))
