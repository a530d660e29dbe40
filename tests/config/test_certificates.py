"""When certificates end: what is read of them, and what is told."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from gateway.certificates import DAY_NS, Validity, _renewed, of_file, on_line, troubles, validity
from gateway.config_site import MqttConfig
from tests.fuzz.certificates import CERTIFICATE

BEGIN_NS, END_NS = 1_767_225_600 * 10**9, 1_775_001_600 * 10**9  # 2026-01-01 and 2026-04-01
SHORT, GENERAL = bytes.fromhex("170d") + b"260401000000Z", bytes.fromhex("180f") + b"20260401000000Z"


def pem(der: bytes) -> str:
    return f"-----BEGIN CERTIFICATE-----\n{base64.b64encode(der).decode()}\n-----END CERTIFICATE-----\n"


def with_end(time: bytes) -> bytes:
    """Write another end into the certificate, and the lengths around it."""
    at = CERTIFICATE.index(SHORT)
    more = len(time) - len(SHORT)
    changed = bytearray(CERTIFICATE[:at] + time + CERTIFICATE[at + len(SHORT) :])
    for place in (2, 6):  # 30 82 LLLL, of the certificate and of its first part
        length = int.from_bytes(changed[place : place + 2], "big") + more
        changed[place : place + 2] = length.to_bytes(2, "big")
    changed[at - 16] += more  # 30 LL of the validity, before 17 0d and the 13 signs of the begin
    return bytes(changed)


def test_begin_and_end_are_read() -> None:
    assert validity(CERTIFICATE) == Validity(BEGIN_NS, END_NS)


@pytest.mark.parametrize(
    ("time", "end_s"),
    [
        (GENERAL, 1_775_001_600),
        (bytes.fromhex("170d") + b"491231235959Z", 2_524_607_999),
        (bytes.fromhex("170d") + b"500101000000Z", -631_152_000),  # two digits from 50 on are of the last century
        (bytes.fromhex("180f") + b"99991231235959Z", 253_402_300_799),  # RFC 5280: it has no end
    ],
)
def test_both_ways_to_write_a_time(time: bytes, end_s: int) -> None:
    assert validity(with_end(time)).end_ns == end_s * 10**9


@pytest.mark.parametrize("size", range(0, len(CERTIFICATE), 7))
def test_a_part_of_a_certificate_is_none(size: int) -> None:
    with pytest.raises(ValueError, match=r"."):
        validity(CERTIFICATE[:size])


@pytest.mark.parametrize(
    "der", [b"", b"\x30\x00", b"\x30\x80\x00\x00", b"\x30\x85\x01\x00\x00\x00\x00", b"\x02\x01\x05"], ids=bytes.hex
)
def test_what_is_no_certificate(der: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        validity(der)
    assert troubles({}, {"server": der}, BEGIN_NS, 30.0) == {}


@pytest.mark.parametrize(
    ("days_left", "says"),
    [
        (31, ""),
        (30, "expires in 30 days, on 2026-04-01"),
        (29.9, "expires in 29 days, on 2026-04-01"),
        (0.5, "expires in 0 days"),
        (0, "has expired on 2026-04-01"),
        (-400, "has expired on 2026-04-01"),
        (91, "is valid only from 2026-01-01 on (is the clock right?)"),
    ],
)
def test_it_is_told_30_days_ahead_and_not_before(tmp_path: Path, days_left: float, says: str) -> None:
    now_ns = END_NS - round(days_left * DAY_NS)
    path = tmp_path / "own.crt"
    path.write_text(pem(CERTIFICATE))
    told = troubles({"our certificate": path}, {"the broker": CERTIFICATE}, now_ns, 30.0)
    assert len(told) == (2 if says else 0)
    assert all(says in text for text in told.values())
    if says:
        assert told[f"certificate {path}"].startswith(f"our certificate {path} ")
        assert told[f"certificate {path}"].endswith(": put a new one there; no restart is needed")
        assert told["certificate of the broker"].endswith(": renew it there")


def test_what_systemd_has_copied_is_renewed_where_it_came_from() -> None:
    path = Path("/run/credentials/gateway.service/mqtt_cert")
    assert _renewed(path) == "put a new one into /etc/credstore, then restart the service"
    assert _renewed(Path("/etc/lamppost/pole.crt")) == "put a new one there; no restart is needed"


def test_of_several_in_a_file_the_first_to_end_counts(tmp_path: Path) -> None:
    path = tmp_path / "chain.crt"
    path.write_text("a comment\n" + pem(with_end(bytes.fromhex("170d") + b"300101000000Z")) + pem(CERTIFICATE))
    assert len(of_file(path)) == 2
    assert "2026-04-01" in "".join(troubles({"ca": path}, {}, END_NS - DAY_NS, 30.0).values())


def test_the_bundle_of_a_system_is_the_systems_own_business(tmp_path: Path) -> None:
    path = tmp_path / "bundle.crt"
    path.write_text(pem(CERTIFICATE) * 21)
    assert troubles({"ca": path}, {}, END_NS, 30.0) == {}


@pytest.mark.parametrize("content", [None, b"", b"no certificate", pem(b"\x30\x00").encode(), b"\xff" * 99])
def test_a_file_that_cannot_be_read_is_left_to_the_connection(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "own.crt"
    if content is not None:
        path.write_bytes(content)
    assert troubles({"our certificate": path}, {}, END_NS, 30.0) == {}


def test_a_line_without_certificates_has_nothing_to_tell() -> None:
    assert on_line(MqttConfig(), "broker", b"", END_NS) == {}
