"""Properties of MQTT 5 packets, typed."""

from __future__ import annotations

from collections.abc import Mapping

from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties


def connect(**values: int) -> Properties:
    """Make the properties of a CONNECT, by their names in MQTT 5."""
    return _made(PacketTypes.CONNECT, values)


def publish(**values: int | tuple[str, str]) -> Properties:
    """Make the properties of a PUBLISH; a `UserProperty` is a name and a value."""
    return _made(PacketTypes.PUBLISH, values)


def _made(packet: int, values: Mapping[str, object]) -> Properties:
    made: Properties = Properties(packet)  # type: ignore[no-untyped-call]
    for name, value in values.items():
        setattr(made, name, value)
    return made
