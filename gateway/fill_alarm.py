"""The alarm of an outbox that fills up: how full, by which cap, when it will be full, and what goes then."""

from __future__ import annotations

from gateway.caps import AGE, FLOOR, MB, RECORDS, SIZE, Fill

LEVELS = (0.95, 0.8, 0.5)  # from so much on it is told
BACK = 0.05  # so far below a level it is over: the alarm does not come and go with every message
STEP = 0.05  # so much must change before the words do
NEXT = "then the oldest windows are dropped, events last: bring the broker and the bridge back"


class FillAlarm:
    """Remembers which level was told, and in which words."""

    def __init__(self) -> None:
        self._level = 0.0
        self._share = 0.0
        self._text = ""

    def look(self, fill: Fill, days: float | None) -> dict[str, str]:
        """Return the alarm as subject and text, or nothing; `days` until it is full, where that is known."""
        level = next((one for one in LEVELS if fill.share >= one), 0.0)
        if level < self._level and fill.share > self._level - BACK:
            level = self._level
        if level != self._level or abs(fill.share - self._share) >= STEP:
            self._level, self._share = level, fill.share
            self._text = f"the outbox is {100 * fill.share:.0f} % full ({_measure(fill)}); {_when(fill, days)}; {NEXT}"
        return {"outbox": self._text} if self._level else {}


def _measure(fill: Fill) -> str:
    return {
        SIZE: f"{fill.used / MB:.0f} of {fill.most / MB:.0f} MB",
        RECORDS: f"{fill.used:.0f} of {fill.most:.0f} messages",
        AGE: f"the oldest has waited {fill.used:.0f} of {fill.most:.0f} days",
        FLOOR: "the free space is nearly used up",
    }.get(fill.cap, "no cap")


def _when(fill: Fill, days: float | None) -> str:
    if fill.share >= 1:
        return "it is full now"
    if days is None:
        return "when it is full is not known yet"
    return f"full in {days:.0f} days at today's rate" if days >= 2 else f"full in {24 * days:.0f} h at today's rate"
