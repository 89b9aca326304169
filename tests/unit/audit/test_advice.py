"""Somebody follows the advice of the report to the letter, and no rotation breaks.

Each case is a role that is sound, as people write them, and what its function really calls. The advice is followed in
its order: adopt, then what the findings say, until nothing is left to do. After each step, an evaluator that this
project did not write finds all calls of the function allowed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from rotation_role_policy.audit.finding_types import Severity
from rotation_role_policy.audit.findings import Finding
from rotation_role_policy.audit.messages.excess import _EXCESS
from rotation_role_policy_cli.template.file import load
from tests.support.account import ACCOUNT, LOGICAL_ID, REGION, STACK_ID
from tests.support.audit_account import AuditAccount, Rotation, Statement, allow, use_key, write_templates
from tests.support.iam import decision

GET, RANDOM = "secretsmanager:GetSecretValue", "secretsmanager:GetRandomPassword"
ROTATE = [
    f"secretsmanager:{action}"
    for action in ("DescribeSecret", "GetSecretValue", "PutSecretValue", "UpdateSecretVersionStage")
]
EVERY_SECRET = f"arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:*"
CACHE_USER = f"arn:aws:elasticache:{REGION}:{ACCOUNT}:user:app"
CACHE_ACTIONS = ["elasticache:DescribeUsers", "elasticache:ModifyUser"]
DIRECTORY = f"arn:aws:ds:{REGION}:{ACCOUNT}:directory/d-0123456789"
LOGS = allow(["logs:CreateLogGroup", "logs:CreateLogStream", "logs:PutLogEvents"], "*")
INTERFACES = [
    f"ec2:{action}NetworkInterface{plural}"
    for action, plural in (("Create", ""), ("Delete", ""), ("Describe", "s"), ("Detach", ""))
]
ADVISED = ("OtherSecrets", "KmsAllKeys", "KmsWithoutEncryptionContext", "UnneededGrant", "RedundantGrant")
_MOST_STEPS = 30
_GRANT = re.compile(
    r"(?:[Tt]he statement \"[^\"]*\" in )?[Tt]he (inline policy \"(?P<inline>[^\"]+)\"|managed policy (?P<managed>\S+))"
    r" of the role \S+ allows (?P<actions>.+?) on (?P<resource>(\* but )?\S+), (?P<why>.+)\."
)
_REPEATED = re.compile(
    r"(All statements|The statement \"[^\"]*\"|Statement \d+) in the"
    r" (inline policy \"(?P<inline>[^\"]+)\"|managed policy (?P<managed>\S+))"
    r" of the role \S+ \((?P<actions>.+) on (?P<resource>.+)\) grants? nothing beyond"
)


@dataclass
class Case:
    """A role, and what only its owner knows about the function."""

    audited: AuditAccount
    rotation: Rotation
    key: str = ""
    superuser: str = ""
    superuser_key: str = ""
    targets: tuple[tuple[str, str], ...] = ()
    """Actions and resources of targets that the function calls."""
    target_arns: tuple[str, ...] = ()
    """What `TargetArns` has to name for these calls; by default their resources."""
    keytabs: tuple[str, ...] = ()
    """Secrets that the function rotates with its own."""
    protected: str = ""
    """A secret with the tag of the own secrets that the role must not read."""
    in_vpc: bool = False
    properties: dict[str, Any] = field(default_factory=dict)
    """Of the adopted resource."""

    @property
    def role_name(self) -> str:
        """The name of the role."""
        return self.rotation.role.rpartition("/")[2]

    def calls(self) -> Iterator[tuple[str, str, dict[str, str]]]:
        """Yield the calls of the function: action, resource and context."""
        yield from ((action, secret, {}) for secret in (self.rotation.secret, *self.keytabs) for action in ROTATE)
        yield RANDOM, "*", {}
        via = {"kms:ViaService": f"secretsmanager.{REGION}.amazonaws.com"}
        if self.key:
            context = via | {"kms:EncryptionContext:SecretARN": self.rotation.secret}
            yield from ((action, self.key, context) for action in ("kms:Decrypt", "kms:GenerateDataKey"))
        if self.superuser:
            yield GET, self.superuser, {}
        if self.superuser_key:
            yield "kms:Decrypt", self.superuser_key, via | {"kms:EncryptionContext:SecretARN": self.superuser}
        yield from ((action, resource, {}) for action, resource in self.targets)
        if self.in_vpc:
            yield from ((action, "*", {}) for action in INTERFACES)

    def documents(self) -> list[Any]:
        """Return all policies of the role."""
        iam = self.audited.account.client("iam")
        attached = iam.list_attached_role_policies(RoleName=self.role_name)["AttachedPolicies"]
        managed = []
        for each in attached:
            version = iam.get_policy(PolicyArn=each["PolicyArn"])["Policy"]["DefaultVersionId"]
            found = iam.get_policy_version(PolicyArn=each["PolicyArn"], VersionId=version)
            managed.append(found["PolicyVersion"]["Document"])
        return [*self.audited.account.policies(self.role_name).values(), *managed]

    def check(self, step: str) -> None:
        """Check that the role may make all calls of the function."""
        facts = {
            "secretsmanager:resource/AllowRotationLambdaArn": self.rotation.function,
            "aws:ResourceTag/team": "db",
        }
        for action, resource, context in self.calls():
            known = context if resource == self.superuser else context | facts
            if resource == self.superuser:
                known = context | {"aws:ResourceTag/team": "db"}
            found = decision(self.documents(), action, resource, known)
            assert found == "Allow", f"{step}: {action} on {resource} is {found}"
        if self.protected:
            found = decision(self.documents(), GET, self.protected, {"aws:ResourceTag/team": "db"})
            assert found != "Allow", f"{step}: the protected secret can be read"


# --- to follow the advice ---


def follow(case: Case, path: Path) -> list[str]:
    """Follow the advice of the report until nothing is left to do, and return the codes of what could not be done."""
    case.check("before")
    adopted = write_templates(case.audited.audit(), path / "adopt")
    if adopted:
        [resource] = load(adopted[0])["Resources"].values()
        case.properties = {name: value for name, value in resource["Properties"].items() if name != "ServiceToken"}
        case.audited.account.deploy(**case.properties)
        case.check("adopted")
    for _ in range(_MOST_STEPS):
        report = case.audited.audit()
        assert not report.totals[Severity.ERROR], [each.message for each in report.findings]
        assert report.is_complete
        todo = [each for each in report.findings if each.type.code in ADVISED]
        if not any(step(case, each) for each in todo):
            return [each.type.code for each in report.findings]
    raise AssertionError("the advice does not end")


def step(case: Case, finding: Finding) -> bool:
    """Do what the finding says, and check the role. Return whether something was changed."""
    advice = finding.remediation
    if (
        "superuser secret" in advice
        and "first" in advice
        and case.superuser
        and not case.properties.get("SuperuserSecretId")
    ):
        update(case, SuperuserSecretId=case.superuser)
        return True
    if "add it to SecretIds" in advice and case.keytabs and "SecretIds" not in case.properties:
        del case.properties["SecretId"]
        update(case, SecretIds=[case.rotation.secret, *case.keytabs])
        return True
    if "set TargetArns first" in advice and case.targets and not case.properties.get("TargetArns"):
        update(case, TargetArns=list(case.target_arns or dict.fromkeys(each for _, each in case.targets)))
        return True
    if "Put the denials of the policy into another policy" in advice:
        denials = [each for one in case.documents() for each in one["Statement"] if each["Effect"] == "Deny"]
        case.audited.put_policy(case.rotation.role, *denials, name="denials")
    if "grant them first" in advice and not any("logs:PutLogEvents" in str(each) for each in case.documents()[:-1]):
        case.audited.put_policy(case.rotation.role, LOGS, name="log")
    if "audit --adopt" in advice or "Send an Update" in advice or advice.startswith("Do not remove"):
        raise AssertionError(advice)
    if replacement := re.search(r"Replace it: allow (.+) in its place\.", advice):
        statements = [
            allow(re.split(r", | and ", actions), resource)
            for actions, resource in re.findall(r"(\S+:.+?) on (\S+?)(?: and |$)", replacement[1])
        ]
        case.audited.put_policy(case.rotation.role, *statements, name=f"replaced-{len(case.documents())}")
    remove(case, finding)
    case.check(f"{finding.type.code}: {finding.message} {advice}")
    return True


def update(case: Case, **properties: Any) -> None:
    """Change properties of the adopted resource, and deploy its stack."""
    account = case.audited.account
    case.properties |= properties
    stack = account.cloudformation.stacks[STACK_ID]
    physical_id = stack.resources[LOGICAL_ID]["PhysicalResourceId"]
    assert account.update(physical_id, **case.properties)["Status"] == "SUCCESS"
    account.cloudformation.set_resource(STACK_ID, LOGICAL_ID, "UPDATE_COMPLETE", physical_id, case.properties)
    account.cloudformation.set_status(STACK_ID, "UPDATE_COMPLETE")
    case.check(f"update {properties}")


def remove(case: Case, finding: Finding) -> None:
    """Remove the grant of a finding: detach a managed policy, or take the grant out of an inline policy."""
    iam = case.audited.account.client("iam")
    grant = _REPEATED.match(finding.message) or _GRANT.match(finding.message)
    assert grant, finding.message
    if grant["managed"]:
        assert f"detach-role-policy --role-name {case.role_name} --policy-arn {grant['managed']}" in finding.remediation
        iam.detach_role_policy(RoleName=case.role_name, PolicyArn=grant["managed"])
        return
    assert "then remove the grant from it" in finding.remediation
    document = case.audited.account.policies(case.role_name)[grant["inline"]]
    actions, resources = set(grant["actions"].split(", ")), set(grant["resource"].split(", "))
    if finding.type.code != "RedundantGrant":
        assert any(words in grant["why"] for words in _EXCESS.values())
    statements = [rest for each in document["Statement"] for rest in without(each, actions, resources)]
    assert statements != document["Statement"], finding.message
    if statements:
        case.audited.put_policy(case.rotation.role, *statements, name=grant["inline"])
    else:
        iam.delete_role_policy(RoleName=case.role_name, PolicyName=grant["inline"])


def without(statement: Statement, actions: set[str], resources: set[str]) -> list[Statement]:
    """Return what is left of a statement without some actions on some resources."""
    if statement["Effect"] != "Allow":
        return [statement]
    if "NotAction" in statement or "NotResource" in statement:
        # Of these, the finding is about the whole statement.
        found = (f"all but {statement.get('NotAction')}", f"* but {statement.get('NotResource')}")
        is_found = found[0] in actions or found[1] in resources
        return [] if is_found else [statement]
    own_actions, own_resources = (
        each if isinstance(each, list) else [each] for each in (statement["Action"], statement["Resource"])
    )
    if not actions <= set(own_actions) or not resources <= set(own_resources):
        return [statement]
    parts = [
        (own_actions, [each for each in own_resources if each not in resources]),
        ([each for each in own_actions if each not in actions], sorted(resources)),
    ]
    return [{**statement, "Action": some, "Resource": on} for some, on in parts if some and on]


# --- cases ---


def plain(audited: AuditAccount, *statements: Statement, **members: Any) -> Case:
    """Return a case of a role that has these statements alone. ``SECRET`` and ``KEY`` stand for secret and key."""
    key = audited.account.key() if members.pop("with_key", False) else ""
    vpc = bool(members.pop("vpc", False))
    rotation = audited.rotation(key=key, vpc=vpc)
    text = json.dumps(statements).replace("SECRET", rotation.secret).replace("KEY", key)
    text = text.replace("REPLICAS", rotation.secret.replace(REGION, "*"))
    audited.account.client("iam").delete_role_policy(RoleName="role-db", PolicyName="rotation-db")
    audited.put_policy(rotation.role, *json.loads(text.replace("FUNCTION", rotation.function)), name="old")
    return Case(audited, rotation, key=key, in_vpc=vpc, **members)


def with_superuser(audited: AuditAccount, name: str, *statements: Statement, **members: Any) -> Case:
    """Return a case with a superuser secret. ``SUPERUSER`` stands for it, ``PATTERN`` for its ARN with ``??????``."""
    key = audited.account.key() if members.pop("superuser_has_key", False) else ""
    superuser = audited.account.secret(name, key=key or None)
    text = json.dumps(statements).replace("SUPERUSERKEY", key).replace("SUPERUSER", superuser)
    found = json.loads(text.replace("PATTERN", f"{superuser[:-6]}??????"))
    return plain(audited, *found, superuser=superuser, superuser_key=key, **members)


def with_managed(case: Case, *statements: Statement) -> Case:
    """Return a case with a managed policy in place of the policy ``old``."""
    text = json.dumps(statements).replace("SUPERUSER", case.superuser).replace("SECRET", case.rotation.secret)
    case.audited.account.client("iam").delete_role_policy(RoleName=case.role_name, PolicyName="old")
    case.audited.managed_policy("rotation", *json.loads(text.replace("KEY", case.key)), roles=[case.rotation.role])
    return case


def with_keytabs(audited: AuditAccount, *statements: Statement) -> Case:
    """Return a case with two secrets that the function rotates with its own. ``KEYTABS`` stands for them."""
    keytabs = [audited.account.secret(f"ad/keytab{number}") for number in (1, 2)]
    text = json.dumps(statements).replace('"KEYTABS"', json.dumps(keytabs))
    targets = tuple((action, DIRECTORY) for action in ("ds:ResetUserPassword",))
    return plain(audited, *json.loads(text), keytabs=tuple(keytabs), targets=targets)


def with_protected(audited: AuditAccount) -> Case:
    """Return a case with a managed policy whose Deny keeps a tag from opening another secret."""
    by_tag = allow(GET, EVERY_SECRET, Condition={"StringEquals": {"aws:ResourceTag/team": "db"}})
    protected = EVERY_SECRET[:-1] + "prod/payment-AbCdEf"
    case = plain(audited, *GUIDE, by_tag, protected=protected)
    deny = allow("secretsmanager:*", EVERY_SECRET[:-1] + "prod/*") | {"Effect": "Deny"}
    audited.managed_policy("team", allow(GET, EVERY_SECRET), deny, roles=[case.rotation.role])
    return case


GUIDE = (allow(ROTATE, "SECRET"), allow(RANDOM, "*"))
OWN_FUNCTION = {"StringEquals": {"secretsmanager:resource/AllowRotationLambdaArn": "FUNCTION"}}
KEY_ACTIONS = ["kms:Decrypt", "kms:GenerateDataKey"]

REPLICA = f"arn:aws:rds:{REGION}:{ACCOUNT}:db:replica"
CLUSTER = f"arn:aws:redshift:{REGION}:{ACCOUNT}:cluster:warehouse"


def redshift(audited: AuditAccount, *statements: Statement) -> Case:
    """Return a case of AWS's alternating-users function for Redshift, which always describes its superuser secret."""
    case = with_superuser(audited, "su", *statements, target_arns=(CLUSTER,))
    case.targets = (("secretsmanager:DescribeSecret", case.superuser),)
    return case


