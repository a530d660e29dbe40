"""Every refusal of a store, from its status line to what becomes of the batch: through the real clients and the writer.

A scripted HTTP server says what no real server says on demand; real InfluxDB 1.x and VictoriaMetrics say the rest.
What each status is sorted as, and that no text holds a secret, is in tests/store/test_store_refusals.py; TLS is in
test_tls_store.py; a store that is killed in the middle of writes is in test_bridge_faults.py.
"""

from __future__ import annotations

import threading
import time
import urllib.parse
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from email.utils import formatdate
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from bridge_rig import KeepingInflux, lines

from gateway import wire
from gateway.clock import Clock
from gateway.config_site import BridgeConfig, StoreConfig
from gateway.deliveries import Delivery, Readable
from gateway.store.base import Store, StoreError, Verdict
from gateway.store.influx import InfluxV1, InfluxV2
from gateway.store.lineprotocol import encode
from gateway.store.open import Reopened, open_store
from gateway.writing import Writer
from tests.servers.conftest import Server, answers, free_port, influxd_conf, started
from tests.store.fake_influx import Reply, Request, running

pytestmark = pytest.mark.servers
T_NS = 1_767_225_600 * 10**9
MakeStore = Callable[[str], Store]


def v1(url: str) -> Store:
    return InfluxV1(url, "city", timeout_s=2.0)


def v2(url: str) -> Store:
    return InfluxV2(url, "town", "city", "token", timeout_s=2.0)


class Script(KeepingInflux):
    """Gives the answers of a script first, then keeps; `rule` may look at the body before."""

    def __init__(self) -> None:
        super().__init__()
        self.script: list[Reply] = []
        self.rule: Callable[[bytes], Reply | None] = lambda body: None
        self.asked_at: list[float] = []

    def answer(self, request: Request) -> Reply:
        self.asked_at.append(time.monotonic())
        if self.script:
            return self.script.pop(0)
        return self.rule(request.body) or super().answer(request)


@pytest.fixture
def fake() -> Iterator[Script]:
    with running(Script) as server:
        assert isinstance(server, Script)
        yield server


@pytest.fixture(params=[v1, v2], ids=["v1", "v2"])
def make(request: pytest.FixtureRequest) -> MakeStore:
    return request.param


def readable(seq: int, channels: Sequence[str] = ("pm10", "pm2_5")) -> Readable:
    """Make a message of some channels: a point for each."""
    series = [("air", f"s{seq}", channel, "ug/m3") for channel in channels]
    values = [float(i) for i in range(len(channels))]
    message = wire.WindowsMessage(
        1, "street", "post-7", "e", seq, 60, T_NS + seq * 60 * 10**9, series, {"mean": values}
    )
    delivery = Delivery(1, seq, 1, "lamppost/1/post-7/windows", wire.pack(message))
    return Readable(delivery, message, list(wire.points(message)))


class Told:
    """A writer with real time, and what it has told."""

    def __init__(self, store: Store, retry_max_s: float = 0.1) -> None:
        self.heard: list[str] = []
        self.counts: Counter[str] = Counter()
        self.writer = Writer(
            store,
            Clock(),
            retry_max_s,
            threading.Event(),
            lambda _, what: self.heard.append(what),
            lambda: None,
            self.counts,
        )

    def write(
        self, batch: Sequence[Readable], patience_s: float | None = 10.0
    ) -> tuple[list[int], dict[int, str]] | None:
        outcome = self.writer.write(batch, patience_s)
        if outcome is None:
            return None
        return [one.message.seq for one in outcome.stored], {one.message.seq: why for one, why in outcome.dead}


BATCH = [readable(n) for n in range(6)]
ALL = [one.message for one in BATCH]
AGAIN = {
    "408": Reply(408), "425": Reply(425), "429": Reply(429, "too many"), "500": Reply(500, "timeout"),
    "502": Reply(502), "503": Reply(503), "504": Reply(504), "hangs up": Reply(act="close"),
    "401": Reply(401, "unauthorized"), "403": Reply(403), "404": Reply(404, '{"error":"database not found"}'),
    "200 of a proxy": Reply(200, "log in"),
}  # fmt: skip


