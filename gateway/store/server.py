"""One server reached over HTTP: bounded requests, refusals sorted into StoreError, and no secret in any text."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from types import MappingProxyType
from typing import TypeVar
from urllib.parse import quote, quote_plus, urlencode, urlsplit

import msgspec
import urllib3
from urllib3.exceptions import HTTPError, ReadTimeoutError

from gateway.clock import Clock
from gateway.store.base import StoreError, Verdict
from gateway.store.lineprotocol import encode
from gateway.tls import Contexts, explain, ssl_error
from gateway.wire import Point

CONNECT_S = 10.0
LONGEST_WAIT_S = 3600.0  # whatever a server asks for
STORED = 204  # the only status by which any of these servers says that all points are in
_SAID_CHARS = 300
_SECONDS = re.compile(r"\d{1,9}(\.\d+)?")
_BUSY = (408, 425, 429)
_OF_DATA = MappingProxyType({400: Verdict.SPLIT, 413: Verdict.LARGE, 422: Verdict.SPLIT})
_BEYOND = re.compile(r"(beyond|outside) (the )?retention", re.IGNORECASE)  # InfluxDB 1; InfluxDB 2 and 3
S = TypeVar("S", bound=msgspec.Struct)


class Server:
    """One server; `timeout_s` bounds every wait, for the connection and for each piece of an answer."""

    def __init__(
        self, url: str, headers: dict[str, str], secrets: tuple[str, ...], tls: Contexts | None, timeout_s: float
    ) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
            raise ValueError("the url of a store looks like http://host:8086 or https://host/path")
        if parts.username is not None:
            raise ValueError("the url of a store holds no user and password: they have options of their own")
        self.url = url.rstrip("/")
        self._name = parts.netloc
        self._headers = headers
        self._secrets = sorted({form for text in secrets if text for form in _forms(text)}, key=len, reverse=True)
        self._timeout = urllib3.Timeout(connect=min(CONNECT_S, timeout_s), read=timeout_s)
        self.hints: Mapping[int, str] = {}  # by status: what to do
        self._tls = tls
        self._pool: urllib3.PoolManager | None = None

    def encoded(self, points: Sequence[Point]) -> bytes:
        """Encode points; raise StoreError when one of them cannot be."""
        try:
            return encode(points)
        except ValueError as error:
            raise self.error(Verdict.SPLIT, str(error)) from None

    def write(self, path: str, params: dict[str, str], body: bytes) -> None:
        """Post a body; raise StoreError unless the server says that all of it is stored."""
        answer = self._ask("POST", path, params, body)
        if answer.status != STORED:
            raise self.refused(answer.status, answer.headers, answer.data)

    def get(self, path: str) -> None:
        """Ask for something whose answer does not matter; raise StoreError on a refusal."""
        answer = self._ask("GET", path, {})
        if answer.status >= 300:
            raise self.refused(answer.status, answer.headers, answer.data, Verdict.REJECT)

    def json_lines(self, method: str, path: str, params: dict[str, str], kind: type[S]) -> Iterator[S]:
        """Yield the JSON objects of an answer, one a line, as they come."""
        decoder = msgspec.json.Decoder(kind)
        answer = self._ask(method, path, params, preload=False)
        try:
            if answer.status != 200:
                raise self.refused(answer.status, answer.headers, answer.read(4096), Verdict.REJECT)
            for line in answer:
                yield decoder.decode(line)
        except (HTTPError, OSError) as error:
            raise self.away(error) from None
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise self.error(Verdict.REJECT, f"the answer to {path} is not the expected JSON: {error}") from None
        finally:
            answer.close()

    def pool(self) -> urllib3.PoolManager:
        """Return the connections; after a trouble with certificates new ones, with the files as they are now.

        Raises OSError for a file that cannot be read.
        """
        if self._pool is None:
            context = self._tls() if self._tls is not None and self.url.startswith("https:") else None
            self._pool = urllib3.PoolManager(retries=False, ssl_context=context)
        return self._pool

    def close(self) -> None:
        """Close the connections."""
        if self._pool is not None:
            self._pool.clear()
        self._pool = None

    def refused(
        self, status: int, headers: Mapping[str, str] | None, body: bytes | str | None, bad: Verdict = Verdict.SPLIT
    ) -> StoreError:
        """Sort a refusal by its status and what was said; `bad` is the verdict when the request itself was at fault."""
        said = body.decode("utf-8", "replace") if isinstance(body, bytes) else body or ""
        verdict = Verdict.RETRY if status in _BUSY or status >= 500 else _OF_DATA.get(status, Verdict.REJECT)
        if status in _OF_DATA and bad is not Verdict.SPLIT:
            verdict = bad
        if verdict is Verdict.SPLIT and _BEYOND.search(said):
            verdict = Verdict.OLD
        wait_s = _wait_s(headers or {})
        return self.error(verdict, f"{status} {said}", wait_s, status)

    def away(self, error: Exception) -> StoreError:
        """Tell of a server that did not answer, or whose certificate is not believed."""
        if self.url.startswith("https:"):
            self.close()
        if (found := ssl_error(error)) is not None:
            return self.error(Verdict.REJECT, f"no answer: {explain(found)}")
        late = isinstance(error, ReadTimeoutError)
        return self.error(Verdict.SLOW if late else Verdict.RETRY, f"no answer: {error}")

    def error(self, verdict: Verdict, text: str, retry_after_s: float | None = None, status: int = 0) -> StoreError:
        """Make the error: one line, bounded, masked before it is cut, and what to do behind it."""
        hint = f"; {self.hints[status]}" if status in self.hints else ""
        for secret in self._secrets:
            text = text.replace(secret, "***")
        line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
        said = line[: max(_SAID_CHARS - len(hint), _SAID_CHARS // 2)]
        return StoreError(verdict, f"{self._name}: {said}{hint}", retry_after_s, status)

    def _ask(
        self, method: str, path: str, params: dict[str, str], body: bytes | None = None, *, preload: bool = True
    ) -> urllib3.BaseHTTPResponse:
        url = f"{self.url}{path}?{urlencode(params)}"
        try:
            return self.pool().request(
                method, url, body=body, headers=self._headers, timeout=self._timeout, preload_content=preload
            )
        except (HTTPError, OSError) as error:
            raise self.away(error) from None


def _forms(secret: str) -> tuple[str, ...]:
    """Name the shapes in which an answer may repeat a secret: plain, in a url, in JSON."""
    return secret, quote(secret, safe=""), quote_plus(secret), msgspec.json.encode(secret).decode()[1:-1]


def _wait_s(headers: Mapping[str, str]) -> float | None:
    """Read Retry-After (RFC 9110, 10.2.3), in seconds or as a date, at most an hour; None where there is none.

    A date is compared with the server's own Date, if it says one: then no clock has to be right.
    """
    asked = headers.get("Retry-After", "")
    if _SECONDS.fullmatch(asked):
        return min(float(asked), LONGEST_WAIT_S)
    until = _date(asked)
    if until is None:
        return None
    now = _date(headers.get("Date", "")) or datetime.fromtimestamp(Clock().utc_ns() / 1e9, UTC)
    return min(max((until - now).total_seconds(), 0.0), LONGEST_WAIT_S)


def _date(text: str) -> datetime | None:
    """Read a date of HTTP; None when it is none."""
    try:
        when = parsedate_to_datetime(text)
    except (ValueError, IndexError, TypeError, OverflowError):
        return None
    return when if when.tzinfo else when.replace(tzinfo=UTC)
