"""When certificates end: read from the files and from what servers show, and told in good time.

Only the validity is read, with a reader of DER that knows no more than it needs (RFC 5280, section 4.1):

    Certificate  30 { TBSCertificate  30 { A0 version?  02 serial  30 algorithm  30 issuer  30 { notBefore notAfter } ..
    a time       17 YYMMDDhhmmssZ (years 1950 to 2049)  or  18 YYYYMMDDhhmmssZ
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from gateway.config_site import MqttConfig, StoreConfig

DAY_NS = 86_400 * 10**9
CREDENTIALS = Path("/run/credentials")  # where systemd puts them
MOST_AUTHORITIES = 20  # a ca_file with more is the system's own, which the system looks after
SEQUENCE, INTEGER, VERSION, UTC_TIME, GENERAL_TIME = 0x30, 0x02, 0xA0, 0x17, 0x18
PEM = re.compile(r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)


class Validity(NamedTuple):
    """From when until when a certificate is good, in UTC ns."""

    begin_ns: int
    end_ns: int


def validity(der: bytes) -> Validity:
    """Read from when until when a certificate is good; raise ValueError for what is none."""
    (tag, tbs), *_ = _elements(_only(der, SEQUENCE))
    parts = list(_elements(tbs)) if tag == SEQUENCE else []
    tags = [tag for tag, _ in parts]
    first = 1 if tags[:1] == [VERSION] else 0
    if tags[first : first + 4] != [INTEGER, SEQUENCE, SEQUENCE, SEQUENCE]:
        raise ValueError("no certificate: its parts are others")
    times = [_time_ns(tag, text) for tag, text in _elements(parts[first + 3][1])]
    if len(times) != 2:
        raise ValueError("no certificate: its validity has no two ends")
    return Validity(*times)


def of_file(path: Path) -> list[Validity]:
    """Read all certificates of a PEM file; raises OSError, and ValueError when it holds none."""
    import ssl  # not by the check of a configuration that names no certificate: 2 MB

    found = [validity(ssl.PEM_cert_to_DER_cert(text)) for text in PEM.findall(path.read_text("ascii", "replace"))]
    if not found:
        raise ValueError("holds no certificate as PEM")
    return found


def troubles(
    files: Mapping[str, Path | None], servers: Mapping[str, bytes], now_ns: int, warn_days: float
) -> dict[str, str]:
    """Say which certificates end within `warn_days`, or have ended; by a subject for each.

    `files` are PEM files by what they are for us, `servers` the certificates (DER) that servers have shown, by name.
    What cannot be read is left to the connection, which fails over it and says so.
    """
    found = {}
    for what, path in files.items():
        validities = _readable(path) if path is not None else []
        if validities and len(validities) <= MOST_AUTHORITIES:
            first = min(validities, key=lambda one: one.end_ns)
            if said := _told(first, now_ns, warn_days):
                found[f"certificate {path}"] = f"{what} {path} {said}: {_renewed(path)}"
    for name, der in servers.items():
        with suppress(ValueError):  # whoever was believed with it may write it as he likes
            if der and (said := _told(validity(der), now_ns, warn_days)):
                found[f"certificate of {name}"] = f"the certificate of {name} {said}: renew it there"
    return found


def _renewed(path: Path | None) -> str:
    """Say where a new certificate belongs: systemd copies its credentials when the service starts."""
    if path is not None and path.is_relative_to(CREDENTIALS):
        return "put a new one into /etc/credstore, then restart the service"
    return "put a new one there; no restart is needed"


def on_line(of: MqttConfig | StoreConfig, server: str, shown: bytes, now_ns: int) -> dict[str, str]:
    """Say which certificates of one line end soon, or have ended: ours, the authority's, and what the server shows."""
    files = {"our certificate": of.cert_file, "the authority in": of.ca_file}
    return troubles(files, {server: shown}, now_ns, of.expiry_warn_days)


def _told(good: Validity, now_ns: int, warn_days: float) -> str:
    """Say in words when a certificate ends, if that is soon, or past."""
    left_ns = good.end_ns - now_ns
    if now_ns < good.begin_ns:
        return f"is valid only from {_day(good.begin_ns)} on (is the clock right?)"
    if left_ns > warn_days * DAY_NS:
        return ""
    if left_ns <= 0:
        return f"has expired on {_day(good.end_ns)}"
    return f"expires in {left_ns // DAY_NS} days, on {_day(good.end_ns)}"


def _day(t_ns: int) -> str:
    return f"{datetime.fromtimestamp(t_ns // 10**9, UTC):%Y-%m-%d}"


def _readable(path: Path) -> list[Validity]:
    try:
        return of_file(path)
    except (OSError, ValueError):
        return []


def _only(data: bytes, tag: int) -> bytes:
    found = list(_elements(data))
    if len(found) != 1 or found[0][0] != tag:
        raise ValueError("no certificate: it is not one sequence")
    return found[0][1]


def _elements(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield tag and content of each element; raise ValueError for what is no DER."""
    at = 0
    while at < len(data):
        if at + 2 > len(data):
            raise ValueError("cut off")
        tag, size = data[at], data[at + 1]
        at += 2
        if size & 0x80:
            count = size & 0x7F
            if not 0 < count <= 4:
                raise ValueError("a length that nobody needs")
            size = int.from_bytes(data[at : at + count], "big")
            at += count
        if at + size > len(data):
            raise ValueError("cut off")
        yield tag, data[at : at + size]
        at += size


def _time_ns(tag: int, text: bytes) -> int:
    said = text.decode("ascii")
    if tag == UTC_TIME and len(said) == 13:
        said = ("19" if said >= "50" else "20") + said
    elif tag != GENERAL_TIME:
        raise ValueError("no time")
    at = datetime.strptime(said, "%Y%m%d%H%M%SZ").replace(tzinfo=UTC)
    return int(at.timestamp()) * 10**9
