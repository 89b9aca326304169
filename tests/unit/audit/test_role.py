"""From facts about a role to findings, as tables: no call, no account."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from botocore.session import Session

from rotation_role_policy.audit import access
from rotation_role_policy.audit.coverage import coverages
from rotation_role_policy.audit.facts import (
    FailedCall,
    FunctionFacts,
    InternalError,
    Known,
    RoleFacts,
    SecretFacts,
    Simulated,
    Simulation,
    Stopped,
    Unknown,
    Unusable,
    UnusableKey,
    to_json,
)
from rotation_role_policy.audit.finding_types import FindingType
from rotation_role_policy.audit.findings import Finding
from rotation_role_policy.audit.messages.commands import rotating
from rotation_role_policy.audit.resources import ResourceFact, ResourceQuestion
from rotation_role_policy.audit.role import RoleResult, audit_function, audit_role, failed
from rotation_role_policy.iam.document import PolicyKind, PolicyName
from rotation_role_policy.iam.evaluation import BlockedBy, Blocker
from rotation_role_policy.iam.simulation import Denial
from rotation_role_policy.rules import policy
from rotation_role_policy.rules.state import EnvironmentKey, KeyProblem, Secret
from tests.support import audit_facts
from tests.support.audit_facts import (
    ACCOUNT,
    DENIED,
    FUNCTION,
    GUIDE,
    KEY,
    NOW,
    OWN,
    REGION,
    ROLE,
    ROOT,
    ROTATE,
    SECRET,
    SUPERUSER,
    allow,
    document,
    function,
    policies,
    secret,
)

GET, PUT = "secretsmanager:GetSecretValue", "secretsmanager:PutSecretValue"
RANDOM = "secretsmanager:GetRandomPassword"
STOPPED = Unknown(Stopped())
GUARD = PolicyName(PolicyKind.ROLE, "guard")
USE_KEY = allow(
    ["kms:Decrypt", "kms:GenerateDataKey"],
    KEY,
    Condition={"StringEquals": {"kms:EncryptionContext:SecretARN": SECRET}},
)
MISSING = FailedCall("lambda:GetFunctionConfiguration", "ResourceNotFoundException", "gone", is_denied=False)


def findings(result: RoleResult) -> list[Finding]:
    """Return all findings, after a check of what is true of each: its words name what it is about."""
    found = [*result.findings, *result.excess]
    for each in found:
        assert isinstance(each.type, FindingType)
        assert each.resource
        # A key that cannot be used is shown with the name of its secret.
        assert each.resource in f"{each.subject} {each.message}" or each.type is FindingType.KEY_UNUSABLE
        assert each.remediation
        assert "None" not in f"{each.subject} {each.message} {each.remediation}"
        assert each.subject.scope
        assert each.subject.role_arn or each.subject.function_arn
    return found


def found(facts: RoleFacts) -> list[Finding]:
    """Return the findings about a role, without NoPolicy."""
    return [each for each in findings(audit_role(facts, NOW)) if each.type is not FindingType.NO_POLICY]


def codes(facts: RoleFacts) -> list[str]:
    return [each.type.code for each in found(facts)]


def the(facts: RoleFacts) -> Finding:
    [finding] = found(facts)
    return finding


def with_secret(**members: Any) -> RoleFacts:
    return audit_facts.role(function(replace(secret(), **members)))


def listed(**members: Any) -> RoleFacts:
    return audit_facts.role(function(secret(**members)))


def with_policy(*statements: Any, key: str | None = None, **members: Any) -> RoleFacts:
    """Return a role with this policy in addition to the user guide's, whose secret is under a key."""
    answers = {"resource_policies": {KEY: Known(document(ROOT))}} if key else {}
    return audit_facts.role(function(secret(key=key)), role=policies(*GUIDE, *statements), **(answers | members))


def test_a_sound_role_has_no_finding_but_that_no_resource_covers_its_secret() -> None:
    result = audit_role(audit_facts.role(), NOW)
    [note] = findings(result)
    assert (note.type, note.subject.secret_arn, note.subject.function_arn, note.subject.role_arn) == (
        FindingType.NO_POLICY,
        SECRET,
        FUNCTION,
        ROLE,
    )
    [rotation] = result.rotations
    assert (rotation.secret_arn, rotation.secret_name, rotation.function_arn) == (SECRET, "prod/db", FUNCTION)
    assert (rotation.role_arn, rotation.policy_name, rotation.last_rotated) == (ROLE, "", NOW - timedelta(days=2))
    assert rotation.state
    assert rotation.state.secrets == (Secret(SECRET, None),)
    assert rotation.unknowns == ("The role may read no other secret, so no superuser secret is assumed.",)


# --- secrets ---


@pytest.mark.parametrize(
    ("members", "is_overdue"),
    [
        ({"next_rotation": NOW}, False),
        # A rotation that began at the end of its window still runs.
        ({"next_rotation": NOW - timedelta(hours=2)}, False),
        ({"next_rotation": NOW - timedelta(hours=2, seconds=1)}, True),
        # Without the date: the days since the last rotation, and one more.
        ({"next_rotation": None, "last_rotated": NOW - timedelta(days=31)}, False),
        ({"next_rotation": None, "last_rotated": NOW - timedelta(days=31, seconds=1)}, True),
        ({"next_rotation": None, "last_rotated": None}, True),
        ({"next_rotation": None, "last_rotated": None, "created": NOW}, False),
        ({"next_rotation": None, "last_rotated": None, "created": None}, False),
        ({"next_rotation": None, "days": None}, False),
    ],
)
def test_a_rotation_is_overdue_after_its_date(members: dict[str, Any], is_overdue: bool) -> None:
    assert codes(listed(**members)) == (["RotationOverdue"] if is_overdue else [])


def pending(days: float, **members: Any) -> RoleFacts:
    """Return a secret with an unfinished version. `members` are those of `ListedSecret`."""
    state = Known(Secret(SECRET, None, pending_since=NOW - timedelta(days=days)))
    return audit_facts.role(function(replace(secret(**members), state=state)))


