"""Helper for tests of the lint rules: the findings in a template."""

from typing import Any

from cfnlint.template import Template

from rotation_role_policy_cli.lint import RULES


def findings(template: Any) -> list[str]:
    """Return the findings in the form of the ``.findings`` files, sorted."""
    cfn = Template("template.yaml", template, ["eu-central-1"])
    assert not cfn.transform()
    matches = [match for rule in RULES for match in rule().matchall("template.yaml", cfn)]
    return sorted(f"{match.rule.id} {'/'.join(map(str, match.path))}: {match.message}" for match in matches)


def errors(template: Any) -> list[str]:
    """Return the findings that are no warnings."""
    return [finding for finding in findings(template) if finding.startswith("E")]
