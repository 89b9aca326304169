"""The documentation: its generated parts are up to date, its links lead somewhere, each error message is listed."""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

from docs.generate.pages import PARTS, page
from docs.generate.remediation import REMEDIATIONS
from docs.generate.rotation_functions import ROTATION_FUNCTIONS
from rotation_role_policy.errors import ErrorCode
from rotation_role_policy.provider.messages import DEADLINE_EXCEEDED
from tests import ROOT

PACKAGE = ROOT / "handler" / "rotation_role_policy"
VALUE = "..."


PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "SECURITY.md", *(ROOT / "docs").glob("*.md")]
LINK = re.compile(r"\]\(([^)#\s]*)(#[^)\s]*)?\)")


@pytest.mark.parametrize("path", PARTS, ids=lambda path: path.name)
def test_the_generated_parts_of_a_page_are_up_to_date(path: Path) -> None:
    assert path.read_text() == page(path), "run `make docs`"


@pytest.mark.parametrize("path", PARTS, ids=lambda path: path.name)
def test_each_marked_part_of_a_page_is_generated(path: Path) -> None:
    assert re.findall(r"<!-- (\w+): make docs -->", path.read_text()) == list(PARTS[path])


@pytest.mark.parametrize("path", [*PAGES, ROOT / "examples" / "README.md"], ids=lambda path: path.name)
def test_each_link_of_a_page_leads_somewhere(path: Path) -> None:
    for target, anchor in LINK.findall(path.read_text()):
        if not target.startswith("https://"):
            file = (path.parent / target).resolve() if target else path
            assert file.exists(), target
            assert not anchor or anchor in anchors(file), f"{target}{anchor}"


def anchors(path: Path) -> set[str]:
    """Return the anchors that GitHub makes of a page's headings."""
    headings = re.findall(r"^#+ (.+)$", path.read_text(), re.MULTILINE)
    return {"#" + re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_each_module_of_the_handler_is_in_the_list_of_contributing() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text()
    modules = {path.name for path in PACKAGE.rglob("*.py")} - {"__init__.py"}
    assert {name for name in modules if not re.search(rf"`(\w+/)?{name}`", text)} == set()


def test_the_table_of_rotation_functions_has_each_of_aws_s_22_functions() -> None:
    names = {name for row in ROTATION_FUNCTIONS for name in row.names}
    assert len(names) == 22
    assert {name for name in names if not re.fullmatch(r"SecretsManager\w*Rotation\w*", name)} == set()


def test_the_readme_has_at_most_150_lines() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) <= 150


# --- the table of error messages ---


class Message(NamedTuple):
    """An error message in the provider's code, with ``...`` for values, and its error code."""

    text: str
    error_code: ErrorCode


# The error code of a call without the argument.
DEFAULT_CODES = {
    "RequestError": ErrorCode.INVALID_REQUEST,
    "KeyUnusableError": ErrorCode.RESOURCE_CONFLICT,
    "super().__init__": ErrorCode.GENERAL_SERVICE_EXCEPTION,
}
# The provider's words for errors that are data (provider/messages.py).
CODES_OF_DATA = {
    "SecretDeniedError": ErrorCode.ACCESS_DENIED,
    "AccessDeniedError": ErrorCode.ACCESS_DENIED,
    "CallError": ErrorCode.GENERAL_SERVICE_EXCEPTION,
    "DeadlineExceededError": ErrorCode.DEADLINE_EXCEEDED,
    "UndoFailedError": ErrorCode.ROLLBACK_FAILED,
}


@cache
def messages() -> list[Message]:
    return list(_messages())


def _messages() -> Iterator[Message]:
    for case in ast.walk(ast.parse((PACKAGE / "provider" / "messages.py").read_text())):
        if isinstance(case, ast.match_case) and (name := ast.unparse(case.pattern).removesuffix("()")) in CODES_OF_DATA:
            [returned] = [node.value for node in case.body if isinstance(node, ast.Return) and node.value]
            text = DEADLINE_EXCEEDED if isinstance(returned, ast.Name) else text_of(returned)
            yield Message(text, CODES_OF_DATA[name])
    for path in PACKAGE.rglob("*.py"):
        tree = ast.parse(path.read_text())
        # Other consumers have their own words for errors that are data.
        data = [node for node in tree.body if isinstance(node, ast.ClassDef) and node.name in CODES_OF_DATA]
        for node in (node for part in tree.body if part not in data for node in ast.walk(part)):
            if isinstance(node, ast.Call) and (name := ast.unparse(node.func)) in DEFAULT_CODES:
                # The message is the longest argument. Others are an action, or AWS's own message.
                text = max(map(text_of, node.args), key=len, default="")
                codes = re.findall(r"ErrorCode\.(\w+)", ast.unparse(node))
                if len(text) > 15:
                    yield Message(text, ErrorCode[codes[0]] if codes else DEFAULT_CODES[name])


def text_of(node: ast.expr) -> str:
    """Return the text of a string, with ``...`` for values; empty for anything else."""
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, str) else ""
    if isinstance(node, ast.JoinedStr):
        return "".join(text_of(part) if isinstance(part, ast.Constant) else VALUE for part in node.values)
    return ""


def contains(text: str, phrase: str) -> bool:
    return re.search(".+".join(map(re.escape, phrase.split(VALUE))), text) is not None


def test_the_tests_find_the_messages() -> None:
    assert len(messages()) >= 35


@pytest.mark.parametrize("message", messages(), ids=lambda message: message.text[:40])
def test_each_message_has_a_row_in_the_table(message: Message) -> None:
    rows = [
        row
        for row in REMEDIATIONS
        if message.error_code in row.error_codes
        for phrase in row.messages
        if contains(message.text, phrase)
    ]
    assert rows, message


def test_each_phrase_of_the_table_is_part_of_a_message() -> None:
    provider = (PACKAGE / "provider" / "single_response.py").read_text()
    internal_failure = Message(provider, ErrorCode.INTERNAL_FAILURE)
    for row in REMEDIATIONS:
        for phrase in row.messages:
            assert [
                message
                for message in (*messages(), internal_failure)
                if message.error_code in row.error_codes and contains(message.text, phrase)
            ], phrase


def test_each_error_code_is_in_the_table() -> None:
    assert {code for row in REMEDIATIONS for code in row.error_codes} == set(ErrorCode)
