"""Read a template from a file as CloudFormation reads it."""

import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any, ClassVar

import yaml


class TemplateError(Exception):
    """A template, or a reference in it, that cannot be resolved. The message says what to do."""


def load(path: Path) -> dict[str, Any]:
    """Return the template in a YAML or JSON file, with intrinsic functions in their long form.

    Scalars are strings, as CloudFormation sends them, except true, false and null. Raises `TemplateError` if the file
    cannot be read or is not a template.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
        # JSON may be indented by tabs, which YAML does not allow.
        template = _json(text) if text.lstrip().startswith("{") else yaml.load(text, Loader=_Loader)  # noqa: S506  # safe
    except OSError as error:
        raise TemplateError(f"{path}: {error.strerror}.") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        # YAML's own message has the line and the column, on several lines.
        raise TemplateError(f"{path} is not YAML or JSON: {' '.join(str(error).split())}") from error
    if not isinstance(template, dict) or not isinstance(template.get("Resources"), dict):
        raise TemplateError(f"{path} is not a CloudFormation template: it has no Resources.")
    return template


def _json(text: str) -> Any:
    return json.loads(text, parse_int=str, parse_float=str, object_pairs_hook=_mapping)


def _mapping(pairs: Iterable[tuple[Any, Any]]) -> dict[str, Any]:
    """Return a mapping. Raises ValueError for a key that is not a string or that comes twice."""
    mapping: dict[str, Any] = {}
    for key, value in pairs:
        if not isinstance(key, str):
            raise ValueError(f"the key {key!r} is not a string")  # noqa: TRY004  # handled as any other syntax error
        if key in mapping:
            raise ValueError(f"duplicate key {key!r}")
        mapping[key] = value
    return mapping


class _Loader(yaml.SafeLoader):  # type: ignore[misc]  # PyYAML has no types here
    """Load YAML as CloudFormation does: with its tags, account IDs and dates as text, and no duplicate keys."""

    # PyYAML's own would read 0123 and 1:30 as other numbers, and "on" as true.
    yaml_implicit_resolvers: ClassVar[dict[str, Any]] = {}

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[str, Any]:
        """Construct a mapping. Raises ValueError for a duplicate key."""
        keys = [self.construct_object(key) for key, _ in node.value if key.tag != "tag:yaml.org,2002:merge"]
        _mapping((key, None) for key in keys)
        mapping: dict[str, Any] = super().construct_mapping(node, deep=deep)
        return mapping


_Loader.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile("(true|True|TRUE|false|False|FALSE)$"), list("tTfF"))
_Loader.add_implicit_resolver("tag:yaml.org,2002:null", re.compile("(~|null|Null|NULL|)$"), ["~", "n", "N", ""])
_Loader.add_implicit_resolver("tag:yaml.org,2002:merge", re.compile("<<$"), ["<"])


def _intrinsic(loader: _Loader, tag: str, node: yaml.Node) -> dict[str, Any]:
    """Return the long form of a tag: ``{"Ref": x}`` for ``!Ref x``, ``{"Fn::GetAtt": [x, y]}`` for ``!GetAtt x.y``."""
    name = tag if tag in ("Ref", "Condition") else f"Fn::{tag}"
    if isinstance(node, yaml.ScalarNode):
        value: Any = loader.construct_scalar(node)
        return {name: value.split(".", 1) if tag == "GetAtt" else value}
    if isinstance(node, yaml.SequenceNode):
        return {name: loader.construct_sequence(node, deep=True)}
    return {name: loader.construct_mapping(node, deep=True)}


_Loader.add_multi_constructor("!", _intrinsic)