CASES: dict[str, Callable[[AuditAccount], Case]] = {
    "the user guide": lambda account: plain(account, *GUIDE),
    "the user guide with a superuser": lambda account: with_superuser(account, "su", *GUIDE, allow(GET, "SUPERUSER")),
    "the four actions on the superuser too": lambda account: with_superuser(
        account, "su", allow(ROTATE, ["SECRET", "SUPERUSER"]), GUIDE[1]
    ),
    "everything on the secret": lambda account: plain(account, allow("secretsmanager:*", "SECRET"), GUIDE[1]),
    "everything on secret and superuser": lambda account: with_superuser(
        account, "su", allow("secretsmanager:*", ["SECRET", "SUPERUSER"]), GUIDE[1]
    ),
    "everything on the key": lambda account: plain(account, *GUIDE, allow("kms:*", "KEY"), with_key=True),
    "the key without a context": lambda account: plain(account, *GUIDE, allow(KEY_ACTIONS, "KEY"), with_key=True),
    "the key for Secrets Manager": lambda account: plain(
        account,
        *GUIDE,
        allow(
            KEY_ACTIONS,
            "KEY",
            Condition={"StringEquals": {"kms:ViaService": f"secretsmanager.{REGION}.amazonaws.com"}},
        ),
        with_key=True,
    ),
    "all keys": lambda account: plain(account, *GUIDE, allow(KEY_ACTIONS, "*"), with_key=True),
    "all secrets": lambda account: plain(account, allow(ROTATE, EVERY_SECRET), GUIDE[1]),
    "all secrets, one of them the superuser": lambda account: with_superuser(
        account, "su", allow(ROTATE, EVERY_SECRET), GUIDE[1]
    ),
    "all secrets and keys, one of them the superuser's": lambda account: with_superuser(
        account,
        "su",
        allow("secretsmanager:*", "*"),
        allow("kms:*", "*"),
        with_key=True,
        superuser_has_key=True,
    ),
    "everything": lambda account: plain(account, allow("*", "*"), with_key=True),
    "everything but IAM, with a superuser": lambda account: with_superuser(
        account, "su", {"Effect": "Allow", "NotAction": "iam:*", "Resource": "*"}
    ),
    "everything but a bucket, with a superuser": lambda account: with_superuser(
        account, "su", {"Effect": "Allow", "Action": "*", "NotResource": "arn:aws:s3:::x"}
    ),
    "two patterns, the superuser by the second": lambda account: with_superuser(
        account, "su", *GUIDE, allow(GET, EVERY_SECRET[:-1] + "prod/*"), allow(GET, EVERY_SECRET[:-1] + "s*")
    ),
    "the secret and its replicas": lambda account: plain(
        account, allow(ROTATE, "REPLICAS"), GUIDE[1], allow("secretsmanager:RotateSecret", "SECRET")
    ),
    "everything, with a superuser and a target": lambda account: with_superuser(
        account, "su", allow("*", "*"), targets=tuple((action, CACHE_USER) for action in CACHE_ACTIONS)
    ),
    "a superuser whose name ends like an ARN": lambda account: with_superuser(
        account, "prod/mysql-master", *GUIDE, allow(GET, "PATTERN")
    ),
    "a superuser with a key": lambda account: with_superuser(
        account, "su", *GUIDE, allow(GET, "SUPERUSER"), allow("kms:Decrypt", "SUPERUSERKEY"), superuser_has_key=True
    ),
    "one superuser of two candidates": lambda account: with_superuser(
        account, "su", *GUIDE, allow(GET, ["SUPERUSER", account.account.secret("other")])
    ),
    "a superuser under a condition": lambda account: with_superuser(
        account, "su", *GUIDE, allow(GET, "SUPERUSER", Condition={"StringEquals": {"aws:ResourceTag/team": "db"}})
    ),
    "AWS's published policy": lambda account: plain(
        account, allow(ROTATE, EVERY_SECRET, Condition=OWN_FUNCTION), GUIDE[1]
    ),
    "AWS's published policy with a superuser": lambda account: with_superuser(
        account, "su", allow(ROTATE, EVERY_SECRET, Condition=OWN_FUNCTION), GUIDE[1], allow(GET, "SUPERUSER")
    ),
    "a VPC": lambda account: plain(account, *GUIDE, allow("ec2:*", "*"), vpc=True),
    "interfaces without a VPC": lambda account: plain(account, *GUIDE, allow(INTERFACES, "*")),
    "a target": lambda account: plain(
        account,
        *GUIDE,
        allow(CACHE_ACTIONS, CACHE_USER),
        targets=tuple((action, CACHE_USER) for action in CACHE_ACTIONS),
    ),
    "no target: only to describe it": lambda account: plain(account, *GUIDE, allow("ds:Describe*", DIRECTORY)),
    "a managed policy for everything": lambda account: with_managed(
        with_superuser(account, "su", *GUIDE, targets=(("rds:DescribeDBInstances", REPLICA),)),
        allow(ROTATE, ["SECRET", "SUPERUSER"]),
        GUIDE[1],
        allow("rds:DescribeDBInstances", "*"),
        LOGS,
    ),
    "a managed policy for everything, and two candidates": lambda account: with_managed(
        with_superuser(account, "su", *GUIDE, targets=tuple((action, CACHE_USER) for action in CACHE_ACTIONS)),
        allow("secretsmanager:*", "SECRET"),
        allow(GET, ["SUPERUSER", account.account.secret("other")]),
        GUIDE[1],
        allow(CACHE_ACTIONS, "*"),
        LOGS,
    ),
    "a managed policy with everything on the key": lambda account: with_managed(
        plain(account, *GUIDE, with_key=True, targets=(("rds:DescribeDBInstances", REPLICA),)),
        *GUIDE,
        allow("kms:*", "KEY"),
        allow("rds:DescribeDBInstances", "*"),
    ),
    "a managed policy for the secret alone": lambda account: with_managed(
        plain(account, *GUIDE), allow("secretsmanager:*", "SECRET"), GUIDE[1]
    ),
    "a managed policy that protects a secret": with_protected,
    "another secret, and the superuser by a pattern": lambda account: with_superuser(
        account,
        "prod/master",
        *GUIDE,
        allow(GET, account.account.secret("webhook")),
        allow(GET, EVERY_SECRET[:-1] + "prod/*"),
    ),
    "another secret, and the superuser and its key by patterns": lambda account: with_superuser(
        account,
        "prod/master",
        *GUIDE,
        allow(GET, account.account.secret("webhook")),
        allow(GET, EVERY_SECRET[:-1] + "prod/master-*"),
        allow("kms:Decrypt", "SUPERUSERKEY"),
        superuser_has_key=True,
    ),
    "Redshift": lambda account: redshift(account, *GUIDE, allow([GET, "secretsmanager:DescribeSecret"], "SUPERUSER")),
    "Redshift, with everything on both secrets": lambda account: redshift(
        account, allow("secretsmanager:*", ["SECRET", "SUPERUSER"]), GUIDE[1]
    ),
    "Redshift, with more than reading": lambda account: redshift(
        account, *GUIDE, allow([GET, "secretsmanager:Describe*", "secretsmanager:DeleteSecret"], "SUPERUSER")
    ),
    "Redshift, with everything": lambda account: redshift(account, allow("secretsmanager:*", "*")),
    "keytabs": lambda account: with_keytabs(
        account, *GUIDE, allow(ROTATE, "KEYTABS"), allow("ds:ResetUserPassword", "*")
    ),
    "keytabs by a pattern": lambda account: with_keytabs(
        account, allow(ROTATE, EVERY_SECRET), GUIDE[1], allow("ds:*", DIRECTORY)
    ),
    "a secret of nobody": lambda account: plain(account, *GUIDE, allow(GET, account.account.secret("left-over"))),
}


