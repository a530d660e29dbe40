"""The ThingsBoard IoT gateway as its package installs it, with either of its stores that survive a restart.

Sensors come through its socket connector: of those it has the one with the least to do, without a further package, and
the nearest to a stream of bytes. One datagram a second has all 24 values, because it takes five a second at most.
Switched off in its favour: statistics, remote configuration, rate limits, and all lines of its log but errors.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from bench.delivery.card import Card
from bench.delivery.parts import HOST, SERIES, Message, Process, Span
from bench.delivery.street import DIGITS
from bench.delivery.tally import Account, Arrival, Reading, of_values
from gateway.broker import free_port

TOPIC = "v1/gateway/telemetry"
NO_LIMIT = "0:0,"
STORES: dict[str, dict[str, Any]] = {  # as in its own tb_gateway.json, where that says anything
    "file": {
        "type": "file",
        "data_folder_path": "./data/",
        "max_file_count": 10,
        "max_read_records_count": 10,
        "max_records_per_file": 10000,
    },
    "sqlite": {
        "type": "sqlite",
        "data_file_path": "./data/",
        "messages_ttl_check_in_hours": 1,
        "messages_ttl_in_days": 7,
    },
}


class ThingsBoard:
    """One gateway of ThingsBoard; the city's broker plays its server."""

    def __init__(self, name: str, folder: Path, card: Card, port: int, store: str, python: Path) -> None:
        folder.mkdir()
        self.name, self.card = name, card
        self.sensors_port = free_port()
        config = folder / "config"
        config.mkdir()
        (config / "tb_gateway.json").write_text(json.dumps(_gateway(port, STORES[store])))
        (config / "sensors.json").write_text(json.dumps(_sensors(self.sensors_port)))
        (config / "logs.json").write_text(json.dumps(_quiet(package(python) / "config" / "logs.json")))
        self.gateway = Process(
            [str(python), "-m", "thingsboard_gateway.tb_gateway"], folder / "gateway.log", card.folder,
            {"TB_GW_CONFIG_DIR": str(config)},
        )  # fmt: skip

    @property
    def street(self) -> str:
        """What the sensors are told about this system."""
        return f"{self.name}=udp:{self.sensors_port}"

    def start(self) -> None:
        """Start the gateway."""
        self.gateway.start()

    def stop(self) -> None:
        """End it."""
        self.gateway.end()

    def account(self, heard: list[Message], said: list[int], span: Span) -> Account:
        """Compare the seconds that were said with what came to the city."""
        arrivals = [
            Arrival(series, int(value), entry["ts"])
            for message in heard
            if message.topic == f"{self.name}/{TOPIC}"
            for entries in json.loads(message.payload).values()
            for entry in entries
            for series, value in entry["values"].items()
        ]
        return account_of(said, arrivals, span)


def account_of(said: list[int], arrivals: list[Arrival], span: Span) -> Account:
    """Account for the seconds of the span: all series say the second itself."""
    seconds = [second for second in said if span.holds(second)]
    made = [Reading(f"s{i:02d}", float(second)) for second in seconds for i in range(SERIES)]
    account = of_values(made, [one for one in arrivals if span.holds(one.number)], span.phase_of)
    account.unheard = SERIES * round(span.end_s - span.from_s) - account.made
    account.untold = account.lost + account.unheard
    return account


def package(python: Path) -> Path:
    """Find the installed package of an environment."""
    return next(python.parents[1].glob("lib/python3*/site-packages/thingsboard_gateway"))


def version(python: Path) -> str:
    """Tell the version of the installed package."""
    return next(package(python).parent.glob("thingsboard_gateway-*.dist-info")).name.split("-")[1].removesuffix(".dist")


def _gateway(port: int, store: dict[str, Any]) -> dict[str, Any]:
    limits = ("rateLimits", "dpRateLimits", "messagesRateLimits", "deviceMessagesRateLimits", "deviceRateLimits")
    return {
        "thingsboard": {
            "host": HOST,
            "port": port,
            "remoteShell": False,
            "remoteConfiguration": False,
            "statistics": {"enable": False},
            "maxPayloadSizeBytes": 8196,
            "minPackSendDelayMS": 50,
            "minPackSizeToSend": 500,
            "checkConnectorsConfigurationInSeconds": 60,
            "handleDeviceRenaming": True,
            "security": {"type": "accessToken", "accessToken": "bench"},
            "qos": 1,
            "reportStrategy": {"type": "ON_RECEIVED"},
            "checkingDeviceActivity": {"checkDeviceInactivity": False},
            "deviceDpRateLimits": NO_LIMIT,
        }
        | dict.fromkeys(limits, NO_LIMIT),
        "storage": store,
        "grpc": {"enabled": False},
        "connectors": [{"type": "socket", "name": "sensors", "configuration": "sensors.json"}],
    }


def _sensors(port: int) -> dict[str, Any]:
    keys = [{"key": f"s{i:02d}", "byteFrom": DIGITS * i, "byteTo": DIGITS * (i + 1)} for i in range(SERIES)]
    device = {
        "address": "*:*", "addressFilter": "*:*", "deviceName": "post", "deviceType": "default", "encoding": "utf-8",
        "telemetry": keys, "attributes": [], "attributeRequests": [], "attributeUpdates": [], "serverSideRpc": [],
    }  # fmt: skip
    address = {"address": HOST, "type": "UDP", "port": port, "bufferSize": 1024}
    return {"name": "sensors", "logLevel": "ERROR", "socket": address, "devices": [device]}


def _quiet(shipped: Path) -> dict[str, Any]:
    config: dict[str, Any] = json.loads(shipped.read_text())
    for logger in config["loggers"].values():
        logger["level"] = "ERROR"
    return config
