"""What the README has from the code is what the code says now; `make docs` writes it anew."""

import ast
import re
from collections.abc import Iterator
from typing import NamedTuple

import pytest

from docs.generate.pages import PARTS, README, readme
from docs.generate.remediation import REMEDIES
from rotation_role_policy.errors import Kind
from tests import ROOT

VALUE = "..."


def test_the_readmes_tables_are_as_they_would_be_made_now() -> None:
    assert README.read_text() == readme(), "run `make docs`"


def test_each_part_of_the_readme_that_is_made_is_marked_once() -> None:
    assert re.findall(r"<!-- (\w+): make docs -->", README.read_text()) == list(PARTS)


# --- the table of refusals ---


class Raised(NamedTuple):
    """A refusal somewhere in the provider's code: its text, values as ``...``, and its kind."""

    text: str
    kind: Kind


# The kind of what says none itself: of a refusal, of a denied call, and, with `super`, of a failure of AWS's.
DEFAULT_KINDS = {
    "Refused": Kind.PROPERTIES,
    "ProviderDenied": Kind.PROVIDER_DENIED,
    "super().__init__": Kind.AWS_FAILED,
}


def raised() -> Iterator[Raised]:
    for path in (ROOT / "handler" / "rotation_role_policy").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and (name := ast.unparse(node.func)) in DEFAULT_KINDS:
                # The reason is the longest; others are an action, or AWS's own words.
                text = max(map(text_of, node.args), key=len, default="")
                kinds = re.findall(r"Kind\.(\w+)", ast.unparse(node))
                if len(text) > 15:
                    yield Raised(text, Kind[kinds[0]] if kinds else DEFAULT_KINDS[name])


def text_of(node: ast.expr) -> str:
    """The text of a string, its values as ``...``; empty for anything else."""
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, str) else ""
    if isinstance(node, ast.JoinedStr):
        return "".join(text_of(part) if isinstance(part, ast.Constant) else VALUE for part in node.values)
    return ""


def says(text: str, phrase: str) -> bool:
    return re.search(".+".join(map(re.escape, phrase.split(VALUE))), text) is not None


def test_there_are_as_many_refusals_as_the_tests_know() -> None:
    assert len(list(raised())) >= 35


@pytest.mark.parametrize("one", list(raised()), ids=lambda one: one.text[:40])
def test_each_refusal_has_its_row_in_the_table(one: Raised) -> None:
    rows = [
        remedy for remedy in REMEDIES if remedy.kind == one.kind for phrase in remedy.says if says(one.text, phrase)
    ]
    assert rows, one


def test_each_phrase_of_the_table_is_said_somewhere() -> None:
    unexpected = Raised(
        (ROOT / "handler" / "rotation_role_policy" / "cloudformation" / "provider.py").read_text(), Kind.UNEXPECTED
    )
    for remedy in REMEDIES:
        for phrase in remedy.says:
            said = [one for one in (*raised(), unexpected) if one.kind == remedy.kind and says(one.text, phrase)]
            assert said, phrase


def test_each_kind_of_failure_is_in_the_table() -> None:
    assert {remedy.kind for remedy in REMEDIES} == set(Kind)
