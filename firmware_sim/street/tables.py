"""Tables of a quantity, a value a second, made ten minutes at a time when somebody asks; in between it is linear."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Generic, TypeVar

import numpy as np

from firmware_sim.street.draws import F8

BLOCK_S = 600
KEPT = 12  # blocks; the reach of a twin and a delayed reader fit in a few
T = TypeVar("T")


class Blocks(Generic[T]):
    """The last blocks of something that is a pure function of the number of the block."""

    def __init__(self, make: Callable[[int], T], kept: int = KEPT) -> None:
        self._make, self._kept = make, kept
        self._known: OrderedDict[int, T] = OrderedDict()
        self._number: int | None = None
        self._last: list[T] = []  # the block that was asked for last: most questions are about it

    def __getitem__(self, number: int) -> T:
        """Return a block."""
        if number == self._number:
            return self._last[0]
        found = self._known.get(number)
        if found is None:
            found = self._known[number] = self._make(number)
            if len(self._known) > self._kept:
                self._known.popitem(last=False)
        self._number, self._last = number, [found]
        return found


Columns = dict[str, list[float]]


class Tables:
    """Quantities by name; `make` returns one value for each time."""

    def __init__(self, make: Callable[[F8], dict[str, F8]]) -> None:
        self._blocks: Blocks[dict[str, F8]] = Blocks(lambda number: make(seconds_of(number)))
        self._lists: Blocks[Columns] = Blocks(
            lambda number: {name: column.tolist() for name, column in self._blocks[number].items()}
        )

        self._number, self._columns = -1, Columns()  # the block that was asked for last

    def at(self, name: str, t_s: float) -> float:
        """Return a quantity at a time."""
        number = int(t_s // BLOCK_S)
        if number != self._number:
            self._number, self._columns = number, self._lists[number]
        column = self._columns[name]
        place = t_s - number * BLOCK_S
        second = int(place)
        here = column[second]
        return here + (column[second + 1] - here) * (place - second)

    def row(self, names: tuple[str, ...], t_s: float) -> list[float]:
        """Return several quantities at a time."""
        number = int(t_s // BLOCK_S)
        if number != self._number:
            self._number, self._columns = number, self._lists[number]
        columns = self._columns
        place = t_s - number * BLOCK_S
        second = int(place)
        part = place - second
        return [(c := columns[name])[second] + (c[second + 1] - c[second]) * part for name in names]

    def over(self, name: str, t_s: F8) -> F8:
        """Return a quantity at many times, wherever they are."""
        numbers = np.floor(t_s / BLOCK_S).astype(np.int64)
        out = np.empty(t_s.shape)
        for number in np.unique(numbers).tolist():
            mine = numbers == number
            out[mine] = np.interp(t_s[mine] - number * BLOCK_S, np.arange(BLOCK_S + 1.0), self._blocks[number][name])
        return out


def seconds_of(number: int) -> F8:
    """Return the seconds of a block, with the first one of the next."""
    return number * float(BLOCK_S) + np.arange(BLOCK_S + 1.0)
