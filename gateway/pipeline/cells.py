"""Electrochemical cells with four electrodes: the voltage that the gas alone makes, by Alphasense AAN 803-05.

The working electrode (WE) sees gas, temperature and age; the auxiliary one (AE) the same without the gas. What its
voltage must be multiplied with to take the rest out depends on temperature and is tabulated per cell and algorithm.

    1  WEc = (WEu - WEe) - nT * (AEu - AEe)
    2  WEc = (WEu - WEe) - kT * (WEo / AEo) * (AEu - AEe)
    3  WEc = (WEu - WEe) - (WEo - AEo) - k'T * (AEu - AEe)
    4  WEc = (WEu - WEe) - WEo - k''T

u: as measured; e: electronic zero of the board; o: zero of the cell in clean air. All in mV; the zeros stand on the
certificate of the pair of cell and board. Source: AAN 803-05 table 3; its earlier issues have other numbers.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

import numpy as np

from gateway.block import F8

ISSUE = "AAN 803-05"  # of the table: -02 and -04 have other numbers
AT_DEGC = (-30.0, -20.0, -10.0, 0.0, 10.0, 20.0, 30.0, 40.0, 50.0)
ALGORITHMS = (1, 2, 3, 4)


class Cell(NamedTuple):
    """A cell: the channel of its gas, and nT, kT, k'T and k''T (mV) at AT_DEGC."""

    gas: str
    factors: tuple[tuple[float, ...], tuple[float, ...], tuple[float, ...], tuple[float, ...]]


CELLS: Mapping[str, Cell] = MappingProxyType(
    {
        "NO2-B43F": Cell(
            "no2",
            (
                (1.3, 1.3, 1.3, 1.3, 1.0, 0.6, 0.4, 0.2, -1.5),
                (2.2, 2.2, 2.2, 2.2, 1.7, 1.0, 0.7, 0.3, -2.5),
                (1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 0.4, -0.1, -4.0),
                (7.0, 7.0, 7.0, 7.0, 4.0, 0.0, 0.5, 5.0, 67.0),
            ),
        ),
        "OX-B431": Cell(
            "o3",
            (
                (0.9, 0.9, 1.0, 1.3, 1.5, 1.7, 2.0, 2.5, 3.7),
                (0.5, 0.5, 0.6, 0.8, 0.9, 1.0, 1.2, 1.5, 2.2),
                (0.5, 0.5, 0.5, 0.6, 0.6, 1.0, 2.8, 5.0, 5.3),
                (1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 8.5, 23.0, 103.0),
            ),
        ),
        "CO-B4": Cell(
            "co",
            (
                (0.7, 0.7, 0.7, 0.7, 1.0, 3.0, 3.5, 4.0, 4.5),
                (0.2, 0.2, 0.2, 0.2, 0.3, 1.0, 1.2, 1.3, 1.5),
                (-1.0, -0.5, 0.0, 0.0, 0.0, 1.0, 1.0, 1.0, 1.0),
                (55.0, 55.0, 55.0, 50.0, 31.0, 0.0, -50.0, -150.0, -250.0),
            ),
        ),
    }
)


class Zeros(NamedTuple):
    """What the electrodes show without gas, mV: of the electronics, and of the cell."""

    we_electronic_mv: float
    ae_electronic_mv: float = 0.0
    we_sensor_mv: float = 0.0
    ae_sensor_mv: float = 0.0


def factor(cell: str, algorithm: int, temperature_degc: F8 | float) -> F8:
    """Return nT, kT, k'T or k''T: linear between the temperatures of the table, constant beyond its ends."""
    return np.asarray(np.interp(temperature_degc, AT_DEGC, CELLS[cell].factors[algorithm - 1]), np.float64)


def corrected_mv(
    cell: str, algorithm: int, we_mv: F8 | float, ae_mv: F8 | float, temperature_degc: F8 | float, zeros: Zeros
) -> F8:
    """Return the voltage that the gas makes (WEc), mV; `ae_mv` means nothing to algorithm 4."""
    by = factor(cell, algorithm, temperature_degc)
    we, ae = np.asarray(we_mv - zeros.we_electronic_mv), np.asarray(ae_mv - zeros.ae_electronic_mv)
    if algorithm == 1:
        out = we - by * ae
    elif algorithm == 2:
        out = we - by * (np.float64(zeros.we_sensor_mv) / zeros.ae_sensor_mv) * ae
    elif algorithm == 3:
        out = we - (zeros.we_sensor_mv - zeros.ae_sensor_mv) - by * ae
    else:
        out = we - zeros.we_sensor_mv - by
    return np.asarray(out)


def ppb(gas_mv: F8 | float, sensitivity_mv_per_ppb: float) -> F8:
    """Return the share of the gas from its voltage; below 0 where the correction took off too much, and left so."""
    return np.asarray(np.asarray(gas_mv, np.float64) / sensitivity_mv_per_ppb)


def ox_to_o3(ox_mv: F8 | float, no2_ppb: F8 | float, no2_mv_per_ppb: float, o3_mv_per_ppb: float) -> F8:
    """Return ozone, ppb, from the voltage of an OX cell: what nitrogen dioxide makes of it is taken off first."""
    return ppb(ox_mv - no2_mv_per_ppb * np.asarray(no2_ppb), o3_mv_per_ppb)
