"""Frames: hours of a stream cut and decoded, each part's decode, and the live path, in time on the processor.

The peers read the same capture in the same run: a state machine that takes one byte at a time, and a search for heads
with a struct for each frame. Ratios are medians of several rounds; what a live batch costs is the best of the medians
of several rounds, for a neighbour on the same processor only ever makes it dearer.
"""

from __future__ import annotations

import statistics
import struct
import time
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import NamedTuple

import numpy as np

from bench import drivers_peer
from drivers import DRIVERS
from drivers.base import Driver, PieceKind, Stream
from drivers.capture import cut

FRAMES = 36_000  # ten hours at 1 Hz
GARBAGE = 0.01  # runs of garbage between two frames
AT_ONCE = 8192
ROUNDS = 5
LEAST_S = 0.1  # of processor time: less would time the noise
BATCH_S = 5.0
LIVE_ROUNDS, TIMED, TOGETHER = 60, 9, 3  # medians, of so many times, of so many batches each
LIVE_US, DECODE_PER_S, RATIO = 10.0, 1e6, 30.0  # targets: at most, at least, at least


class Part(NamedTuple):
    """What a part says: a good frame, how many in a second, and the context (the last status) of its decode."""

    frame: str
    hz: float = 1.0
    context: str = ""


# The parts that stream binary frames, one of each family and length, and some that are asked for them as often.
PARTS: Mapping[str, Part] = MappingProxyType(
    {
        "sds011": Part("aac0d4043a0aa1601dab"),
        "pms5003": Part("424d001c0005000d00160005000d001602fd00fc001d000f00060006970003c5"),
        "pms5003st": Part("424d0024000c00220038000b00210037083502800078000e00030001001bffdd032c00009100057c"),
        "hpma115s0": Part("424d001c0000003000310000000000000000000000000000000000000000010c"),
        "ze07_co": Part("ff0403010005138858"),
        "sen55": Part("003e5b0051ce005a24005fd11c906212f80d03e8d4000a5a", context="000081000081"),
        "nsrt_mk4": Part("00007542", context="01"),
        "cem_dt8852": Part("a54ba50ea511a50d0634", 20.0),
        "ld2451": Part("f4f3f2f107000101800d01037bf8f7f6f5", 10.0),
        "kld7": Part("5245535001000000005444415408000000500097ff2f071518", 10.0),
        "tfmini": Part("5959f401b004c8082b", 100.0),
        "tfluna_i2c": Part("f401b004d00909030000", 10.0),
        "lidar_lite": Part("20007b", 10.0),
    }
)


def measure() -> dict[str, object]:
    """Return frames per second of processor time, their ratios, and what a frame costs live; print all with targets."""
    captures = _captures()
    decoded = {name: _decode(DRIVERS[name], part) for name, part in PARTS.items()}
    live = {name: _live(DRIVERS[name], part) for name, part in PARTS.items()}
    aims = [
        ("pms5003 capture, times a byte-at-a-time parser", captures["ratio_to_byte_at_a_time"], RATIO, True),
        *((f"{name} decode, frames/s", per_s, DECODE_PER_S, True) for name, per_s in decoded.items()),
        *((f"{name} live, us/frame", us, LIVE_US, False) for name, us in live.items()),
    ]
    missed = [what for what, figure, target, more in aims if (figure < target if more else figure > target)]
    for what, figure, target, more in aims:
        verdict = "FAIL" if what in missed else "pass"
        print(f"  {verdict}  {what:48} {figure:12,.10g}  {'at least' if more else 'at most'} {target:,.10g}")
    return {"pms5003_capture": captures, "decode_frames_per_s": decoded, "live_us_per_frame": live, "missed": missed}


def _captures() -> dict[str, float]:
    """A capture with garbage: ours from bytes to values, beside both peers and our own live framer."""
    capture = _capture()
    driver = DRIVERS["pms5003"]
    assert isinstance(driver.access, Stream)
    framer = driver.access.framer
    frames = cut(framer, capture).frames
    ways: dict[str, Callable[[], object]] = {
        "ours": lambda: _cut_and_decode(driver, capture),
        "byte_at_a_time": lambda: drivers_peer.pms5003(capture),
        "find_and_struct": lambda: _find_and_struct(capture),
        "ours_cut": lambda: cut(framer, capture),
        "ours_decode": lambda: driver.decode(frames, b"", {}),
        "ours_split": lambda: framer.split(capture),
    }
    took = _rounds(ways)
    peer = [old / new for old, new in zip(took["byte_at_a_time"], took["ours"], strict=True)]
    struct_peer = [old / new for old, new in zip(took["find_and_struct"], took["ours"], strict=True)]
    return {
        "frames": len(frames),
        "frames_of_byte_at_a_time": len(drivers_peer.pms5003(capture)),
        **{f"{name}_frames_per_s": round(FRAMES / statistics.median(times)) for name, times in took.items()},
        "ratio_to_byte_at_a_time": round(statistics.median(peer), 1),
        "ratio_to_find_and_struct": round(statistics.median(struct_peer), 1),
    }


