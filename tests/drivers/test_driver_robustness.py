"""decode is total, pure and batch: whatever bytes, context and options come in."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest
from driver_golden import FRAMES, GOOD, Vector
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers import DRIVERS
from drivers.base import Decoded, Driver, Fault, Mark

BY_NAME = pytest.mark.parametrize("driver", DRIVERS.values(), ids=lambda driver: driver.name)
# What they say carries no sum, or a part of it does not: a flipped bit may be another value.
WITHOUT_A_CHECK = (
    "ads1115", "bme280", "bme680", "cem_dt8852", "kld7", "ld2451", "lidar_lite", "nsrt_mk4", "ops243", "pcb_artists",
    "tfluna_i2c",
)  # fmt: skip


def assert_sound(driver: Driver, frames: Sequence[bytes], decoded: Decoded) -> None:
    """Assert what holds for any Decoded: rows belong to good frames, NaN is marked, nothing is infinite."""
    assert decoded.values.shape == decoded.mark.shape == (len(decoded.frame), len(driver.channels))
    assert decoded.fault.shape == (len(frames),)
    assert decoded.values.dtype == np.float64
    assert (decoded.mark.dtype, decoded.fault.dtype, decoded.frame.dtype) == (np.uint8, np.uint8, np.int32)
    assert set(decoded.fault.tolist()) <= set(Fault)
    assert set(decoded.mark.ravel().tolist()) <= set(Mark)
    assert (np.diff(decoded.frame) >= 0).all()
    assert set(decoded.frame.tolist()) <= set(np.flatnonzero(decoded.fault == Fault.OK).tolist())
    assert not np.isinf(decoded.values).any()
    np.testing.assert_array_equal(np.isnan(decoded.values), decoded.mark == Mark.MISSING)
    assert decoded.dur_s is None or decoded.dur_s.shape == decoded.frame.shape


def decode(vector: Vector, *frames: bytes) -> Decoded:
    decoded = vector.driver.decode(frames, vector.context, vector.options)
    assert_sound(vector.driver, frames, decoded)
    return decoded


@pytest.mark.parametrize("vector", FRAMES, ids=repr)
def test_a_shorter_frame_is_refused(vector: Vector) -> None:
    shorter = [vector.data[:size] for size in range(len(vector.data))]
    assert Fault.OK not in decode(vector, *shorter).fault


@pytest.mark.parametrize("vector", [v for v in FRAMES if v.fault != Fault.LENGTH], ids=repr)
def test_a_longer_frame_is_refused(vector: Vector) -> None:
    more = (b"\x00", b"\xff\xff", b"123", b"\n", b"\r\n", vector.data)
    assert Fault.OK not in decode(vector, *(vector.data + one for one in more)).fault


def flips(data: bytes) -> list[bytes]:
    return [data[:i] + bytes([data[i] ^ 1 << bit]) + data[i + 1 :] for i in range(len(data)) for bit in range(8)]


@pytest.mark.parametrize("vector", FRAMES, ids=repr)
def test_no_flipped_bit_upsets_decode(vector: Vector) -> None:
    decode(vector, *flips(vector.data))


@pytest.mark.parametrize("vector", [v for v in GOOD if v.driver.name not in WITHOUT_A_CHECK], ids=repr)
def test_a_check_finds_every_flipped_bit(vector: Vector) -> None:
    assert Fault.OK not in decode(vector, *flips(vector.data)).fault


@pytest.mark.parametrize("vector", [v for v in GOOD if v.driver.name == "nsrt_mk4"], ids=repr)
def test_without_a_check_a_flipped_bit_gives_another_value(vector: Vector) -> None:
    original = decode(vector, vector.data).values
    for flipped in flips(vector.data):
        assert not np.array_equal(decode(vector, flipped).values, original)


@pytest.mark.parametrize("vector", [v for v in GOOD if v.driver.name == "bme280" and len(v.data) == 41], ids=repr)
def test_every_bit_of_the_bme280_that_is_used_counts(vector: Vector) -> None:
    original = decode(vector, vector.data).values
    same = [
        i for i, flipped in enumerate(flips(vector.data)) if np.array_equal(decode(vector, flipped).values, original)
    ]
    byte_a0 = list(range(24 * 8, 25 * 8))
    low_nibbles_of_xlsb = [35 * 8 + bit for bit in range(4)] + [38 * 8 + bit for bit in range(4)]
    assert same == byte_a0 + low_nibbles_of_xlsb


def any_frame(driver: Driver) -> st.SearchStrategy[bytes]:
    """Arbitrary bytes, bytes of the right length, golden frames, and golden frames with one byte changed."""
    golden = [vector.data for vector in FRAMES if vector.driver is driver]
    changed = st.builds(
        lambda data, at, byte: data[: at % len(data)] + bytes([byte]) + data[at % len(data) + 1 :],
        st.sampled_from(golden),
        st.integers(0, 60),
        st.integers(0, 255),
    )
    sized = st.sampled_from(sorted({len(data) for data in golden})).flatmap(lambda n: st.binary(min_size=n, max_size=n))
    return st.one_of(st.binary(max_size=60), sized, st.sampled_from(golden), changed)


def any_context(driver: Driver) -> st.SearchStrategy[bytes]:
    golden = sorted({vector.context for vector in FRAMES if vector.driver is driver})
    lengths = sorted({len(context) for context in golden} | {1, 6, 24, 25, 26, 27, 33, 34})
    sized = st.sampled_from(lengths).flatmap(lambda n: st.binary(min_size=n, max_size=n))
    return st.one_of(st.sampled_from(golden), sized, st.binary(max_size=50))


def any_options(driver: Driver) -> st.SearchStrategy[dict[str, bool | int | float | str]]:
    names = st.one_of(st.sampled_from([option.name for option in driver.options] or ["x"]), st.text(max_size=5))
    values = st.one_of(
        st.booleans(), st.integers(), st.floats(), st.text(max_size=8), st.sampled_from(["mph", "magnitude"])
    )
    return st.dictionaries(names, values, max_size=3)


@BY_NAME
@settings(deadline=None)
@given(data=st.data())
def test_decode_is_total_and_a_batch_is_its_frames_one_by_one(driver: Driver, data: st.DataObject) -> None:
    frames = data.draw(st.lists(any_frame(driver), max_size=6))
    context, options = data.draw(any_context(driver)), data.draw(any_options(driver))
    batch = driver.decode(frames, context, options)
    assert_sound(driver, frames, batch)
    singles = [driver.decode([frame], context, options) for frame in frames]
    np.testing.assert_array_equal(batch.fault, [single.fault[0] for single in singles])
    np.testing.assert_array_equal(
        batch.values, np.vstack([np.empty((0, len(driver.channels))), *(single.values for single in singles)])
    )
    np.testing.assert_array_equal(
        batch.mark, np.vstack([np.empty((0, len(driver.channels)), np.uint8), *(single.mark for single in singles)])
    )
    assert batch.frame.tolist() == [i for i, single in enumerate(singles) for _ in single.frame]
    again = driver.decode(frames, context, options)
    np.testing.assert_array_equal(batch.values, again.values)


@BY_NAME
def test_nothing_in_nothing_out(driver: Driver) -> None:
    assert_sound(driver, [], driver.decode([], b"", {}))
    assert_sound(driver, [b""], driver.decode([b""], b"", {}))


@BY_NAME
def test_a_driver_without_options_does_not_read_any(driver: Driver) -> None:
    vectors = [vector for vector in GOOD if vector.driver is driver]
    absurd = {option.name: math.nan for option in driver.options} | {"nobody": "knows"}
    for vector in vectors:
        decode_absurd = driver.decode([vector.data], vector.context, absurd)
        assert_sound(driver, [vector.data], decode_absurd)
        if not driver.options:
            np.testing.assert_array_equal(decode_absurd.values, decode(vector, vector.data).values)


@given(line=st.text(alphabet='{}[]":,.+-eE0123456789 speedmagnituNaInfty\r\n', max_size=60))
@settings(deadline=None)
def test_ops243_survives_anything_that_looks_like_its_lines(line: str) -> None:
    driver = DRIVERS["ops243"]
    frames = [line.encode() + b"\r\n", b'{"speed":' + line.encode() + b"}\r\n"]
    assert_sound(driver, frames, driver.decode(frames, b"", {}))


@settings(deadline=None)
@given(st.floats(allow_nan=True, allow_infinity=True, width=32))
def test_nsrt_gives_back_every_level_that_can_be_true(level_db: float) -> None:
    driver = DRIVERS["nsrt_mk4"]
    decoded = driver.decode([np.float32(level_db).tobytes()], b"", {})
    if 0.0 <= level_db <= 200.0:
        assert decoded.values[0, 0] == np.float64(np.float32(level_db))
    else:
        assert decoded.fault.tolist() == [Fault.SANITY]


@settings(deadline=None)
@given(st.floats(-100, 100, allow_subnormal=False), st.sampled_from([("m/s", 1), ("km/h", 3.6), ("mph", 1 / 0.44704)]))
def test_ops243_keeps_sign_and_scale(speed_m_s: float, unit: tuple[str, float]) -> None:
    name, per_m_s = unit
    line = f"{speed_m_s * 0.99 * per_m_s:.6f}\r\n".encode()
    decoded = DRIVERS["ops243"].decode([line], b"", {"unit": name})
    assert decoded.values[0, 1] == pytest.approx(speed_m_s * 0.99, abs=1e-5)