@pytest.mark.parametrize(
    ("days", "members", "expected"),
    [
        (0.1, {}, []),
        (1, {}, []),
        (1.01, {}, ["RotationUnfinished"]),
        (9, {"last_rotated": None}, ["RotationUnfinished"]),
        # One fact, one finding.
        (9, {"next_rotation": NOW - timedelta(1)}, ["RotationOverdue"]),
        (0.1, {"next_rotation": NOW - timedelta(1)}, ["RotationOverdue"]),
        (9, {"is_enabled": False}, ["RotationDisabled"]),
    ],
)
def test_a_rotation_is_unfinished_if_awspending_is_on_a_version_of_its_own_for_more_than_a_day(
    days: float, members: dict[str, Any], expected: list[str]
) -> None:
    facts = pending(days, **members)
    assert codes(facts) == expected
    if expected and expected != ["RotationDisabled"]:
        assert "the label AWSPENDING is on a version of its own" in the(facts).message
        assert "Find out whether the database already has the password" in the(facts).remediation


def test_an_overdue_rotation_without_awspending_is_rotated_again() -> None:
    finding = the(listed(next_rotation=NOW - timedelta(1)))
    assert "AWSPENDING" not in f"{finding.message} {finding.remediation}"
    assert finding.remediation.endswith(f"rotate it ({rotating(SECRET)}).")


@pytest.mark.parametrize(
    ("members", "is_late"),
    [
        ({"last_rotated": NOW - timedelta(days=60)}, False),
        ({"last_rotated": NOW - timedelta(days=60, seconds=1)}, True),
        ({"last_rotated": None}, False),
        ({"last_rotated": NOW - timedelta(days=99), "days": None}, False),
        # The expression has the interval, whatever the number of days is.
        ({"last_rotated": NOW - timedelta(hours=8, seconds=1), "schedule": "rate(4 hours)", "days": 1}, True),
        ({"last_rotated": NOW - timedelta(hours=8), "schedule": "rate(4 hours)", "days": 1}, False),
        ({"last_rotated": NOW - timedelta(days=2, seconds=1), "schedule": "rate(1 day)", "days": None}, True),
        ({"last_rotated": NOW - timedelta(days=20), "schedule": " Rate( 10  Days ) ", "days": None}, False),
        # Secrets Manager calculates the days of a cron expression.
        ({"last_rotated": NOW - timedelta(days=63), "schedule": "cron(0 8 1 * ? *)", "days": 31}, True),
        ({"last_rotated": NOW - timedelta(days=62), "schedule": "cron(0 8 1 * ? *)", "days": 31}, False),
        ({"last_rotated": NOW - timedelta(days=999), "schedule": "cron(0 8 1 * ? *)", "days": None}, False),
        # Somebody turned the rotation on, or changed the schedule. The date moves.
        ({"last_rotated": NOW - timedelta(days=200), "changed": NOW - timedelta(days=1)}, False),
        ({"last_rotated": NOW - timedelta(days=40), "changed": NOW - timedelta(days=1), "days": 7}, False),
        ({"last_rotated": NOW - timedelta(days=200), "changed": NOW - timedelta(days=61)}, True),
        ({"last_rotated": NOW - timedelta(days=61), "changed": NOW - timedelta(days=60)}, True),
        # The number of days is that of the schedule before the change.
        (
            {
                "last_rotated": NOW - timedelta(days=9),
                "changed": NOW - timedelta(days=4),
                "schedule": "cron(0 3 1 1/3 ? *)",
                "days": 1,
            },
            False,
        ),
        # Without a date, the rotation is overdue.
        ({"last_rotated": NOW - timedelta(days=99), "is_enabled": False}, False),
    ],
)
def test_a_rotation_is_late_if_two_intervals_have_passed_and_the_next_date_is_in_the_future(
    members: dict[str, Any], is_late: bool
) -> None:
    expected = ["RotationLate"] if is_late else ["RotationDisabled"] if "is_enabled" in members else []
    assert codes(listed(**members)) == expected
    if not is_late:
        return
    assert "2026-" in the(listed(**members)).message
    assert codes(listed(**members | {"next_rotation": NOW - timedelta(1)})) == ["RotationOverdue"]


def test_of_a_rotation_that_is_turned_off_only_excess_is_reported() -> None:
    off: dict[str, Any] = {"is_enabled": False}
    broken = function(
        replace(secret(next_rotation=NOW - timedelta(9), **off), state=Unknown(UnusableKey("db", KeyProblem(KEY), ()))),
        secret(SECRET.replace("db", "other"), key=KEY, **off),
        in_vpc=True,
        invoke_policy=Known({}),
    )
    facts = audit_facts.role(broken, role=policies(allow(GET, "*")))
    assert questions(facts) == []
    assert codes(facts) == ["RotationDisabled", "RotationDisabled", "OtherSecrets"]
    assert not [each for each in audit_role(facts, NOW).findings if each.type is FindingType.NO_POLICY]
    for missing in (Known(None), replace(policies(), trust_policy=document())):
        assert codes(audit_facts.role(broken, role=missing)) == ["RotationDisabled", "RotationDisabled"]
    gone = replace(broken, details=Unknown(MISSING))
    assert [each.type.code for each in findings(audit_function(gone, NOW))] == ["RotationDisabled", "RotationDisabled"]
    # What could not be looked up is reported.
    unknown = function(replace(secret(**off), state=Unknown(DENIED)), invoke_policy=Unknown(DENIED))
    assert sorted(codes(audit_facts.role(unknown))) == ["NotInspected", "NotInspected", "RotationDisabled"]


def test_a_secret_whose_rotation_is_turned_off_leaves_the_others_of_its_function() -> None:
    off = secret(SECRET.replace("db", "other"), is_enabled=False)
    facts = audit_facts.role(function(off, secret()), role=policies(allow(ROTATE[:3], SECRET), GUIDE[1]))
    assert questions(replace(facts, resource_policies={})) == [of_policy(SECRET)]
    answered = replace(facts, resource_policies={SECRET: Known({})})
    assert [(each.type.code, each.subject.secret_arn) for each in found(answered)] == [
        ("RotationDisabled", off.arn),
        ("ActionNotGranted", SECRET),
    ]