@pytest.mark.parametrize("name", CASES)
def test_whoever_follows_the_advice_breaks_no_rotation_and_ends_without_a_finding(
    audited: AuditAccount, tmp_path: Path, name: str
) -> None:
    assert follow(CASES[name](audited), tmp_path) == []


@pytest.mark.parametrize("name", CASES)
def test_a_grant_that_is_replaced_at_once_breaks_no_rotation(audited: AuditAccount, name: str) -> None:
    """Without a resource, before anything is adopted."""
    case = CASES[name](audited)
    case.check("before")
    for _ in range(_MOST_STEPS):
        report = audited.audit()
        replaced = [each for each in report.findings if "Replace it" in each.remediation]
        if not replaced:
            return
        step(case, replaced[0])
    raise AssertionError("the advice does not end")


def test_an_outdated_policy_of_the_resource_is_updated_first(audited: AuditAccount, tmp_path: Path) -> None:
    """The secret has a new key, which only the old policy allows."""
    case = plain(audited, *GUIDE, allow("kms:*", "*"), with_key=True)
    case.properties = {"SecretId": case.rotation.secret, "RotationLambdaARN": case.rotation.function}
    audited.account.deploy(**case.properties)
    case.key = audited.account.key()
    audited.account.client("secretsmanager").update_secret(SecretId="db", KmsKeyId=case.key)
    report = audited.audit()
    [found] = [each for each in report.findings if each.type.code == "KmsAllKeys"]
    update_first = f'Send an Update to the resource "{LOGICAL_ID}" of the stack "database"'
    assert found.remediation.index(update_first) < found.remediation.index("remove the grant")
    update(case)
    assert follow(case, tmp_path) == []


