"""The whole chain against real servers: what the gateway made is what each store holds, field by field."""

from __future__ import annotations

import importlib.util
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import paho.mqtt.client as mqtt
import pytest
from chain_run import ChainRun, Points, by_key, in_influx, in_victoria
from paho.mqtt.enums import CallbackAPIVersion

from gateway import wire
from gateway.dead_letters import DeadLetters
from gateway.demo import DOMAINS, Demo, Settings
from gateway.outbox import read_account

pytestmark = [pytest.mark.servers, pytest.mark.timeout(150)]
KEEPS_DIGITS = 1e-12  # VictoriaMetrics stores decimal mantissas, docs/reference/stores.md


def fake_influx() -> ModuleType:
    """Load the fake that refuses on demand, which lies beside the tests of the stores."""
    path = Path(__file__).parents[1] / "store" / "fake_influx.py"
    spec = importlib.util.spec_from_file_location("fake_influx_of_the_chain", path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


# -- three stores at once -----------------------------------------------------------------------------------------


def test_the_run_produced_something_worth_comparing(chain_run: ChainRun) -> None:
    measurements = {measurement for measurement, _, _ in chain_run.embedded}
    assert measurements == {*DOMAINS, "health", "ledger"}
    periods = {dict(tags)["period"] for _, tags, _ in chain_run.embedded}
    assert periods == {"10s", "20s"}
    assert len(chain_run.embedded) > 80
    means = {fields["mean"] for fields in chain_run.embedded.values() if "mean" in fields}
    assert len(means) > 30


def test_every_key_that_the_gateway_made_is_receipted_and_stored(chain_run: ChainRun) -> None:
    sums = chain_run.account
    assert sums["receipted_keys"] == sums["keys"] == len(chain_run.embedded)
    assert sums["expected"] == sum(sums.get(name, 0) for name in ("valid", "rejected", "missing"))  # 0 is not written


def test_influxdb_holds_exactly_the_same(chain_run: ChainRun) -> None:
    assert in_influx(chain_run.influx_url) == chain_run.embedded


def test_victoriametrics_holds_the_same_to_its_precision(chain_run: ChainRun) -> None:
    found = in_victoria(chain_run.victoria_url)
    assert found.keys() == chain_run.embedded.keys()
    for key, fields in chain_run.embedded.items():
        assert found[key].keys() == fields.keys()
        assert found[key] == pytest.approx(fields, rel=KEEPS_DIGITS, abs=0.0)


def test_no_bridge_put_anything_aside(chain_run: ChainRun) -> None:
    for name in ("bridge", "bridge-2", "bridge-3"):
        assert list(DeadLetters(chain_run.folder / name / "dead-letters").letters()) == []


# -- a store that refuses -----------------------------------------------------------------------------------------


class Overheard:
    """All windows and receipts that went over a broker."""

    def __init__(self, port: int) -> None:
        self.windows: dict[int, wire.WindowsMessage] = {}
        self.stored: set[int] = set()
        self.dead: set[int] = set()
        self._subscribed = threading.Event()
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2)
        self._client.on_connect = lambda client, *_: client.subscribe("lamppost/1/demo-gw/#", qos=1)
        self._client.on_subscribe = lambda *_: self._subscribed.set()
        self._client.on_message = self._take
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()
        assert self._subscribed.wait(10.0)

    def _take(self, _client: mqtt.Client, _data: object, one: mqtt.MQTTMessage) -> None:
        leaf = wire.split_topic(one.topic)[1]
        if leaf == "windows":
            message = wire.unpack_windows(one.payload)
            self.windows[message.seq] = message
        elif leaf == "receipt":
            receipt = wire.unpack_receipt(one.payload)
            for spans, seqs in ((receipt.stored, self.stored), (receipt.dead, self.dead)):
                seqs.update(seq for first, last in spans for seq in range(first, last + 1))

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


