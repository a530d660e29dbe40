"""Stores reached over HTTP: InfluxDB 1 (and what speaks its API), InfluxDB 2 and 3, VictoriaMetrics.

Every answer but "stored" becomes a StoreError with what the server said, at most 300 characters of it, and never a
token or a password.
"""

from __future__ import annotations

import csv
import re
from base64 import b64encode
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

import msgspec
from urllib3.exceptions import HTTPError

from gateway.store.base import Verdict
from gateway.store.server import CONNECT_S, STORED, Server
from gateway.tls import Contexts
from gateway.wire import TAGS, Point

TIMEOUT_S = 30.0  # a store on a slow card that answers after 10 s is slow, not away
MEASUREMENTS = ("air", "noise", "traffic", "weather", "health", "ledger")
Dialect = Literal["influxdb", "victoriametrics"]
_MS = 1_000_000  # ns
_GATEWAY = re.compile(r"[\w.:-]+", re.ASCII)  # as wire.Name has it
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class _Series(msgspec.Struct):
    """One series of an InfluxQL answer."""

    name: str
    columns: list[str]
    values: list[list[int | float | str | bool | None]]
    tags: dict[str, str] = {}


class _Result(msgspec.Struct):
    series: list[_Series] = []
    error: str = ""


class _Answer(msgspec.Struct):
    """One line of an InfluxQL answer."""

    results: list[_Result] = []
    error: str = ""


class _Export(msgspec.Struct):
    """One line of a VictoriaMetrics export: one field of one series; times in ms, null where a value is NaN."""

    metric: dict[str, str]
    values: list[float | None]
    timestamps: list[int]


class InfluxV1:
    """InfluxDB 1.x through /write and /query; InfluxDB 3 answers there too, with its token as the password."""

    def __init__(
        self,
        url: str,
        database: str,
        user: str | None = None,
        password: str | None = None,
        *,
        tls: Contexts | None = None,
        timeout_s: float = TIMEOUT_S,
        hints: Mapping[int, str] | None = None,
    ) -> None:
        """Name the server; nothing is sent yet. Raise ValueError on a url that is none.

        `hints` say what to do about a status; they stand behind what the server said.
        """
        basic = b64encode(f"{user or ''}:{password or ''}".encode()).decode() if user or password else ""
        headers = {"Authorization": f"Basic {basic}"} if basic else {}
        self.database = database
        self._server = Server(url, headers, (password or "", basic), tls, timeout_s)
        self._server.hints = hints or {}

    def write(self, points: Sequence[Point]) -> None:
        """Write points, or raise StoreError; the same key again replaces field by field, whatever its `rev`."""
        if body := self._server.encoded(points):
            self._server.write("/write", {"db": self.database, "precision": "ns"}, body)

    def read(self, start_ns: int, end_ns: int, gateway: str = "") -> Iterator[Point]:
        """Yield the points, of all gateways or of one, with start_ns <= start < end_ns, series by series."""
        whose = f" AND \"gateway\" = '{_name(gateway)}'" if gateway else ""
        for measurement in MEASUREMENTS:
            span = f"time >= {start_ns} AND time < {end_ns}{whose}"
            query = f'SELECT * FROM "{measurement}" WHERE {span} GROUP BY *'  # noqa: S608
            for series in self._query(query):
                yield from _unfold(series)

    def create_database(self) -> None:
        """Make the database if it is not there."""
        name = self.database.replace("\\", "\\\\").replace('"', '\\"')
        for _ in self._query(f'CREATE DATABASE "{name}"', "POST"):
            pass

    def close(self) -> None:
        """Close the connections."""
        self._server.close()

    def _query(self, query: str, method: str = "GET") -> Iterator[_Series]:
        asked = {"db": self.database, "epoch": "ns", "chunked": "true", "q": query}
        for answer in self._server.json_lines(method, "/query", asked, _Answer):
            for result in (_Result(error=answer.error), *answer.results):
                if result.error:  # comes with status 200
                    verdict = Verdict.REJECT if result.error.startswith("database not found") else Verdict.RETRY
                    raise self._server.error(verdict, result.error)
                yield from result.series


