"""What the table of the raw log must also be."""

from __future__ import annotations

from collections.abc import Iterator
from fnmatch import fnmatchcase

from gateway.config import Config
from gateway.config_errors import Problem, Sources

LEAST_SEGMENTS = 4


def rawlog(config: Config, sources: Sources) -> Iterator[Problem]:
    """Look at the sizes of the ring, and for policies that no source has."""
    raw = config.rawlog
    if raw.keep_mb < LEAST_SEGMENTS * raw.segment_mb:
        what = f"{raw.keep_mb:g} MB is less than {LEAST_SEGMENTS} segments of {raw.segment_mb:g} MB"
        yield sources.problem(("rawlog", "keep_mb"), what, "raise keep_mb, or lower segment_mb")
    names = [sensor.name for sensor in config.sensor]
    for i, one in enumerate(raw.keep):
        if not any(fnmatchcase(name, one.source) for name in (*names, "board")):
            what = f"no sensor is called {one.source!r}"
            hint = f"there are {', '.join(names)}" if names else "take this entry out"
            yield sources.problem(("rawlog", "keep", i, "source"), what, hint, warning=True)