@pytest.mark.parametrize(
    ("replicas", "code"),
    [
        (Known(()), None),
        (Known(("us-east-1", "eu-west-1")), "ReplicationFailed"),
        (Unknown(DENIED), "NotInspected"),
        (STOPPED, None),
    ],
)
def test_replication_that_failed_is_a_finding(replicas: Any, code: str | None) -> None:
    facts = with_secret(failed_replicas=replicas)
    assert codes(facts) == ([code] if code else [])
    if code == "ReplicationFailed":
        assert f"{SECRET} to us-east-1 and eu-west-1." in the(facts).message


@pytest.mark.parametrize(
    ("problem", "code", "resource", "words"),
    [
        (DENIED, "NotInspected", SECRET, ["AWS denies iam:GetRole: not authorized.", "Allow iam:GetRole to"]),
        (replace(DENIED, is_denied=False), "NotInspected", SECRET, ["iam:GetRole failed with AccessDenied", "again"]),
        (Unusable("The tag is wrong."), "NotInspected", SECRET, ["The tag is wrong.", "again"]),
        (
            UnusableKey("prod/db", KeyProblem(KEY, "Disabled"), ()),
            "KeyUnusable",
            SECRET,
            [f'the secret\'s KMS key "{KEY}" is Disabled, not Enabled.', "give the secret another key"],
        ),
        (
            UnusableKey("prod/db", KeyProblem(KEY), ("AWSCURRENT", "AWSPENDING")),
            "KeyUnusable",
            SECRET,
            ["AWSCURRENT and AWSPENDING", "does not exist.", "with VersionStages AWSCURRENT AWSPENDING"],
        ),
    ],
)
def test_why_a_secret_is_not_known_decides_the_finding(
    problem: Any, code: str, resource: str, words: list[str]
) -> None:
    finding = the(with_secret(state=Unknown(problem)))
    assert (finding.type.code, finding.resource) == (code, resource)
    assert (finding.subject.secret_arn, finding.subject.function_arn) == (SECRET, FUNCTION)
    text = f"{finding.message} {finding.remediation}"
    assert [part for part in words if part not in text] == []


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        (Secret(SECRET, KEY, keys_not_described=(KeyProblem(KEY, denied="no"),)), ["NotInspected"]),
        (
            Secret(SECRET, None, keys_not_described=(KeyProblem(KEY.replace(ACCOUNT, "999999999999"), denied="no"),)),
            ["AccessUndecided"],
        ),
        (Secret(SECRET, None, unreadable_previous=KeyProblem(KEY, "Disabled")), ["PreviousVersionUnreadable"]),
        (Secret(SECRET, None, unreadable_previous=KeyProblem(KEY, denied="no")), ["NotInspected"]),
    ],
)
def test_a_warning_about_a_key_is_a_finding(state: Secret, expected: list[str]) -> None:
    answers = {KEY: Known(document(ROOT))}
    facts = audit_facts.role(
        function(replace(secret(), state=Known(state))), role=policies(*GUIDE, USE_KEY), resource_policies=answers
    )
    assert codes(facts) == (expected if state.key_arn else [*expected, "UnneededGrant"])
    first = found(facts)[0]
    assert first.subject.secret_arn == SECRET
    if first.type is FindingType.NOT_INSPECTED:
        assert "AWS denies kms:DescribeKey: no." in first.message
        assert first.remediation.startswith("Allow kms:DescribeKey ")


def test_a_rotation_has_its_own_state_and_its_dates() -> None:
    other = SECRET.replace("prod/db", "other")
    facts = audit_facts.role(function(secret(), secret(other)), role=policies(*GUIDE, allow(ROTATE, other)))
    first, second = audit_role(facts, NOW).rotations
    assert first.state
    assert [each.arn for each in first.state.secrets] == [SECRET]
    assert (first.last_rotated, first.next_rotation) == (NOW - timedelta(2), NOW + timedelta(28))
    assert (second.secret_arn, second.secret_name) == (other, "other")
    stopped = replace(secret(), state=STOPPED)
    assert audit_role(audit_facts.role(function(stopped)), NOW).rotations == ()
    assert RoleResult() == RoleResult((), (), ())


def test_a_secret_that_is_not_selected_has_no_finding_but_counts_as_needed() -> None:
    other = SECRET.replace("prod/db", "other")
    overdue = replace(secret(other, next_rotation=NOW - timedelta(1)), is_selected=False)
    facts = audit_facts.role(function(secret(), overdue), role=policies(*GUIDE, allow(ROTATE, other)))
    assert codes(facts) == []
    assert [rotation.secret_arn for rotation in audit_role(facts, NOW).rotations] == [SECRET]


# --- functions ---


def test_a_function_whose_role_is_not_known_is_audited_alone() -> None:
    facts = function(details=Unknown(MISSING), invoke_policy=Known({}))
    result = audit_function(facts, NOW)
    [finding] = findings(result)
    assert (finding.type.code, finding.subject, finding.resource) == (
        "FunctionMissing",
        ("", FUNCTION, "", ""),
        FUNCTION,
    )
    [rotation] = result.rotations
    assert (rotation.role_arn, rotation.state) == ("", None)


@pytest.mark.parametrize(
    ("members", "expected"),
    [
        ({"invoke_policy": Known({})}, ["InvokeNotAllowed"]),
        ({"invoke_policy": Unknown(MISSING)}, ["FunctionMissing"]),
        ({"invoke_policy": Unknown(DENIED)}, ["NotInspected"]),
        ({"invoke_policy": STOPPED}, []),
        ({"details": STOPPED, "invoke_policy": Known({})}, []),
        ({"details": Unknown(DENIED), "invoke_policy": Known({})}, ["NotInspected"]),
    ],
)
def test_what_is_known_of_a_function_decides_the_finding(members: dict[str, Any], expected: list[str]) -> None:
    result = audit_function(function(**members), NOW)
    assert [each.type.code for each in findings(result)] == expected
    assert all(each.subject.function_arn == FUNCTION for each in findings(result))


def in_state(state: str, code: str, reason: str = "", **members: Any) -> FunctionFacts:
    """Return a function in a state that Lambda reports with a code. `members` are those of `audit_facts.function`."""
    sound = function(**members)
    assert isinstance(sound.details, Known)
    return replace(
        sound,
        details=Known(replace(sound.details.value, lambda_state=state, reason_code=code, state_reason=reason)),
    )


