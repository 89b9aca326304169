"""Logic with an unknown value, None, as in SQL."""

from collections.abc import Iterable


def all_of(values: Iterable[bool | None]) -> bool | None:
    """Return whether all values are true; None if that is not known."""
    result: bool | None = True
    for value in values:
        if value is False:
            return False
        result = result if value else None
    return result


def any_of(values: Iterable[bool | None]) -> bool | None:
    """Return whether a value is true; None if that is not known."""
    result: bool | None = False
    for value in values:
        if value:
            return True
        result = result if value is False else None
    return result


def opposite(value: bool | None) -> bool | None:
    """Return the opposite of a value; None if it is not known."""
    return None if value is None else not value
