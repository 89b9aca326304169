"""The values of SSM parameters and exports, which a preview uses and does not print."""

from typing import Any

from rotation_role_policy.errors import quoted, quoted_text

_SHORT = 3
"""Characters."""


class Fetched:
    """Fetched values, and what stands for each of them in a message. Their owner need not want to see them printed."""

    def __init__(self) -> None:
        self._names: dict[str, str] = {}

    def keep(self, value: str, name: str) -> str:
        """Return a value, after its name is noted."""
        for text in map(str.strip, (value, *value.split(","))):
            # Shorter ones are no secrets, and stand in many words.
            if len(text) > _SHORT:
                self._names[text] = f"<{name}>"
        return value

    def keep_containing(self, value: Any) -> None:
        """Let texts that contain a fetched value count as one: a message can show the half of a long text."""
        for item in value if isinstance(value, list) else [value]:
            parts = [name for part, name in self._names.items() if part in str(item)]
            if isinstance(item, str) and parts:
                self._names.setdefault(item, parts[0])

    def replaced(self, text: str) -> str:
        """Return a message with names in place of the values."""
        for value in sorted(self._names, key=len, reverse=True):
            for form in (value, quoted(value)[1:-1], quoted_text(value)[1:-1]):
                text = text.replace(form, self._names[value])
        return text