@pytest.mark.parametrize(
    ("state", "code", "expected"),
    [
        ("Active", "", None),
        ("Pending", "Creating", None),
        ("Pending", "Restoring", None),
        ("Inactive", "Idle", "FunctionIdle"),
        ("Inactive", "", "FunctionIdle"),
        # Lambda could not wake it.
        ("Inactive", "SubnetOutOfIPAddresses", "FunctionNotActive"),
        ("Failed", "", "FunctionNotActive"),
        ("Failed", "ACodeOfTomorrow", "FunctionNotActive"),
        ("Deactivated", "", "FunctionNotActive"),
    ],
)
def test_what_lambda_reports_of_a_function_decides_the_finding(state: str, code: str, expected: str | None) -> None:
    facts = audit_facts.role(in_state(state, code, "The subnets are full."))
    assert codes(facts) == ([expected] if expected else [])
    if expected:
        assert the(facts).subject == ("", FUNCTION, ROLE, "")
        assert f"state {state}" in the(facts).message
    if expected == "FunctionNotActive":
        assert "Lambda's reason: The subnets are full." in the(facts).message
        assert code in the(facts).message


def test_each_code_of_lambda_has_words() -> None:
    codes_of_lambda: Any = Session().get_service_model("lambda").shape_for("StateReasonCode")
    passing = {"Idle", "Creating", "Restoring", "DrainingDurableExecutions"}
    for code in set(codes_of_lambda.enum) - passing:
        finding = the(audit_facts.role(in_state("Failed", code)))
        assert "cannot be invoked, because " in finding.message, code
        assert code in finding.message
        assert not finding.remediation.startswith("Correct the cause that Lambda reports"), code


def test_a_function_that_other_accounts_can_invoke_is_a_finding_with_the_statement() -> None:
    open_to_all = {
        "Sid": "Open",
        "Effect": "Allow",
        "Action": "lambda:InvokeFunction",
        "Resource": FUNCTION,
        "Principal": {"Service": "secretsmanager.amazonaws.com"},
    }
    finding = the(audit_facts.role(function(invoke_policy=Known(document(open_to_all)))))
    assert (finding.type.code, finding.resource) == ("InvokeWithoutSource", FUNCTION)
    assert finding.subject == ("", FUNCTION, ROLE, "")
    assert '"Open"' in finding.message
    assert f"--function-name {FUNCTION} --statement-id Open" in finding.remediation


# --- the role itself ---


@pytest.mark.parametrize(
    ("role", "expected"),
    [
        (Known(None), ["RoleNotAssumable"]),
        (Unknown(DENIED), ["NotInspected"]),
        (STOPPED, []),
        (replace(policies(), trust_policy=document()), ["RoleNotAssumable"]),
    ],
)
def test_what_is_known_of_a_role_decides_the_finding(role: Any, expected: list[str]) -> None:
    facts = audit_facts.role(role=role)
    assert codes(facts) == expected
    assert all(each.subject == ("", "", ROLE, "") for each in found(facts))
    assert [rotation.role_arn for rotation in audit_role(facts, NOW).rotations] == [ROLE]


def test_functions_of_the_listing_and_versions_share_a_role() -> None:
    assert codes(audit_facts.role(sharing=frozenset({FUNCTION}))) == []
    qualified = function(function_id=f"{FUNCTION}:live", invoke_policy=STOPPED)
    assert codes(audit_facts.role(function(), qualified)) == []
    facts = audit_facts.role(sharing=frozenset(f"{FUNCTION}-{number}" for number in range(11)))
    assert codes(facts) == ["SharedRole"]
    assert "12 functions" in the(facts).message
    assert "and 2 more" in the(facts).message


def test_an_internal_error_is_a_finding_about_the_role() -> None:
    result = failed(ROLE, [function()], InternalError("ZeroDivisionError", "by zero"))
    [finding] = findings(result)
    assert (finding.type.code, finding.subject.role_arn) == ("NotInspected", ROLE)
    assert "Internal error (ZeroDivisionError): by zero." in finding.message
    assert [rotation.secret_arn for rotation in result.rotations] == [SECRET]


# --- the superuser secret ---


@pytest.mark.parametrize(
    ("superuser", "is_covered", "expected"),
    [
        # The provider's policy has Sids.
        (Known(Secret(SUPERUSER, None)), True, ["PolicyDrift"]),
        (Known(Secret(SUPERUSER, None)), False, []),
        (Known(None), True, ["SuperuserMissing"]),
        (Known(None), False, ["UnneededGrant"]),
        (Unknown(UnusableKey("superuser", KeyProblem(KEY, "Disabled"), ())), True, ["KeyUnusable"]),
        (Unknown(UnusableKey("superuser", KeyProblem(KEY, "Disabled"), ())), False, []),
        (Unknown(DENIED), True, ["NotInspected"]),
        (Unknown(DENIED), False, []),
        (STOPPED, True, []),
        (STOPPED, False, []),
    ],
)
def test_the_superuser_secret_that_the_policies_show_is_audited(
    superuser: Any, is_covered: bool, expected: list[str]
) -> None:
    read = allow(GET, SUPERUSER)
    covered = {OWN: document(*(allow(each["Action"], each["Resource"], Sid="x") for each in GUIDE), read)}
    role = replace(policies(), inline=covered) if is_covered else policies(*GUIDE, read)
    facts = audit_facts.role(role=role, superusers={SUPERUSER: superuser})
    assert codes(facts) == expected
    for finding in found(facts):
        assert SUPERUSER in f"{finding.resource} {finding.message} {finding.difference}"
        if finding.resource == SUPERUSER:
            role_arn = ROLE if finding.type is FindingType.SUPERUSER_MISSING else ""
            assert finding.subject == ("", FUNCTION, role_arn, "")


# --- access ---


def of_policy(resource: str) -> ResourceQuestion:
    return ResourceQuestion(ResourceFact.POLICY, resource, REGION)


def questions(facts: RoleFacts) -> list[Any]:
    return access.questions(facts, coverages(facts))


