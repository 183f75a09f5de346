"""Dates and times.

In: days as ISO texts or dates, moments as ISO texts. Out: dates, numbers, texts. Neighbours: `toolsets.standard` makes
tools of these functions; `toolsets.builtin` holds the plainest ones. Nothing here reads the clock.
"""

import calendar
import re
from datetime import UTC, date, datetime, timedelta
from typing import Final, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from toolsets.tool import Day

_MAX_WORKDAYS: Final = 100_000
_MONTHS_OF_AN_ERA: Final = 9999 * 12
_ZONE: Final = re.compile(r"[A-Za-z][A-Za-z0-9_+-]{0,30}(/[A-Za-z][A-Za-z0-9_+-]{0,30}){0,2}")


def add_months(day: Day, months: int) -> date:
    """Date some months later; the last day of a shorter month where the day does not exist.

    >>> add_months("2024-01-31", 1).isoformat()
    '2024-02-29'
    """
    start = read_day(day)
    if abs(months) > _MONTHS_OF_AN_ERA:
        raise ValueError("The day is outside the calendar's years 1 to 9999: use fewer months.")
    year, month = divmod(start.year * 12 + start.month - 1 + months, 12)
    if not 1 <= year <= 9999:
        raise ValueError("The day is outside the calendar's years 1 to 9999: use fewer months.")
    return date(year, month + 1, min(start.day, calendar.monthrange(year, month + 1)[1]))


def age_in_years(born: Day, on: Day) -> int:
    """Whole years between two dates.

    >>> age_in_years("2000-02-29", "2024-02-28")
    23
    """
    first, last = read_day(born), read_day(on)
    if last < first:
        raise ValueError("The second date is before the first: swap them.")
    return last.year - first.year - ((last.month, last.day) < (first.month, first.day))


def workdays_between(start: Day, end: Day) -> int:
    """Days from Monday to Friday from one date up to, but without, another.

    >>> workdays_between("2024-03-01", "2024-03-08")
    5
    """
    first, last = read_day(start), read_day(end)
    if last < first:
        return -workdays_between(last, first)
    weeks, rest = divmod((last - first).days, 7)
    return weeks * 5 + sum((first.weekday() + day) % 7 < 5 for day in range(rest))


def add_workdays(day: Day, workdays: int) -> date:
    """Date some days from Monday to Friday later.

    >>> add_workdays("2024-03-01", 1).isoformat()
    '2024-03-04'
    """
    if abs(workdays) > _MAX_WORKDAYS:
        raise ValueError(f"Give at most {_MAX_WORKDAYS:,} workdays.")
    step = timedelta(days=1 if workdays > 0 else -1)
    reached = read_day(day)
    try:
        for _ in range(abs(workdays)):
            reached += step
            while reached.weekday() >= 5:
                reached += step
    except OverflowError:
        raise ValueError("The day is outside the calendar's years 1 to 9999: use fewer workdays.") from None
    return reached


def day_of_year(day: Day) -> int:
    """Number of a day within its year.

    >>> day_of_year("2024-03-01")
    61
    """
    return read_day(day).timetuple().tm_yday


def week_of_year(day: Day) -> str:
    """ISO week of a date.

    >>> week_of_year("2024-12-30")
    '2025-W01'
    """
    year, week, _ = read_day(day).isocalendar()
    return f"{year}-W{week:02}"


def is_leap_year(year: int) -> bool:
    """Whether a year has 366 days.

    >>> is_leap_year(1900), is_leap_year(2000)
    (False, True)
    """
    if not 1 <= year <= 9999:
        raise ValueError("The year must be between 1 and 9999.")
    return calendar.isleap(year)


def time_between(start: str, end: str, unit: Literal["seconds", "minutes", "hours", "days"] = "hours") -> int | float:
    """Time between two moments.

    Args:
        start: such as 2024-03-01T09:30 or 2024-03-01T09:30+01:00
        end: written in the same way
        unit: what the time is counted in

    >>> time_between("2024-03-01T09:30", "2024-03-01T17:00")
    7.5
    """
    first, last = _moment(start), _moment(end)
    if (first.tzinfo is None) != (last.tzinfo is None):
        raise ValueError("Give both moments with their offset from UTC, or both without.")
    seconds = (last - first) / timedelta(seconds=1)
    time = round(seconds / {"seconds": 1, "minutes": 60, "hours": 3600, "days": 86400}[unit], 6)
    return int(time) if time.is_integer() else time


def convert_time_zone(moment: str, zone: str, to: str) -> str:
    """Moment of one time zone as the clocks of another show it.

    Args:
        moment: such as 2024-07-01T12:00
        zone: the name of its time zone, such as Europe/Rome or UTC
        to: the name of the other one

    >>> convert_time_zone("2024-07-01T12:00", "Europe/Rome", "America/New_York")
    '2024-07-01T06:00:00-04:00'
    """
    read = _moment(moment)
    if read.tzinfo is not None:
        raise ValueError("The moment has an offset from UTC of its own: leave it out, as its time zone says it.")
    try:
        return read.replace(tzinfo=_zone(zone)).astimezone(_zone(to)).isoformat()
    except OverflowError:
        raise ValueError("The moment is outside the calendar's years 1 to 9999: give another one.") from None


def unix_time(moment: str) -> int | float:
    """Seconds since the beginning of 1970; a moment without an offset counts as UTC.

    >>> unix_time("2024-01-01T00:00+01:00")
    1704063600
    """
    read = _moment(moment)
    seconds = ((read if read.tzinfo else read.replace(tzinfo=UTC)) - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds()
    return int(seconds) if seconds.is_integer() else seconds


def read_day(day: Day) -> date:
    """The day of an ISO text; raises ValueError."""
    if isinstance(day, datetime):
        return day.date()
    if isinstance(day, date):
        return day
    try:
        return date.fromisoformat(day.strip())
    except ValueError:
        raise ValueError(f"{day[:40]!r} is not a day of the calendar: write it as YYYY-MM-DD.") from None


def _moment(text: str) -> datetime:
    try:
        return datetime.fromisoformat(text.strip())
    except ValueError:
        raise ValueError(f"{text[:40]!r} is not a moment: write it as YYYY-MM-DDTHH:MM.") from None


def _zone(name: str) -> ZoneInfo:
    try:
        # A name is a path in the zone files: nothing but a name may pass.
        return ZoneInfo(name if _ZONE.fullmatch(name) else "")
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(f"{name[:40]!r} is not a time zone: name it like Europe/Rome or UTC.") from None
