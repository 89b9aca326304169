"""What stands for the names of resources that do not exist yet."""

import re

# A name that the form of each ARN accepts. A secret's ARN ends in a hyphen and six characters.
_PLACEHOLDER = re.compile(r"planned-([A-Za-z0-9]+)-xxxxxx")
STACK_NAME = "planned-stack-name"
"""Stands for the name of a stack that is not known."""
PLANNED_VERSION = "planned"
"""Stands for the number of a version of a function that does not exist yet."""


def placeholder(logical_id: str) -> str:
    """Return what stands for the name of a resource that does not exist yet."""
    return f"planned-{logical_id}-xxxxxx"


def with_names(text: str) -> str:
    """Return a text with ``<LogicalId>`` in place of each placeholder."""
    return _PLACEHOLDER.sub(r"<\1>", text).replace(STACK_NAME, "<StackName>")


def is_planned(text: str) -> bool:
    """Return whether a text has a placeholder."""
    return _PLACEHOLDER.search(text) is not None or STACK_NAME in text


def logical_id_in(text: str) -> str:
    """Return the logical ID of the first placeholder in a text; empty if there is none."""
    match = _PLACEHOLDER.search(text)
    return match[1] if match else ""