def test_plain_policies_lead_to_no_question() -> None:
    assert questions(audit_facts.role()) == []
    assert questions(audit_facts.role(role=STOPPED)) == []


def test_the_policy_of_each_secret_is_a_question_because_it_can_deny_what_the_role_s_policies_allow() -> None:
    facts = replace(audit_facts.role(), resource_policies={})
    assert questions(facts) == [of_policy(SECRET)]
    deny = {"Effect": "Deny", "Action": PUT, "Resource": "*", "Principal": "*", "Sid": "Guard"}
    blocked = the(replace(facts, resource_policies={SECRET: Known(document(deny))}))
    assert (blocked.type.code, blocked.subject) == ("ActionBlocked", (SECRET, FUNCTION, ROLE, ""))
    by = """an explicit deny in the secret's resource policy (the statement "Guard")"""
    assert blocked.message == f"{PUT} on {SECRET} is blocked for the role {ROLE} by {by}."
    assert f"Exclude {ROLE} from this statement" in blocked.remediation
    assert codes(replace(facts, resource_policies={SECRET: STOPPED})) == []
    unread = the(replace(facts, resource_policies={SECRET: Unknown(DENIED)}))
    assert (unread.type.code, unread.subject) == ("NotInspected", (SECRET, FUNCTION, ROLE, ""))


def test_what_no_policy_of_the_role_allows_is_a_question_for_the_policy_of_the_secret() -> None:
    role = policies(allow(ROTATE[:2], SECRET), GUIDE[1])
    facts = replace(audit_facts.role(role=role), resource_policies={})
    assert questions(facts) == [of_policy(SECRET)]
    of_role = {"Principal": {"AWS": ROLE}}
    for answer, lacking in (
        (Known({}), ROTATE[2:]),
        (Known(document(allow(PUT, "*", **of_role))), ROTATE[3:]),
        (Known(document(allow("secretsmanager:*", "*", **of_role))), []),
    ):
        answered = replace(facts, resource_policies={SECRET: answer})
        assert questions(answered) == []
        assert codes(answered) == (["ActionNotGranted"] if lacking else [])
        for finding in found(answered):
            assert [action for action in ROTATE if action in finding.message] == lacking
            assert finding.subject == (SECRET, FUNCTION, ROLE, "")
            assert "--adopt DIR" in finding.remediation
    assert codes(replace(facts, resource_policies={SECRET: Unknown(DENIED)})) == ["NotInspected"]
    assert codes(replace(facts, resource_policies={SECRET: STOPPED})) == []


def test_a_deny_and_a_boundary_block_for_certain() -> None:
    denied = the(with_policy({"Effect": "Deny", "Action": PUT, "Resource": SECRET}))
    assert (denied.type.code, denied.subject) == ("ActionBlocked", (SECRET, FUNCTION, ROLE, ""))
    assert f"{PUT} on {SECRET} is blocked" in denied.message
    assert 'an explicit deny in the inline policy "rotation"' in denied.message
    boundary = document(allow(ROTATE[:2], SECRET), allow("secretsmanager:GetRandomPassword", "*"))
    limited = the(audit_facts.role(role=policies(boundary=boundary)))
    assert f"{ROTATE[2]} and {ROTATE[3]} on {SECRET} are blocked" in limited.message
    assert f"Allow the actions in arn:aws:iam::{ACCOUNT}:policy/boundary." in limited.remediation


def test_what_the_provider_would_refuse_is_corrected_before_a_resource_is_declared() -> None:
    def advice(facts: RoleFacts) -> str:
        [noted] = [each for each in findings(audit_role(facts, NOW)) if each.type is FindingType.NO_POLICY]
        return noted.remediation

    boundary = document(allow(ROTATE[:2], SECRET), allow(RANDOM, "*"))
    blocked = "First correct ActionBlocked, because the provider would refuse the policy. Deploy a Custom::"
    assert advice(audit_facts.role(role=policies(boundary=boundary))).startswith(blocked)
    assert advice(with_policy({"Effect": "Deny", "Action": PUT, "Resource": SECRET})).startswith(blocked)
    unusable = with_secret(state=Unknown(UnusableKey("prod/db", KeyProblem(KEY, "Disabled"), ())))
    assert advice(unusable).startswith("First correct KeyUnusable, because")
    # What the policy itself gives is no obstacle.
    assert advice(audit_facts.role(role=policies())).startswith("Deploy a Custom::RotationRolePolicy")
    elsewhere = {"Effect": "Deny", "Action": PUT, "Resource": f"{SECRET}2"}
    assert advice(with_policy(elsewhere)).startswith("Deploy a Custom::RotationRolePolicy")


def test_the_function_of_the_secret_is_known_for_rotated_secrets_only() -> None:
    limit = {"Condition": {"StringEquals": {"secretsmanager:resource/AllowRotationLambdaArn": FUNCTION}}}
    limited = policies(allow(ROTATE, "*", **limit), GUIDE[1])
    assert questions(audit_facts.role(role=limited)) == []
    assert codes(audit_facts.role(role=limited)) == []
    # The superuser secret can have another function, or none. So whether a Deny applies is a question.
    deny = allow(GET, SUPERUSER, **limit) | {"Effect": "Deny"}
    superusers = {SUPERUSER: Known(Secret(SUPERUSER, None))}
    facts = audit_facts.role(role=policies(*GUIDE, allow(GET, SUPERUSER), deny), superusers=superusers)
    [question] = questions(facts)
    assert (question.resources, question.actions) == ((SUPERUSER,), (GET,))
    assert not dict(question.context).keys() & {"secretsmanager:resource/AllowRotationLambdaArn"}


