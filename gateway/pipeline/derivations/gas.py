"""`mass_concentration`: the mass of a gas from its share of the air, at a named reference."""

from __future__ import annotations

from collections.abc import Mapping

from drivers.base import Channel, Option, Options
from gateway.block import F8
from gateway.pipeline.air_units import EU, MOLAR_MASS_G_MOL, R_J_MOL_K, Reference, ugm3_per_ppb
from gateway.pipeline.derivation import Derivation, Means, Method, Named, Part, Wrong


def _reference(options: Options) -> Reference:
    return Reference("", float(options["reference_K"]), float(options["reference_kPa"]), "")


def _wrong(options: Options, named: Mapping[str, Named]) -> Wrong:
    for name, lo, hi in (("reference_K", 200.0, 350.0), ("reference_kPa", 50.0, 120.0)):
        if not lo <= float(options[name]) <= hi:
            yield name, f"{options[name]} is no state of the air", f"the European one is {EU[1]} K and {EU[2]} kPa"
    part = named.get("mole_fraction")
    gas = part.channel.removesuffix("_raw") if part is not None else ""
    if part is not None and gas in MOLAR_MASS_G_MOL and gas != options["gas"]:
        yield "gas", f"{options['gas']!r} is not what {part.channel!r} measures", "name the gas of the channel"


def _channel(options: Options) -> Channel:
    return Channel(str(options["gas"]), "ug/m3")


def _method(options: Options) -> Method:
    gas, at = str(options["gas"]), _reference(options)
    by = ugm3_per_ppb(gas, at)
    constants = {"R_J_mol_K": R_J_MOL_K, "molar_mass_g_mol": MOLAR_MASS_G_MOL[gas], "ugm3_per_ppb": by}
    return Method("ideal gas", "1", EU.source if at[1:3] == EU[1:3] else "reference of the site", constants)


def _mass(means: Means, options: Options) -> F8 | float:
    return means["mole_fraction"] * ugm3_per_ppb(str(options["gas"]), _reference(options))


MASS_CONCENTRATION = Derivation(
    "mass_concentration",
    "air",
    parts=(Part("mole_fraction", "[ppb]", "the gas, as a share of the air", {"[ppm]": 1000.0}),),
    options=(
        Option("gas", str, "", help="which gas it is", choices=tuple(MOLAR_MASS_G_MOL)),
        Option("reference_K", float, EU.temperature_k, "K", "temperature of the reference"),
        Option("reference_kPa", float, EU.pressure_kpa, "kPa", "pressure of the reference"),
    ),
    needs=lambda _options: ("mole_fraction", "gas"),
    wrong=_wrong,
    channel=_channel,
    method=_method,
    compute=_mass,
)
