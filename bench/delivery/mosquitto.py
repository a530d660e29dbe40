"""A mosquitto on the post, with persistence, that bridges to the city's: what many build first.

Sensors publish one message for each reading, QoS 1. Its settings are better than its defaults: a queue of 100,000
messages in place of 1,000 (42 s of 24 a second), and a snapshot to the card each 10 s, as often as lamppost syncs, in
place of each half hour.
"""

from __future__ import annotations

import json
from pathlib import Path

from bench.delivery.card import Card
from bench.delivery.parts import HOST, MOSQUITTO_USER, Message, Process, Span
from bench.delivery.tally import Account, Arrival
from bench.delivery.thingsboard import account_of
from gateway.broker import find_mosquitto, free_port

CONFIG = """\
listener {port} {host}
allow_anonymous true
persistence true
persistence_location {folder}/
autosave_interval 10
max_queued_messages 100000
log_dest file {log}
log_type error
{user}
connection city
address {host}:{city}
topic readings/# out 1
cleansession false
restart_timeout 5
notifications false
"""


class MosquittoBridge:
    """One mosquitto on the post."""

    def __init__(self, name: str, folder: Path, card: Card, city_port: int) -> None:
        folder.mkdir()
        self.name, self.card = name, card
        self._port = free_port()
        config = folder / "mosquitto.conf"
        config.write_text(CONFIG.format(
            port=self._port, host=HOST, folder=card.folder, log=folder / "mosquitto.log", user=MOSQUITTO_USER,
            city=city_port,
        ))  # fmt: skip
        self.gateway = Process([find_mosquitto() or "mosquitto", "-c", str(config)], folder / "gateway.log")

    @property
    def street(self) -> str:
        """What the sensors are told about this system."""
        return f"{self.name}=mqtt:{self._port}"

    def start(self) -> None:
        """Start it."""
        self.gateway.start()

    def stop(self) -> None:
        """End it."""
        self.gateway.end()

    def account(self, heard: list[Message], said: list[int], span: Span) -> Account:
        """Compare the seconds that were said with what came to the city."""
        arrivals = []
        for message in heard:
            if message.topic.startswith(f"{self.name}/readings/"):
                value = json.loads(message.payload)
                arrivals.append(Arrival(message.topic.rpartition("/")[2], value["v"], value["ts"]))
        return account_of(said, arrivals, span)
