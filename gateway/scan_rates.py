"""At which rate to begin, and whom to try there first."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from typing import NamedTuple

from drivers.base import EVENTS, Driver, Stream, Uart
from gateway.scan_finds import cost


class Rate(NamedTuple):
    """Baud and format of a line."""

    baud: int
    form: str

    def __str__(self) -> str:
        return f"{self.baud} {self.form}"


def factory(driver: Driver) -> Rate:
    """Return the rate at which a part leaves the factory."""
    assert isinstance(driver.bus, Uart)
    return Rate(driver.bus.bauds[0], driver.bus.format)


def by_rate(
    drivers: Iterable[Driver], hinted: Collection[str], *, careful: bool = False
) -> Iterator[tuple[Rate, list[Driver]]]:
    """Group drivers by rate: what the adapter's name hints at first, factory rates before others.

    Among these the commonest come first, or, if `careful`, those with the shortest question.
    """
    groups: dict[tuple[bool, bool, Rate], list[Driver]] = {}
    for driver in drivers:
        assert isinstance(driver.bus, Uart)
        for i, baud in enumerate(driver.bus.bauds):
            key = (driver.name not in hinted, i > 0, Rate(baud, driver.bus.format))
            groups.setdefault(key, []).append(driver)
    for group in groups.values():
        group.sort(key=_question_cost)
    for key, group in sorted(
        groups.items(), key=lambda one: (*one[0][:2], _question_cost(one[1][0]) if careful else (-len(one[1]),))
    ):
        yield key[2], group


def may_be_silent(drivers: Iterable[Driver]) -> bool:
    """Tell whether one of these parts speaks only when something happens."""
    return any(isinstance(driver.access, Stream) and driver.access.nominal_s == EVENTS for driver in drivers)


def on_ports(drivers: Iterable[Driver]) -> list[Driver]:
    """List the parts that have a serial port for themselves."""
    return [driver for driver in drivers if isinstance(driver.bus, Uart) and not driver.bus.shared]


def _question_cost(driver: Driver) -> tuple[int, int]:
    return cost(driver, driver.identify.script if driver.identify else ())
