"""Read a template from a file as CloudFormation reads it."""

import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, ClassVar

import yaml


class TemplateError(Exception):
    """A template, or a reference in it, that cannot be resolved. The message says what to do."""


MOST_BYTES = 1_048_576
"""CloudFormation's limit for a template.
https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/cloudformation-limits.html"""
_MOST_NODES_OF_ALIASES = 10_000
"""Nodes that the aliases of a YAML file stand for. A few aliases of aliases could stand for more than fit in memory."""


def load(path: Path) -> dict[str, Any]:
    """Return the template in a YAML or JSON file, with intrinsic functions in their long form.

    Scalars are strings, as CloudFormation sends them, except true, false and null. Raises `TemplateError` if the file
    cannot be read or is not a template.
    """
    try:
        if path.stat().st_size > MOST_BYTES:
            raise TemplateError(f"{path} has more than {MOST_BYTES:,} bytes, which CloudFormation does not accept.")
        text = path.read_text(encoding="utf-8-sig")
        # JSON may be indented by tabs, which YAML does not allow.
        template = _json(text) if text.lstrip().startswith("{") else _yaml(text)
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


def _yaml(text: str) -> Any:
    loader = _Loader(text)
    node = loader.get_single_node()
    sizes: dict[int, int] = {}
    if node and _size(node, sizes) > len(sizes) + _MOST_NODES_OF_ALIASES:
        raise ValueError(f"its aliases stand for more than {_MOST_NODES_OF_ALIASES:,} values")
    return loader.construct_document(node) if node else None


def _size(node: yaml.Node, sizes: dict[int, int]) -> int:
    """Return the number of nodes below and with `node`, those of an alias again for each time that it is used.

    Args:
        node: of the graph that PyYAML has composed.
        sizes: the numbers that are known, by the identity of the node.
    """
    if id(node) not in sizes:
        # A node that contains itself.
        sizes[id(node)] = _MOST_NODES_OF_ALIASES * len(sizes) + _MOST_NODES_OF_ALIASES
        children = [] if isinstance(node, yaml.ScalarNode) else node.value
        members = [each for child in children for each in (child if isinstance(child, tuple) else (child,))]
        sizes[id(node)] = 1 + sum(_size(each, sizes) for each in members)
    return sizes[id(node)]


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
        """Construct a mapping. Raises an error for a duplicate key, and for a merge key."""
        for key, _ in node.value:
            if key.tag == "tag:yaml.org,2002:merge":
                problem = "CloudFormation does not accept the merge key <<"
                raise yaml.constructor.ConstructorError(None, None, problem, key.start_mark)
        keys = [self.construct_object(key) for key, _ in node.value]
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


def is_function(value: Any) -> bool:
    """Return whether a value is an intrinsic function in its long form."""
    name = next(iter(value), "") if isinstance(value, Mapping) and len(value) == 1 else ""
    return name == "Ref" or name.startswith("Fn::")
