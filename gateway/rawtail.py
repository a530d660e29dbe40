"""Bad tails of the raw log are kept beside, so many and so much of each that power cuts never fill the disk."""

from __future__ import annotations

import contextlib

from gateway.rawfiles import PIECE, Files

TAIL = ".tail"
MOST_TAILS = 16
MOST_BYTES = 1 << 18  # of one; so all of them take 4 MiB at most


def set_aside(quarantine: Files, files: Files, name: str, offset: int, end: int, sequence: int) -> None:
    """Keep a copy of a bad tail beside, and overwrite it with zeros; as far as the disk lets us."""
    kept = files.read(name, offset, min(end - offset, MOST_BYTES))
    with contextlib.suppress(OSError):
        tails = sorted(one for one in quarantine.sizes() if one.endswith(TAIL))
        for old in tails[: max(0, len(tails) - MOST_TAILS + 1)]:
            quarantine.remove(old)
        quarantine.put(f"raw-{sequence:020d}-{offset}{TAIL}", kept)
    with contextlib.suppress(OSError):
        for start in range(offset, end, PIECE):
            files.write(name, start, bytes(min(PIECE, end - start)))
        files.sync(name)
