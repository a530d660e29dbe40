"""All targets: whatever in this program reads bytes that somebody else has made."""

from __future__ import annotations

from tests.fuzz import targets_drivers, targets_files, targets_messages, targets_rawlog
from tests.fuzz.hunt import Target


def every() -> tuple[Target, ...]:
    """List all targets, those of the drivers first."""
    rooms = (targets_drivers, targets_messages, targets_rawlog, targets_files)
    return tuple(target for room in rooms for target in room.targets())
