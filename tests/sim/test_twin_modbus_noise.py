from __future__ import annotations

import pytest
from still_street import Heard, StillStreet

from firmware_sim.checks import modbus_crc
from firmware_sim.devices.modbus_noise import GemhoNoise, ModbusNoise, RenkeNoise
from firmware_sim.ports import Line

# myarduinosale/sensor1 M1405_Arduino.ino; GEMHO Noise Sensor Reader; Renke-type register 07D1
READ, READ_GEMHO, SET_9600 = (bytes.fromhex(h) for h in ("010300000001840a", "0103000e0001e5c9", "010607d100025946"))


def frame(text: str) -> bytes:
    body = bytes.fromhex(text)
    return body + modbus_crc(body)


def test_crc_of_the_golden_request() -> None:
    assert frame("010300000001") == READ


@pytest.mark.parametrize(("level_db", "reply"), [(52.6, "010302020e38e0"), (59.5, "0103020253f919")])
def test_renke_reply(still: StillStreet, heard: Heard, level_db: float, reply: str) -> None:
    still.level_db = level_db
    assert RenkeNoise(still, heard).receive(READ, 0.0) == bytes.fromhex(reply)
    assert heard.values == [{"level": pytest.approx(level_db)}]


def test_two_registers_are_the_level_and_a_zero(still: StillStreet, heard: Heard) -> None:
    still.level_db = 59.5
    reply = ModbusNoise(still, heard).receive(bytes.fromhex("010300000002c40b"), 0.0)  # M1495_Arduino.ino
    assert reply == bytes.fromhex("010304025300000b9a")


def test_gemho_has_another_register(still: StillStreet, heard: Heard) -> None:
    twin = GemhoNoise(still, heard)
    assert twin.receive(READ_GEMHO, 0.0)[3:5] == (612).to_bytes(2, "big")
    assert twin.receive(READ, 1.0) == bytes.fromhex("018302c0f1"), "illegal data address"
    assert twin.receive(SET_9600, 2.0)[1] == 0x86


@pytest.mark.parametrize(
    ("request_hex", "reply_hex"),
    [
        ("010400000001", "018402"),
        ("010300010001", "018302"),
        ("010300000000", "018303"),
        ("01030000007e", "018303"),
        ("010100000001", "018101"),
        ("01100000000102007b", "019001"),
        ("010600000001", "018602"),
        ("010607d00000", "018603"),
        ("010607d10003", "018603"),
    ],
)
def test_refusals(still: StillStreet, heard: Heard, request_hex: str, reply_hex: str) -> None:
    assert RenkeNoise(still, heard).receive(frame(request_hex), 0.0) == frame(reply_hex)
    assert heard.values == []


def test_address_and_speed_of_a_renke_can_be_set_and_are_kept(still: StillStreet, heard: Heard) -> None:
    twin = RenkeNoise(still, heard)
    assert twin.baud == 4800
    assert twin.receive(SET_9600, 0.0) == SET_9600
    assert twin.baud == 9600
    assert twin.receive(frame("010607d00007"), 1.0) == frame("010607d00007"), "it answers from the old address"
    assert twin.receive(READ, 2.0) == b""
    assert twin.receive(frame("ff0307d00001"), 3.0) == frame("0703020007"), "whoever it is"
    assert twin.receive(frame("070307d00002"), 4.0) == frame("07030400070002")
    twin.power_cycle(5.0)
    assert len(twin.receive(frame("070300000001"), 6.0)) == 7


def test_a_broadcast_is_obeyed_in_silence(still: StillStreet, heard: Heard) -> None:
    twin = RenkeNoise(still, heard)
    assert twin.receive(frame("000607d00009"), 0.0) == b""
    assert len(twin.receive(frame("090300000001"), 1.0)) == 7


def test_a_free_profile(still: StillStreet, heard: Heard) -> None:
    twin = ModbusNoise(still, heard, unit_id=9, register=0x01FA, scale=1.0, function=4)
    assert twin.receive(frame("090401fa0001"), 0.0) == frame("090402003d")
    assert heard.values == [{"level": 61.0}]
    assert twin.baud is None


def test_requests_may_come_in_pieces_and_behind_noise(still: StillStreet, heard: Heard) -> None:
    twin = RenkeNoise(still, heard)
    replies = [twin.receive(bytes([byte]), 0.001 * k) for k, byte in enumerate(b"\x01\x03\x00" + READ)]
    assert [len(reply) for reply in replies if reply] == [7]
    assert twin.receive(READ[:-1] + b"\x0b", 1.0) == b"", "wrong CRC"
    assert twin.receive(READ[:5], 2.0) == b""
    assert twin.receive(READ[5:], 2.5) == b"", "too late: silence ends a frame"


def test_on_a_line_only_the_addressed_unit_answers(still: StillStreet, heard: Heard) -> None:
    units = [RenkeNoise(still, heard, unit_id=k) for k in (1, 2, 3)]
    line = Line(units)
    assert line.baud == 4800
    for k in (2, 1, 3, 3):
        assert line.receive(frame(f"{k:02x}0300000001"), float(k) * 0.001)[:3] == bytes([k, 3, 2])
    assert line.receive(frame("040300000001"), 1.0) == b""
    assert len(heard.values) == 4


def test_two_units_with_one_address_garble_each_other(still: StillStreet, heard: Heard) -> None:
    first, second = RenkeNoise(still, heard), RenkeNoise(still, heard)
    line = Line([first, second])
    assert first.receive(READ, 0.0) == line.receive(READ, 1.0), "equal bytes do not disturb each other"
    second.receive(frame("010607d00002"), 2.0)
    both = line.receive(frame("ff0307d00001"), 3.0)
    assert len(both) == 7
    assert modbus_crc(both[:-2]) != both[-2:]


def test_units_of_different_speeds_have_no_common_one(still: StillStreet, heard: Heard) -> None:
    assert Line([RenkeNoise(still, heard), GemhoNoise(still, heard, unit_id=2)]).baud is None


def test_playback(still: StillStreet, heard: Heard) -> None:
    twin = RenkeNoise(still, heard, frames=["010302020e38e0", "00"])
    assert [twin.receive(READ, t_s).hex() for t_s in (0.0, 1.0)] == ["010302020e38e0", "00"]
    assert heard.values == [{}, {}]


@pytest.mark.parametrize(
    "options",
    [{"unit_id": 0}, {"register": 70000}, {"scale": 0.0}, {"function": 6}],
    ids=lambda options: next(iter(options)),
)
def test_options_that_make_no_sense(still: StillStreet, heard: Heard, options: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(options))):
        ModbusNoise(still, heard, **options)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="baud"):
        RenkeNoise(still, heard, baud=1200)
