"""What truly happened on a street, for the truth file: every vehicle, sound, and the air minute by minute."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterator, Mapping
from enum import StrEnum

from firmware_sim.street import LANES, Street, v85_m_s
from firmware_sim.truth import Timeline, Truth

MINUTE_S = 60
LATE_S = 0.001  # a timer may fire early
AIR_EVERY_S = 5  # the air of a minute is the mean of so many moments
Line = tuple[float, Mapping[str, object]]


class Detail(StrEnum):
    """How much of the truth is written down."""

    SENT = "sent"  # what left the twins
    MINUTE = "minute"  # every vehicle; sound and air by the minute
    SECOND = "second"  # and sound by the second
    ALL = "all"  # both


def lines(street: Street, from_s: int, to_s: int, detail: Detail) -> Iterator[Line]:
    """Yield the lines of [from, to), whole minutes, UTC seconds."""
    for minute_s in range(from_s, to_s, MINUTE_S):
        vehicles = street.vehicles(minute_s, minute_s + MINUTE_S)
        for one in vehicles:
            yield one.pass_s, {
                "street": "vehicle", "class": one.kind, "speed": round(one.speed_m_s, 4), "lane": LANES[one.lane],
                "length": round(one.length_m, 2),
            }  # fmt: skip
        yield float(minute_s), {
            "street": "minute", "for_s": MINUTE_S, "laeq": round(street.laeq_db(minute_s, minute_s + MINUTE_S), 4),
            "vehicles": len(vehicles), "v85": _known(v85_m_s(vehicles)), "values": air(street, minute_s),
        }  # fmt: skip
        if detail in (Detail.SECOND, Detail.ALL):
            for second in range(minute_s, minute_s + MINUTE_S):
                yield float(second), {"street": "second", "laeq": round(street.laeq_db(second, second + 1), 4)}


async def tell_street(street: Street, truth: Truth, timeline: Timeline, detail: Detail) -> None:
    """Write down each minute of a street when it is over, for ever."""
    told_s = int(timeline.now_s()) // MINUTE_S * MINUTE_S
    while True:
        await asyncio.sleep(timeline.clock.real_s(max(told_s + MINUTE_S - timeline.now_s(), 0.0)) + LATE_S)
        until_s = int(timeline.now_s()) // MINUTE_S * MINUTE_S
        truth.tell(lines(street, told_s, until_s, detail))
        told_s = until_s


def air(street: Street, minute_s: int) -> dict[str, float]:
    """Return the means of a minute, by channel; particles are dry."""
    moments = [minute_s + AIR_EVERY_S * (k + 0.5) for k in range(MINUTE_S // AIR_EVERY_S)]
    rows = [_moment(street, t_s) for t_s in moments]
    return {name: round(math.fsum(row[name] for row in rows) / len(rows), 5) for name in rows[0]}


def _moment(street: Street, t_s: float) -> dict[str, float]:
    wind_m_s, from_deg = street.wind(t_s)
    return {
        **street.particles(t_s)._asdict(),
        "temperature": street.temperature_degc(t_s),
        "humidity": street.humidity_pct(t_s),
        "pressure": street.pressure_pa(t_s),
        "co2": street.co2_ppm(t_s),
        "co": street.co_ppm(t_s),
        "no": street.no_ppb(t_s),
        "no2": street.no2_ppb(t_s),
        "o3": street.o3_ppb(t_s),
        "hcho": street.hcho_ppb(t_s),
        "voc_index": street.voc_index(t_s),
        "nox_index": street.nox_index(t_s),
        "swelling": street.swelling(t_s),
        "wind": wind_m_s,
        "wind_x": -wind_m_s * math.sin(math.radians(from_deg)),
        "wind_y": -wind_m_s * math.cos(math.radians(from_deg)),
    }


def _known(value: float) -> float | None:
    return None if math.isnan(value) else round(value, 4)
