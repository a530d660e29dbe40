"""Which windows are open, which are closed, and which of the closed ones may still be amended: five numbers of time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(slots=True)
class Borders:
    """The windows of one time line, by their starts; all are `period_ns` long and lie on UTC."""

    period_ns: int
    allowed_ns: int  # for so long after a window was closed, what comes late amends it
    closed_ns: int = 0  # windows before it are closed
    firm_ns: int = 0  # windows before it are not amended: another time line, configuration or run made them
    known_ns: int = 0  # what an earlier run has closed: a log that is read again says nothing new of it
    touched: set[int] = field(default_factory=set)  # open windows in which something happened, or time passed
    overdue: set[int] = field(default_factory=set)  # closed windows for which something came afterwards
    last_ns: int = 0  # the latest that has happened on this line

    @property
    def amend_ns(self) -> int:
        """From when on what comes late is kept."""
        since_ns = self.closed_ns - self.allowed_ns
        return max(since_ns - since_ns % self.period_ns, self.firm_ns)

    @property
    def end_ns(self) -> int:
        """Up to where there are windows, closed or open."""
        return max(self.closed_ns, *(start + self.period_ns for start in self.touched), 0)

    def touch(self, first_ns: int, last_ns: int) -> None:
        """Take note that something happened in [first_ns, last_ns]."""
        amend_ns, self.last_ns = self.amend_ns, max(self.last_ns, last_ns)
        first_ns = max(first_ns, min(amend_ns, self.closed_ns))
        for start in range(first_ns - first_ns % self.period_ns, last_ns + 1, self.period_ns):
            if start >= self.closed_ns:
                self.touched.add(start)
            elif start >= amend_ns:
                self.overdue.add(start)

    def due(self, end_ns: int) -> list[int]:
        """Return the open windows that end by `end_ns`, in order."""
        return sorted(start for start in self.touched if start + self.period_ns <= end_ns)

    def close(self, start_ns: int) -> None:
        """Take note that a window was closed."""
        self.touched.discard(start_ns)
        self.closed_ns = start_ns + self.period_ns

    def take_overdue(self) -> list[int]:
        """Return the closed windows for which something came, in order, once."""
        overdue, self.overdue = sorted(self.overdue), set()
        return overdue

    def resume(self, closed_ns: int) -> None:
        """Begin behind what an earlier run has closed."""
        self.closed_ns = self.firm_ns = self.known_ns = closed_ns

    def begin_line(self, now_ns: int) -> None:
        """Begin a new time line with the window of a moment; what is stamped before belongs to no window of it."""
        self.last_ns = 0
        self.firm_ns = self.closed_ns = max(now_ns - now_ns % self.period_ns, self.known_ns)

    def make_firm(self, border_ns: int) -> None:
        """Amend no window from before a border any more."""
        self.firm_ns = max(self.firm_ns, border_ns)

    def plain(self) -> dict[str, Any]:
        """Return what changes, in a form that msgpack can write."""
        return {
            "closed_ns": self.closed_ns, "firm_ns": self.firm_ns, "known_ns": self.known_ns,
            "last_ns": self.last_ns,
            "touched": sorted(self.touched), "overdue": sorted(self.overdue),
        }  # fmt: skip

    def restored(self, plain: Mapping[str, Any], *, same: bool) -> Borders:
        """Read what `plain` wrote, under the `same` configuration or another; raises KeyError or TypeError."""
        closed_ns = plain["closed_ns"]
        firm_ns = plain.get("firm_ns", closed_ns) if same else closed_ns
        overdue = set(plain.get("overdue", ())) if same else set()
        known_ns, last_ns = plain.get("known_ns", 0), plain.get("last_ns", 0)
        return Borders(
            self.period_ns, self.allowed_ns, closed_ns, firm_ns, known_ns, set(plain["touched"]), overdue,
            last_ns,
        )  # fmt: skip
