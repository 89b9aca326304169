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
    if "HostedRotationLambda" in text or "Custom::RotationRolePolicy" not in text:
        # The role of a hosted rotation has AWS's own policies. The first rotation does not need the policy.
        assert rules == set()
    else:
        has_function = "AWS::Lambda::Function\n" in text
        assert rules == {
            "E9815",
            *(["E9817"] if "VpcConfig" in text else []),
            *(["E9820"] if has_function else []),
        }


# --- loading of the rules -----------------------------------------------------------------------------------------


def test_cfn_lint_loads_each_rule_in_addition_to_its_own() -> None:
    ids = [rule.id for rule in lint.RULES]
    assert ids == [*(f"E98{number}" for number in range(11, 18)), "W9818", "W9819", "E9820", "W9821", "W9822"]
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


def lint_command(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run the command in a folder, as from an installation."""
    program = "import sys; from rotation_role_policy_cli.main import main; sys.exit(main())"
    environment = os.environ | {"PYTHONPATH": f"{ROOT / 'handler'}{os.pathsep}{ROOT / 'cli'}"}
    # Without the folder in sys.path, as the script of an installed package runs.
    command = [sys.executable, "-P", "-c", program, "lint", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=cwd, env=environment)


@pytest.mark.parametrize(
    ("template", "options", "status", "found"),
    [
        ("bad/misspelt_secret_id.yaml", (), 2, ["E9811", "E9813"]),
        ("bad/misspelt_secret_id.yaml", ("--ignore-checks", "E9811"), 2, ["E9813"]),
        ("bad/misspelt_secret_id.yaml", ("--ignore-checks", "E9811", "E9813"), 0, []),
        ("nowhere.yaml", (), 2, []),
    ],
)
def test_the_command_lint_is_cfn_lint_with_its_exit_status(
    tmp_path: Path, template: str, options: tuple[str, ...], status: int, found: list[str]
) -> None:
    result = lint_command(str(TEMPLATES / template), "--format", "parseable", *options, cwd=tmp_path)
    assert (result.returncode, sorted(re.findall(r":(E98\d\d):", result.stdout))) == (status, found), result
    assert "Traceback" not in result.stderr


def test_a_file_that_is_too_large_for_a_template_is_not_linted(tmp_path: Path) -> None:
    large = tmp_path / "large.yaml"
    large.write_text("Resources: { A: { Type: Custom::RotationRolePolicy } } #" + "x" * 1_048_576)
    for options in ((), ("--hook", "--")):
        result = lint_command(*options, str(large), cwd=tmp_path)
        assert result.returncode == 1
        assert result.stderr.startswith("error: ")
        assert "1,048,576 bytes" in result.stderr


def test_the_hook_lints_the_files_with_the_resource_and_runs_no_code_of_the_repository(tmp_path: Path) -> None:
    for folder in ("rules", "rotation_role_policy_cli", "cfnlint"):
        (tmp_path / folder).mkdir()
        for name in ("__init__.py", "rule.py"):
            (tmp_path / folder / name).write_text("raise SystemExit('code of the repository has run')")
    (tmp_path / ".cfnlintrc").write_text(
        "append_rules: [rules]\nmerge_configs: true\nignore_checks: [E9811]\nformat: parseable\n"
    )
    good = tmp_path / "other.yaml"
    good.write_text("Resources: { A: { Type: AWS::Nope::Nope } }")
    bad = TEMPLATES / "bad" / "misspelt_secret_id.yaml"
    result = lint_command("--hook", "--", str(good), str(bad), cwd=tmp_path)
    assert (result.returncode, re.findall(r"[EW]\d{4}", result.stdout)) == (2, ["E9813"]), result
    assert (lint_command("--hook", "--", str(good), cwd=tmp_path).returncode) == 0