def _cut_and_decode(driver: Driver, capture: bytes) -> int:
    """Cut it all, then decode as many frames at once as leave the allocator in peace; count the rows."""
    assert isinstance(driver.access, Stream)
    frames = cut(driver.access.framer, capture).frames
    return sum(len(driver.decode(frames[i : i + AT_ONCE], b"", {}).frame) for i in range(0, len(frames), AT_ONCE))


def _capture() -> bytes:
    """Frames that all differ, and now and then garbage of 1 to 20 bytes."""
    rng = np.random.default_rng(3)
    parts = []
    for i in range(FRAMES):
        body = b"BM\x00\x1c" + struct.pack(">13H", *rng.integers(0, 900, 12).tolist(), 0x9700)
        parts.append(body + (sum(body) & 0xFFFF).to_bytes(2, "big"))
        if rng.random() < GARBAGE and i:
            parts.append(rng.bytes(int(rng.integers(1, 21))))
    return b"".join(parts)


def _find_and_struct(capture: bytes) -> list[tuple[float, ...]]:
    """The usual better way: search for the head, unpack, and compare the sum."""
    unpack = struct.Struct(">13H").unpack_from
    readings = []
    at = capture.find(b"BM\x00\x1c")
    while 0 <= at <= len(capture) - 32:
        if sum(capture[at : at + 30]) == capture[at + 30] << 8 | capture[at + 31]:
            words = unpack(capture, at + 4)
            readings.append((*words[:6], *(word / 100.0 for word in words[6:12])))
            at = capture.find(b"BM\x00\x1c", at + 32)
        else:
            at = capture.find(b"BM\x00\x1c", at + 1)
    return readings


def _decode(driver: Driver, part: Part) -> int:
    """Decode a list of frames, as a poll gives them and a framer of live bytes does."""
    frames, context = [bytes.fromhex(part.frame)] * FRAMES, bytes.fromhex(part.context)
    took = _rounds({"decode": lambda: driver.decode(frames, context, driver.defaults())})["decode"]
    return round(FRAMES / statistics.median(took))


def _live(driver: Driver, part: Part) -> float:
    """Frame the bytes of a batch as they come, chunk by chunk, and decode what was framed: us for each frame."""
    frame, context, options = bytes.fromhex(part.frame), bytes.fromhex(part.context), driver.defaults()
    n = round(BATCH_S * part.hz)
    # At 1 to 10 Hz a frame comes out of a port in two reads, above two frames in one.
    halves = [frame[: len(frame) // 2], frame[len(frame) // 2 :]]
    chunks = [frame * 2] * (n // 2) if part.hz > 10 else halves * n
    framer = driver.access.framer if isinstance(driver.access, Stream) else None

    def batch() -> int:
        if framer is None:
            return len(driver.decode([frame] * n, context, options).frame)
        rest, frames, came = b"", [], []
        for at, chunk in enumerate(chunks):
            pieces, rest = framer.split(rest + chunk)
            for piece in pieces:
                if piece.kind is PieceKind.FRAME:
                    frames.append(piece.data)
                    came.append(at)
        return len(driver.decode(frames, context, options).frame)

    assert batch() == n, driver.name
    medians = [statistics.median(_once(batch, TOGETHER) for _ in range(TIMED)) for _ in range(LIVE_ROUNDS)]
    return round(min(medians) / n * 1e6, 2)


def _rounds(ways: Mapping[str, Callable[[], object]]) -> dict[str, list[float]]:
    """Time each way in turn, round by round, so that a slow moment hits all alike; each for LEAST_S at least."""
    took: dict[str, list[float]] = {name: [] for name in ways}
    repeats = {name: max(1, round(LEAST_S / max(_once(run, 1), 1e-6))) for name, run in ways.items()}
    for _ in range(ROUNDS):
        for name, run in ways.items():
            took[name].append(_once(run, repeats[name]))
    return took


def _once(run: Callable[[], object], repeats: int) -> float:
    start = time.process_time()
    for _ in range(repeats):
        run()
    return (time.process_time() - start) / repeats
