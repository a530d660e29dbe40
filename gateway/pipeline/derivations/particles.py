"""`pm_correction`: PM2.5 of an optical counter, corrected for humidity."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from drivers.base import Channel, Option, Options
from gateway.block import F8, Reason
from gateway.pipeline import pm_correction as pm
from gateway.pipeline.derivation import Derivation, Means, Method, Named, Part, Wrong

LINEAR = {"slope": pm.SLOPE, "per_humidity": pm.PER_RH, "offset": pm.OFFSET}
METHODS: Mapping[str, Method] = {
    "barkjohn_2021": Method("barkjohn_2021", "2021", "Barkjohn et al. 2021, Atmos. Meas. Tech. 14, 4617", LINEAR),
    "epa_fire_smoke_map": Method(
        "epa_fire_smoke_map", "2021-10", "US EPA, AirNow Fire and Smoke Map",
        {**LINEAR, "steep_slope": pm.STEEP, "smoke": pm.SMOKE, "joints_ugm3": pm.JOINTS_UGM3},
    ),
    "kappa_koehler": Method(
        "kappa_koehler", "2018", "Crilley et al. 2018, Atmos. Meas. Tech. 11, 709; Di Antonio et al. 2018, Sensors 18",
        {"density_g_cm3": pm.DENSITY},
    ),
}  # fmt: skip
CF1 = "pm2_5_cf1"
OF_PLANTOWER = {"barkjohn_2021": CF1, "epa_fire_smoke_map": "pm2_5"}  # the channel for which each was fitted


def _needs(options: Options) -> tuple[str, ...]:
    return ("method", "pm2_5", "humidity", *(("kappa",) if options["method"] == "kappa_koehler" else ()))


def _wrong(options: Options, named: Mapping[str, Named]) -> Wrong:
    method = str(options["method"])
    part, fitted = named.get("pm2_5"), OF_PLANTOWER.get(method)
    if part is not None and fitted is not None:
        if CF1 not in {part.channel.removesuffix("_raw"), *part.beside}:
            hint = "for other parts use kappa_koehler, or calibrate beside a reference"
            yield "method", f"{method} is for Plantower counters, which have a channel {CF1}", hint
        elif part.channel.removesuffix("_raw") != fitted:
            yield "pm2_5", f"{method} was fitted to {fitted!r}, not to {part.channel!r}", f"name the channel {fitted!r}"
    for name in ("kappa", "humidity_cap"):
        if method in OF_PLANTOWER:
            yield name, "means nothing here", "take this key out: for kappa_koehler only"
    if not 0.0 <= float(options["kappa"]) <= 2.0:
        yield "kappa", f"{options['kappa']} is no hygroscopicity", "Europe: 0.3 to 0.4; salt: 1.3"
    if not 50.0 <= float(options["humidity_cap"]) <= 99.0:
        yield "humidity_cap", f"{options['humidity_cap']} is no cap", "use 85 to 95: a drop grows without limit at 100"


def _method(options: Options) -> Method:
    return METHODS[str(options["method"])]


def _corrected(means: Means, options: Options) -> F8:
    """Return the corrected mass; without its humidity none, also where the formula could do without."""
    x, rh = means["pm2_5"], means["humidity"]
    if options["method"] == "barkjohn_2021":
        out = pm.barkjohn_2021(x, rh)
    elif options["method"] == "epa_fire_smoke_map":
        out = pm.epa_fire_smoke_map(x, rh)
    else:
        out = pm.kappa_koehler(x, rh, float(options["kappa"]), float(options["humidity_cap"])).pm_dry
    return np.where(np.isnan(rh), np.nan, out)


def _too_humid(means: Means, options: Options) -> Reason:
    capped = options["method"] == "kappa_koehler" and bool(means["humidity"] > float(options["humidity_cap"]))
    return Reason.HUMIDITY if capped else Reason(0)


PM_CORRECTION = Derivation(
    "pm_correction",
    "air",
    parts=(
        Part("pm2_5", "ug/m3", "what the counter says: pm2_5_cf1 for barkjohn_2021, else pm2_5"),
        Part("humidity", "%", "relative humidity in the housing of the counter"),
    ),
    options=(
        Option("method", str, "", help="which correction", choices=tuple(METHODS)),
        Option("kappa", float, 0.35, help="hygroscopicity of the particles here; it depends on the place"),
        Option("humidity_cap", float, pm.CAP_PCT, "%", "more humid air is taken as this, and the value is doubtful"),
    ),
    needs=_needs,
    wrong=_wrong,
    channel=lambda _options: Channel("pm2_5", "ug/m3", lo=0.0),
    method=_method,
    compute=_corrected,
    doubt=_too_humid,
)
