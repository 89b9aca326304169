"""The boundaries between the modules. `make lint` checks them (pyproject.toml, importlinter)."""

import sys
import tomllib
from typing import Any

import grimp
import pytest

from tests import ROOT
from tests.project.pure_contract import PureContract, impure_names

SETTINGS: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
[OPTIONS] = [contract for contract in SETTINGS["contracts"] if contract["type"] == "pure"]


@pytest.fixture
def graph() -> grimp.ImportGraph:
    """The imports of the handler, with the standard library and the installed packages."""
    return grimp.build_graph(
        "rotation_role_policy", include_external_packages=True, exclude_type_checking_imports=True, cache_dir=None
    )


def found(graph: grimp.ImportGraph) -> list[tuple[str, str]]:
    """Return the imports that the contract does not allow."""
    contract = PureContract(OPTIONS["name"], SETTINGS, OPTIONS)
    check = contract.check(graph, verbose=False)
    assert check.kept is not bool(check.metadata["found"])
    return list(check.metadata["found"])


def test_the_pure_modules_import_only_what_is_allowed(graph: grimp.ImportGraph) -> None:
    assert found(graph) == []


@pytest.mark.parametrize(
    ("module", "imported"),
    [
        ("rules.policy", "subprocess"),
        ("rules.policy", "socket"),
        ("rules.policy", "rotation_role_policy.aws.client"),
        ("iam.evaluation", "os"),
        ("iam.evaluation", "time"),
        ("audit.checks.excess", "boto3"),
        ("audit.checks.excess", "os"),
        ("audit.checks.access", "rotation_role_policy.audit.collect"),
        ("audit.facts", "rotation_role_policy.lookup.keys"),
        ("errors", "logging"),
    ],
)
def test_another_import_is_found(graph: grimp.ImportGraph, module: str, imported: str) -> None:
    if imported not in graph.modules:
        graph.add_module(imported, is_squashed=True)
    graph.add_import(importer=f"rotation_role_policy.{module}", imported=imported)
    assert found(graph) == [(f"rotation_role_policy.{module}", imported)]


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("datetime.now(UTC)", ["now"]),
        ("datetime.date.today()", ["today"]),
        ("text = open('/etc/hosts').read()", ["open"]),
        ("def f():\n    print(1)", ["print"]),
        ("def f(now):\n    return now.isoformat()", []),
    ],
)
def test_a_clock_or_a_file_needs_no_import_and_is_found_too(code: str, expected: list[str]) -> None:
    assert list(impure_names(code)) == expected


def test_each_allowed_module_is_one_of_the_standard_library_and_is_imported(graph: grimp.ImportGraph) -> None:
    allowed = set(OPTIONS["allowed_modules"])
    assert allowed <= sys.stdlib_module_names
    pure = {each for name in OPTIONS["pure_modules"] for each in (name, *graph.find_descendants(name))}
    imported = {each for module in pure for each in graph.find_modules_directly_imported_by(module)}
    assert allowed - {"__future__"} <= imported
