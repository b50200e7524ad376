"""Numbers as a person reads them: plain spaces in thousands, both ends of a change, units at the number."""

from __future__ import annotations

from math import floor, isfinite, log10

__all__ = ["amount", "clock", "duration", "percent", "rate", "ratio", "seconds", "stamp"]


def _rounded(x: float, figures: int) -> float:
    return round(x, figures - 1 - floor(log10(abs(x)))) if x else 0.0


def amount(x: float) -> str:
    """A count: three figures, thousands apart, millions in words.

    Example:
        >>> [amount(x) for x in (0, 0.26, 9.6, 10, 1234, 20134, 1_536_000)]
        ['0', '0.3', '9.6', '10', '1 230', '20 100', '1.5 million']
    """
    if not isfinite(x):
        return "not measured"
    size = abs(x)
    if size >= 999_500:
        return f"{x / 1e6:,.0f} million".replace(",", " ") if size >= 9.95e6 else f"{x / 1e6:.1f} million"
    if size >= 9.95:
        return f"{_rounded(round(x), 3):,.0f}".replace(",", " ")
    return f"{_rounded(x, 2 if size >= 1 else 1):g}"


def rate(x: float) -> str:
    """Something a second.

    Example:
        >>> rate(20134)
        '20 100/s'
    """
    return f"{amount(x)}/s" if isfinite(x) else "not measured"


def ratio(x: float) -> str:
    """A ratio: two decimals, one figure below 0.01, the tail above 0.99 likewise.

    Example:
        >>> [ratio(x) for x in (0.2134, 0.0, 0.00043, 1.0, 0.9996)]
        ['0.21', '0', '0.0004', '1.00', '0.9996']
    """
    if not isfinite(x):
        return "not measured"
    if 0 < abs(x) < 0.01:
        return f"{_rounded(x, 1):.12f}".rstrip("0")
    if 0.995 <= x < 1:
        return f"{1 - _rounded(1 - x, 1):.12f}".rstrip("0") if 1 - x > 1e-9 else "1.00"
    return f"{x:.2f}" if x else "0"


def percent(x: float) -> str:
    """A share of one as a percentage, for sentences.

    Example:
        >>> [percent(x) for x in (0.968, 0.9968, 0.0004, 1.0)]
        ['97 %', '99.7 %', '0.04 %', '100 %']
    """
    share = 100 * x
    if 0 < share < 1:
        return f"{_rounded(share, 1):g} %"
    return f"{share:.1f} %" if 99 < share < 99.95 else f"{share:.0f} %"


def seconds(x: float) -> str:
    """A short time, two figures.

    Example:
        >>> [seconds(x) for x in (0.003, 0.0123, 4.2e-6, 1.5, 40.2, 1105)]
        ['3.0 ms', '12 ms', '4.2 us', '1.5 s', '40 s', '18 min 25 s']
    """
    if not isfinite(x):
        return "not measured"
    for unit, size in (("us", 1e-6), ("ms", 1e-3), ("s", 1.0)):
        value = x / size
        if value < 999.5 and (unit != "s" or value < 59.5):
            return f"{value:.1f} {unit}" if value < 9.95 else f"{_rounded(value, 2):.0f} {unit}"
    return duration(round(x * 1000))


def duration(ms: int) -> str:
    """A span of time in its two largest units.

    Example:
        >>> [duration(ms) for ms in (400, 40_000, 1_105_000, 7_260_000, 183_600_000)]
        ['0.4 s', '40 s', '18 min 25 s', '2 h 1 min', '2 d 3 h']
    """
    if ms < 10_000:
        return f"{ms / 1000:.1f}".removesuffix(".0") + " s"
    whole = round(ms / 1000)
    for size, unit, part, lesser in ((86400, "d", 3600, "h"), (3600, "h", 60, "min"), (60, "min", 1, "s")):
        if whole >= size:
            rest = whole % size // part
            return f"{whole // size} {unit}" + (f" {rest} {lesser}" if rest else "")
    return f"{whole} s"


def clock(ms: int) -> str:
    """Time of day, UTC, without the word.

    Example:
        >>> clock(1795230740000)
        '03:12:20'
    """
    second = ms // 1000 % 86400
    return f"{second // 3600:02d}:{second // 60 % 60:02d}:{second % 60:02d}"


def stamp(ms: int) -> str:
    """A time as part of an identity, UTC.

    Source: H. Hinnant, "chrono-Compatible Low-Level Date Algorithms", 2014.

    Example:
        >>> stamp(1795230740000), stamp(951782399000), stamp(951868800000), stamp(0)
        ('20261121-031220', '20000228-235959', '20000301-000000', '19700101-000000')
    """
    day = ms // 86_400_000 + 719_468  # counted from 0000-03-01, so that the leap day ends its year
    era, of_era = divmod(day, 146_097)
    year = (of_era - of_era // 1460 + of_era // 36_524 - of_era // 146_096) // 365
    of_year = of_era - (365 * year + year // 4 - year // 100)
    from_march = (5 * of_year + 2) // 153
    month = from_march + 3 if from_march < 10 else from_march - 9
    of_month = of_year - (153 * from_march + 2) // 5 + 1
    return f"{year + era * 400 + (month <= 2):04d}{month:02d}{of_month:02d}-{clock(ms).replace(':', '')}"
