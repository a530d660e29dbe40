"""What a server refuses, and what becomes of it: verdict, text, waiting time; and never a secret."""

from __future__ import annotations

import base64
import socket
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from urllib.parse import parse_qs, urlsplit

import pytest
from fake_influx import FakeInflux, Reply, running

from gateway.store.base import Store, StoreError, Verdict
from gateway.store.influx import InfluxV1, InfluxV2
from gateway.wire import Point

SECRET = 's3cret/=?"token'
POINT = Point("air", (("site", "s"),), 1_767_225_600 * 10**9, {"mean": 1.5})
LINE = b"air,site=s mean=1.5 1767225600000000000\n"
MakeStore = Callable[[str], Store]


def v1(url: str) -> InfluxV1:
    return InfluxV1(url, "city", "bridge", SECRET, timeout_s=0.4)


def v2(url: str) -> InfluxV2:
    return InfluxV2(url, "town", "city", SECRET, timeout_s=0.4)


def victoria(url: str) -> InfluxV2:
    return InfluxV2(url, "", "", SECRET, dialect="victoriametrics", timeout_s=0.4)


@pytest.fixture
def fake() -> Iterator[FakeInflux]:
    with running() as server:
        yield server


@pytest.fixture(params=[v1, v2], ids=["v1", "v2"])
def make(request: pytest.FixtureRequest) -> MakeStore:
    return request.param


def refusal(store: Store, ask: Callable[[Store], object] = lambda store: store.write([POINT])) -> StoreError:
    """Provoke a StoreError and look for secrets in all that a log could show of it."""
    with pytest.raises(StoreError) as caught:
        ask(store)
    store.close()
    shown = "".join(traceback.format_exception(caught.value)) + repr(caught.value) + repr(store)
    assert SECRET not in shown
    assert base64.b64encode(f"bridge:{SECRET}".encode()).decode() not in shown
    assert len(str(caught.value)) <= 330
    assert "\n" not in str(caught.value)
    return caught.value


# (status, body, verdict). Bodies: InfluxDB 1.6.7 answered the first two; the others as its source and the InfluxDB 2
# documentation word them.
REFUSALS = [
    (400, '{"error":"partial write: field type conflict: input field \\"mean\\" is type float"}', Verdict.SPLIT),
    (400, '{"error":"partial write: points beyond retention policy dropped=1"}', Verdict.OLD),
    (400, '{"code":"invalid","message":"unable to parse line"}', Verdict.SPLIT),
    (422, '{"message":"partial write: dropped 2 points outside retention policy of duration 1h"}', Verdict.OLD),
    (413, '{"error":"Request Entity Too Large"}', Verdict.LARGE),
    (422, '{"code":"unprocessable entity","message":"failure writing points to database"}', Verdict.SPLIT),
    (401, '{"code":"unauthorized","message":"unauthorized access"}', Verdict.REJECT),
    (403, '{"error":"\\"bridge\\" user is not authorized to write to database \\"city\\""}', Verdict.REJECT),
    (404, '{"error":"database not found: \\"city\\""}', Verdict.REJECT),
    (408, "", Verdict.RETRY),
    (429, '{"message":"too many requests"}', Verdict.RETRY),
    (500, '{"error":"timeout"}', Verdict.RETRY),
    (502, "<html>Bad Gateway</html>", Verdict.RETRY),
    (503, "", Verdict.RETRY),
    # Not refusals, yet not "stored" either: a proxy's page, a partial success, a way elsewhere.
    (200, "<html>please log in</html>", Verdict.REJECT),
    (201, "", Verdict.REJECT),
    (302, "", Verdict.REJECT),
]


@pytest.mark.parametrize(("status", "body", "verdict"), REFUSALS)
def test_a_refusal_is_sorted(fake: FakeInflux, make: MakeStore, status: int, body: str, verdict: Verdict) -> None:
    fake.reply = Reply(status, body)
    error = refusal(make(fake.url))
    assert error.verdict is verdict
    assert str(status) in str(error)
    assert error.retry_after_s is None
    if status >= 400:
        assert body in str(error)


@pytest.mark.parametrize(
    ("header", "wait_s"),
    [
        ("17", 17.0),
        ("0", 0.0),
        ("2.5", 2.5),
        ("-4", None),
        ("9" * 400, None),
        ("86400", 3600.0),
        ("soon", None),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 0.0),
        ("Wed, 21 Oct 2099 07:28:00 GMT", 3600.0),
        ("Wed, 99 Oct 2099 07:28:00 GMT", None),
        ("Wed, 21 Oct 99999999999 07:28:00 GMT", None),
    ],
)
def test_the_wait_a_server_asks_for_is_passed_on(
    fake: FakeInflux, make: MakeStore, header: str, wait_s: float | None
) -> None:
    for status in (429, 503):
        fake.reply = Reply(status, "slow down", {"Retry-After": header})
        error = refusal(make(fake.url))
        assert (error.verdict, error.retry_after_s) == (Verdict.RETRY, wait_s)


