"""The sensors of the peers: each second one value of every series, to whoever listens; no sensor remembers anything.

`python -m bench.delivery.street TRUTH NAME=udp:PORT NAME=mqtt:PORT ...`: a datagram with all values, or one message for
each value. Beside, a line in TRUTH for each second that was said to a living listener: that is what was made.
"""

from __future__ import annotations

import itertools
import json
import socket
import sys
import time
from pathlib import Path
from typing import BinaryIO, Protocol

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from bench.delivery.parts import HOST, SERIES

DIGITS = 10  # of a value: the UTC second of the reading
AFTER_S = 0.1  # of each second: when the sensors speak


class Sensors(Protocol):
    """All sensors of one system."""

    def say(self, second: int) -> bool:
        """Say all values of a second; False when nobody listens."""


class Datagrams:
    """One datagram a second, with the values of all series one behind the other."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)

    def say(self, second: int) -> bool:
        """Send it, if a process has the port open."""
        bound = f":{self._port:04X}"
        if not any(line.split()[1].endswith(bound) for line in Path("/proc/net/udp").read_text().splitlines()[1:]):
            return False
        self._socket.sendto(b"%0*d" % (DIGITS, second) * SERIES, (HOST, self._port))
        return True


class Messages:
    """One message for each value, QoS 1; while there is no connection nothing is published, and nothing remembered."""

    def __init__(self, port: int) -> None:
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id="street", protocol=mqtt.MQTTv311)
        self._client.max_inflight_messages_set(SERIES * 10)
        self._client.reconnect_delay_set(1, 1)
        self._client.connect_async(HOST, port)
        self._client.loop_start()

    def say(self, second: int) -> bool:
        """Publish all values, if there is a connection."""
        if not self._client.is_connected():
            return False
        for i in range(SERIES):
            payload = json.dumps({"ts": second * 1000, "v": second})
            self._client.publish(f"readings/s{i:02d}", payload, qos=1)
        return True


def main(arguments: list[str]) -> None:
    """Speak until killed."""
    streets: dict[str, Sensors] = {}
    for argument in arguments[1:]:
        name, _, way = argument.partition("=")
        kind, _, port = way.partition(":")
        streets[name] = Datagrams(int(port)) if kind == "udp" else Messages(int(port))
    with Path(arguments[0]).open("ab", buffering=0) as truth:
        for second in itertools.count(int(time.time()) + 1):
            time.sleep(max(0.0, second + AFTER_S - time.time()))
            _say_all(streets, second, truth)


def _say_all(streets: dict[str, Sensors], second: int, truth: BinaryIO) -> None:
    for name, sensors in streets.items():
        if sensors.say(second):
            truth.write(f"{name} {second}\n".encode())


if __name__ == "__main__":
    main(sys.argv[1:])
