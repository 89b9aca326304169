"""What the script of the page selects, sorts and groups, in Node.js. test_report_in_browser.py runs the whole page."""

import json
import shutil
import subprocess
from dataclasses import replace
from datetime import UTC, datetime
from importlib import resources
from typing import Any

import pytest

from rotation_role_policy.audit.finding_types import FindingType
from rotation_role_policy.audit.findings import Acceptance
from rotation_role_policy.audit.report import Report
from rotation_role_policy_cli.audit import page
from rotation_role_policy_cli.audit.page.index import Index
from tests.support.audit_report import finding, report, role_arn, rotation, small_report

pytestmark = pytest.mark.skipif(shutil.which("node") is None, reason="Node.js is not installed")

MODEL = resources.files(page).joinpath("model.js").read_text("utf-8")


def evaluated(expression: str, of: Report | None = None) -> Any:
    """Return the value of an expression of JavaScript, in which `secrets` are those of a report."""
    index = Index(with_sections=False)
    for each in (of or small_report()).rotations:
        index.add(each, (of or small_report()).findings_of(each), "")
    program = f"{MODEL}\nconst secrets = secretsOf({index.data()});\nconsole.log(JSON.stringify({expression}));"
    process = subprocess.run(["node", "-"], input=program, check=True, capture_output=True, text=True)
    return json.loads(process.stdout)


def selected(fragments: list[str], of: Report | None = None) -> dict[str, list[str]]:
    """Return the names of the secrets that each fragment of the address selects."""
    names = "secrets.filter((each) => isSelected(each, stateOf(fragment))).map((each) => each.name)"
    return dict(zip(fragments, evaluated(f"{json.dumps(fragments)}.map((fragment) => {names})", of), strict=True))


ALL = ["a/clean", "b/clean", "prod/members", "prod/orders", "prod/users"]
FRAGMENTS = {
    "": ALL,
    "#severity=error": ["prod/orders"],
    "#severity=warning": ["prod/members", "prod/users"],
    "#severity=none": ["a/clean", "b/clean"],
    "#code=KmsAllKeys": ["prod/members", "prod/users"],
    "#severity=note&code=NoPolicy": ["prod/orders"],
    # The secret has an error and NoPolicy, but NoPolicy is no error.
    "#severity=error&code=NoPolicy": [],
    "#q=ORDERS": ["prod/orders"],
    "#q=function:rotate-mysql": ["prod/members", "prod/users"],
    "#q=kms:decrypt+on+*": ["prod/members", "prod/users"],
    "#q=clean+b/": ["b/clean"],
    "#q=arn:aws:secretsmanager:eu-central-1:123456789012:secret:prod/users-AbCdEf": ["prod/users"],
    "#severity=warning&q=users": ["prod/users"],
    "#q=no%20such%20secret": [],
    f"#by=role&in={role_arn('tidy-role')}": ["a/clean", "b/clean"],
    f"#by=role&in={role_arn('tidy-role')}&severity=error": [],
    "#by=role": ALL,
    "#by=finding&in=NoPolicy": ALL,
    f"#in={role_arn('tidy-role')}": ALL,
    "#by=owner&in=+": ALL,
    # Nobody has accepted anything.
    "#severity=accepted": [],
    "#q=has+an+action+role": [],
    "#q=lacks+an+action": ["prod/orders"],
}
"""The selected secrets by the fragment of the address."""


def test_the_fragment_of_the_address_selects_the_secrets() -> None:
    assert selected(list(FRAGMENTS)) == FRAGMENTS


def test_accepted_findings_are_selected_only_as_such() -> None:
    secret, other = rotation("accepted"), rotation("open")
    accepted = replace(finding(FindingType.KMS_ALL_KEYS, secret), accepted=Acceptance("KmsAllKeys", "*", "Known."))
    of = report([secret, other], [accepted, finding(FindingType.KMS_ALL_KEYS, other)])
    assert selected(["#severity=accepted", "#code=KmsAllKeys", "#severity=none", "#severity=warning"], of) == {
        "#severity=accepted": ["accepted"],
        "#code=KmsAllKeys": ["open"],
        "#severity=none": ["accepted"],
        "#severity=warning": ["open"],
    }
    groups = "groupsOf(secrets, 'finding').map(({ key, secrets }) => [key, secrets.map((each) => each.name)])"
    assert evaluated(groups, of) == [["KmsAllKeys", ["open"]], [" ", ["accepted"]]]


def test_a_state_and_its_fragment_are_the_same() -> None:
    fragment = "#severity=error&code=X&by=owner&in=a+b%2Bc%26d&sort=name&q=%C3%A9"
    assert evaluated(f"fragmentOf(stateOf('{fragment}&other=1'))") == fragment
    assert evaluated("fragmentOf(stateOf(''))") == "#"


