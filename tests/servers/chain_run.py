"""One run of the whole chain into three stores at once: simulator, gateway, broker, and a bridge for each store."""

from __future__ import annotations

import time
from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from gateway.demo import Demo, Settings
from gateway.outbox import read_account
from gateway.store.base import Key
from gateway.store.influx import InfluxV1, InfluxV2
from gateway.store.sqlite import SqliteStore
from gateway.wire import Point

DATABASE = "chain"
FOR_S = 36.0
DRAIN_S = 15.0
Points = dict[Key, dict[str, float]]


@dataclass(frozen=True)
class ChainRun:
    """What one run left: the embedded store, the accounts of the gateway, and where the servers are."""

    folder: Path
    embedded: Points
    account: dict[str, int]
    influx_url: str
    victoria_url: str


def by_key(points: Iterable[Point], site: str = "demo") -> Points:
    """Index the points of a site; fail on a key that comes twice."""
    found: Points = {}
    for point in points:
        if dict(point.tags)["site"] == site:
            assert point[:3] not in found
            found[point[:3]] = point.fields
    return found


def embedded(path: Path) -> Points:
    with closing(SqliteStore(path, read_only=True)) as store:
        return by_key(store.read(0, 2**63 - 1))


def in_influx(url: str) -> Points:
    with closing(InfluxV1(url, DATABASE)) as store:
        return by_key(store.read(0, 2**62))


def in_victoria(url: str) -> Points:
    with closing(InfluxV2(url, "", "any", dialect="victoriametrics")) as store:
        return by_key(store.read(0, 2**62))


def run_chain(folder: Path, influx_url: str, victoria_url: str) -> ChainRun:
    """Run for half a minute and a little; return when every bridge has what the gateway has made."""
    with closing(InfluxV1(influx_url, DATABASE)) as store:
        store.create_database()
    influx = f'[store]\nkind = "influxdb"\napi = "v1"\nurl = "{influx_url}"\ndatabase = "{DATABASE}"'
    victoria = f'[store]\nkind = "influxdb"\napi = "v2"\nurl = "{victoria_url}"\ndialect = "victoriametrics"'
    demo = Demo(folder, "mosquitto", Settings(long_s=(20,), store=influx, more_stores=(victoria, "")))
    demo.start()
    try:
        until = time.monotonic() + FOR_S
        while time.monotonic() < until:
            time.sleep(0.5)
            demo.check()
        demo.end("gateway", 30.0)
        account = read_account(folder / "gateway" / "gateway.db")
        stores = (
            lambda: embedded(folder / "bridge-3" / "store.db"),
            lambda: in_influx(influx_url),
            lambda: in_victoria(victoria_url),
        )
        until = time.monotonic() + DRAIN_S
        while any(len(read()) < account["keys"] for read in stores) and time.monotonic() < until:
            time.sleep(0.5)
    finally:
        demo.stop()
    return ChainRun(folder, embedded(folder / "bridge-3" / "store.db"), account, influx_url, victoria_url)
