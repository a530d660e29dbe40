"""The board's own frames: what is measured comes back, also from raw logs of an earlier version."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest

from drivers.base import Fault, Mark
from gateway import health
from gateway.clock import Clock
from gateway.health import BOARD_DRIVER, CHANNELS, Board, Standing

NAMES = [channel.name for channel in CHANNELS]


def test_how_the_outbox_stands_is_measured_with_the_board(tmp_path: Path) -> None:
    frame = Board(tmp_path, Clock()).frame(Standing(7, 3, 125.5, 4100, 2, 1, 62e6, 0.25))
    decoded = BOARD_DRIVER.decode([frame], b"", {})
    row = dict(zip(NAMES, decoded.values[0].tolist(), strict=True))
    assert [row[name] for name in NAMES[9:]] == [7.0, 3.0, 125.5, 4100.0, 2.0, 1.0, 62e6, 0.25]
    assert row["disk_free"] > 0
    assert decoded.fault.tolist() == [Fault.OK]


def test_what_is_not_known_is_missing(tmp_path: Path) -> None:
    decoded = BOARD_DRIVER.decode([Board(tmp_path, Clock()).frame()], b"", {})
    assert (decoded.mark[0, 9:] == Mark.MISSING).all()


def test_frames_of_earlier_versions_are_read_and_others_refused() -> None:
    old = struct.pack("<9d", *range(9))
    now = struct.pack(f"<{len(CHANNELS)}d", *range(len(CHANNELS)))
    decoded = BOARD_DRIVER.decode([old, now, now[:-1], old + b"\0", b"", now + bytes(8), now[:-8]], b"", {})
    assert decoded.fault.tolist() == [Fault.OK, Fault.OK, *[Fault.LENGTH] * 4, Fault.OK]
    assert decoded.frame.tolist() == [0, 1, 6]
    assert decoded.values[2, :16].tolist() == list(range(16))
    assert decoded.values[0, :9].tolist() == list(range(9))
    assert np.isnan(decoded.values[0, 9:]).all()
    assert (decoded.mark[0, 9:] == Mark.MISSING).all()
    assert decoded.values[1].tolist() == list(range(len(CHANNELS)))


def test_what_the_whole_device_has_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    known = health.device_written_bytes(tmp_path)
    assert known == -1 or known % 512 == 0
    assert health.device_written_bytes(tmp_path / "none") == -1
    assert health.device_written_bytes(Path("/proc")) == -1  # on no device