def test_a_policy_of_a_resource_counts_only_for_the_role() -> None:
    facts = audit_facts.role(role=policies(allow(ROTATE[:2], SECRET), GUIDE[1]))
    for principal in (f"arn:aws:iam::{ACCOUNT}:role/other", f"arn:aws:iam::{ACCOUNT}:root"):
        of_another = document(allow("secretsmanager:*", "*", Principal={"AWS": principal}))
        assert codes(replace(facts, resource_policies={SECRET: Known(of_another)})) == ["ActionNotGranted"]
    of_another = document(allow("kms:*", "*", Principal={"AWS": f"arn:aws:iam::{ACCOUNT}:role/other"}))
    blocked = the(with_policy(USE_KEY, key=KEY, resource_policies={KEY: Known(of_another)}))
    assert "by the key's policy" in blocked.message
    deny = document(ROOT, {"Effect": "Deny", "Principal": {"AWS": ROLE}, "Action": "kms:Decrypt", "Resource": "*"})
    denied = the(with_policy(USE_KEY, key=KEY, resource_policies={KEY: Known(deny)}))
    assert "kms:Decrypt on" in denied.message
    assert "an explicit deny in the key's policy" in denied.message


def test_the_policy_of_each_key_is_a_question() -> None:
    facts = with_policy(USE_KEY, key=KEY, resource_policies={})
    assert questions(facts) == [of_policy(KEY)]
    assert codes(with_policy(USE_KEY, key=KEY)) == []
    nobody = replace(facts, resource_policies={KEY: Known(document())})
    assert (the(nobody).type.code, "neither allows the role nor delegates" in the(nobody).message) == (
        "ActionBlocked",
        True,
    )
    assert codes(replace(facts, resource_policies={KEY: Unknown(DENIED)})) == ["NotInspected"]
    decrypt_only = document(allow("kms:Decrypt", "*", Principal={"AWS": ROLE}))
    blocked = the(replace(facts, resource_policies={KEY: Known(decrypt_only)}))
    assert ("kms:GenerateDataKey" in blocked.message, "kms:Decrypt" in blocked.message) == (True, False)
    assert "is blocked" in blocked.message


@pytest.mark.parametrize(
    ("denial", "expected", "words"),
    [
        (
            {"blocker": Blocker(BlockedBy.DENY, PolicyName(PolicyKind.ROLE, "guard"))},
            "ActionBlocked",
            'deny in "guard"',
        ),
        ({"blocker": Blocker(BlockedBy.DENY)}, "ActionBlocked", "deny in a policy of the role"),
        ({"blocker": Blocker(BlockedBy.BOUNDARY)}, "ActionBlocked", "the role's permissions boundary"),
        ({"blocker": Blocker(BlockedBy.BOUNDARY), "missing_keys": ("aws:x",)}, "AccessUndecided", "aws:x were missing"),
        ({"is_by_organization": True}, "AccessUndecided", "service control policy"),
        ({"failure": "InvalidInput"}, "AccessUndecided", "the policy simulator failed (InvalidInput)"),
        ({}, "ActionNotGranted", f"is not allowed {PUT}"),
    ],
)
def test_the_simulator_decides_what_a_condition_leaves_open(denial: dict[str, Any], expected: str, words: str) -> None:
    deny = allow(PUT, "*") | {"Effect": "Deny", "Condition": {"IpAddress": {"aws:SourceIp": "10.0.0.0/8"}}}
    facts = with_policy(deny)
    [simulation] = questions(facts)
    assert isinstance(simulation, Simulation)
    assert (simulation.role_arn, simulation.actions, simulation.resources) == (ROLE, (PUT,), (SECRET,))
    assert simulation.calls.context["lambda:SourceFunctionArn"] == FUNCTION
    assert codes(replace(facts, simulations=(Simulated(simulation, Known(())),))) == []
    assert codes(replace(facts, simulations=(Simulated(simulation, STOPPED),))) == []
    assert codes(replace(facts, simulations=(Simulated(simulation, Unknown(DENIED)),))) == ["NotInspected"]
    answered = Simulated(simulation, Known((Denial((PUT,), (SECRET,), **denial),)))
    decided = replace(facts, simulations=(answered,), resource_policies={SECRET: Known({})})
    assert (the(decided).type.code, words in the(decided).message) == (expected, True)


@pytest.mark.parametrize("denial", [{"blocker": Blocker(BlockedBy.DENY, GUARD)}, {}])
def test_actions_that_the_simulator_decides_alike_are_one_finding(denial: dict[str, Any]) -> None:
    """Each of its results is about one action."""
    deny = allow("*", SECRET) | {"Effect": "Deny", "Condition": {"DateGreaterThan": {"aws:CurrentTime": "2030-01-01"}}}
    facts = with_policy(deny)
    [simulation] = questions(facts)
    assert isinstance(simulation, Simulation)
    results = tuple(Denial((action,), (SECRET,), **denial) for action in simulation.actions)
    answered = Simulated(simulation, Known(results))
    found = the(replace(facts, simulations=(answered,), resource_policies={SECRET: Known({})}))
    assert all(action in found.message for action in ROTATE)


def test_network_interfaces_belong_to_no_secret() -> None:
    facts = audit_facts.role(function(in_vpc=True))
    finding = the(facts)
    assert (finding.type.code, finding.subject) == ("NetworkInterfacesNotGranted", ("", FUNCTION, ROLE, ""))
    assert "DetachNetworkInterface" not in finding.message


DENY_ALL = {"Effect": "Deny", "Resource": "*"}


@pytest.mark.parametrize(
    ("statements", "boundary", "words"),
    [
        # It is missing, denied, or outside the boundary.
        ((GUIDE[0],), None, ["is not allowed secretsmanager:GetRandomPassword on *", "--adopt DIR"]),
        ((*GUIDE, DENY_ALL | {"Action": RANDOM}), None, [f"{RANDOM} on * is blocked", "Narrow this deny"]),
        (GUIDE, document(allow(ROTATE, "*")), ["the role's permissions boundary", "policy/boundary"]),
        ((GUIDE[0],), document(allow(ROTATE, "*")), ["the role's permissions boundary"]),
    ],
)
def test_a_role_that_may_not_make_a_random_password_is_a_warning(
    statements: Any, boundary: Any, words: list[str]
) -> None:
    finding = the(audit_facts.role(role=policies(*statements, boundary=boundary)))
    assert (finding.type.code, finding.severity.value) == ("RandomPasswordNotGranted", "warning")
    assert finding.remediation.startswith(f"If the code of {FUNCTION} calls GetRandomPassword: ")
    assert [part for part in words if part not in f"{finding.message} {finding.remediation}"] == []


