"""The embedded broker of a run without any server: a private mosquitto, else the wheel `iotcore`. For demos only.

It listens on loopback alone, takes anybody who is on this machine, and a kill of it loses what it holds: receipts and
resending cover that, but a city runs the real broker of configs/mosquitto.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

from gateway.clock import Clock

HOST = "127.0.0.1"
START_S = 15.0
# rumqttd speaks MQTT 5 only on its own listener; its payload limit of 20 kB would close the line on a full message.
RUMQTTD = """\
id = 0
[router]
id = 0
max_connections = 64
max_outgoing_packet_count = 500
max_segment_size = 10485760
max_segment_count = 10

[v5.1]
name = "v5"
listen = "{host}:{port}"
next_connection_delay_ms = 1
    [v5.1.connections]
    connection_timeout_ms = 60000
    max_payload_size = 1048576
    max_inflight_count = 500
    dynamic_filters = true
"""
MOSQUITTO = """\
listener {port} {host}
allow_anonymous true
persistence true
persistence_location {folder}/
autosave_interval 1
autosave_on_changes true
max_queued_messages 1000000
max_inflight_messages 0
message_size_limit 131072
log_dest none
{user}
"""


class BrokerError(Exception):
    """The embedded broker did not come up; the text says what to do."""


class EmbeddedBroker:
    """A broker as a child process on a loopback port; `kind` is `mosquitto` or `iotcore`."""

    def __init__(self, folder: Path, port: int, clock: Clock, kind: str | None = None) -> None:
        self.folder = folder
        self.port = port
        self.kind = kind or ("mosquitto" if find_mosquitto() else "iotcore")
        self._clock = clock
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and wait until it takes connections; raises BrokerError."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / "broker.log").open("ab") as output:
            self._process = subprocess.Popen(
                self._command(), stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
            )
        until = self._clock.mono_ns() + round(START_S * 1e9)
        while self._clock.mono_ns() < until:
            if self._process.poll() is not None:
                break
            with socket.socket() as probe:
                probe.settimeout(0.2)
                if probe.connect_ex((HOST, self.port)) == 0:
                    return
            self._clock.sleep(0.05)
        self.stop()
        raise BrokerError(f"the broker ({self.kind}) did not come up; read {self.folder / 'broker.log'}")

    def kill(self) -> None:
        """End it as a power cut would."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def stop(self) -> None:
        """End it in good order."""
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(5)
            except subprocess.TimeoutExpired:
                self.kill()

    @property
    def pid(self) -> int:
        """The process, for whoever wants to harm it."""
        assert self._process is not None
        return self._process.pid

    def _command(self) -> list[str]:
        if self.kind == "mosquitto":
            config = self.folder / "mosquitto.conf"
            user = "user root" if os.geteuid() == 0 else ""
            config.write_text(MOSQUITTO.format(port=self.port, host=HOST, folder=self.folder, user=user))
            return [find_mosquitto() or "mosquitto", "-c", str(config)]
        config = self.folder / "rumqttd.toml"
        config.write_text(RUMQTTD.format(port=self.port, host=HOST))
        return [sys.executable, "-m", "iotcore", "--config", str(config), "--log-level", "ERROR"]


def find_mosquitto() -> str | None:
    """Find mosquitto; Debian puts it into /usr/sbin, which a user's PATH may not have."""
    path = os.environ.get("PATH", "") + os.pathsep + "/usr/sbin"
    return shutil.which("mosquitto", path=path)


def free_port() -> int:
    """Ask the kernel for a loopback port that is free now."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port
