"""RFbeam K-LD7: the exchange of the data sheet, the sign of the speed, and what becomes of a refusal."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers import DRIVERS
from drivers.base import Fault, Miss, PieceKind, Poll, Uart
from drivers.script import Answer, Reply, Step, run
from drivers.traffic.kld7.driver import FRAMER

DRIVER = DRIVERS["kld7"]
OK, BUSY, INVALID = (bytes.fromhex("5245535001000000") + bytes([code]) for code in (0, 5, 2))
TARGET = bytes.fromhex("5444415408000000500097ff2f071518")
NOBODY = bytes.fromhex("5444415400000000")
GOODBYE, INIT = "4742594500000000", "494e49540400000000000000"
SPEED, RANGE, ASK = "525350490400000003000000", "525241490400000003000000", "474e46440400000008000000"


VERDICTS = ("length", "device", "device", "device", "check", "not_ready")


def talk(script: tuple, *replies: Reply, **options: object) -> tuple[Answer, list[Step]]:
    steps: list[Step] = []
    left = iter(replies)

    def sensor(step: Step) -> Reply:
        steps.append(step)
        return next(left) if step.rx else b""

    answer = run(sensor, script, {}, DRIVER.defaults() | options)
    assert next(left, None) is None
    return answer, steps


def written(steps: Sequence[Step]) -> list[str]:
    return [step.tx.hex() for step in steps if step.tx]


def poll() -> tuple:
    assert isinstance(DRIVER.access, Poll)
    return DRIVER.access.script


def test_the_exchange_of_the_data_sheet() -> None:
    answer, steps = talk(poll(), OK, TARGET)
    assert written(steps) == [ASK]
    assert answer == Answer(OK + TARGET, None, "", 0)
    decoded = DRIVER.decode([answer.frame], b"", {})
    assert decoded.values.tolist() == [pytest.approx([1.0, 1.05 / 3.6, 0.8, 18.39, 6165.0])]


def test_an_empty_street_is_a_good_frame_without_rows() -> None:
    answer, _ = talk(poll(), OK, NOBODY)
    decoded = DRIVER.decode([answer.frame] * 3, b"", {})
    assert decoded.fault.tolist() == [Fault.OK] * 3
    assert decoded.values.shape == (0, 5)


@pytest.mark.parametrize(("code", "fault"), list(enumerate(VERDICTS)))
def test_a_refusal_is_the_verdict(code: int, fault: str) -> None:
    answer, steps = talk(poll(), OK[:8] + bytes([code]), Miss.TIMEOUT)
    assert answer.miss is None, "the refusal itself is the frame"
    assert DRIVER.decode([answer.frame], b"", {}).fault.tolist() == [Fault[fault.upper()]]
    assert len(written(steps)) == 1


def test_a_dead_sensor_is_a_miss() -> None:
    assert talk(poll(), Miss.TIMEOUT)[0].miss is Miss.TIMEOUT


def test_data_that_came_too_late_are_not_taken_for_the_next() -> None:
    answer, steps = talk(poll(), TARGET, OK, NOBODY)
    assert (answer.frame, answer.skipped) == (OK + NOBODY, 1)
    assert steps[0].drain
    assert not any(step.drain for step in steps[1:]), "the data may be there before they are waited for"


def test_setup_ends_what_a_crashed_host_had_begun_and_stays_at_the_factory_rate() -> None:
    answer, steps = talk(DRIVER.setup, Miss.TIMEOUT, Miss.TIMEOUT, OK, OK, OK)
    assert answer == Answer(b"", None, "", 0)
    assert written(steps) == [GOODBYE, GOODBYE, INIT, SPEED, RANGE]
    answer, steps = talk(DRIVER.setup, OK, BUSY, OK, OK, OK)
    assert answer.miss is None
    assert written(steps) == [GOODBYE, INIT, INIT, SPEED, RANGE]
    answer, _ = talk(DRIVER.setup, OK, OK, INVALID, INVALID)
    assert (answer.miss, answer.command) == (Miss.NOT_READY, "set_max_speed")
    assert isinstance(DRIVER.bus, Uart)
    assert (DRIVER.bus.bauds[0], DRIVER.bus.format) == (115_200, "8E1")
    assert written(talk(DRIVER.shutdown, OK)[1]) == [GOODBYE]


@pytest.mark.parametrize("absurd", [float("nan"), "100", -1, None, 1e300])
def test_an_absurd_option_is_the_greatest_choice(absurd: object) -> None:
    _, steps = talk(DRIVER.setup, OK, OK, OK, OK, max_speed_km_h=absurd, max_range_m=absurd)
    assert written(steps)[-2:] == [SPEED, RANGE]


def test_it_is_recognised_by_its_software_version() -> None:
    identify = DRIVER.identify
    assert identify is not None
    parameters = b"RPST" + (42).to_bytes(4, "little") + b"K-LD7_APP-RFB-0103\0" + bytes(23)
    assert FRAMER.split(parameters)[0][0].kind is PieceKind.FRAME
    answer, steps = talk(identify.script, Miss.TIMEOUT, Miss.TIMEOUT, OK, OK, parameters, OK)
    assert identify.match(answer.frame)
    assert written(steps)[-1] == GOODBYE
    assert not identify.match(parameters.replace(b"K-LD7", b"K-MD2"))


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 10_000), st.integers(-10_000, 10_000), st.integers(-9000, 9000)), max_size=12))
def test_sign_and_scale_of_every_raw_target(targets: list[tuple[int, int, int]]) -> None:
    rows = np.array([(d, v, a, 7) for d, v, a in targets], "<i2")
    frame = b"PDAT" + (8 * len(targets)).to_bytes(4, "little") + rows.tobytes()
    assert [piece.kind for piece in FRAMER.split(frame)[0]] == [PieceKind.FRAME]
    for told in (frame, OK + frame):
        decoded = DRIVER.decode([told], b"", {})
        assert decoded.fault.tolist() == [Fault.OK]
        expected = [[1.0, -v / 360, d / 100, a / 100, 7.0] for d, v, a in targets]
        np.testing.assert_allclose(decoded.values, np.reshape(expected, (-1, 5)), atol=1e-12)


def test_raw_spectra_are_never_waited_for() -> None:
    """What claims 3072 bytes, as a false start may, gives way at once."""
    pieces, rest = FRAMER.split(b"RADC\x00\x0c\x00\x00" + NOBODY)
    assert [piece.kind for piece in pieces] == [PieceKind.GARBAGE, PieceKind.FRAME]
    assert rest == b""
