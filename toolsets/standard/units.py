"""Quantities with units, by pint.

In: numbers and units as texts. Out: numbers and texts. A unit's text is checked before pint reads it: names, products,
quotients and small powers, no numbers. Neighbours: `toolsets.standard` makes tools of these functions;
`toolsets.builtin.convert_units` does the everyday units without pint.
"""

import functools
import math
import re
from typing import Any, Final

from toolsets.standard.bounds import library, limited
from toolsets.tool import Number

_MAX_UNIT: Final = 100
_NAME: Final = r"[A-Za-zµΩ°%][A-Za-z_µΩ°%]{0,40}"
_POWER: Final = r"(?:\s*(?:\^|\*\*)\s*-?[1-9])?"
_UNIT: Final = re.compile(rf"\(?{_NAME}{_POWER}\)?(?:\s*[*/ ]\s*\(?{_NAME}{_POWER}\)?){{0,7}}")
_DIGITS: Final = 10


def convert_quantity(value: Number, unit: str, to: str) -> Number:
    """Conversion between any two units of one kind.

    Args:
        value: how much it is
        unit: such as mile/hour, kWh, N*m, degF
        to: such as m/s, joule, lbf*ft, degC

    >>> convert_quantity(90, "km/hour", "m/s")
    25
    >>> convert_quantity(1, "kWh", "megajoule")
    3.6
    """
    return _shown(_convert(value, unit, to))


def unit_dimension(unit: str) -> str:
    """Physical dimension of a unit.

    >>> unit_dimension("newton")
    'length * mass * time^-2'
    """
    powers = sorted((str(name).strip("[]"), power) for name, power in _unit(unit).dimensionality.items())
    return " * ".join(name if power == 1 else f"{name}^{power:g}" for name, power in powers) or "none"


def base_units(value: Number, unit: str) -> str:
    """Quantity in SI base units.

    >>> base_units(2, "kN")
    '2000 kilogram * meter / second ** 2'
    """
    pint = library("pint")

    try:
        quantity = _registry().Quantity(_finite(value), _unit(unit)).to_base_units()
    except (pint.PintError, OverflowError):
        raise ValueError(f"{unit} has no base units: give another unit.") from None
    return f"{_shown(quantity.magnitude)} {quantity.units}"


def compare_quantities(a: Number, unit_a: str, b: Number, unit_b: str) -> str:
    """Comparison of two quantities of one kind: less, equal or more.

    >>> compare_quantities(1, "mile", 1.6, "km")
    'more'
    """
    left, right = float(a), _convert(b, unit_b, unit_a)
    if math.isclose(left, right, rel_tol=1e-12):
        return "equal"
    return "less" if left < right else "more"


def _convert(value: Number, unit: str, to: str) -> float:
    pint = library("pint")

    source, target = _unit(unit), _unit(to)
    try:
        return float(_registry().Quantity(_finite(value), source).to(target).magnitude)
    except pint.DimensionalityError:
        kinds = f"{unit} is {source.dimensionality} and {to} is {target.dimensionality}"
        raise ValueError(f"{kinds}: give two units of one kind.") from None
    except (pint.PintError, OverflowError, ZeroDivisionError):
        raise ValueError(f"{unit} cannot be converted to {to}: give simpler units.") from None


def _unit(text: str) -> Any:
    plain = limited(text.strip(), _MAX_UNIT, "unit")
    if not _UNIT.fullmatch(plain) or plain.count("(") != plain.count(")"):
        raise ValueError(f"{plain!r} is not understood as a unit: write it like km/hour or m^2.")
    try:
        return _registry().Unit(plain.replace("°", "deg"))
    except Exception:  # pint raises many kinds, some of them its tokenizer's
        raise ValueError(f"{plain!r} is not a known unit: write it like km/hour or m^2.") from None


def _finite(value: Number) -> float:
    try:
        return float(value)
    except OverflowError:
        raise ValueError("The value is too large: use a smaller one.") from None


def _shown(value: float) -> Number:
    """Ten significant digits: what a conversion factor is good for."""
    if not math.isfinite(value):
        raise ValueError("The value is too large: use a smaller one.")
    rounded = float(f"{value:.{_DIGITS}g}")
    return int(rounded) if rounded.is_integer() and abs(rounded) < 1e15 else rounded


@functools.cache
def _registry() -> Any:
    pint = library("pint")

    return pint.UnitRegistry(cache_folder=None)
