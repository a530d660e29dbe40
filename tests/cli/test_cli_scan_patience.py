"""`gateway scan` at ports whose part answers late, or has nothing to say just now."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import replace

import pytest
from test_cli_scan import Wire, in_json, only, stream

from drivers import DRIVERS
from drivers.base import Command, Driver, Identify, Uart
from drivers.link.base import short
from drivers.script import Step
from gateway import scan_serial
from gateway.clock import Clock
from gateway.scan_line import Line
from gateway.scan_rates import Rate

WHO, ME = b"WHO?", b"ME\r\n"
LINE, GARBLED = b"-3.6\r\n", b"\xf0\x00\x1e"
PRODUCT = b'{"Product":"OPS243"}\r\n'
RADAR = replace(DRIVERS["ops243"], bus=Uart((19_200, 57_600)))


def polled(*bauds: int, sure: bool = True) -> Driver:
    ask = Command("who", WHO, rx=len(ME), timeout_s=0.3)
    keep = DRIVERS["nsrt_mk4"]
    return replace(keep, name="part", bus=Uart(bauds), identify=Identify((ask,), lambda said: said == ME, sure))


def after(delay_s: float, reply: bytes) -> Callable[[bytes, int], bytes]:
    def answer(data: bytes, baud: int) -> bytes:
        time.sleep(delay_s)
        return reply

    return answer


@pytest.mark.parametrize("sure", [True, False])
def test_who_answers_too_late_is_asked_again_and_waited_for(monkeypatch: pytest.MonkeyPatch, sure: bool) -> None:
    only(monkeypatch, polled(9600, sure=sure))
    wire = Wire(answers=after(0.6, ME))
    with wire as port:
        (row,) = in_json("--port", port, rate=1)["found"]
    assert (row["driver"], row["baud"], row["sure"]) == ("part", None, sure)
    assert wire.written == WHO * 2


def test_without_patience_it_is_not_found(monkeypatch: pytest.MonkeyPatch) -> None:
    only(monkeypatch, polled(9600))
    monkeypatch.setattr(scan_serial, "PATIENCE", (1,))
    with Wire(answers=after(0.6, ME)) as port:
        assert in_json("--port", port, rate=1)["found"] == []


def test_nobody_is_waited_for_where_nothing_is_heard(monkeypatch: pytest.MonkeyPatch) -> None:
    only(monkeypatch, polled(9600, 19_200))
    wire = Wire()
    with wire as port:
        assert in_json("--port", port)["found"] == []
    assert wire.written == WHO * 2, "once at each rate"


def test_a_reply_that_is_there_counts_though_the_time_is_over() -> None:
    """A machine with much to do may not come round to look before."""
    wire = Wire(answers=lambda data, baud: ME)
    with wire as port:
        line = Line(port, Rate(9600, "8N1"), Clock(), threading.Event())
        line.transfer(Step(tx=WHO))
        time.sleep(0.5)
        assert line.transfer(Step(rx=len(ME), timeout_s=0.0)) == ME
        assert line.transfer(Step(rx=len(ME), timeout_s=0.0)) == short(b"", len(ME))
        line.close()


def silent_at_first(rate: int, calls: int) -> Callable[[int], bytes]:
    """Say lines at one rate, but nothing when first listened to; at other rates they come out garbled."""
    left = [calls]

    def said(baud: int) -> bytes:
        if baud != rate:
            return GARBLED
        left[0] -= 1
        return LINE if left[0] < 0 else b""

    return said


def test_a_radar_without_traffic_is_listened_to_again(monkeypatch: pytest.MonkeyPatch) -> None:
    only(monkeypatch, stream("pm"), RADAR)
    with Wire(said=silent_at_first(19_200, 30)) as port:
        (row,) = in_json("--port", port)["found"]
    assert (row["driver"], row["baud"]) == ("ops243", None)


def test_listened_to_once_it_is_missed(monkeypatch: pytest.MonkeyPatch) -> None:
    only(monkeypatch, stream("pm"), RADAR)
    monkeypatch.setattr(scan_serial, "PASSES", 1)
    with Wire(said=silent_at_first(19_200, 30)) as port:
        assert in_json("--port", port)["found"] == []


@pytest.mark.parametrize(("everywhere", "baud"), [(True, None), (False, 57_600)])
def test_a_part_that_takes_no_notice_of_the_rate_has_the_factorys(
    monkeypatch: pytest.MonkeyPatch, everywhere: bool, baud: int | None
) -> None:
    only(monkeypatch, stream("pm"), RADAR)

    def answers(data: bytes, at: int) -> bytes:
        return PRODUCT if data.endswith(b"?P") and (everywhere or at == 57_600) else b""

    said = {9600: GARBLED, 57_600: LINE}
    with Wire(said=lambda at: said.get(at, b""), answers=answers) as port:
        (row,) = in_json("--port", port)["found"]
    assert (row["driver"], row["sure"], row["baud"]) == ("ops243", True, baud)
