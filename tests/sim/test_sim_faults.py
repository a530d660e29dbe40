"""Faults around twins: what the host then sees, and what the truth says of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import pytest
from still_street import Heard, StillStreet

from firmware_sim.bends import bent
from firmware_sim.checks import modbus_crc, sds011_sum
from firmware_sim.device import I2cDevice, Nack, Report, UartDevice
from firmware_sim.devices.bme280 import Bme280
from firmware_sim.devices.modbus_noise import RenkeNoise
from firmware_sim.devices.plantower import Pms5003
from firmware_sim.devices.sds011 import Sds011
from firmware_sim.devices.sen55 import Sen55
from firmware_sim.devices.tfmini import Tfmini
from firmware_sim.fault_rules import objections
from firmware_sim.faults import Fault, Target, Trouble
from firmware_sim.faulty import FaultyI2c, FaultyUart
from firmware_sim.ports import Line

ASK = bytes.fromhex("aab404000000000000000000000000ffff02ab")  # SDS011, protocol V1.3: query data
PASSIVE = bytes.fromhex("424de100000170")  # PMS5003, data manual V2.3: only when asked
CHIP_ID = 0x60


@dataclass
class Told:
    """What the faults reported."""

    lines: list[dict[str, object]] = field(default_factory=list)

    def __call__(self, t_s: float, kind: str, details: Mapping[str, object]) -> None:
        self.lines.append({"t_s": t_s, "fault": kind, **details})

    def events(self, event: str) -> list[dict[str, object]]:
        return [line for line in self.lines if line["event"] == event]


@pytest.fixture
def told() -> Told:
    return Told()


def trouble(told: Told, kind: str, seed: int = 1, **times: float) -> Trouble:
    return Trouble(Fault("part", kind, **times), seed, "part", told, 0.0)  # type: ignore[arg-type]


def uart(heard: Heard, *troubles: Trouble, make: Callable[[Report], UartDevice] | None = None) -> FaultyUart:
    still = StillStreet()
    return FaultyUart(make or (lambda report: Sds011(still, report)), heard, troubles)


def i2c(heard: Heard, *troubles: Trouble, make: Callable[[Report], I2cDevice] | None = None) -> FaultyI2c:
    still = StillStreet()
    return FaultyI2c(make or (lambda report: Bme280(still, report)), heard, troubles)


def listen(part: FaultyUart, to_s: float, from_s: float = 0.0) -> list[tuple[float, bytes]]:
    """What it says, asked when it wants to be."""
    said, t_s = [], from_s
    while t_s <= to_s:
        piece, next_s = part.update(t_s)
        if piece:
            said.append((t_s, piece))
        t_s = next_s
    return said


def is_good(frame: bytes) -> bool:
    return len(frame) == 10 and frame[0] == 0xAA and frame[9] == 0xAB and sds011_sum(frame[2:8]) == frame[8]


def chip_id(part: FaultyI2c, t_s: float) -> int | None:
    try:
        part.write(b"\xd0", t_s)
        return part.read(1, t_s)[0]
    except Nack:
        return None


def test_without_a_fault_in_force_nothing_changes(heard: Heard, told: Told) -> None:
    part = uart(heard, trouble(told, "bit_flip", from_s=1e6))
    plain = Sds011(StillStreet(), lambda t_s, values: None)
    plain.update(0.0)
    assert listen(part, 20.0) == [(float(k), plain.update(float(k))[0]) for k in range(1, 21)]
    assert part.receive(ASK, 20.5) == plain.receive(ASK, 20.5)
    assert len(heard.values) == 21
    assert told.lines == []


def test_silent_for_a_while(heard: Heard, told: Told) -> None:
    part = uart(heard, trouble(told, "silent", from_s=4.5, for_s=3.0))
    assert [t_s for t_s, _frame in listen(part, 10.0)] == [1, 2, 3, 4, 8, 9, 10]
    assert len(heard.values) == 7
    assert told.lines == [
        {"t_s": 4.5, "fault": "silent", "id": 0, "event": "begin"},
        {"t_s": 7.5, "fault": "silent", "id": 0, "event": "end", "hits": 3, "lost": 3},
    ]


def test_silent_it_hears_nothing_either(heard: Heard, told: Told) -> None:
    part = uart(heard, trouble(told, "silent", from_s=1.0))
    assert part.receive(ASK, 2.0) == b""
    assert heard.values == []


def test_every_so_often(heard: Heard, told: Told) -> None:
    part = uart(heard, trouble(told, "silent", from_s=9.5, every_s=10.0, for_s=1.0))
    assert [t_s for t_s, _frame in listen(part, 40.0)] == [k for k in range(1, 41) if k % 10]
    assert [line["t_s"] for line in told.events("begin")] == [9.5, 19.5, 29.5, 39.5]
    assert [line["hits"] for line in told.events("end")] == [1, 1, 1]


@pytest.mark.parametrize("kind", ["bit_flip", "crc_flip", "byte_loss"])
def test_damaged_frames_are_as_many_as_the_truth_says(heard: Heard, told: Told, kind: str) -> None:
    strike = trouble(told, kind, probability=0.2)
    said = listen(uart(heard, strike), 500.0)
    damaged = [frame for _t_s, frame in said if not is_good(frame)]
    assert 70 < strike.hits < 130
    assert len(told.events("hit")) == strike.hits == strike.lost
    assert len(heard.values) == 500 - strike.hits, "the truth does not claim what did not arrive"
    assert len(said) == 500
    unseen = strike.hits - len(damaged)  # flips in the command byte or in the check sum of an id go unseen only by luck
    assert 0 <= unseen <= 30


def test_the_same_seed_is_the_same_run_and_another_is_not() -> None:
    def run(seed: int) -> list[tuple[float, bytes]]:
        told = Told()
        strikes = [trouble(told, "bit_flip", seed, mean_every_s=20.0), trouble(told, "garbage", seed, probability=0.1)]
        return listen(uart(Heard(), *strikes), 300.0)

    assert run(1) == run(1)
    assert run(1) != run(2)


def test_one_message_each_time_on_average(heard: Heard, told: Told) -> None:
    strike = trouble(told, "byte_loss", mean_every_s=10.0)
    said = listen(uart(heard, strike), 2000.0)
    assert 150 < strike.hits < 250
    assert sum(len(frame) == 9 for _t_s, frame in said) == strike.hits == len(told.events("hit"))
    assert told.events("begin") == []


def test_spans_that_come_at_random(told: Told) -> None:
    strike = trouble(told, "silent", mean_every_s=60.0, for_s=5.0)
    spans = [t for t, _begins in strike.turn(36_000.0)]
    begins, ends = spans[::2], spans[1::2]
    assert all(end - begin == pytest.approx(5.0) for begin, end in zip(begins, ends, strict=False))
    assert 450 < len(begins) < 650  # one in 65 s


def test_garbage_stands_in_front_of_whole_frames(heard: Heard, told: Told) -> None:
    strike = trouble(told, "garbage", probability=0.5)
    said = b"".join(frame for _t_s, frame in listen(uart(heard, strike), 50.0))
    good = bytes.fromhex("aac0") + (81).to_bytes(2, "little") + (95).to_bytes(2, "little")
    assert said.count(good) == 50 == len(heard.values)
    assert len(said) == 500 + sum(int(str(line["bytes"])) for line in told.events("hit"))


def test_garbage_also_when_nobody_speaks(heard: Heard, told: Told) -> None:
    part = uart(heard, trouble(told, "garbage", every_s=7.0), make=lambda report: RenkeNoise(StillStreet(), report))
    said = listen(part, 30.0)
    assert [t_s for t_s, _junk in said] == [0.0, 7.0, 14.0, 21.0, 28.0]


def test_parts_of_one_place_suffer_together_and_the_whole_scenario_does_not(told: Told) -> None:
    def begins(on: str, name: str) -> list[float]:
        strike = Trouble(Fault(on, "silent", mean_every_s=60.0, for_s=1.0), 1, name, told, 0.0)
        return [t_s for t_s, begin in strike.turn(3600.0) if begin]

    assert begins("i2c-1", "air") == begins("i2c-1", "weather")
    assert begins("*", "air") != begins("*", "weather")


def test_no_garbage_from_a_part_without_power(heard: Heard, told: Told) -> None:
    noise, plug = trouble(told, "garbage", every_s=5.0), trouble(told, "unplug", from_s=8.0, for_s=4.0)
    part = uart(heard, noise, plug, make=lambda report: RenkeNoise(StillStreet(), report))
    assert [t_s for t_s, _junk in listen(part, 16.0)] == [0.0, 5.0, 15.0]
    assert noise.hits == 3


def test_stuck_repeats_the_last_frame(heard: Heard, told: Told) -> None:
    still = StillStreet()
    part = uart(heard, trouble(told, "stuck", from_s=2.5, for_s=3.0), make=lambda report: Sds011(still, report))
    first = listen(part, 2.2)[-1][1]
    still.pm = still.pm._replace(pm2_5=99.9)
    later = dict(listen(part, 7.0, 2.3))
    assert [later[float(t_s)] == first for t_s in (3, 4, 5, 6)] == [True, True, True, False]
    assert [t_s for t_s, _values in heard.lines] == [1.0, 2.0, 6.0, 7.0]


def test_stuck_answers_each_question_with_its_own_last_answer(heard: Heard, told: Told) -> None:
    request = bytes.fromhex("010300000001840a")
    still = StillStreet()
    part = uart(heard, trouble(told, "stuck", from_s=5.0), make=lambda report: RenkeNoise(still, report))
    first = part.receive(request, 1.0)
    still.level_db = 90.0
    assert part.receive(request, 6.0) == first
    other = bytes.fromhex("010300000002c40b")
    assert part.receive(other, 7.0)[3:5] == (900).to_bytes(2, "big"), "never asked before"
    assert part.receive(other, 8.0)[3:5] == (900).to_bytes(2, "big")


def test_a_late_reply_comes_after_the_next_question(heard: Heard, told: Told) -> None:
    part = uart(
        heard,
        trouble(told, "late_reply", every_s=100.0, delay_s=2.0),
        make=lambda report: RenkeNoise(StillStreet(), report),
    )
    request = bytes.fromhex("010300000001840a")
    assert part.receive(request, 0.5) == b""
    assert heard.values == []
    assert len(part.receive(request, 1.5)) == 7
    assert part.update(2.0) == (b"", 2.5)
    assert len(part.update(2.5)[0]) == 7
    (hit,) = told.events("hit")
    assert (hit["late_s"], hit["lost"]) == (2.0, 1)


def test_power_cycle_makes_a_fresh_part(heard: Heard, told: Told) -> None:
    strike = trouble(told, "power_cycle", from_s=5.0, for_s=2.0)
    part = uart(heard, strike, make=lambda report: Pms5003(StillStreet(), report))
    part.update(0.0)
    part.receive(PASSIVE, 1.0)
    assert listen(part, 4.9, 1.1) == [], "asked alone"
    assert part.receive(PASSIVE, 6.0) == b""
    assert [t_s for t_s, _frame in listen(part, 12.0, 6.5)] == pytest.approx([9.3, 11.6]), "as from the factory"


def test_power_cycle_leaves_a_part_its_flash(heard: Heard, told: Told) -> None:
    part = uart(heard, trouble(told, "power_cycle", from_s=5.0, for_s=2.0))
    part.update(0.0)
    part.receive(_query_mode(), 1.0)
    assert listen(part, 4.9, 1.1) == [], "in query mode"
    assert part.receive(ASK, 6.0) == b""
    assert listen(part, 9.5, 6.5) == [], "still"
    assert is_good(part.receive(ASK, 9.6))
    part.receive(_query_mode(active=True), 9.7)
    assert [t_s for t_s, _frame in listen(part, 11.8, 9.7)] == pytest.approx([10.7, 11.7])


def _query_mode(*, active: bool = False) -> bytes:
    body = bytes([2, 1, int(not active)]) + bytes(10) + b"\xff\xff"
    return b"\xaa\xb4" + body + bytes([sum(body) & 0xFF, 0xAB])


def test_what_a_part_has_saved_survives(heard: Heard, told: Told) -> None:
    part = uart(heard, trouble(told, "power_cycle", from_s=5.0), make=lambda report: Tfmini(StillStreet(), report))
    part.update(0.0)
    part.receive(bytes.fromhex("5a06030a006d" + "5a04116f"), 0.5)
    listen(part, 6.5, 0.6)
    assert len(listen(part, 8.57, 6.56)) == 20, "ten a second, and not a hundred"
    assert [line["event"] for line in told.lines] == ["begin", "end"]


def test_unplugged_it_is_gone_and_comes_back_fresh(heard: Heard, told: Told) -> None:
    part = uart(heard, trouble(told, "unplug", from_s=3.5, for_s=4.0))
    assert part.plugged
    assert [t_s for t_s, _frame in listen(part, 3.4)] == [1, 2, 3]
    part.update(3.5)
    assert not part.plugged
    assert [t_s for t_s, _frame in listen(part, 10.0, 3.6)] == [8.5, 9.5]
    assert part.plugged


def test_what_the_host_says_changes_when_the_part_speaks(heard: Heard, told: Told) -> None:
    part = uart(heard, trouble(told, "silent", from_s=1e6))
    part.update(0.0)
    part.receive(_query_mode(), 0.5)
    assert listen(part, 10.0, 0.5) == []
    part.receive(_query_mode(active=True), 10.5)
    assert [t_s for t_s, _frame in listen(part, 13.0, 10.5)] == [11.5, 12.5]
    assert part.receive(ASK, 13.6)[:2] == b"\xaa\xc0"
    assert len(part.receive(ASK, 14.7)) == 20, "the frame that was due, and the reply"


def test_a_line_behind_a_plug_keeps_its_units(heard: Heard, told: Told) -> None:
    unit = RenkeNoise(StillStreet(), heard)
    wire = Line([unit])
    part = FaultyUart(lambda report: wire, heard, [trouble(told, "unplug", from_s=1.0, for_s=1.0)], powered=False)
    unit.receive(bytes.fromhex("010607d00007") + modbus_crc(bytes.fromhex("010607d00007")), 0.0)
    assert part.baud == 4800
    part.update(1.5)
    assert not part.plugged
    part.update(2.5)
    request = bytes.fromhex("070300000001")
    assert len(part.receive(request + modbus_crc(request), 3.0)) == 7


def test_nack_for_a_while(heard: Heard, told: Told) -> None:
    part = i2c(heard, trouble(told, "nack", from_s=10.0, for_s=5.0))
    assert [chip_id(part, float(t_s)) for t_s in range(8, 18)] == [CHIP_ID] * 2 + [None] * 5 + [CHIP_ID] * 3
    assert told.events("end") == [{"t_s": 15.0, "fault": "nack", "id": 0, "event": "end", "hits": 5, "lost": 0}]


def test_nack_now_and_then(heard: Heard, told: Told) -> None:
    strike = trouble(told, "nack", probability=0.1)
    part = i2c(heard, strike)
    refused = [chip_id(part, float(t_s)) for t_s in range(500)].count(None)
    assert refused == strike.hits == len(told.events("hit"))
    assert 60 < refused < 130, "of both messages of a transfer"


def test_crc_flip_on_a_bus(heard: Heard, told: Told) -> None:
    part = i2c(heard, trouble(told, "crc_flip", every_s=60.0), make=lambda report: Sen55(StillStreet(), report))
    part.write(b"\x02\x02", 0.0)
    said = part.read(3, 1.0)
    assert said[:2] == b"\0\0"
    assert (said[2] ^ 0x81).bit_count() == 1
    part.write(b"\x02\x02", 2.0)
    assert part.read(3, 3.0) == bytes.fromhex("000081")


def test_byte_loss_and_garbage_on_a_bus_keep_the_length(heard: Heard, told: Told) -> None:
    for kind in ("byte_loss", "garbage"):
        part = i2c(heard, trouble(told, kind))
        part.write(b"\x88", 0.0)
        said = part.read(8, 0.0)
        assert len(said) == 8
        assert said != bytes.fromhex("706b436718fc7d8e")
        assert kind != "byte_loss" or said[7] == 0xFF


def test_stuck_on_a_bus_repeats_register_by_register(heard: Heard, told: Told) -> None:
    still = StillStreet()
    part = i2c(heard, trouble(told, "stuck", from_s=10.0), make=lambda report: Bme280(still, report))
    part.write(bytes.fromhex("f201f427"), 0.0)

    def burst(t_s: float) -> bytes:
        part.write(b"\xf7", t_s)
        return part.read(8, t_s)

    before = burst(5.0)
    assert chip_id(part, 6.0) == CHIP_ID
    still.air_degc += 10.0
    assert burst(20.0) == before
    assert chip_id(part, 21.0) == CHIP_ID
    assert [t_s for t_s, _values in heard.lines] == [5.0]


def test_late_on_a_bus_is_a_clock_that_is_held(heard: Heard, told: Told) -> None:
    part = i2c(heard, trouble(told, "late_reply", every_s=60.0, delay_s=0.25))
    assert chip_id(part, 0.0) == CHIP_ID
    assert part.take_stretch_s() == 0.25
    assert part.take_stretch_s() == 0.0


def test_power_cycle_on_a_bus(heard: Heard, told: Told) -> None:
    part = i2c(heard, trouble(told, "power_cycle", from_s=5.0))
    part.write(bytes.fromhex("f201f425"), 0.0)
    part.write(b"\xf7", 1.0)
    assert part.read(8, 1.0) != bytes.fromhex("8000008000008000")
    part.write(b"\xf7", 6.0)
    assert part.read(8, 6.0) == bytes.fromhex("8000008000008000")


def test_general_calls_pass(heard: Heard, told: Told) -> None:
    part = i2c(heard, trouble(told, "nack", from_s=10.0))
    with pytest.raises(Nack):
        part.general_call(b"\x06", 0.0)


def test_totals(heard: Heard, told: Told) -> None:
    strike = trouble(told, "silent", from_s=2.5)
    listen(uart(heard, strike), 6.0)
    strike.total(7.0)
    assert told.lines[-1] == {
        "t_s": 7.0, "fault": "silent", "id": 0, "event": "total", "begun": 1, "hits": 4, "lost": 4,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("on", "kind", "suffering"),
    [
        ("pm", "silent", ["pm"]),
        ("pm", "unplug", ["pm"]),
        ("wire", "unplug", ["wire"]),
        ("wire", "silent", ["u1", "u2"]),
        ("wire", "garbage", ["u1"]),
        ("u2", "garbage", ["u2"]),
        ("u2", "unplug", ["u2"]),
        ("i2c-1", "unplug", ["i2c-1"]),
        ("i2c-1", "nack", ["air"]),
        ("*", "unplug", ["pm", "wire", "i2c-1"]),
        ("*", "nack", ["air"]),
        ("*", "bit_flip", ["pm", "u1", "u2", "air"]),
        ("*", "babble", ["pm", "u1", "u2"]),
        ("wire", "babble", ["u1"]),
        ("*", "frame_split", ["pm", "u1", "u2"]),
        ("i2c-1", "drift", ["air"]),
        ("air", "wrong_device", ["air"]),
    ],
)
def test_who_suffers(on: str, kind: str, suffering: list[str]) -> None:
    targets = [
        Target("pm", "sds011", "uart"),
        Target("wire", "rs485", "line"),
        Target("u1", "renke_noise", "unit", "wire"),
        Target("u2", "renke_noise", "unit", "wire", first=False),
        Target("i2c-1", "i2c", "bus"),
        Target("air", "sen55", "part", "i2c-1"),
    ]
    assert sorted(t.name for t in targets if t.suffers(Fault(on, kind))) == sorted(suffering)


@pytest.mark.parametrize(
    ("fault", "keys"),
    [
        (Fault("a", "silent"), []),
        (Fault("a", "silent", for_s=0.0), ["for_s"]),
        (Fault("a", "silent", for_s=float("nan")), ["for_s"]),
        (Fault("a", "silent", from_s=-1.0), ["from_s"]),
        (Fault("a", "nack", probability=1.5), ["probability"]),
        (Fault("a", "nack", every_s=5.0, mean_every_s=5.0), ["mean_every_s"]),
        (Fault("a", "nack", every_s=5.0, for_s=5.0), ["for_s"]),
        (Fault("a", "nack", every_s=5.0, probability=0.5), ["probability"]),
        (Fault("a", "nack", every_s=5.0, for_s=1.0, probability=0.5), []),
        (Fault("a", "power_cycle", probability=0.5), ["probability"]),
        (Fault("a", "unplug", every_s=5.0), ["for_s"]),
        (Fault("a", "unplug"), []),
        (Fault("a", "nack", delay_s=2.0), ["delay_s"]),
        (Fault("a", "late_reply", delay_s=-2.0), ["delay_s"]),
        (Fault("a", "frame_split", delay_s=0.1), []),
        (Fault("a", "babble", every_s=5.0), ["for_s"]),
        (Fault("a", "drift", per_h=5.0, quantity="pm2_5"), []),
        (Fault("a", "drift"), ["per_h", "quantity"]),
        (Fault("a", "drift", per_h=0.0, quantity="pm2_5"), ["per_h"]),
        (Fault("a", "drift", per_h=5.0, quantity="pm25"), ["quantity"]),
        (Fault("a", "saturation", quantity="pm2_5", per_h=5.0), ["per_h"]),
        (Fault("a", "saturation", quantity="pm2_5", probability=0.5), ["probability"]),
        (Fault("a", "wrong_device"), ["device"]),
        (Fault("a", "silent", device="sht3x"), ["device"]),
        (Fault("clock", "step"), ["by_s"]),
        (Fault("clock", "step", by_s=float("nan")), ["by_s"]),
        (Fault("store", "down", every_s=60.0), ["for_s"]),
        (Fault("gateway", "kill", every_s=60.0), []),
    ],
)
def test_objections(fault: Fault, keys: list[str]) -> None:
    assert [key for key, _what, _hint in objections(fault)] == keys


# -- what is told otherwise, and what is wrong before it is told ---------------------------------------------------


def test_a_split_frame_comes_in_two_pieces(heard: Heard, told: Told) -> None:
    part = uart(heard, trouble(told, "frame_split", from_s=2.5, every_s=100.0))
    said = listen(part, 5.0)
    assert [t_s for t_s, _piece in said] == pytest.approx([1.0, 2.0, 3.0, 3.3, 4.0, 5.0])
    assert is_good(said[2][1] + said[3][1])
    (hit,) = told.events("hit")
    assert (hit["byte"], hit["late_s"], hit["lost"]) == (len(said[2][1]), 0.3, 0)
    assert len(heard.values) == 5


def test_the_rest_of_a_split_frame_is_not_overtaken(heard: Heard, told: Told) -> None:
    part = uart(heard, trouble(told, "frame_split", from_s=2.5, every_s=100.0, delay_s=1.5))
    said = listen(part, 5.0)
    assert [t_s for t_s, _piece in said] == [1.0, 2.0, 3.0, 4.0, 5.0]
    joined = b"".join(piece for _t_s, piece in said)
    assert all(is_good(joined[i : i + 10]) for i in range(0, 50, 10))


def test_a_split_reply_is_lost_where_nobody_waits_so_long(heard: Heard, told: Told) -> None:
    strike = trouble(told, "frame_split", every_s=100.0, delay_s=1.0)
    part = uart(heard, strike, make=lambda report: RenkeNoise(StillStreet(), report))
    request = bytes.fromhex("010300000001840a")
    head = part.receive(request, 0.5)
    assert 0 < len(head) < 7
    assert len(head + part.update(1.5)[0]) == 7
    assert (strike.hits, strike.lost, heard.values) == (1, 1, [])


def test_a_babbling_port_drowns_its_part(heard: Heard, told: Told) -> None:
    strike = trouble(told, "babble", from_s=2.5, for_s=2.0)
    part = uart(heard, strike)
    said = listen(part, 7.0)
    noise = b"".join(piece for t_s, piece in said if 2.5 <= t_s < 4.5)
    assert len(noise) == pytest.approx(2 * 960, rel=0.05), "as much as fits on the line"
    assert [t_s for t_s, piece in said if is_good(piece)] == [1.0, 2.0, 5.0, 6.0, 7.0]
    assert (strike.hits, strike.lost, len(heard.values)) == (2, 2, 5)
    assert part.receive(ASK, 7.5), "it hears again"


def test_it_hears_nothing_while_it_babbles(heard: Heard, told: Told) -> None:
    strike = trouble(told, "babble", from_s=1.0)
    part = uart(heard, strike, make=lambda report: RenkeNoise(StillStreet(), report))
    part.update(0.5)
    part.receive(bytes.fromhex("010300000001840a"), 2.0)
    assert strike.hits == 1
    assert heard.values == []


def test_another_part_answers_for_a_while(heard: Heard, told: Told) -> None:
    strike = trouble(told, "wrong_device", from_s=2.5, for_s=6.0)
    strangers = {0: lambda report: Pms5003(StillStreet(), report)}
    part = FaultyUart(lambda report: Sds011(StillStreet(), report), heard, [strike], strangers)
    said = listen(part, 11.0)
    wrong = [piece for t_s, piece in said if 2.5 <= t_s < 8.5]
    assert wrong
    assert all(piece.startswith(b"BM") for piece in wrong)
    assert strike.hits == len(wrong)
    assert [t_s for t_s, piece in said if is_good(piece)] == [1.0, 2.0, 9.5, 10.5], "the right one starts anew"
    assert len(heard.values) == 4, "what the stranger measures is nobody's"


def test_another_part_at_an_address(heard: Heard, told: Told) -> None:
    strike = trouble(told, "wrong_device", from_s=5.0, for_s=5.0)
    strangers = {0: lambda report: Sen55(StillStreet(), report)}
    part = FaultyI2c(lambda report: Bme280(StillStreet(), report), heard, [strike], strangers)
    assert [chip_id(part, t_s) for t_s in (1.0, 11.0)] == [CHIP_ID, CHIP_ID]
    late = trouble(told, "wrong_device", from_s=5.0)
    assert chip_id(FaultyI2c(lambda report: Bme280(StillStreet(), report), heard, [late], strangers), 6.0) is None


def test_a_power_cut_leaves_the_wrong_part_there(heard: Heard, told: Told) -> None:
    wrong, cut = trouble(told, "wrong_device"), trouble(told, "power_cycle", from_s=5.0)
    strangers = {0: lambda report: Pms5003(StillStreet(), report)}
    part = FaultyUart(lambda report: Sds011(StillStreet(), report), heard, [wrong, cut], strangers)
    assert all(piece.startswith(b"BM") for _t_s, piece in listen(part, 12.0))


def bend(told: Told, kind: str, quantity: str, **times: float) -> Trouble:
    return Trouble(Fault("part", kind, quantity=quantity, **times), 1, "part", told, 0.0)  # type: ignore[arg-type]


def test_a_drift_grows_with_time_and_is_gone_at_its_end(heard: Heard, told: Told) -> None:
    street, strike = StillStreet(), bend(told, "drift", "pm2_5", from_s=2.5, for_s=4.0, per_h=3600.0)
    part = uart(heard, strike, make=lambda report: Sds011(bent(street, [strike]), report))
    listen(part, 8.0)
    assert [values["pm2_5"] for values in heard.values] == pytest.approx([8.1, 8.1, 8.6, 9.6, 10.6, 11.6, 8.1, 8.1])
    assert street.pm.pm2_5 == 8.1
    begin, end = (line for line in told.lines if line["event"] in ("begin", "end"))
    assert (begin["quantity"], begin["true"], begin["seen"]) == ("pm2_5", 8.1, 8.1)
    assert (end["true"], end["seen"], end["hits"], end["lost"]) == (8.1, 12.1, 4, 0)


def test_saturation_is_told_as_the_part_tells_it(heard: Heard, told: Told) -> None:
    street, strike = StillStreet(), bend(told, "saturation", "pm2_5", from_s=1.5, for_s=1.0)
    part = uart(heard, strike, make=lambda report: Sds011(bent(street, [strike]), report))
    listen(part, 3.0)
    assert [values["pm2_5"] for values in heard.values] == [8.1, 999.9, 8.1]


def test_a_bent_sound_is_bent_in_its_mean_too(told: Told) -> None:
    strike = bend(told, "drift", "sound", per_h=3600.0)
    street = bent(StillStreet(), [strike])
    before = street.laeq_db(0.0, 1.0)
    list(strike.turn(0.0))
    assert street.laeq_db(9.0, 11.0) - before == pytest.approx(10.0, abs=0.2)


def test_a_street_that_nothing_bends_is_the_street_itself(told: Told) -> None:
    street = StillStreet()
    assert bent(street, [trouble(told, "silent")]) is street
