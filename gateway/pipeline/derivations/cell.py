"""`b4_cell`: a gas from the electrodes of an Alphasense B4 cell."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from drivers.base import Channel, Option, Options
from gateway.block import F8
from gateway.pipeline.cells import ALGORITHMS, CELLS, ISSUE, Zeros, corrected_mv, ox_to_o3, ppb
from gateway.pipeline.derivation import Derivation, Means, Method, Named, Part, Wrong


def _needs(options: Options) -> tuple[str, ...]:
    algorithm = options["algorithm"]
    needs = ["cell", "working", "temperature", "we_electronic_zero_mV", "sensitivity_mV_per_ppb"]
    if algorithm != 4:
        needs += ["auxiliary", "ae_electronic_zero_mV"]
    if algorithm != 1:
        needs.append("we_sensor_zero_mV")
    if algorithm in (2, 3):
        needs.append("ae_sensor_zero_mV")
    if options["cell"] == "OX-B431":  # it sees ozone and nitrogen dioxide alike
        needs += ["no2", "no2_sensitivity_mV_per_ppb"]
    return tuple(needs)


def _wrong(options: Options, _named: Mapping[str, Named]) -> Wrong:
    nonzero = ["sensitivity_mV_per_ppb"]
    if options["algorithm"] == 2:
        nonzero.append("ae_sensor_zero_mV")
    for name in nonzero:
        if options.get(name) == 0:
            yield name, "is divided by, and is 0", "copy it from the certificate of the cell"


def _channel(options: Options) -> Channel:
    # Less than nothing is what a correction took off too much: it stays as it is, and is doubtful.
    return Channel(CELLS[str(options["cell"])].gas, "[ppb]", lo=0.0)


def _method(options: Options) -> Method:
    name = f"{options['cell']} by algorithm {options['algorithm']}"
    if options["cell"] == "OX-B431":
        name += ", nitrogen dioxide taken off"
    return Method(name, ISSUE, f"Alphasense {ISSUE}, table 3", {})


def _gas(means: Means, options: Options) -> F8:
    """Return ppb from the voltages (V) of the electrodes; of an OX cell what nitrogen dioxide makes is taken off."""

    def of(name: str) -> float:
        return float(options.get(name, 0.0))

    zeros = Zeros(
        of("we_electronic_zero_mV"), of("ae_electronic_zero_mV"), of("we_sensor_zero_mV"), of("ae_sensor_zero_mV")
    )
    algorithm = int(options["algorithm"])
    ae_mv = 1e3 * means["auxiliary"] if algorithm != 4 else np.zeros(())
    gas_mv = corrected_mv(str(options["cell"]), algorithm, 1e3 * means["working"], ae_mv, means["temperature"], zeros)
    if options["cell"] == "OX-B431":
        return ox_to_o3(gas_mv, means["no2"], of("no2_sensitivity_mV_per_ppb"), of("sensitivity_mV_per_ppb"))
    return ppb(gas_mv, of("sensitivity_mV_per_ppb"))


B4_CELL = Derivation(
    "b4_cell",
    "air",
    parts=(
        Part("working", "V", "working electrode (OP1 of the board)"),
        Part("auxiliary", "V", "auxiliary electrode (OP2 of the board); not for algorithm 4"),
        Part("temperature", "Cel", "temperature of the air at the cell"),
        Part("no2", "[ppb]", "OX-B431 only: nitrogen dioxide, from a cell beside it"),
    ),
    options=(
        Option("cell", str, "", help="the type printed on the cell", choices=tuple(CELLS)),
        Option("algorithm", int, 1, help="of AAN 803-05", choices=ALGORITHMS),
        Option("we_electronic_zero_mV", float, 0.0, "mV", "WE electronic zero, from the certificate"),
        Option("ae_electronic_zero_mV", float, 0.0, "mV", "AE electronic zero, from the certificate"),
        Option("we_sensor_zero_mV", float, 0.0, "mV", "WE sensor zero, from the certificate"),
        Option("ae_sensor_zero_mV", float, 0.0, "mV", "AE sensor zero, from the certificate"),
        Option("sensitivity_mV_per_ppb", float, 0.0, "mV/[ppb]", "sensitivity, from the certificate"),
        Option("no2_sensitivity_mV_per_ppb", float, 0.0, "mV/[ppb]", "of an OX cell to NO2, from its certificate"),
    ),
    needs=_needs,
    wrong=_wrong,
    channel=_channel,
    method=_method,
    compute=_gas,
)
