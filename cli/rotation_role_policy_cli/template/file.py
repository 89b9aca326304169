"""A template as CloudFormation reads it from its file."""

import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any, ClassVar

import yaml


class Unresolved(Exception):
    """A template, or a reference in it, that stands for nothing that can be looked up. Its text says what to do."""


def load(path: Path) -> dict[str, Any]:
    """The template in a file, YAML or JSON, its functions in their long form. Raises `Unresolved` where it is none.

    Scalars are strings, as CloudFormation sends them, but for true, false and null.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
        # JSON may be indented by tabs, which YAML does not take.
        template = _json(text) if text.lstrip().startswith("{") else yaml.load(text, Loader=_Loader)  # noqa: S506  # safe
    except OSError as error:
        raise Unresolved(f"{path}: {error.strerror}.") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        # YAML's own message has the line and column; on one line.
        raise Unresolved(f"{path} is not YAML or JSON: {' '.join(str(error).split())}") from error
    if not isinstance(template, dict) or not isinstance(template.get("Resources"), dict):
        raise Unresolved(f"{path} is no CloudFormation template: it has no Resources.")
    return template


def _json(text: str) -> Any:
    return json.loads(text, parse_int=str, parse_float=str, object_pairs_hook=_mapping)


def _mapping(pairs: Iterable[tuple[Any, Any]]) -> dict[str, Any]:
    """A mapping with names that are strings, each once. Raises ValueError."""
    mapping: dict[str, Any] = {}
    for key, value in pairs:
        if not isinstance(key, str):
            raise ValueError(f"{key!r} is no name")  # noqa: TRY004  # as of any other text that is no template
        if key in mapping:
            raise ValueError(f"{key!r} stands there twice")
        mapping[key] = value
    return mapping


class _Loader(yaml.SafeLoader):  # type: ignore[misc]  # PyYAML has no types here
    """YAML as CloudFormation reads it: its tags, account ids and dates that stay text, each name once."""

    # Those of PyYAML would make other numbers of 0123 and 1:30, and a truth of "on".
    yaml_implicit_resolvers: ClassVar[dict[str, Any]] = {}

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[str, Any]:
        """As PyYAML's, but each name once."""
        names = [self.construct_object(key) for key, _ in node.value if key.tag != "tag:yaml.org,2002:merge"]
        _mapping((name, None) for name in names)
        mapping: dict[str, Any] = super().construct_mapping(node, deep=deep)
        return mapping


_Loader.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile("(true|True|TRUE|false|False|FALSE)$"), list("tTfF"))
_Loader.add_implicit_resolver("tag:yaml.org,2002:null", re.compile("(~|null|Null|NULL|)$"), ["~", "n", "N", ""])
_Loader.add_implicit_resolver("tag:yaml.org,2002:merge", re.compile("<<$"), ["<"])


def _intrinsic(loader: _Loader, tag: str, node: yaml.Node) -> dict[str, Any]:
    """``!Ref x`` is ``{"Ref": x}``, ``!GetAtt x.y`` is ``{"Fn::GetAtt": [x, y]}``."""
    name = tag if tag in ("Ref", "Condition") else f"Fn::{tag}"
    if isinstance(node, yaml.ScalarNode):
        value: Any = loader.construct_scalar(node)
        return {name: value.split(".", 1) if tag == "GetAtt" else value}
    if isinstance(node, yaml.SequenceNode):
        return {name: loader.construct_sequence(node, deep=True)}
    return {name: loader.construct_mapping(node, deep=True)}


_Loader.add_multi_constructor("!", _intrinsic)