@pytest.mark.parametrize("name", AGAIN)
def test_what_passes_or_is_put_right_costs_nothing_and_is_no_dead_letter(
    fake: Script, make: MakeStore, name: str
) -> None:
    fake.script = [AGAIN[name]] * 2
    with closing(make(fake.url)) as store:
        told = Told(store)
        assert told.write(BATCH) == (list(range(6)), {})
    assert fake.stored == lines(ALL)
    assert fake.most_writes == 1
    assert any(told.heard), "somebody is told"
    assert told.heard[-1] == "", "and that it is over"


def test_a_server_that_hangs_is_asked_again_with_less(fake: Script, make: MakeStore) -> None:
    impatient: Store = InfluxV1(fake.url, "city", timeout_s=0.3)
    if make is v2:
        impatient = InfluxV2(fake.url, "town", "city", "token", timeout_s=0.3)
    fake.rule = lambda body: Reply(act="hang") if body.count(b"\n") > 6 else None
    with closing(impatient) as store:
        assert Told(store).write(BATCH) == (list(range(6)), {})
    assert fake.stored == lines(ALL)


@pytest.mark.parametrize(("form", "status"), [("seconds", 429), ("date", 503)])
def test_the_wait_that_a_server_asks_for_is_kept(fake: Script, form: str, status: int) -> None:
    asked = {"Retry-After": "1" if form == "seconds" else formatdate(time.time() + 2, usegmt=True)}
    fake.script = [Reply(status, "later", asked)]
    with closing(v1(fake.url)) as store:
        assert Told(store).write(BATCH) == (list(range(6)), {})
    assert fake.asked_at[1] - fake.asked_at[0] >= 0.95
    assert fake.stored == lines(ALL)


def test_control_without_that_word_it_is_asked_sooner(fake: Script, make: MakeStore) -> None:
    fake.script = [Reply(503, "later")]
    with closing(make(fake.url)) as store:
        Told(store).write(BATCH)
    assert fake.asked_at[1] - fake.asked_at[0] < 0.9


def test_a_wait_is_never_longer_than_an_hour(fake: Script, make: MakeStore) -> None:
    for text in ("999999999", formatdate(time.time() + 10**6, usegmt=True)):
        fake.script = [Reply(503, "", {"Retry-After": text})]
        with closing(make(fake.url)) as store, pytest.raises(StoreError) as caught:
            store.write(BATCH[0].points)
        assert caught.value.retry_after_s == 3600.0


@pytest.mark.parametrize("status", [400, 422])
def test_a_bad_point_goes_aside_alone(fake: Script, make: MakeStore, status: int) -> None:
    """It keeps nothing of a batch that it refuses, as InfluxDB 3 may be told to do."""
    fake.rule = lambda body: Reply(status, "partial write: field type conflict dropped=1") if b"bad" in body else None
    batch = [*BATCH, readable(7, ("good", "bad", "fine"))]
    with closing(make(fake.url)) as store:
        told = Told(store).write(batch)
    assert told is not None
    assert told[0] == list(range(6))
    assert "refuses 1 of 3 points: " in told[1][7]
    assert "type conflict dropped=1" in told[1][7]
    good = encode([point for point in batch[-1].points if dict(point.tags)["channel"] != "bad"])
    assert fake.stored == lines(ALL) | set(good.splitlines())


