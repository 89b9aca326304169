"""Patterns of ARNs in the element `Resource`, whose wildcards depend on the segments of the ARN.

A star that ends a segment can match beyond the colon, any other star stays in its segment. To an ARN with fewer than
six fields, IAM adds stars for the fields that are missing.
Source: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_resource.html
"""

from collections.abc import Iterable
from functools import lru_cache
from typing import NamedTuple

from rotation_role_policy.iam.wildcard import ANY, has_wildcard, matches, parts

_FIELDS = 6
"""Fields of an ARN. The last, the resource, can contain colons."""


def completed(pattern: str) -> str:
    """Return a pattern with a star for each field that its ARN lacks. `pattern` can be ``*``, which is no ARN."""
    missing = _FIELDS - 1 - pattern.count(":")
    return pattern + ":*" * missing if pattern.startswith("arn:") else pattern


def includes(pattern: str, resource: str) -> bool | None:
    """Return whether a pattern of `Resource` in a policy of a role matches a resource; None if AWS does not say.

    What a star or a question mark does with the colons within the last field of an ARN, such as that of
    ``secret:name``, is not documented. A policy variable is taken for a star.

    The time is linear in the length of the pattern, whatever a policy contains.

    Args:
        pattern: as the policy has it.
        resource: an ARN, or ``*`` for a call without a resource, which only the pattern ``*`` matches.
    """
    pattern = completed(pattern)
    if not matches(pattern, resource):
        return False
    if not has_wildcard(pattern) or not pattern.strip("*"):
        return True
    found = _compiled(pattern)
    if found.matches(resource, within_segments=True):
        return True
    return None if found.matches(resource, within_segments=False) else False


def includes_any(patterns: Iterable[str], resource: str) -> bool:
    """Return whether one of the patterns matches a resource, or may match it."""
    return any(includes(pattern, resource) is not False for pattern in patterns)


class _Automaton(NamedTuple):
    """A pattern as sets of states, which are bits: bit n says that the first n characters are matched."""

    characters: dict[str, int]
    """By character: the states in which the pattern goes on with this character."""
    any_character: int
    """The states in which the pattern goes on with ``?``."""
    stars: int
    """The states in which the pattern has a star that ends a segment, so that each character leads to them again."""
    stars_in_segment: int
    """The states in which the pattern has another star."""
    stars_in_last_field: int
    """Those of them within the last field of the ARN."""
    end: int

    def matches(self, text: str, *, within_segments: bool) -> bool:
        """Return whether the pattern matches a text.

        Args:
            text: an ARN.
            within_segments: whether the colons of the last field also separate segments.
        """
        stars_at_colon = self.stars if within_segments else self.stars | self.stars_in_last_field
        any_at_colon = 0 if within_segments else self.any_character
        stars = self.stars | self.stars_in_segment
        states = 1
        for character in text:
            continued = self.characters.get(character, 0)
            if character == ":":
                states = (states & (continued | any_at_colon)) << 1 | states & stars_at_colon
            else:
                states = (states & (continued | self.any_character)) << 1 | states & stars
        return bool(states & self.end)


@lru_cache(maxsize=8192)
def _compiled(pattern: str) -> _Automaton:
    characters: dict[str, int] = {}
    any_character = stars = stars_in_segment = stars_in_last_field = 0
    position = colons = 0
    is_after_star = False
    for number, part in enumerate(parts(pattern)):
        is_after_star = is_after_star or number > 0
        # Several stars in a row are one.
        if is_after_star and part:
            if part[0] == ":":
                stars |= 1 << position
            else:
                stars_in_segment |= 1 << position
                stars_in_last_field |= (colons >= _FIELDS - 1) << position
        for each in part:
            if each == ANY:
                any_character |= 1 << position
            else:
                characters[each] = characters.get(each, 0) | 1 << position
            position += 1
        colons += part.count(":")
        is_after_star = is_after_star and not part
    if is_after_star:
        stars |= 1 << position
    return _Automaton(characters, any_character, stars, stars_in_segment, stars_in_last_field, 1 << position)