def test_a_server_that_repeats_our_secrets_does_not_get_them_into_the_error(fake: FakeInflux, make: MakeStore) -> None:
    for pad in range(0, 320, 20):  # wherever the text is cut, no part of a secret may stay
        fake.reply = Reply(401, "x" * pad + " {authorization} " + SECRET)
        error = refusal(make(fake.url))
        assert SECRET[:6] not in str(error)
        assert error.verdict is Verdict.REJECT


def test_a_long_answer_is_cut_and_kept_on_one_line(fake: FakeInflux, make: MakeStore) -> None:
    fake.reply = Reply(400, "first\r\n\x1b[31msecond " + "long " * 10_000)
    assert "400 first [31msecond long" in str(refusal(make(fake.url)))


def test_a_page_in_another_encoding_is_no_crash(fake: FakeInflux, make: MakeStore) -> None:
    fake.reply = Reply(502, "Zeitüberschreitung", charset="latin-1")
    assert refusal(make(fake.url)).verdict is Verdict.RETRY


@pytest.mark.parametrize("act", ["hang", "close"])
def test_a_server_that_hangs_or_hangs_up_is_tried_again(fake: FakeInflux, make: MakeStore, act: str) -> None:
    fake.reply = Reply(act=act)
    assert refusal(make(fake.url)).verdict is (Verdict.SLOW if act == "hang" else Verdict.RETRY)
    assert len(fake.requests) == 1  # nobody below us tries again on its own


def test_a_server_that_is_not_there_is_tried_again(make: MakeStore) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    error = refusal(make(f"http://127.0.0.1:{port}"))
    assert error.verdict is Verdict.RETRY
    assert str(port) in str(error)


def test_a_server_that_speaks_no_tls_is_rejected(fake: FakeInflux, make: MakeStore) -> None:
    assert refusal(make(fake.url.replace("http", "https"))).verdict is Verdict.REJECT


def test_the_store_works_again_after_a_refusal(fake: FakeInflux, make: MakeStore) -> None:
    store = make(fake.url)
    fake.reply = Reply(act="close")
    with pytest.raises(StoreError):
        store.write([POINT])
    fake.reply = Reply()
    store.write([POINT])
    assert fake.requests[-1].body == LINE
    store.close()


def test_a_point_that_no_line_can_carry_is_split_off_before_anything_is_sent(fake: FakeInflux, make: MakeStore) -> None:
    bad = Point("air", (("site", "a\nb"),), 1, {"mean": 1.0})
    assert refusal(make(fake.url), lambda store: store.write([POINT, bad])).verdict is Verdict.SPLIT
    assert fake.requests == []


def test_nothing_to_write_sends_nothing(fake: FakeInflux, make: MakeStore) -> None:
    store = make(fake.url)
    store.write([])
    store.write([Point("air", (), 1, {})])
    store.close()
    assert fake.requests == []


def test_a_write_to_v1_is_authorised_and_in_nanoseconds(fake: FakeInflux) -> None:
    store = v1(fake.url + "/influx/")
    store.write([POINT])
    store.close()
    (request,) = fake.requests
    url = urlsplit(request.path)
    assert (request.method, url.path, request.body) == ("POST", "/influx/write", LINE)
    assert parse_qs(url.query) == {"db": ["city"], "precision": ["ns"]}
    assert request.headers["Authorization"] == "Basic " + base64.b64encode(f"bridge:{SECRET}".encode()).decode()


def test_a_write_to_v2_is_authorised_and_in_nanoseconds(fake: FakeInflux) -> None:
    store = v2(fake.url + "/influx/")
    store.write([POINT])
    store.close()
    (request,) = fake.requests
    url = urlsplit(request.path)
    assert (request.method, url.path, request.body) == ("POST", "/influx/api/v2/write", LINE)
    assert parse_qs(url.query) == {"bucket": ["city"], "org": ["town"], "precision": ["ns"]}
    assert request.headers["Authorization"] == f"Token {SECRET}"


@pytest.mark.parametrize("url", ["influx:8086", "ftp://host", "http://", "http://u:p@host", "http://host?token=1"])
def test_a_url_that_is_none_is_refused_without_being_repeated(make: MakeStore, url: str) -> None:
    with pytest.raises(ValueError, match="url of a store") as caught:
        make(url)
    assert all(part not in str(caught.value) for part in ("u:p", "token", "ftp", "influx:"))


