"""One server reached over HTTP: bounded requests, refusals sorted into StoreError, and no secret in any text."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TypeVar
from urllib.parse import quote, quote_plus, urlencode, urlsplit

import msgspec
import urllib3
from urllib3.exceptions import HTTPError

from gateway.store.base import StoreError, Verdict
from gateway.store.lineprotocol import encode
from gateway.tls import Contexts, explain, ssl_error
from gateway.wire import Point

STORED = 204  # the only status by which any of these servers says that all points are in
_SAID_CHARS = 300
_SECONDS = re.compile(r"\d{1,9}(\.\d+)?")
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
        self._timeout = urllib3.Timeout(connect=timeout_s, read=timeout_s)
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
        """Sort a refusal by its status; `bad` is the verdict when the request itself was at fault."""
        verdict = Verdict.RETRY if status in (408, 425, 429) or status >= 500 else Verdict.REJECT
        if status in (400, 413, 422):
            verdict = bad
        said = body.decode("utf-8", "replace") if isinstance(body, bytes) else body or ""
        waits = _SECONDS.fullmatch((headers or {}).get("Retry-After", ""))  # a date would need a clock
        return self.error(verdict, f"{status} {said}", float(waits[0]) if waits else None)

    def away(self, error: Exception) -> StoreError:
        """Tell of a server that did not answer, or whose certificate is not believed."""
        if self.url.startswith("https:"):
            self.close()
        if (found := ssl_error(error)) is not None:
            return self.error(Verdict.REJECT, f"no answer: {explain(found)}")
        return self.error(Verdict.RETRY, f"no answer: {error}")

    def error(self, verdict: Verdict, text: str, retry_after_s: float | None = None) -> StoreError:
        """Make the error: one line, bounded, masked before it is cut."""
        for secret in self._secrets:
            text = text.replace(secret, "***")
        line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
        return StoreError(verdict, f"{self._name}: {line[:_SAID_CHARS]}", retry_after_s)

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
