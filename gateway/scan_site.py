"""What a scan found, as text for a site file: blocks to paste, or a whole file that `gateway check` accepts."""

from __future__ import annotations

import json
import re
import textwrap
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

from drivers.base import OptionValue
from gateway.scan_finds import Find, Note, Visit

WIDTH = 48  # a phone held upright
NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,39}")
SITE = """\
extends = "base.toml"

[site]
name = {site}
timezone = {zone}

[gateway]
name = {gateway}
"""


def comment(text: str) -> str:
    """Write a sentence as comment lines that fit a phone; what cannot be broken, such as a path, is left whole."""
    lines = textwrap.wrap(text, WIDTH - 2, break_long_words=False, break_on_hyphens=False)
    return "".join(f"# {line}\n" for line in lines)


def names(finds: Iterable[Find]) -> Iterator[str]:
    """Give each find a name that a site file takes and that no other has: the label of its place, else its driver."""
    used: Counter[str] = Counter()
    for find in finds:
        base = find.label if NAME.fullmatch(find.label) else find.driver.name
        used[base] += 1
        yield base if used[base] == 1 else f"{base}-{used[base]}"


def block(find: Find, name: str) -> str:
    """Write a sensor to paste, below what is known and not known about it."""
    first, *more = find.driver.model.split(",")
    said = [f"{first}{' or alike' if more else ''}: {find.how}"]
    if not find.sure:
        others = ", ".join(driver.name for driver in find.drivers[1:])
        alike = f"looks the same as {others} here" if others else "other parts answer like it"
        said.append(f"NOT SURE: {alike}. Compare with the print on the part.")
    lines = ["[[sensor]]", f"name = {_value(name)}", f'driver = "{find.driver.name}"']
    if find.port:
        lines += [f"port = {_value(find.port)}"] + ([] if find.baud is None else [f"baud = {find.baud}"])
    else:
        lines += [f"bus = {_value(find.bus)}", f"address = 0x{find.address:02x}"]
    if find.serial:
        lines.append(f"serial = {_value(find.serial)}")
    if find.options:
        lines += ["", "[sensor.options]", *(f"{key} = {_value(value)}" for key, value in find.options.items())]
    return "".join(map(comment, (*said, *find.notes))) + "\n".join(lines) + "\n"


def blocks(found: Visit) -> str:
    """Write all sensors, then as comments what could not be told and what was left alone; the whole is TOML."""
    parts = [block(find, name) for find, name in zip(found.finds, names(found.finds), strict=True)]
    if parts:
        parts.insert(0, comment("`name` is the place of a part, such as pm-north: change it before the first run"))
    parts += [_notes("could not be told", found.unknown), _notes("left alone", found.skipped)]
    return "\n".join(part for part in parts if part)


def site(found: Visit, name: str, host: str, zone: str) -> str:
    """Write a whole site file around the blocks."""
    first = comment("Written by `gateway scan`. Names, coordinates and the broker are yours to correct.")
    head = SITE.format(site=_value(_legal(name)), zone=_value(zone), gateway=_value(_legal(host)))
    return f"{first}{head}\n{blocks(found)}"


def time_zone(localtime: Path = Path("/etc/localtime"), default: str = "Europe/Bucharest") -> str:
    """Name the time zone of this machine; the default where it runs on UTC, as many boards do."""
    _, _, name = str(localtime.resolve()).partition("zoneinfo/")
    return name if "/" in name and not name.startswith("Etc/") else default


def _notes(title: str, notes: Iterable[Note]) -> str:
    rows = [comment(f"{note.place}: {note.what}") + comment(f"-> {note.hint}") for note in notes]
    return f"# --- {title}\n" + "".join(rows) if rows else ""


def _legal(text: str) -> str:
    """Make a name that a site file takes."""
    return re.sub(r"[^a-z0-9_-]+", "-", text.casefold()).strip("-_")[:40] or "post"


def _value(value: OptionValue) -> str:
    """Write a TOML value; JSON writes the same for text, numbers and truth values."""
    return json.dumps(value)