@pytest.mark.parametrize(
    ("statements", "boundary", "words"),
    [
        (GUIDE, None, ["is not allowed ec2:CreateNetworkInterface, ec2:DeleteNetworkInterface and", "--adopt DIR"]),
        ((*GUIDE, allow("ec2:*", "*"), DENY_ALL | {"Action": "ec2:*"}), None, ["are blocked", "Narrow this deny"]),
        ((*GUIDE, allow("ec2:*", "*")), document(allow("secretsmanager:*", "*")), ["permissions boundary"]),
    ],
)
@pytest.mark.parametrize(
    ("state", "code"), [("Active", ""), ("Inactive", "Idle"), ("Pending", "Creating"), ("Failed", "InvalidSubnet")]
)
def test_a_role_that_may_not_manage_interfaces_is_a_warning_that_says_when_they_are_needed(
    statements: Any, boundary: Any, words: list[str], state: str, code: str
) -> None:
    facts = audit_facts.role(in_state(state, code, in_vpc=True), role=policies(*statements, boundary=boundary))
    [finding] = [each for each in found(facts) if each.type.code.startswith(("NetworkInterfacesNot", "Action"))]
    assert (finding.type.code, finding.severity.value) == ("NetworkInterfacesNotGranted", "warning")
    assert "Lambda needs the actions when it creates an interface again" in finding.message
    assert [part for part in words if part not in f"{finding.message} {finding.remediation}"] == []


def test_what_a_role_lacks_for_interfaces_is_one_finding_although_each_action_has_its_resource() -> None:
    subnets = allow("ec2:CreateNetworkInterface", f"arn:aws:ec2:{REGION}:{ACCOUNT}:subnet/*")
    finding = the(audit_facts.role(function(in_vpc=True), role=policies(*GUIDE, subnets)))
    assert finding.type.code == "NetworkInterfacesNotGranted"
    for action in ("Create", "Delete", "Describe"):
        assert f"ec2:{action}NetworkInterface" in finding.message


def test_if_lambda_reports_the_missing_permissions_there_is_no_other_finding_about_them() -> None:
    failed_function = in_state("Failed", "InsufficientRolePermissions", in_vpc=True)
    assert codes(audit_facts.role(failed_function)) == ["FunctionNotActive"]


# --- excess and drift ---


def test_a_grant_on_an_incomplete_arn_says_what_it_should_be() -> None:
    facts = with_policy(allow(GET, [SECRET[:-7], SUPERUSER[:-16] + "x"]))
    known, unknown = (each for each in found(facts) if each.type is FindingType.INCOMPLETE_ARN)
    assert "which matches no secret, because the ARN of a secret ends in a hyphen and six random" in known.message
    assert f"replace the resource by {SECRET}." in known.remediation
    assert f"replace the resource by {SUPERUSER[:-16]}x-??????." in unknown.remediation


def test_a_wildcard_says_what_the_boundary_leaves_and_how_to_end_it() -> None:
    other = SECRET.replace("prod/db", "prod/db-2")
    wide = policies(*GUIDE, allow(GET, f"{SECRET[:-6]}*"))
    finding = the(audit_facts.role(role=wide))
    assert finding.type is FindingType.OTHER_SECRETS
    assert finding.remediation.endswith(f"you can end its resource in -??????: {SECRET[:-6]}??????.")
    limited = policies(*GUIDE, allow(GET, "*"), boundary=document(*GUIDE, allow(GET, other)))
    finding = the(audit_facts.role(role=limited))
    assert finding.message.endswith(f"; within the conditions, the permissions boundary and the denials: {other}.")


@pytest.mark.parametrize(
    ("members", "expected"),
    [
        ({}, ["UnneededGrant"]),
        # Another function needs the key perhaps.
        ({"other_secrets": (secret(SECRET.replace("db", "other")).listed,)}, []),
        ({"regions": frozenset({"us-east-1"})}, []),
    ],
)
def test_a_key_is_not_needed_only_if_all_secrets_are_known(members: dict[str, Any], expected: list[str]) -> None:
    assert codes(with_policy(USE_KEY, **members)) == expected


def test_a_key_is_perhaps_needed_by_a_secret_that_was_not_inspected() -> None:
    unknown = replace(secret(), state=Unknown(DENIED))
    facts = audit_facts.role(function(unknown), role=policies(*GUIDE, USE_KEY))
    assert codes(facts) == ["NotInspected"]


@pytest.mark.parametrize(
    ("sharing", "in_vpc", "expected"),
    [
        ({FUNCTION}, False, ["UnneededGrant"]),
        ({FUNCTION}, True, ["NetworkInterfacesOpenToCode"]),
        # Whether the other function is in a VPC is not known, and no resource denies it the interfaces.
        ({FUNCTION, f"{FUNCTION}-2"}, False, ["SharedRole"]),
        ({FUNCTION, f"{FUNCTION}-2"}, True, ["SharedRole", "NetworkInterfacesOpenToCode"]),
    ],
)
def test_network_interfaces_are_needed_if_a_function_of_the_role_is_in_a_vpc(
    sharing: set[str], in_vpc: bool, expected: list[str]
) -> None:
    facts = audit_facts.role(
        function(in_vpc=in_vpc), role=policies(*GUIDE, allow("ec2:*", "*")), sharing=frozenset(sharing)
    )
    assert codes(facts) == expected


def test_a_key_of_another_function_s_secret_needs_the_context_too() -> None:
    other = SECRET.replace("prod/db", "other")
    other_secret = replace(secret(other).listed, description={"ARN": other, "Name": "other", "KmsKeyId": KEY})
    facts = with_policy(allow("kms:Decrypt", KEY), other_secrets=(other_secret,))
    assert codes(facts) == ["KmsWithoutEncryptionContext"]
    without_key = replace(secret(other).listed, description={"ARN": other, "Name": "other"})
    assert codes(with_policy(allow("kms:Decrypt", KEY), other_secrets=(without_key,))) == []


