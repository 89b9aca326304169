"""IAM's wildcards: ``*`` for any characters, ``?`` for one, and policy variables such as ``${aws:PrincipalTag/team}``.

Source: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_resource.html,
https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_variables.html
"""

import re
from collections.abc import Iterable, Iterator
from functools import lru_cache
from itertools import product

_SPECIAL = frozenset("*?$")
_MOST_PAIRS = 50_000
"""Of characters in two patterns that are compared."""
ANY = ""
"""In a part of a pattern: any one character."""
UNNAMED = "\N{WHITE SQUARE}"
"""A character that no policy contains, because IAM accepts only those up to U+00FF: nothing but a wildcard matches it.
https://docs.aws.amazon.com/IAM/latest/APIReference/API_PutRolePolicy.html"""


def has_wildcard(pattern: str) -> bool:
    """Return whether a pattern has a wildcard or a policy variable, so that it can match more than itself."""
    return not _SPECIAL.isdisjoint(pattern)


def matches(pattern: str, value: str, *, ignore_case: bool = False) -> bool:
    """Return whether `value` matches a pattern with IAM's wildcards. A policy variable can have any value.

    The time is linear in the length of the pattern, whatever a policy contains.
    """
    if not has_wildcard(pattern):
        return pattern.lower() == value.lower() if ignore_case else pattern == value
    return _compiled(pattern, ignore_case).fullmatch(value) is not None


def matches_any(patterns: Iterable[str], value: str, *, ignore_case: bool = False) -> bool:
    """Return whether `value` matches one of the patterns."""
    return any(matches(pattern, value, ignore_case=ignore_case) for pattern in patterns)


@lru_cache(maxsize=8192)
def _compiled(pattern: str, ignore_case: bool) -> re.Pattern[str]:
    first, *others = ("".join("." if each == ANY else re.escape(each) for each in part) for part in parts(pattern))
    if others:
        *middle, last = others
        # Each part is searched once, behind the part before it. Without the atomic groups, a pattern with many stars
        # would try all combinations: exponential time.
        first += "".join(f"(?>.*?{part})" for part in middle if part) + f".*{last}"
    return re.compile(first, re.IGNORECASE | re.DOTALL if ignore_case else re.DOTALL)


def filled(pattern: str, text: str = UNNAMED) -> str:
    """Return what a pattern matches: `text` in place of each star and variable, `UNNAMED` in place of ``?``."""
    return text.join("".join(UNNAMED if each == ANY else each for each in part) for part in parts(pattern))


@lru_cache(maxsize=8192)
def common(pattern: str, other: str) -> str:
    """Return a pattern of texts that two patterns match; empty if there are none.

    It need not cover all of them: for ``*a*`` and ``*b*``, it is ``*b*a*``, and in the other order ``*a*b*``. A policy
    variable is taken for its text. Of long patterns, which would take long, the result is empty too.
    """
    if len(pattern) * len(other) > _MOST_PAIRS:
        return ""
    ends = (len(pattern), len(other))
    # By the places in both patterns: what the rests from there have in common.
    found: dict[tuple[int, int], str] = {ends: ""}
    for place in product(range(ends[0], -1, -1), range(ends[1], -1, -1)):
        for text, following in _steps(pattern, other, *place):
            if following in found:
                found.setdefault(place, text + found[following])
    return found.get((0, 0), "")


def _steps(pattern: str, other: str, first: int, second: int) -> Iterator[tuple[str, tuple[int, int]]]:
    """Yield how two patterns can go on together: with which text, and from which places in them."""
    one, two = pattern[first : first + 1], other[second : second + 1]
    if one == "*":
        if two:
            yield two, (first, second + 1)
        yield "*" if two == "*" else "", (first + 1, second)
    elif two == "*":
        if one:
            yield one, (first + 1, second)
        yield "", (first, second + 1)
    elif one and two and (one == two or "?" in (one, two)):
        yield two if one == "?" else one, (first + 1, second + 1)


def parts(pattern: str) -> list[list[str]]:
    """Return the parts of a pattern between its stars and variables, each as its characters and `ANY` for ``?``."""
    text, *others = pattern.split("${")
    found = _split(text)
    for other in others:
        variable, brace, text = other.partition("}")
        if not brace:
            # Not a variable, because it does not end.
            continued = _split("${" + other)
        elif variable in _SPECIAL:
            # ``${*}`` is the character itself.
            continued = _split(text)
            continued[0] = [variable, *continued[0]]
        else:
            continued = [[], *_split(text)]
        found[-1] += continued[0]
        found += continued[1:]
    return found


def _split(text: str) -> list[list[str]]:
    return [[ANY if each == "?" else each for each in part] for part in text.split("*")]
