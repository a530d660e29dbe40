"""The simulation as a person sees it: lines of text, or a live screen that fits a phone."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

WIDTH = 60
BEHIND_S, AHEAD_S = 10.0, 3.0
ROAD = 56  # characters
KM_H = 3.6
SIGNS: Mapping[str, str] = {"lorry": "L", "truck": "L", "bus": "B", "van": "v", "motorcycle": "m"}
Row = Mapping[str, Any]


def show(snapshots: Iterable[Row]) -> None:
    """Draw snapshots as they come."""
    from rich.live import Live
    from rich.text import Text

    with Live(auto_refresh=False) as screen:
        for now in snapshots:
            screen.update(Text("\n".join(lines(now)), no_wrap=True, overflow="ellipsis"), refresh=True)


def lines(now: Row) -> Iterator[str]:
    """Write a snapshot, at most WIDTH characters a line."""
    yield from road(now["vehicles"])
    yield from (line[:WIDTH] for line in _levels(now["street"], now["held"]))
    yield "streams are paused" if now["paused"] else ""
    for device in now["devices"]:
        yield from (line[:WIDTH] for line in _device(device, now["t_ns"]))


def road(vehicles: Sequence[Row]) -> Iterator[str]:
    """Draw both lanes around the lamp post, the next 3 s to the right of it and the last 10 s to the left."""
    post = round(ROAD * BEHIND_S / (BEHIND_S + AHEAD_S))
    for towards in (True, False):
        lane = [" "] * ROAD
        lane[post] = "|"
        for vehicle in vehicles:
            at = round(ROAD * (BEHIND_S + vehicle["in_s"]) / (BEHIND_S + AHEAD_S))
            if (vehicle["speed_m_s"] > 0) == towards and 0 <= at < ROAD:
                lane[at] = SIGNS.get(vehicle["kind"], "c")
        yield ("> " if towards else "< ") + "".join(lane).rstrip()
    near = min(vehicles, key=lambda vehicle: abs(vehicle["in_s"]), default=None)
    if near is None:
        yield "  nobody is near"
    else:
        kind, speed = near["kind"] or "vehicle", abs(near["speed_m_s"]) * KM_H
        yield f"  {kind}, {speed:.0f} km/h, {near['passby_db']:.0f} dB, nearest {_when(-near['in_s'])}"


def _levels(street: Row, held: Sequence[Row]) -> Iterator[str]:
    """Write the quantities, three to a line; a star marks what is held."""
    stars = {hold["quantity"] for hold in held}
    cells = [f"{name}{'*' if name in stars else ''} {_number(row['value'])}" for name, row in street.items()]
    for i in range(0, len(cells), 3):
        yield "  " + "".join(cell.ljust(19) for cell in cells[i : i + 3]).rstrip()


def _device(device: Row, now_ns: int) -> Iterator[str]:
    place = "" if device["place"] == device["name"] else f" on {device['place']}"
    wrong = [fault["kind"] for fault in device["faults"] if fault["in_force"]]
    wrong += [f"{hold['quantity']} held" for hold in device.get("held", ())]
    yield f"{device['name']}  {device['device']}{place}" + (f"  ! {', '.join(wrong)}" if wrong else "")
    if "last" not in device:
        return
    if device["last"] is None:
        yield "    nothing said yet"
        return
    values = device["last"]["values"].items()
    said = ", ".join(f"{name} {_number(value)}" for name, value in values) or "played back"
    yield f"    {_when((now_ns - device['last']['t_ns']) / 1e9)}: {said}"


def _number(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:.0f}" if 1000 <= abs(value) < 1e6 else f"{value:.4g}"


def _when(age_s: float) -> str:
    return f"{age_s:.1f} s ago" if age_s >= 0 else f"in {-age_s:.1f} s"
