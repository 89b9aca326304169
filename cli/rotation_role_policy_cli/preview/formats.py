"""The document of a preview as text, for those who put the policy on the role themselves."""

import json
import re
from collections.abc import Iterator
from itertools import chain, count
from typing import Any

import yaml

from rotation_role_policy.iam.document import JsonDocument
from rotation_role_policy_cli.template.placeholders import is_planned

_WHAT_DOES_NOT_FOLLOW = """\
# The policy that {role} needs today. It does not follow by itself when
# - a secret gets another key, or a version stays under an earlier one,
# - the function enters or leaves a VPC, or its environment variables get a customer managed key,
# - the function gets another role, or a secret another function.
# Custom::RotationRolePolicy follows at the next deployment, and checks that nothing blocks the role.
"""

_PLANNED = "# Names in <> are those of resources that do not exist yet. Put references in their place.\n"


def as_yaml(documents: Any) -> str:
    """Return documents as YAML, in the order of their members and without aliases."""

    class Dumper(yaml.SafeDumper):  # type: ignore[misc]  # PyYAML has no types here
        def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002  # PyYAML's signature
            return True

    return str(yaml.dump(documents, Dumper=Dumper, sort_keys=False, width=1000, allow_unicode=False))


def as_terraform(name: str, role_name: str, document: JsonDocument, labels: set[str]) -> str:
    """Return a document as a resource of Terraform.

    Args:
        name: of the policy.
        role_name: the role that gets it.
        document: the policy document.
        labels: of the other resources. That of this one is added.
    """
    label = re.sub(r"[^a-z0-9_]+", "_", re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower())
    label = label if label[:1].isalpha() else f"_{label}"
    label = next(each for each in chain([label], (f"{label}_{number}" for number in count(2))) if each not in labels)
    labels.add(label)
    lines = [
        f'resource "aws_iam_role_policy" "{label}" {{',
        f"  name = {_text(name)}",
        f"  role = {_text(role_name)}",
        f"  policy = jsonencode({_value(document, '  ')})",
        "}",
    ]
    text = "\n".join(lines) + "\n"
    planned = _PLANNED if is_planned(text) else ""
    return _WHAT_DOES_NOT_FOLLOW.format(role=role_name) + planned + text


def _value(value: Any, indent: str) -> str:
    """Return a value of JSON as Terraform writes it."""
    if isinstance(value, dict):
        return _block(
            "{", (f"{_key(name)} = {_value(each, indent + '  ')}" for name, each in value.items()), "}", indent
        )
    if isinstance(value, list):
        return _block("[", (f"{_value(each, indent + '  ')}," for each in value), "]", indent)
    return _text(value) if isinstance(value, str) else json.dumps(value)


def _block(begin: str, lines: Iterator[str], end: str, indent: str) -> str:
    return "\n".join([begin, *(f"{indent}  {line}" for line in lines), f"{indent}{end}"])


def _key(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z_]\w*", name) else _text(name)


def _text(text: str) -> str:
    """Return a string that Terraform does not take for a template."""
    return json.dumps(text).replace("${", "$${").replace("%{", "%%{")
