"""JSON values that cross the border of the sandbox: what may pass, checked on both sides with the same function.

In: a Python value (inside) or bytes that untrusted code may have written (outside). Out: a plain JSON value, or
NotPlain with one sentence. Neighbours: `tool_process` inside, `answers` outside. Standard library only, no unpickling:
nothing that is read here can run.
"""

import json
import math
import re
from dataclasses import fields, is_dataclass
from datetime import date, time
from decimal import Decimal
from enum import Enum
from fractions import Fraction
from typing import Any, Final, NoReturn

MAX_DEPTH: Final = 100
MAX_ITEMS: Final = 1_000_000
MAX_DIGITS: Final = 4_000

_MAX_EXACT_FLOAT: Final = 2**53

_HALF_CHARACTERS: Final = re.compile("[\ud800-\udfff]")


class NotPlain(ValueError):
    """The value is no JSON value, or not one of a sane size; the message says where and what to do."""


def plain(value: Any) -> Any:
    """A copy made of None, bool, int, float, str, list and dict alone. Near relatives become what they are told as:
    tuples, sets and arrays lists, records and rows of a table dicts, exact numbers numbers, days texts.

    >>> plain((1, {"a": True}, {3, 2}))
    [1, {'a': True}, [2, 3]]
    """
    return _Copier().copy(value, "the result", 0)


def read_json(raw: bytes) -> Any:
    """The value of a JSON text from outside; half characters become U+FFFD."""
    try:
        value = json.loads(raw.decode(), parse_int=_integer, parse_constant=_constant)
    except NotPlain:
        raise
    except (ValueError, RecursionError) as error:
        raise NotPlain(f"The text is not JSON: {str(error)[:200]}") from None
    return plain(value)


class _Copier:
    def __init__(self) -> None:
        self._items = 0

    def copy(self, value: Any, where: str, depth: int) -> Any:
        self._items += 1
        if self._items > MAX_ITEMS:
            raise NotPlain(f"The result holds more than {MAX_ITEMS:,} values: return less.")
        if depth > MAX_DEPTH:
            raise NotPlain(f"The result is nested deeper than {MAX_DEPTH} levels, or contains itself: return it flat.")
        if value is None or value is True or value is False:
            return value
        if isinstance(value, str):
            return _HALF_CHARACTERS.sub("\ufffd", "".join(value))
        if isinstance(value, int):
            return _bounded(int(value), where)
        if isinstance(value, float):
            return _finite(float(value), where)
        if isinstance(value, list | tuple):
            return [self.copy(item, f"{where}[{index}]", depth + 1) for index, item in enumerate(value)]
        if isinstance(value, dict):
            return {_key(key, where): self.copy(item, f"{where}[{key!r}]", depth + 1) for key, item in value.items()}
        told = _told(value)
        if told is not value:
            return self.copy(told, where, depth + 1)
        raise NotPlain(
            f"{_capital(where)} is of type {type(value).__name__}, which is no JSON value: "
            "return numbers, texts, booleans, None, or lists and dictionaries of them."
        )


def _told(value: Any) -> Any:
    """What a near relative of a JSON value says; the value itself where it is none."""
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, date | time):
        return value.isoformat()
    if type(value).__module__.partition(".")[0] in ("numpy", "pandas"):
        if hasattr(value, "columns"):
            return value.to_dict("records")
        return value.tolist() if hasattr(value, "tolist") else value
    if isinstance(value, set | frozenset):
        try:
            return sorted(value)
        except TypeError:
            return sorted(value, key=repr)
    if isinstance(value, Decimal | Fraction):
        number = float(value)
        return int(number) if number.is_integer() and abs(number) < _MAX_EXACT_FLOAT else number
    if is_dataclass(value) and not isinstance(value, type):
        return {one.name: getattr(value, one.name) for one in fields(value)}
    return value


def _key(key: Any, where: str) -> str:
    if type(key) in (int, float):  # as JSON writes them
        return str(key)
    if not isinstance(key, str):
        raise NotPlain(f"{_capital(where)} has a key of type {type(key).__name__}: use texts as keys.")
    return _HALF_CHARACTERS.sub("\ufffd", "".join(key))


def _bounded(value: int, where: str) -> int:
    # 3.33 bits are more than a decimal digit: no number of MAX_DIGITS digits is refused.
    if value.bit_length() > MAX_DIGITS * 3.33:
        raise NotPlain(
            f"{_capital(where)} is an integer of more than {MAX_DIGITS:,} digits: return it as text or less."
        )
    return value


def _finite(value: float, where: str) -> float:
    if not math.isfinite(value):
        raise NotPlain(f"{_capital(where)} is {value}, which JSON cannot say: return None or a text instead.")
    return value


def _capital(where: str) -> str:
    where = where if len(where) <= 120 else f"{where[:117]}..."
    return where[0].upper() + where[1:]


def _integer(digits: str) -> int:
    if len(digits) > MAX_DIGITS + 10:
        raise NotPlain(f"An integer has more than {MAX_DIGITS:,} digits.")
    return int(digits)


def _constant(name: str) -> NoReturn:
    raise NotPlain(f"{name} is not JSON.")