@pytest.mark.parametrize(
    ("name", "superuser", "targets"),
    [
        ("the user guide with a superuser", True, None),
        ("a superuser whose name ends like an ARN", True, None),
        ("a superuser with a key", True, None),
        ("AWS's published policy with a superuser", True, None),
        ("a target", False, [CACHE_USER]),
        # What the role may not do today, or only under a condition, is not invented.
        ("no target: only to describe it", False, None),
        ("a superuser under a condition", False, None),
        # The function can rotate a secret that it may write, as it does with the keytabs of a directory.
        ("the four actions on the superuser too", False, None),
        ("one superuser of two candidates", False, None),
        ("all secrets, one of them the superuser", False, None),
    ],
)
def test_adoption_grants_nothing_that_the_role_may_not_do_today(
    audited: AuditAccount, tmp_path: Path, name: str, superuser: bool, targets: list[str] | None
) -> None:
    case = CASES[name](audited)
    [file] = write_templates(audited.audit(), tmp_path / "adopt")
    [resource] = load(file)["Resources"].values()
    properties = resource["Properties"]
    assert properties.get("SuperuserSecretId") == (case.superuser if superuser else None)
    assert properties.get("TargetArns") == targets


def test_a_superuser_secret_that_the_role_cannot_decrypt_is_not_adopted(audited: AuditAccount, tmp_path: Path) -> None:
    with_superuser(audited, "su", *GUIDE, allow(GET, "SUPERUSER"), superuser_has_key=True)
    [file] = write_templates(audited.audit(), tmp_path / "adopt")
    [resource] = load(file)["Resources"].values()
    assert "SuperuserSecretId" not in resource["Properties"]
    assert "it may not make all calls on it" in " ".join(file.read_text(encoding="utf-8").replace("#", "").split())


def test_a_managed_policy_is_detached_only_when_all_else_is_granted(audited: AuditAccount, tmp_path: Path) -> None:
    """As AWS's SecretsManagerReadWrite: the rotation, its superuser secret and its log live from it."""
    superuser = audited.account.secret("su")
    case = plain(audited, use_key("arn:aws:kms:x", "SECRET"), superuser=superuser)
    audited.managed_policy("ReadWrite", allow("secretsmanager:*", "*"), LOGS, roles=[case.rotation.role])
    assert follow(case, tmp_path) == []
    assert case.properties["SuperuserSecretId"] == superuser
    assert "logs:PutLogEvents" in str(case.documents())
