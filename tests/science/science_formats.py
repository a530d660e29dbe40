"""Which of our functions the vectors of open-data formats mean."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from gateway import formats
from gateway.ucum import ucum_valid

Inputs = Mapping[str, Any]
OURS = {"pm10": "pm10", "pm25": "pm2_5", "pm1": "pm1_0", "pm4": "pm4_0", "p1": "pm10", "p2": "pm2_5", "laeq": "laeq"}
AS_UCUM: Mapping[str, str] = {"ppm": "[ppm]", "ppb": "[ppb]", "dB(A)": "dB", "\u00b0C": "Cel", "\u00b5g/m3": "ug/m3"}
LIKE = {"SDS018": "SDS011", "HPM": "HPMA115", "HPMA115S0": "HPMA115", "NPM": "NEXTPM", "SHT31": "SHT3X"}


def value_type_and_x_pin(inputs: Inputs) -> tuple[str, str]:
    """A vector names a quantity and a part as people do."""
    quantity, model = str(inputs["quantity"]).casefold(), str(inputs["sensor"]).upper().replace("-", "")
    plain = "".join(c for c in quantity if c.isalnum())
    channel = quantity if quantity in formats.VALUE_TYPE else OURS[plain]
    return formats.value_type_and_x_pin(channel, LIKE.get(model, model))


FUNCTIONS: Mapping[str, Callable[[Inputs], Any]] = {
    "sdm_required": lambda i: formats.sdm_required(i["entity"]),
    "relative_humidity": lambda i: formats.fraction(i["rh_percent"]),
    "noise_sonometer_class": lambda i: formats.sonometer_class(i["cls"]),
    "unit_code_unece": lambda i: formats.unit_code_unece(AS_UCUM.get(str(i["unit"]), str(i["unit"]))),
    "ucum_valid": lambda i: ucum_valid(i["code"]),
    "value_type_and_x_pin": value_type_and_x_pin,
    "pressure_value": lambda i: formats.value_text(formats.pa(i["hpa"])),
}