def test_control_who_takes_it_for_busy_is_held_up_for_ever(
    fake: Script, make: MakeStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(StoreError, "about_data", False)
    fake.rule = lambda body: Reply(400, "bad line") if b"bad" in body else None
    with closing(make(fake.url)) as store:
        assert Told(store).write([*BATCH, readable(7, ("bad",))], 0.3) is None
    assert fake.stored == set()


def test_too_large_goes_in_pieces(fake: Script, make: MakeStore) -> None:
    fake.rule = lambda body: Reply(413, "Request Entity Too Large") if len(body) > 400 else None
    with closing(make(fake.url)) as store:
        told = Told(store)
        assert told.write(BATCH) == (list(range(6)), {})
        before = len(fake.requests)
        told.write(BATCH)
        assert all(len(request.body) <= 400 for request in fake.requests[before:]), "it remembers"
    assert fake.stored == lines(ALL)


def test_a_message_on_which_the_server_stumbles_blocks_nobody(fake: Script, make: MakeStore) -> None:
    fake.rule = lambda body: Reply(500, "panic: index out of range") if b"sensor=s3" in body else None
    with closing(make(fake.url)) as store:
        told = Told(store).write(BATCH)
    assert told is not None
    assert told[0] == [0, 1, 2, 4, 5]
    assert "fails with it again and again, and takes others" in told[1][3]
    assert fake.stored == lines([message for message in ALL if message.seq != 3])


def test_a_server_that_takes_ten_seconds_is_slow_and_not_away(fake: Script) -> None:
    """With the time-outs as they are shipped."""
    fake.wait_s = 10.5
    with closing(InfluxV1(fake.url, "city")) as store:
        told = Told(store)
        assert told.write(BATCH) == (list(range(6)), {})
    assert told.counts["retries"] == 0
    assert fake.most_writes == 1


# -- where to look ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("api", "key"), [("v1", "password_file"), ("v2", "token_file")])
def test_a_refused_secret_names_its_file_and_a_repaired_one_is_read(
    fake: Script, tmp_path: Path, api: str, key: str
) -> None:
    secret = tmp_path / "secret"
    secret.write_text("wrong\n")
    config = StoreConfig(kind="influxdb", api=api, url=fake.url, user="bridge", database="city", bucket="city",
                         **{key: secret})  # type: ignore[arg-type]  # fmt: skip

    right = "Token right" if api == "v2" else "Basic YnJpZGdlOnJpZ2h0"

    def answer(request: Request) -> Reply:
        if request.headers.get("Authorization") != right:
            return Reply(401, "unauthorized")
        return KeepingInflux.answer(fake, request)

    fake.answer = answer  # type: ignore[method-assign]
    with closing(Reopened(partial(open_store, config, BridgeConfig(data_dir=tmp_path)))) as store:
        told = Told(store)
        assert told.write(BATCH, 0.0) is None
        assert f"look at {key} {secret}" in told.heard[-1]
        assert "wrong" not in told.heard[-1]
        secret.unlink()
        assert told.write(BATCH, 0.0) is None
        assert "No such file" in told.heard[-1]
        secret.write_text("right\n")
        assert told.write(BATCH) == (list(range(6)), {})
    assert fake.stored == lines(ALL)


def test_without_a_secret_the_key_to_set_is_named(fake: Script, tmp_path: Path) -> None:
    fake.reply = Reply(403, "forbidden " * 100)
    config = StoreConfig(kind="influxdb", url=fake.url)
    with closing(open_store(config, BridgeConfig(data_dir=tmp_path))) as store, pytest.raises(StoreError) as caught:
        store.write(BATCH[0].points)
    assert str(caught.value).endswith("; set token_file in [store], and what it may write")


# -- real servers -------------------------------------------------------------------------------------------------


@pytest.fixture
def city(influxd: Any, request: pytest.FixtureRequest) -> Iterator[InfluxV1]:
    store = InfluxV1(influxd.url, f"faults {request.node.name}")
    store.create_database()
    yield store
    store.close()


def keys(store: Store) -> set[Any]:
    return {point[:3] for point in store.read(0, 2**62)}


def keys_of(batch: Sequence[Readable]) -> set[Any]:
    return {point[:3] for one in batch for point in one.points}


def test_influxdb_beyond_its_retention_only_the_old_goes_aside(city: InfluxV1, influxd: Any) -> None:
    name = city.database
    text = f'CREATE RETENTION POLICY "day" ON "{name}" DURATION 1d REPLICATION 1 DEFAULT'
    body = urllib.parse.urlencode({"db": name, "q": text}).encode()
    urllib.request.urlopen(f"{influxd.url}/query", body, timeout=5).close()
    now_ns = time.time_ns()
    batch = [readable(n) for n in range(4)]
    fresh = [one._replace(points=[point._replace(start_ns=now_ns + n) for point in one.points])
             for n, one in enumerate(batch[:2])]  # fmt: skip
    told = Told(city).write([fresh[0], batch[2], fresh[1], batch[3]])
    assert told is not None
    assert sorted(told[0]) == [0, 1]
    assert sorted(told[1]) == [2, 3]
    assert "beyond retention policy dropped=2" in told[1][2]
    assert keys(city) == keys_of(fresh)


def test_influxdb_with_a_type_conflict_only_that_point_goes_aside(city: InfluxV1) -> None:
    line = f"noise,site=other mean=1i {T_NS}".encode()
    city._server.write("/write", {"db": city.database, "precision": "ns"}, line)
    noisy = readable(9)
    noisy = noisy._replace(points=[noisy.points[0]._replace(measurement="noise"), noisy.points[1]])
    told = Told(city).write([*BATCH, noisy])
    assert told is not None
    assert sorted(told[0]) == list(range(6))
    assert "refuses 1 of 2 points" in told[1][9]
    assert keys_of([*BATCH, noisy]) - keys(city) == {noisy.points[0][:3]}


def test_a_database_that_is_not_there_is_asked_for_and_taken_when_it_is_made(influxd: Any, tmp_path: Path) -> None:
    """It is not made by us: a name that is mistyped would become a second database at which nobody looks."""
    config = StoreConfig(kind="influxdb", api="v1", url=influxd.url, database=f"later {tmp_path.name}")
    with closing(open_store(config, BridgeConfig(data_dir=tmp_path))) as store:
        told = Told(store)
        assert told.write(BATCH, 0.0) is None
        assert "database not found" in told.heard[-1]
        assert f"make the database 'later {tmp_path.name}', or correct [store] database" in told.heard[-1]
        assert isinstance(store, InfluxV1)
        store.create_database()
        assert told.write(BATCH) == (list(range(6)), {})
        assert keys(store) == keys_of(BATCH)


@pytest.fixture(scope="module")
def strict(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """An InfluxDB that takes no more than 2,000 bytes at once."""

    def make() -> Server:
        folder, port = tmp_path_factory.mktemp("strict"), free_port()
        ping = f"http://127.0.0.1:{port}/ping"
        command = influxd_conf(folder, port, "max-body-size = 2000")
        return Server(command, port, folder, lambda: answers(ping))

    yield from started(make)


def test_influxdb_with_a_limit_gets_smaller_pieces(strict: Server) -> None:
    with closing(InfluxV1(strict.url, "city")) as store:
        store.create_database()
        batch = [readable(n, [f"c{i}" for i in range(30)]) for n in range(4)]
        told = Told(store)
        assert told.write(batch) == ([0, 1, 2, 3], {})
        assert told.counts["too_much"] > 0
        assert keys(store) == keys_of(batch)


def test_control_who_buries_what_is_too_large_loses_good_messages(
    strict: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = InfluxV1.write

    def write(self: InfluxV1, points: Sequence[wire.Point]) -> None:
        try:
            real(self, points)
        except StoreError as error:
            raise StoreError(Verdict.OLD, str(error)) from None

    monkeypatch.setattr(InfluxV1, "write", write)
    with closing(InfluxV1(strict.url, "city")) as store:
        store.create_database()
        told = Told(store).write([readable(n, [f"c{i}" for i in range(30)]) for n in range(4)])
    assert told is not None
    assert len(told[1]) == 4


def test_victoria_metrics_takes_all_and_says_so(victoria_metrics: Any) -> None:
    batch = [readable(n) for n in range(4)]
    batch = [one._replace(points=[point._replace(tags=(("site", "faults"), *point.tags[1:])) for point in one.points])
             for one in batch]  # fmt: skip
    with closing(InfluxV2(victoria_metrics.url, "", "any", dialect="victoriametrics")) as store:
        victoria_metrics.kill()
        told = Told(store)
        assert told.write(batch, 0.0) is None
        victoria_metrics.start()
        assert told.write(batch) == ([0, 1, 2, 3], {})
        found = {point[:3] for point in store.read(0, 2**62) if ("site", "faults") in point.tags}
    assert found == keys_of(batch)