def test_a_token_with_a_line_break_is_refused_without_being_repeated() -> None:
    with pytest.raises(ValueError, match="line break") as caught:
        InfluxV2("http://host:8086", "town", "city", SECRET + "\n")
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    ("status", "body", "verdict"),
    [
        (200, '{"results":[{"statement_id":0,"error":"database not found: city"}]}', Verdict.REJECT),  # 1.6.7
        (200, '{"results":[{"series":[]}]}\n{"error":"timeout"}', Verdict.RETRY),
        (200, "<html>hello</html>", Verdict.REJECT),
        (200, '{"results": 5}', Verdict.REJECT),
        (400, '{"error":"error parsing query"}', Verdict.REJECT),
        (401, '{"error":"authorization failed"}', Verdict.REJECT),
        (503, "", Verdict.RETRY),
    ],
)
def test_reading_from_v1_sorts_refusals_too(fake: FakeInflux, status: int, body: str, verdict: Verdict) -> None:
    fake.reply = Reply(status, body)
    assert refusal(v1(fake.url), lambda store: list(store.read(0, 10))).verdict is verdict
    assert refusal(v1(fake.url), lambda store: store.create_database()).verdict is verdict


@pytest.mark.parametrize(
    ("status", "body", "verdict"),
    [
        (
            200,
            "#datatype,string,string\r\n#group,true,true\r\n#default,,\r\n,error,reference\r\n,timed out,\r\n",
            Verdict.RETRY,
        ),
        (200, "<html>hello</html>", Verdict.REJECT),
        (400, '{"code":"invalid","message":"compilation failed"}', Verdict.REJECT),
        (404, '{"message":"could not find bucket \\"city\\""}', Verdict.REJECT),
        (503, "", Verdict.RETRY),
    ],
)
def test_reading_from_v2_sorts_refusals_too(fake: FakeInflux, status: int, body: str, verdict: Verdict) -> None:
    fake.reply = Reply(status, body)
    assert refusal(v2(fake.url), lambda store: list(store.read(0, 10))).verdict is verdict


@pytest.mark.parametrize(("status", "verdict"), [(400, Verdict.REJECT), (404, Verdict.REJECT), (503, Verdict.RETRY)])
def test_reading_from_victoria_sorts_refusals_too(fake: FakeInflux, status: int, verdict: Verdict) -> None:
    fake.reply = Reply(status, "no")
    assert refusal(victoria(fake.url), lambda store: list(store.read(0, 10**12))).verdict is verdict


@pytest.mark.parametrize("act", ["hang", "close"])
@pytest.mark.parametrize("make", [v1, v2, victoria])
def test_reading_from_a_server_that_hangs_is_tried_again(fake: FakeInflux, make: MakeStore, act: str) -> None:
    fake.reply = Reply(act=act)
    assert refusal(make(fake.url), lambda store: list(store.read(0, 10**12))).verdict in (
        Verdict.RETRY,
        Verdict.SLOW,
    )


# Annotated CSV of a pivoted query, after https://docs.influxdata.com/influxdb/v2/reference/syntax/annotated-csv/: two
# tables of one measurement, an empty cell where a field has no value, then a table with other tags.
FLUX = """#datatype,string,long,dateTime:RFC3339,string,string,string,double,double\r
#group,false,false,false,true,true,true,false,false\r
#default,_result,,,,,,,\r
,result,table,_time,_measurement,site,sensor,mean,r_range\r
,,0,2026-01-01T00:00:00Z,air,s,pm,-1.25,\r
,,0,2026-01-01T00:01:00.000001Z,air,s,pm,1e-07,3\r
,,1,2026-01-01T00:00:00Z,air,s,"a,b",0,1\r
\r
#datatype,string,long,dateTime:RFC3339,string,string,string,double\r
#group,false,false,false,true,true,true,false\r
#default,_result,,,,,,\r
,result,table,_time,_measurement,unit,site,mean\r
,,2,2026-01-01T00:00:00Z,air,,s,5\r
\r
"""


def test_a_flux_answer_becomes_points(fake: FakeInflux) -> None:
    fake.reply = Reply(200, FLUX)
    store = InfluxV2(fake.url, "town", 'ci"ty', SECRET)
    reading = store.read(POINT.start_ns, POINT.start_ns + 60 * 10**9)
    first = [next(reading) for _ in range(4)]
    reading.close()  # type: ignore[attr-defined]
    store.close()
    start = int(datetime(2026, 1, 1, tzinfo=UTC).timestamp()) * 10**9
    pm = (("site", "s"), ("sensor", "pm"))
    assert first == [
        Point("air", pm, start, {"mean": -1.25}),
        Point("air", pm, start + 60 * 10**9 + 1000, {"mean": 1e-07, "r_range": 3.0}),
        Point("air", (("site", "s"), ("sensor", "a,b")), start, {"mean": 0.0, "r_range": 1.0}),
        Point("air", (("site", "s"),), start, {"mean": 5.0}),
    ]
    asked = fake.requests[0].body.decode()
    assert r"from(bucket: \"ci\\\"ty\")" in asked
    assert f"range(start: time(v: {start}), stop: time(v: {start + 60 * 10**9}))" in asked


def test_nobody_pays_for_a_client_he_does_not_use() -> None:
    code = "import sys, gateway.store.sqlite, gateway.store.influx; print('influxdb_client' in sys.modules)"
    assert subprocess.check_output([sys.executable, "-c", code], text=True) == "False\n"
