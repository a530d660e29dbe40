"""TF-Luna on I2C: the block of registers, and what it is told."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers import DRIVERS
from drivers.base import Fault, Mark, Poll
from drivers.script import Step, run

DRIVER = DRIVERS["tfluna_i2c"]
FIVE = bytes.fromhex("f401b004d00909030000")


def test_each_start_restores_what_other_software_may_have_changed() -> None:
    steps: list[Step] = []

    def acknowledges(step: Step) -> bytes:
        steps.append(step)
        return b""

    assert run(acknowledges, DRIVER.setup, {}, {}).miss is None
    assert [step.tx.hex() for step in steps] == ["2501", "2300", "2800", "266400"]


def test_one_transfer_reads_the_block() -> None:
    assert isinstance(DRIVER.access, Poll)
    answer = run(lambda step: FIVE if (step.tx, step.rx) == (b"\x00", 10) else b"", DRIVER.access.script, {}, {})
    assert DRIVER.decode([answer.frame], b"", {}).values.tolist() == [[5.0, 1200.0, 25.12]]


@settings(deadline=None)
@given(st.integers(0, 65535), st.integers(0, 65535), st.integers(-6000, 12_500), st.integers(0, 65534))
def test_marks(distance_cm: int, strength: int, temperature: int, error: int) -> None:
    block = np.array([distance_cm, strength, temperature & 0xFFFF, 777, error], "<u2").tobytes()
    decoded = DRIVER.decode([block], b"", {})
    assert decoded.fault.tolist() == [Fault.OK]
    missing = strength < 100 or strength == 65535 or distance_cm >= 65532
    doubt = Mark.NOT_STABLE if error else Mark.OK
    assert decoded.mark[0].tolist() == [
        Mark.MISSING if missing else doubt,
        Mark.SATURATED if strength == 65535 else doubt,
        Mark.OK,
    ]
    expected = [np.nan if missing else distance_cm / 100, strength, temperature / 100]
    np.testing.assert_allclose(decoded.values[0], expected)


@pytest.mark.parametrize(("reply", "is_one"), [(b"LUNA", True), (b"\xff\xff\xff\xff", False), (b"", False)])
def test_it_is_recognised_by_its_name(reply: bytes, is_one: bool) -> None:
    identify = DRIVER.identify
    assert identify is not None
    (command,) = identify.script
    assert (command.tx, command.rx) == (b"\x3c", 4)
    assert identify.match(reply) == is_one