def test_nothing_is_called_unneeded_if_not_all_functions_are_known() -> None:
    other = allow(ROTATE, SECRET.replace("prod/db", "other"))
    more = allow(ROTATE, SECRET.replace("prod/db", "more"))
    assert codes(with_policy(other, more, allow("ec2:*", "*"))) == ["UnneededGrant"] * 3
    assert codes(with_policy(other, more, allow("ec2:Describe*", "*"), are_functions_known=False)) == []
    assert codes(with_policy(allow("ec2:*", "*"), are_functions_known=False)) == []


def test_a_wildcard_is_as_broad_as_the_boundary_of_the_role() -> None:
    wildcard = allow(ROTATE, "*")
    assert codes(audit_facts.role(role=policies(*GUIDE, wildcard))) == ["OtherSecrets"]
    boundary = document(allow("secretsmanager:*", SECRET), allow("secretsmanager:GetRandomPassword", "*"))
    assert codes(audit_facts.role(role=policies(*GUIDE, wildcard, boundary=boundary))) == []


def test_a_function_whose_secrets_are_not_known_must_be_kept_from_network_interfaces_too() -> None:
    deny = {"Effect": "Deny", "Action": "ec2:*", "Resource": "*"}
    keep = deny | {"Condition": {"ArnEquals": {"lambda:SourceFunctionArn": FUNCTION}}}
    unknown = function(replace(secret(), state=STOPPED), in_vpc=True)
    assert codes(audit_facts.role(unknown, role=policies(*GUIDE, allow("ec2:*", "*"), keep))) == []
    assert codes(audit_facts.role(unknown, role=policies(*GUIDE, allow("ec2:*", "*")))) == [
        "NetworkInterfacesOpenToCode"
    ]


def test_the_key_of_the_environment_is_needed() -> None:
    sound = function()
    assert isinstance(sound.details, Known)
    details = Known(replace(sound.details.value, environment_key=EnvironmentKey(KEY)))
    facts = audit_facts.role(replace(sound, details=details), role=policies(*GUIDE, allow("kms:Decrypt", KEY)))
    assert codes(facts) == []


@pytest.mark.parametrize(("profile", "kms_scope"), [("Strict", "Key"), ("Strict", "Secret"), ("Documented", "Key")])
def test_a_policy_of_the_provider_is_outdated_if_it_would_be_written_differently(profile: str, kms_scope: str) -> None:
    [state] = [coverage.state(audit_facts.role()) for coverage in coverages(audit_facts.role())]
    assert state
    written = policy.document(state, profile, kms_scope)
    current = audit_facts.role(role=replace(policies(), inline={OWN: written}))
    assert codes(current) == (["PolicyWidened"] if profile == "Documented" else [])
    [rotation] = audit_role(current, NOW).rotations
    assert rotation.policy_name == OWN
    assert rotation.declared_in == ("database", "DatabaseRotationPolicy")
    # The page compares the policy with these.
    assert (rotation.statements == written["Statement"]) is (profile == "Strict")
    edited = written | {"Statement": [*written["Statement"], allow("s3:*", "*")]}
    widened = the(audit_facts.role(role=replace(policies(), inline={OWN: edited})))
    assert (widened.type.code, widened.subject.role_arn) == ("PolicyWidened", ROLE)
    assert any("s3:*" in line for line in widened.difference if line.startswith("-"))
    # Without the state of all of its secrets, the whole documents are not compared.
    unknown = function(replace(secret(), state=STOPPED))
    outdated = written | {"Statement": [*written["Statement"][:1], allow("ec2:CreateNetworkInterface", SECRET)]}
    assert "PolicyDrift" not in codes(audit_facts.role(unknown, role=replace(policies(), inline={OWN: outdated})))


@pytest.mark.parametrize(("hours", "is_drift"), [(0, False), (2, True)])
def test_the_network_statements_of_a_function_that_left_its_vpc_are_no_drift_for_an_hour(
    hours: int, is_drift: bool
) -> None:
    [state] = [coverage.state(audit_facts.role()) for coverage in coverages(audit_facts.role())]
    assert state
    sound = function()
    assert isinstance(sound.details, Known)
    modified = replace(sound.details.value.function, last_modified=NOW - timedelta(hours=hours))
    left = replace(sound, details=Known(replace(sound.details.value, function=modified)))
    in_vpc = policy.document(replace(state, in_vpc=True))
    facts = audit_facts.role(left, role=replace(policies(), inline={OWN: in_vpc}))
    assert codes(facts) == (["PolicyDrift"] if is_drift else [])


def test_a_policy_for_any_key_is_no_grant_on_all_keys() -> None:
    keyed = secret(key=KEY)
    facts = audit_facts.role(function(keyed))
    [state] = [coverage.state(facts) for coverage in coverages(facts)]
    assert state
    document = policy.document(state, "Strict", "Secret")
    assert "key/*" in str(document)
    role = replace(policies(), inline={OWN: document})
    key_policy: dict[str, Any] = {KEY: Known({"Statement": [allow("kms:*", "*") | {"Principal": {"AWS": ACCOUNT}}]})}
    assert codes(audit_facts.role(function(keyed), role=role, resource_policies=key_policy)) == []


# --- facts ---


def test_facts_are_written_as_json() -> None:
    facts: RoleFacts | FunctionFacts
    simulation = Simulation(ROLE, (PUT,), (SECRET,), (("aws:SecureTransport", True),), frozenset({"b", "a"}))
    blocker = Blocker(BlockedBy.DENY, PolicyName(PolicyKind.INLINE, "x"))
    denials = (Denial((PUT,), (SECRET,), blocker),)
    facts = audit_facts.role(
        simulations=(Simulated(simulation, Known(denials)),), superusers={SUPERUSER: STOPPED, SECRET: Unknown(DENIED)}
    )
    data = to_json(facts)
    assert data["functions"][0]["secrets"][0]["listed"]["last_rotated"] == "2026-03-12T09:26:53+00:00"
    assert data["simulations"][0]["simulation"]["absent_keys"] == ["a", "b"]
    assert data["simulations"][0]["denials"]["value"][0]["blocker"][0] == "DENY"
    assert data["superusers"][SECRET]["problem"]["action"] == "iam:GetRole"
    assert to_json(function())["function_id"] == FUNCTION


def test_secret_facts_have_the_arn_of_the_secret() -> None:
    facts: SecretFacts = secret()
    assert facts.arn == SECRET
