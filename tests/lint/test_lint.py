"""The rules for cfn-lint: their findings in the templates of `templates/`, and how cfn-lint loads them.

To add a test for a false positive, put the template into `templates/good`. Each template in `templates/bad` has a file
with the suffix ``.findings`` that contains the expected findings, one ``RULE path/to/element: message`` per line.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from cfnlint.core import get_rules
from cfnlint.decode import decode, decode_str

from rotation_role_policy_cli import lint
from tests import ROOT
from tests.lint.findings import findings

TEMPLATES = Path(__file__).parent / "templates"
EXAMPLES = sorted((ROOT / "examples").glob("*.yaml"))
OWN_TEMPLATES = [ROOT / "template.yaml", *sorted((ROOT / "demo").glob("*.yaml"))]


def templates(folder: str) -> list[Path]:
    return sorted(path for path in (TEMPLATES / folder).iterdir() if path.suffix in (".json", ".yaml"))


def findings_in(path: Path) -> list[str]:
    template, errors = decode(str(path))
    assert not errors
    return findings(template)


# --- templates in files ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", [*templates("good"), *EXAMPLES, *OWN_TEMPLATES], ids=lambda path: path.stem)
def test_a_good_template_has_no_findings(path: Path) -> None:
    assert findings_in(path) == []


@pytest.mark.parametrize("path", templates("bad"), ids=lambda path: path.stem)
def test_a_bad_template_has_the_expected_findings(path: Path) -> None:
    actual_findings = findings_in(path)
    expected = path.with_suffix(".findings")
    assert expected.exists(), f"{expected.name} is missing. Findings:\n" + "\n".join(actual_findings)
    assert actual_findings == expected.read_text().splitlines()
    assert actual_findings


def test_each_rule_has_a_bad_template_and_each_findings_file_has_its_template() -> None:
    files = list((TEMPLATES / "bad").glob("*.findings"))
    assert {path.stem for path in files} == {path.stem for path in templates("bad")}
    lines = [line for path in files for line in path.read_text().splitlines()]
    assert {line.split()[0] for line in lines} == {rule.id for rule in lint.RULES}


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_without_its_dependencies_has_findings(path: Path) -> None:
    text = re.sub(r" +DependsOn:.*\n( +- .*\n)*", "", path.read_text())
    template, _ = decode_str(text)
    rules = {finding.split()[0] for finding in findings(template)}
    if "HostedRotationLambda" in text:
        # The role of a hosted rotation has AWS's own policies. The first rotation does not need the policy.
        assert rules == set()
    else:
        assert rules == ({"E9815", "E9817"} if "VpcConfig" in text else {"E9815"})


# --- loading of the rules -----------------------------------------------------------------------------------------


def test_cfn_lint_loads_each_rule_in_addition_to_its_own() -> None:
    ids = [rule.id for rule in lint.RULES]
    assert ids == [*(f"E98{number}" for number in range(11, 18)), "W9818", "W9819"]
    assert set(ids) <= {rule.id for rule in get_rules([lint.__name__], [], [])}
    for rule in (rule() for rule in lint.RULES):
        assert rule.shortdesc
        assert rule.description
        assert rule.severity == {"E": "error", "W": "warning"}[rule.id[0]]


@pytest.mark.parametrize("rules", ["module", "folder"])
def test_cfn_lint_reports_the_findings_of_the_rules_that_it_loads(rules: str, tmp_path: Path) -> None:
    bad = TEMPLATES / "bad" / "misspelt_secret_id.yaml"
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    if rules == "module":
        # As if the packages were installed.
        environment["PYTHONPATH"] = f"{ROOT / 'handler'}{os.pathsep}{ROOT / 'cli'}"
    source = lint.__name__ if rules == "module" else str(Path(lint.__file__).parent)
    command = [str(Path(sys.executable).with_name("cfn-lint")), "--append-rules", source, "--format", "parseable", "--"]
    result = subprocess.run(
        [*command, str(bad), *map(str, EXAMPLES)],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        env=environment,
    )
    assert sorted(re.findall(r"misspelt_secret_id\.yaml:.*:(E98\d\d):", result.stdout)) == ["E9811", "E9813"], result
    assert result.stdout.count("\n") == 2
