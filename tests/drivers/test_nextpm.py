"""NextPM: a part that only toggles, that answers with its state when it has nothing to read, and that starts slowly."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pytest
from driver_golden import GOOD, Vector
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers import DRIVERS
from drivers.base import Fault, Mark, Miss, PieceKind, Poll, Script, Uart
from drivers.framing import SizedFramer
from drivers.script import Answer, Reply, Step, run

DRIVER = DRIVERS["nextpm"]
READ, STATE, TOGGLE = "81116e", "811669", "81156a"
READING = bytes.fromhex("811100004f004f004f0035004a004ab8")
START_S = 15.0


def whole(*data: int) -> bytes:
    return bytes([0x81, *data, -(0x81 + sum(data)) & 0xFF])


@dataclass
class Part:
    """A NextPM after its user guide; `lost` are numbers of exchanges whose reply gets lost."""

    asleep: bool
    since_s: float = START_S  # since it woke
    lost: set[int] = field(default_factory=set)
    written: list[str] = field(default_factory=list)
    now_s: float = 0.0

    def __call__(self, step: Step) -> Reply:
        reply = self.reply(step.tx) if step.tx else b""
        pause_s = step.wait_s + step.settle_s + 0.05
        self.since_s += pause_s
        self.now_s += pause_s
        if step.tx and len(self.written) - 1 in self.lost:
            self.now_s += step.timeout_s
            self.since_s += step.timeout_s
            return Miss.TIMEOUT
        if isinstance(step.rx, int):
            return reply if len(reply) == step.rx else Miss.SHORT
        pieces, rest = step.rx.split(reply)
        assert rest == b""
        return pieces[0].data if pieces and pieces[0].kind is PieceKind.FRAME else Miss.SHORT

    def reply(self, tx: bytes) -> bytes:
        self.written.append(tx.hex())
        assert len(tx) == 3
        assert sum(tx) & 0xFF == 0
        if tx[1] == 0x15:
            self.asleep = not self.asleep
            self.since_s = 0.0
            return whole(0x15, self.state)
        if self.state or tx[1] == 0x16:
            return whole(0x16, self.state)
        return whole(tx[1], self.state, *READING[3:-1]) if tx[1] in (0x11, 0x12, 0x13) else b""

    @property
    def state(self) -> int:
        return 0x01 if self.asleep else 0x04 if self.since_s < START_S else 0x00


def say(part: Part, script: Script) -> Answer:
    return run(part, script, {}, {})


# --- waking and sleeping


@pytest.mark.parametrize("asleep", [True, False])
def test_setup_leaves_it_awake_and_ready_whatever_it_was(asleep: bool) -> None:
    part = Part(asleep)
    assert say(part, DRIVER.setup) == Answer(b"", None, "", 0)
    assert part.state == 0
    assert part.written[:2] == ([TOGGLE, STATE] if asleep else [TOGGLE, TOGGLE])
    assert part.now_s < 20.0
    assert isinstance(DRIVER.access, Poll)
    decoded = DRIVER.decode([say(part, DRIVER.access.script).frame], b"", {})
    assert decoded.fault.tolist() == [Fault.OK]
    assert not decoded.mark.any()


@settings(deadline=None)
@given(asleep=st.booleans(), lost=st.sets(st.integers(0, 25)))
def test_setup_that_succeeds_leaves_it_awake_whatever_replies_get_lost(asleep: bool, lost: set[int]) -> None:
    part = Part(asleep, lost=lost)
    answer = say(part, DRIVER.setup)
    assert part.now_s < 30.0, "it must not look stuck"
    if answer.miss is None:
        assert part.state == 0
        assert answer.frame == b"", "no context"


@settings(deadline=None)
@given(asleep=st.booleans(), lost=st.sets(st.integers(0, 3)))
def test_sleep_that_succeeds_leaves_it_asleep(asleep: bool, lost: set[int]) -> None:
    part = Part(asleep, lost=lost)
    assert DRIVER.duty is not None
    assert DRIVER.duty.sleep == DRIVER.shutdown
    if say(part, DRIVER.shutdown).miss is None:
        assert part.asleep


def test_a_stop_and_a_start_cost_one_toggle_each() -> None:
    part = Part(asleep=False)
    say(part, DRIVER.shutdown)
    say(part, DRIVER.setup)
    assert part.written.count(TOGGLE) == 2
    assert part.state == 0


def test_a_part_that_is_not_there_fails_its_setup_soon() -> None:
    part = Part(asleep=True, lost=set(range(99)))
    answer = say(part, DRIVER.setup)
    assert (answer.miss, answer.command) == (Miss.TIMEOUT, "wake")
    assert part.now_s < 6.0


def test_while_it_starts_or_sleeps_its_state_is_the_frame() -> None:
    assert isinstance(DRIVER.access, Poll)
    for part, fault in (
        (Part(asleep=True), Fault.DEVICE),
        (Part(asleep=False, since_s=3.0), Fault.NOT_READY),
        (Part(asleep=False), Fault.OK),
    ):
        answer = say(part, DRIVER.access.script)
        assert DRIVER.decode([answer.frame], b"", {}).fault.tolist() == [fault]


# --- decode


@pytest.mark.parametrize(("seconds", "tx"), [(10, "81116e"), (60, "81126d"), (900, "81136c")])
def test_the_option_chooses_the_average(seconds: int, tx: str) -> None:
    assert isinstance(DRIVER.access, Poll)
    part = Part(asleep=False)
    answer = run(part, DRIVER.access.script, {}, {"average_s": seconds})
    assert part.written == [tx]
    assert DRIVER.decode([answer.frame], b"", {}).fault.tolist() == [Fault.OK]


@pytest.mark.parametrize("absurd", [0, -1, 11, 10**9, True, 60.0, float("nan"), "60", ""])
def test_an_absurd_option_reads_the_ten_seconds(absurd: bool | int | float | str) -> None:
    assert isinstance(DRIVER.access, Poll)
    part = Part(asleep=False)
    run(part, DRIVER.access.script, {}, {"average_s": absurd})
    assert part.written == [READ]


@settings(deadline=None)
@given(state=st.integers(0, 255))
def test_every_state_is_told_apart(state: int) -> None:
    decoded = DRIVER.decode([whole(0x11, state, *READING[3:-1]), whole(0x16, state)], b"", {})
    if state & 0x01:
        assert decoded.fault[0] == Fault.DEVICE
    else:
        assert decoded.fault[0] == Fault.OK
        marked = Mark.WARM_UP if state & 0x04 else Mark.NOT_STABLE if state else Mark.OK
        assert set(decoded.mark.ravel().tolist()) == {marked}
    assert decoded.fault[1] == (Fault.NOT_READY if state & 0x04 or not state else Fault.DEVICE)
    assert len(decoded.values) == (0 if state & 0x01 else 1)


@pytest.mark.parametrize("vector", [v for v in GOOD if v.driver is DRIVER], ids=repr)
def test_the_check_finds_every_flipped_bit(vector: Vector) -> None:
    data = vector.data
    flips = [data[:i] + bytes([data[i] ^ 1 << bit]) + data[i + 1 :] for i in range(len(data)) for bit in range(8)]
    assert set(DRIVER.decode(flips, b"", {}).fault.tolist()) == {Fault.CHECK}


@settings(deadline=None)
@given(number=st.integers(0, 65535), tenths=st.integers(0, 65535))
def test_numbers_and_masses_keep_their_places_and_units(number: int, tenths: int) -> None:
    data = [byte for word in (number, 1, 2, tenths, 3, 4) for byte in word.to_bytes(2, "big")]
    decoded = DRIVER.decode([whole(0x11, 0, *data)], b"", {})
    np.testing.assert_array_equal(decoded.values, [[tenths / 10, 0.3, 0.4, number, 1, 2]])
    assert decoded.mark[0].tolist() == [
        Mark.SATURATED if tenths >= 10000 else 0, 0, 0, Mark.SATURATED if number == 65535 else 0, 0, 0
    ]  # fmt: skip


# --- the line


def test_every_reply_is_cut_to_its_length_and_what_is_stale_goes_first() -> None:
    assert isinstance(DRIVER.access, Poll)
    (read,) = DRIVER.access.script
    assert read.drain
    assert isinstance(read.rx, SizedFramer)
    said = [READING, whole(0x16, 4), whole(0x17, 0, 0x10, 0x46), whole(0x14, 0, 0x0A, 0x4A, 0x10, 0xE8), whole(0x15, 1)]
    for noise in (b"", b"\x81", b"\x81\x11", b"\x00\xff", READING[:7], b"\x81\x99"):
        pieces, rest = read.rx.split(noise + b"".join(said), final=True)
        assert rest == b""
        assert [piece.data for piece in pieces if piece.kind is PieceKind.FRAME] == said, noise


def test_the_line_has_even_parity() -> None:
    assert Uart((115_200,), format="8E1") == DRIVER.bus


def test_scan_asks_for_the_state_which_changes_nothing() -> None:
    assert DRIVER.identify is not None
    for asleep in (True, False):
        part = Part(asleep)
        answer = say(part, DRIVER.identify.script)
        assert part.written == [STATE]
        assert part.asleep is asleep
        assert DRIVER.identify.match(answer.frame)
    assert not any(
        DRIVER.identify.match(said) for said in (b"", b"\x81\x16\x00\x68", READING, whole(0x15, 0), bytes(4))
    )