def of_owners() -> Report:
    """Return a report on secrets of three owners, one of whom is not known."""
    never = replace(rotation("never"), owner={"aws:cloudformation:stack-name": "shop-10"}, last_rotated=None)
    soon = replace(rotation("soon"), owner={"aws:cloudformation:stack-name": "shop-2"}, next_rotation=None)
    early = replace(rotation("early"), last_rotated=datetime(2020, 1, 1, tzinfo=UTC))
    found = [finding(FindingType.ACTION_NOT_GRANTED, soon), finding(FindingType.NO_POLICY, soon)]
    return report([never, soon, early], [*found, finding(FindingType.NO_POLICY, early)])


@pytest.mark.parametrize(
    ("sort", "names"),
    [
        ("", ["early", "never", "soon"]),
        ("name", ["early", "never", "soon"]),
        ("last", ["never", "early", "soon"]),
        ("next", ["early", "never", "soon"]),
        ("toString", ["early", "never", "soon"]),
    ],
)
def test_the_list_is_sorted(sort: str, names: list[str]) -> None:
    assert evaluated(f"sorted(secrets, '{sort}').map((each) => each.name)", of_owners()) == names


def test_names_are_sorted_by_their_numbers() -> None:
    several = report([rotation("db-10"), rotation("db-9"), rotation("DB-9")], [])
    assert evaluated("sorted(secrets, 'name').map((each) => each.name)", several)[2] == "db-10"


def test_groups_have_the_numbers_of_their_secrets_and_those_with_errors_are_first() -> None:
    groups = "groupsOf(secrets, 'owner').map(({ key, numbers }) => [nameOf(key, 'owner'), ...Object.values(numbers)])"
    assert evaluated(groups, of_owners()) == [
        ["shop-2", 1, 0, 1, 0],
        # A secret with nothing but notes is also one without errors and warnings.
        ["No owner known", 0, 0, 1, 1],
        ["shop-10", 0, 0, 0, 1],
    ]


def test_a_secret_is_in_the_group_of_its_worst_finding() -> None:
    groups = "groupsOf(secrets, 'finding').map(({ key, secrets }) => [key, secrets.map((each) => each.name)])"
    assert evaluated(groups, of_owners()) == [
        ["ActionNotGranted", ["soon"]],
        ["NoPolicy", ["early"]],
        [" ", ["never"]],
    ]


def test_each_secret_is_in_one_group_and_the_group_selects_it() -> None:
    for by in ("owner", "role", "function", "account", "region"):
        expression = (
            f"groupsOf(secrets, '{by}').map((group) => [group.secrets.length, secrets.filter((each) =>"
            f" isSelected(each, stateOf(fragmentOf({{ ...stateOf(''), by: '{by}', in: group.key }})))).length])"
        )
        numbers = evaluated(expression)
        assert sum(number for number, _ in numbers) == len(ALL)
        assert all(number == chosen for number, chosen in numbers)


def test_a_group_has_the_name_that_a_reader_knows() -> None:
    names = "groupsOf(secrets, by).map((group) => nameOf(group.key, by))"
    assert evaluated(f"['role', 'function', 'account'].map((by) => {names})") == [
        ["rotate-postgres-role", "rotate-mysql-role", "tidy-role"],
        ["rotate-postgres", "rotate-mysql", "tidy"],
        ["123456789012"],
    ]


CONSOLE = {
    "arn:aws:secretsmanager:eu-west-1:123456789012:secret:a/b c-AbCdEf": {
        "Secret": "https://eu-west-1.console.aws.amazon.com/secretsmanager/secret?name=a%2Fb%20c&region=eu-west-1"
    },
    "arn:aws-us-gov:lambda:us-gov-west-1:123456789012:function:rotate:live": {
        "Function": "https://us-gov-west-1.console.amazonaws-us-gov.com/lambda/home?region=us-gov-west-1"
        "#/functions/rotate",
        "Log group": "https://us-gov-west-1.console.amazonaws-us-gov.com/cloudwatch/home?region=us-gov-west-1"
        "#logsV2:log-groups/log-group/$252Faws$252Flambda$252Frotate",
    },
    "arn:aws-cn:iam::123456789012:role/service-role/rotate": {
        "Role": "https://console.amazonaws.cn/iam/home#/roles/details/rotate"
    },
    # A merged report is untrusted: no other partition, and nothing that is no ARN, becomes an address.
    "arn:aws-iso:iam::123456789012:role/rotate": {},
    "arn:constructor:iam::123456789012:role/rotate": {},
    "arn:aws:lambda:evil.example/:123456789012:function:rotate": {},
    "javascript:alert(1)": {},
}


def test_an_arn_leads_to_the_pages_of_its_console() -> None:
    assert evaluated(f"{json.dumps(list(CONSOLE))}.map(consolePages)") == list(CONSOLE.values())
