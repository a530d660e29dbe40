from __future__ import annotations

import json

import pytest
from still_street import Heard, StillStreet

from firmware_sim.devices.ops243 import Ops243
from firmware_sim.street import Vehicle


def drive(twin: Ops243, from_s: float, to_s: float) -> list[str]:
    """What the radar says, asked when it wants to be."""
    said, t_s = b"", from_s
    while t_s < to_s:
        piece, t_s = twin.update(t_s)
        said += piece
    assert said == b"" or said.endswith(b"\r\n")
    return said.decode("ascii").split("\r\n")[:-1]


def test_silent_without_a_target(still: StillStreet, heard: Heard) -> None:
    assert drive(Ops243(still, heard), 0.0, 60.0) == []


@pytest.mark.parametrize("speed_m_s", [12.0, -12.0])
def test_a_vehicle_gives_several_signed_lines(still: StillStreet, heard: Heard, speed_m_s: float) -> None:
    still.traffic = [Vehicle(100.0, speed_m_s, 60.0)]
    lines = drive(Ops243(still, heard), 90.0, 110.0)
    # 35 m of beam at 12 m/s, five reports a second
    assert 13 <= len(lines) <= 16
    assert all(10.2 < float(line) / (speed_m_s / 12.0) <= 12.0 for line in lines)
    assert [values["speed"] for values in heard.values] == [float(line) for line in lines]
    times = [t_s for t_s, _values in heard.lines]
    assert (max(times) < 100.0) if speed_m_s > 0 else (min(times) > 100.0), "inbound is seen before it passes"


def at_30_m(still: StillStreet, heard: Heard, commands: bytes) -> tuple[bytes, bytes]:
    """One report of a vehicle that goes away at 12 m/s, 30 m along and 3 m aside: 12 * 30 / sqrt(909) = 11.940."""
    twin = Ops243(still, heard)
    replies = twin.receive(commands, 0.0)
    twin.update(102.3)
    still.traffic = [Vehicle(99.9, -12.0, 60.0)]
    return replies, twin.update(102.4)[0]


@pytest.mark.parametrize(
    ("commands", "replies", "line"),
    [
        (b"", b"", b"-11.9\r\n"),
        (b"F2", b"", b"-11.94\r\n"),
        (b"UK", b'{"Units":"km-per-hr"}\r\n', b"-43.0\r\n"),
        (b"US", b'{"Units":"mph"}\r\n', b"-26.7\r\n"),
        (b"UC", b'{"Units":"cm-per-sec"}\r\n', b"-1194.0\r\n"),
        (b"UF", b'{"Units":"ft-per-sec"}\r\n', b"-39.2\r\n"),
        (b"OJF2", b'{"OutputFeature":"J"}\r\n', b'{"speed":"-11.94"}\r\n'),
        (b"OM", b'{"OutputFeature":"M"}\r\n', b"66.67,-11.9\r\n"),
        (b"OJOM", b'{"OutputFeature":"J"}\r\n{"OutputFeature":"M"}\r\n', b'{"magnitude":"66.67","speed":"-11.9"}\r\n'),
        (b"OJOj", b'{"OutputFeature":"J"}\r\n{"OutputFeature":"j"}\r\n', b"-11.9\r\n"),
        (b"R>10\r^/+20.0\rM>5\rUM", b'{"Units":"m-per-sec"}\r\n', b"-11.9\r\n"),
    ],
)
def test_formats(still: StillStreet, heard: Heard, commands: bytes, replies: bytes, line: bytes) -> None:
    assert at_30_m(still, heard, commands) == (replies, line)


def test_truth_is_in_metres_per_second_whatever_the_unit(still: StillStreet, heard: Heard) -> None:
    at_30_m(still, heard, b"UK")
    assert heard.values == [{"speed": pytest.approx(-43.0 / 3.6)}]


def test_the_nearest_vehicle_is_the_strongest(still: StillStreet, heard: Heard) -> None:
    still.traffic = [Vehicle(99.0, -10.0, 60.0), Vehicle(99.5, -16.0, 60.0)]  # 20 m and 24 m along at 101 s
    twin = Ops243(still, heard)
    twin.update(100.9)
    assert twin.update(101.0)[0] == b"-9.9\r\n"


def test_the_strongest_is_told_and_that_may_be_a_lorry_behind(still: StillStreet, heard: Heard) -> None:
    still.traffic = [Vehicle(99.0, -10.0, 60.0), Vehicle(99.5, -16.0, 60.0, "lorry")]  # 20 m and 24 m, 10 dB more
    twin = Ops243(still, heard)
    twin.receive(b"OM", 0.0)
    twin.update(100.9)
    assert twin.update(101.0)[0] == b"333.33,-15.9\r\n"


def test_it_looks_at_the_same_moments_whenever_it_was_switched_on(still: StillStreet, heard: Heard) -> None:
    still.traffic = [Vehicle(1_768_284_000.0, 12.0, 60.0)]
    early, late = (drive(Ops243(still, heard), 1_768_283_990.0 + s, 1_768_284_010.0) for s in (0.0, 0.13))
    assert early == late != []


def test_information_is_json_lines(still: StillStreet, heard: Heard) -> None:
    twin = Ops243(still, heard)
    assert twin.receive(b"?V", 0.0) == b'{"Version":"1.3.5"}\r\n'
    assert twin.receive(b"?P", 0.0) == b'{"Product":"OPS243"}\r\n'
    lines = twin.receive(b"??", 0.0).decode("ascii").splitlines()
    told = {key: value for line in lines for key, value in json.loads(line).items()}
    assert (told["Product"], told["SamplingRate"], told["resolution"]) == ("OPS243", 10000, 0.0607)
    assert "SerialNumber" in json.loads(twin.receive(b"?N", 0.0))


def test_commands_may_come_byte_by_byte_and_nonsense_is_silent(still: StillStreet, heard: Heard) -> None:
    twin = Ops243(still, heard)
    replies = [twin.receive(bytes([byte]), 0.0) for byte in b"R>10\r\r\n?V"]
    assert [reply for reply in replies if reply] == [b'{"Version":"1.3.5"}\r\n']
    assert twin.receive(b"zz\xff\xfe", 0.0) == b""


def test_playback_comes_without_traffic(still: StillStreet, heard: Heard) -> None:
    # AN-010, p. 16 and p. 17
    twin = Ops243(still, heard, frames=['{"speed":"0.06"}', "137.429,3.6"])
    assert drive(twin, 0.0, 4.0) == ['{"speed":"0.06"}', "137.429,3.6", "137.429,3.6"]
    assert heard.values == [{}, {}, {}]
