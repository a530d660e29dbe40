"""UCUM: is a text a unit of the Unified Code for Units of Measure? A grammar and a table, case-sensitive.

Source: The Unified Code for Units of Measure, version 2.1, sections 2 and 4. The symbols are those of physics,
chemistry, weather, sound, traffic and trade; the clinical ones that no sensor of a street uses are left out.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

PREFIXES = ("da", "Ki", "Mi", "Gi", "Ti", *"YZEPTGMkhdcmunpfazy")

# May carry a prefix.
METRIC = frozenset(
    (
        "m", "s", "g", "rad", "K", "C", "cd", "mol", "sr", "Hz", "N", "Pa", "J", "W", "A", "V", "F", "Ohm", "S", "Wb",
        "Cel", "T", "H", "lm", "lx", "Bq", "Gy", "Sv", "l", "L", "ar", "t", "bar", "u", "eV", "pc", "[c]", "[h]",
        "[k]", "[eps_0]", "[mu_0]", "[e]", "[m_e]", "[m_p]", "[G]", "[g]", "[ly]", "gf", "Ky", "Gal", "dyn", "erg",
        "P", "Bi", "St", "Mx", "G", "Oe", "Gb", "sb", "Lmb", "ph", "Ci", "R", "RAD", "REM", "cal_[15]", "cal_[20]",
        "cal_m", "cal_IT", "cal_th", "cal", "tex", "m[H2O]", "m[Hg]", "g%", "kat", "U", "eq", "osm", "[iU]", "[IU]",
        "Np", "B", "B[SPL]", "B[V]", "B[mV]", "B[uV]", "B[10.nV]", "B[W]", "B[kW]", "st", "mho", "bit", "By", "Bd",
    )
)  # fmt: skip

# Stand as they are.
NON_METRIC = frozenset(
    (
        "10*", "10^", "%", "[pi]", "[ppth]", "[ppm]", "[ppb]", "[pptr]", "gon", "deg", "'", "''", "min", "h", "d",
        "a_t", "a_j", "a_g", "a", "wk", "mo_s", "mo_j", "mo_g", "mo", "AU", "atm", "[lbf_av]", "[in_i]", "[ft_i]",
        "[yd_i]", "[mi_i]", "[fth_i]", "[nmi_i]", "[kn_i]", "[sin_i]", "[sft_i]", "[syd_i]", "[cin_i]", "[cft_i]",
        "[cyd_i]", "[mil_i]", "[cml_i]", "[ft_us]", "[yd_us]", "[in_us]", "[rd_us]", "[fth_us]", "[mi_us]",
        "[acr_us]", "[srd_us]", "[smi_us]", "[ft_br]", "[in_br]", "[yd_br]", "[mi_br]", "[acr_br]", "[gal_us]",
        "[bbl_us]", "[qt_us]", "[pt_us]", "[gil_us]", "[foz_us]", "[cup_us]", "[gal_br]", "[qt_br]", "[pt_br]",
        "[gr]", "[lb_av]", "[oz_av]", "[dr_av]", "[ston_av]", "[lton_av]", "[stone_av]", "[lb_tr]", "[oz_tr]",
        "[degF]", "[degR]", "[degRe]", "[Btu]", "[Cal]", "[Btu_IT]", "[Btu_th]", "[HP]", "[den]", "[in_i'H2O]",
        "[in_i'Hg]", "[psi]", "[pH]", "[NTU]", "[FNU]", "%[slope]", "[diop]", "[mesh_i]", "[S]", "Ao", "b", "att",
        "circ", "sph", "[m/s2/Hz^0.5]", "bit_s", "[smoot]",
    )
)  # fmt: skip

SYMBOL = re.compile(r"10[*^]|(?:[A-Za-z%'\"_]|\[[!-Z^-~]+\])+")
EXPONENT = re.compile(r"[+-]?[0-9]+")
ANNOTATION = re.compile(r"\{[!-z|~]*\}")
FACTOR = re.compile(r"[0-9]+")
LONGEST = 200  # no unit needs more; the parser follows every step of a term


def ucum_valid(code: str) -> bool:
    """Tell whether a text is a UCUM unit (case-sensitive), as `ug/m3`, `{vehicles}/h` or `dB[SPL]`.

    `dB(A)`, `ppb` and the degree sign are none: a weighting belongs to what was observed, not to its unit.
    """
    return len(code) <= LONGEST and any(end == len(code) for end in _unit(code, 0))


def _unit(code: str, at: int) -> Iterator[int]:
    """Yield where a unit that begins at `at` may end: a term, or one that begins by dividing."""
    yield from _term(code, at + 1 if code.startswith("/", at) else at)


def _term(code: str, at: int) -> Iterator[int]:
    """Yield where components joined by `.` and `/` may end; the longest first."""
    end = _component(code, at)
    if end is None:
        return
    if code[end : end + 1] in (".", "/"):
        yield from _term(code, end + 1)
    yield end


def _component(code: str, at: int) -> int | None:
    """Return the end of one component: a bracketed term, a symbol with its exponent and note, a note, or a number."""
    if code.startswith("(", at):
        return next((end + 1 for end in _term(code, at + 1) if code.startswith(")", end)), None)
    if (symbol := SYMBOL.match(code, at)) is not None:
        if not _known(symbol.group()):
            return None
        return _past(ANNOTATION, code, _past(EXPONENT, code, symbol.end()))
    number = _past(FACTOR, code, at)
    end = _past(ANNOTATION, code, number)
    return end if end > at else None


def _past(what: re.Pattern[str], code: str, at: int) -> int:
    found = what.match(code, at)
    return found.end() if found is not None else at


def _known(symbol: str) -> bool:
    if symbol in METRIC or symbol in NON_METRIC:
        return True
    return any(symbol.startswith(prefix) and symbol[len(prefix) :] in METRIC for prefix in PREFIXES)