class InfluxV2:
    """InfluxDB 2 through influxdb-client, or a VictoriaMetrics, which takes the same writes but is read another way.

    InfluxDB 3 takes the writes too, but has no Flux: to read it back, use InfluxV1. VictoriaMetrics keeps milliseconds
    and some 14 digits, knows no buckets, and lets a rewrite replace only with `-dedup.minScrapeInterval=1ms`.
    """

    def __init__(
        self,
        url: str,
        org: str,
        bucket: str,
        token: str = "",
        *,
        dialect: Dialect = "influxdb",
        tls: Contexts | None = None,
        timeout_s: float = TIMEOUT_S,
        hints: Mapping[int, str] | None = None,
    ) -> None:
        """Name the server; nothing is sent yet. Raise ValueError on a url or a token that is none."""
        # Imported here, because it costs 0.4 s and 12 MB.
        from influxdb_client.client.influxdb_client import InfluxDBClient
        from influxdb_client.client.write_api import SYNCHRONOUS

        if not (token.isascii() and token.isprintable()):
            raise ValueError("the token holds characters that no token has: copy it again, without a line break")
        headers = {"Authorization": f"Token {token}"} if token else {}
        self.bucket = bucket
        self.dialect = dialect
        self._server = Server(url, headers, (token,), tls, timeout_s)
        self._server.hints = hints or {}
        timeout: Any = (round(min(CONNECT_S, timeout_s) * 1000), round(timeout_s * 1000))  # to connect, for the answer
        self._client = InfluxDBClient(self._server.url, token, org=org, timeout=timeout)
        self._write_api = self._client.write_api(write_options=SYNCHRONOUS)

    def write(self, points: Sequence[Point]) -> None:
        """Write points, or raise StoreError; the same key again replaces field by field, whatever its `rev`."""
        if body := self._server.encoded(points):
            with self._asking():
                self._write_api.write(self.bucket, record=body)
            if (status := self._client.api_client.last_response.status) != STORED:
                raise self._server.refused(status, {}, b"")

    def read(self, start_ns: int, end_ns: int, gateway: str = "") -> Iterator[Point]:
        """Yield the points with start_ns <= start < end_ns, to the microsecond (VictoriaMetrics: the millisecond).

        Of all gateways, or of one.
        InfluxDB streams series by series. Of VictoriaMetrics one measurement at a time is held in memory: ask for days.
        """
        if end_ns > start_ns:
            read = self._read_flux if self.dialect == "influxdb" else self._read_export
            for measurement in MEASUREMENTS:
                yield from read(measurement, start_ns, end_ns, gateway)

    def close(self) -> None:
        """Close the connections."""
        self._write_api.close()  # type: ignore[no-untyped-call]
        self._client.close()  # type: ignore[no-untyped-call]
        self._server.close()

    @contextmanager
    def _asking(self, *, reading: bool = False) -> Iterator[None]:
        """Turn what influxdb-client raises into StoreError."""
        from influxdb_client.client.flux_csv_parser import FluxCsvParserException, FluxQueryException
        from influxdb_client.rest import ApiException

        # Splitting helps no query; and an answer to a write that is no text may be a proxy's, which comes and goes.
        bad, garbled = (Verdict.REJECT, Verdict.REJECT) if reading else (Verdict.SPLIT, Verdict.RETRY)
        try:
            rest: Any = self._client.api_client.rest_client
            rest.pool_manager = self._server.pool()  # with the certificates of today
            yield
        except ApiException as error:
            if not error.status:  # how the client tells of TLS
                raise self._server.away(error) from None
            raise self._server.refused(error.status, error.headers, error.body, bad) from None
        except (HTTPError, OSError) as error:
            raise self._server.away(error) from None
        except FluxQueryException as error:
            raise self._server.error(Verdict.RETRY, str(error)) from None
        except (FluxCsvParserException, csv.Error, ValueError, IndexError):
            raise self._server.error(garbled, "the answer is not what an InfluxDB says") from None

    def _read_flux(self, measurement: str, start_ns: int, end_ns: int, gateway: str) -> Iterator[Point]:
        bucket = self.bucket.replace("\\", "\\\\").replace('"', '\\"').replace("${", "\\${")
        whose = f' and r.gateway == "{_name(gateway)}"' if gateway else ""
        query = f"""from(bucket: "{bucket}")
            |> range(start: time(v: {start_ns}), stop: time(v: {end_ns}))
            |> filter(fn: (r) => r._measurement == "{measurement}"{whose})
            |> drop(columns: ["_start", "_stop"])
            |> pivot(rowKey: ["_time"], columnKey: ["_field"], valueColumn: "_value")"""
        with self._asking(reading=True):
            for record in self._client.query_api().query_stream(query):
                row = {name: value for name, value in record.values.items() if name[:1] != "_" and name != "result"}
                tags = {name: value for name, value in row.items() if isinstance(value, str)}
                fields = {name: value for name, value in row.items() if isinstance(value, float)}
                at_ns = (record.values["_time"] - _EPOCH) // timedelta(microseconds=1) * 1000
                yield Point(measurement, _ordered(tags), at_ns, fields)

    def _read_export(self, measurement: str, start_ns: int, end_ns: int, gateway: str) -> Iterator[Point]:
        first_ms, last_ms = -(-start_ns // _MS), (end_ns - 1) // _MS
        if last_ms < max(0, first_ms):
            return
        self._server.get("/internal/force_flush")  # makes visible what was just written
        whose = f',gateway="{_name(gateway)}"' if gateway else ""
        match = {
            "match[]": f'{{__name__=~"{measurement}_.+"{whose}}}',
            "start": _seconds(max(0, first_ms)),
            "end": _seconds(last_ms),
            "max_rows_per_line": "10000",
        }
        found: dict[tuple[tuple[str, str], ...], dict[int, dict[str, float]]] = {}
        for series in self._server.json_lines("GET", "/api/v1/export", match, _Export):
            labels = series.metric
            field = labels.pop("__name__", "").removeprefix(f"{measurement}_")
            labels.pop("db", None)  # made by the server of some versions
            rows = found.setdefault(_ordered(labels), {})
            for at_ms, value in zip(series.timestamps, series.values, strict=False):
                if value is not None:
                    rows.setdefault(at_ms, {})[field] = value
        for tags, rows in found.items():
            for at_ms, fields in rows.items():
                yield Point(measurement, tags, at_ms * _MS, fields)


def _unfold(series: _Series) -> Iterator[Point]:
    """Turn one series of an InfluxQL answer into points; strings and booleans, which are not ours, are left out."""
    tags = _ordered(series.tags)
    for row in series.values:
        found = dict(zip(series.columns, row, strict=False))
        at_ns = found.pop("time", None)
        fields = {name: float(v) for name, v in found.items() if isinstance(v, int | float) and not isinstance(v, bool)}
        if fields and isinstance(at_ns, int):
            yield Point(series.name, tags, at_ns, fields)


def _ordered(tags: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    """Put tags into the order of TAGS, of which LEDGER_TAGS is a part; foreign ones follow by name."""
    names = [*TAGS, *sorted(set(tags) - set(TAGS))]
    return tuple((name, tags[name]) for name in names if tags.get(name))


def _name(gateway: str) -> str:
    """Return a gateway's name as it may stand inside quotes; raise ValueError when it is none."""
    if not _GATEWAY.fullmatch(gateway):
        raise ValueError(f"{gateway!r} is no name of a gateway")
    return gateway


def _seconds(ms: int) -> str:
    return f"{ms // 1000}.{ms % 1000:03}"