@contextmanager
def refusing(fakes: ModuleType) -> Iterator[Any]:
    """Run a fake InfluxDB that also notes what it answered to each request, in `answers`."""

    class Noting(fakes.FakeInflux):  # type: ignore[name-defined,misc]
        def __init__(self) -> None:
            self.answers: list[int] = []
            super().__init__()

        @property
        def reply(self) -> Any:
            self.answers.append(self._reply.status)
            return self._reply

        @reply.setter
        def reply(self, reply: Any) -> None:
            self._reply = reply

    with fakes.running(Noting) as server:
        yield server


def wait(true: Callable[[], object], what: str, wait_s: float = 25.0) -> None:
    deadline = time.monotonic() + wait_s
    while not true():
        assert time.monotonic() < deadline, f"never: {what}"
        time.sleep(0.1)


def account(demo: Demo, name: str) -> int:
    path = demo.folder / "gateway" / "gateway.db"
    return read_account(path).get(name, 0) if path.exists() else 0


def points_in(body: bytes) -> Iterator[wire.Point]:
    """Read line protocol whose names need no escapes, as those of the demo."""
    for line in body.decode().splitlines():
        head, columns, at_ns = line.split(" ")
        measurement, *tags = head.split(",")
        fields = {name: float(value) for name, value in (column.split("=") for column in columns.split(","))}
        yield wire.Point(measurement, tuple((tag.split("=")[0], tag.split("=")[1]) for tag in tags), int(at_ns), fields)


def points_of(overheard: Overheard, seqs: set[int]) -> Points:
    return by_key(point for seq in seqs for point in wire.points(overheard.windows[seq]))


def test_refusals_delay_what_can_be_stored_and_put_aside_what_cannot(mosquitto: Any, tmp_path: Path) -> None:
    """503, 429 and 401 one after the other: everything arrives later. 400: dead letters, and the gateway is told."""
    fakes = fake_influx()
    with refusing(fakes) as server:
        store = f'[store]\nkind = "influxdb"\napi = "v1"\nurl = "{server.url}"'
        demo = Demo(tmp_path / "demo", "mosquitto", Settings(base_s=2, long_s=(), store=store))
        refusals = fakes.Reply(503, "busy"), fakes.Reply(429, "slow", {"Retry-After": "1"}), fakes.Reply(401, "who?")
        server.reply = refusals[0]
        demo.start()
        overheard = Overheard(demo.broker.port)
        try:
            for refusal in refusals:
                server.reply = refusal
                asked, made = server.answers.count(refusal.status), len(overheard.windows)
                wait(lambda: server.answers.count(refusal.status) >= asked + 2, "two tries")  # noqa: B023
                wait(lambda: len(overheard.windows) >= made + 2, "windows go on being made")  # noqa: B023
                demo.check()
            assert not overheard.stored
            assert not overheard.dead
            delayed = set(overheard.windows)
            server.reply = fakes.Reply(204)
            wait(lambda: delayed <= overheard.stored, "receipts of all that was delayed")
            assert not overheard.dead
            server.reply = fakes.Reply(400, "field type conflict")
            wait(lambda: account(demo, "dead_messages") >= 2, "two dead messages")
            demo.check()
            server.reply = fakes.Reply(204)
            seen = max(overheard.dead)
            wait(lambda: max(overheard.stored) > seen, "storing after the dead letters")
        finally:
            demo.stop()
            overheard.close()
    accepted = [one for one, status in zip(server.requests, server.answers, strict=True) if status == 204]
    held = by_key({p[:3]: p for one in accepted for p in points_in(one.body)}.values())
    told = points_of(overheard, overheard.stored)
    assert told.items() <= held.items()
    # A batch that is refused is tried again in parts: some of them may have come when it was over with refusing.
    assert held.items() <= {**points_of(overheard, overheard.dead), **told}.items()
    letters = [letter for _, letter in DeadLetters(demo.folder / "bridge" / "dead-letters").letters()]
    assert {wire.unpack_windows(letter.payload).seq for letter in letters} == overheard.dead
    assert all("400 field type conflict" in letter.reason for letter in letters)
    assert overheard.stored | overheard.dead == set(overheard.windows)
    assert account(demo, "dead_messages") == len(overheard.dead - overheard.stored)
    assert account(demo, "receipted_messages") + account(demo, "dead_messages") == account(demo, "messages")
