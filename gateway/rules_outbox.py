"""What the table of the outbox must also be."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress

from gateway.config import Config
from gateway.config_errors import Problem, Sources

MB = 1_000_000
DAY_S = 86_400


def outbox(config: Config, sources: Sources) -> Iterator[Problem]:
    """Look at the caps: do they hold a day, do they fit on the disk, and is there room for the ballast."""
    of = config.outbox
    day = DAY_S // config.windows.base_s
    if of.max_records and of.max_records < day:
        what = f"{of.max_records} messages are less than a day of windows of {config.windows.base_s} s"
        yield sources.problem(("outbox", "max_records"), what, f"use {day} or more, or 0 for no limit", warning=True)
    if of.ballast_mb and of.free_floor_mb < 2 * of.ballast_mb:
        what = f"the floor of {of.free_floor_mb:g} MB is too low for a ballast of {of.ballast_mb:g} MB"
        hint = f"use free_floor_mb = {2 * of.ballast_mb:g} or more: the floor must act before the disk is full"
        yield sources.problem(("outbox", "free_floor_mb"), what, hint, warning=True)
    with suppress(OSError, ValueError):
        disk = os.statvfs(config.gateway.data_dir)
        size_mb = disk.f_blocks * disk.f_frsize / MB
        asked = of.max_mb + config.rawlog.keep_mb + of.free_floor_mb + of.ballast_mb
        if of.max_mb and asked > size_mb:
            what = f"outbox, raw log and floor ask for {asked:.0f} MB, and the disk has {size_mb:.0f} MB"
            hint = "lower max_mb or [rawlog] keep_mb; else the floor acts first"
            yield sources.problem(("outbox", "max_mb"), what, hint, warning=True)
