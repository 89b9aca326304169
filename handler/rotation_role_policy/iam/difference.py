"""The difference of two policy documents."""

import difflib
import json

from rotation_role_policy.iam.document import JsonDocument, as_list

_CONTEXT = 4


def difference(before: JsonDocument, after: JsonDocument) -> tuple[str, ...]:
    """Return the lines of a unified difference, with four lines around each change, without the names of files."""
    # The first two lines name the files.
    return tuple(difflib.unified_diff(_lines(before), _lines(after), n=_CONTEXT, lineterm=""))[2:]


def _lines(document: JsonDocument) -> list[str]:
    # IAM also accepts one statement without a list.
    statements = as_list(document.get("Statement", []))
    others = {name: value for name, value in document.items() if name != "Statement"}
    return json.dumps({**others, "Statement": statements}, indent=2).splitlines()
