"""The keys of a secret's versions, in every combination of labels, keys and states of keys."""

import itertools
from collections.abc import Iterator
from typing import Any

import pytest

from rotation_role_policy.errors import ErrorCode, RequestError
from rotation_role_policy.lookup.resource import inspect
from rotation_role_policy.rules.properties import parse_properties
from rotation_role_policy.rules.state import KeyProblem, Role, Secret, State
from rotation_role_policy.rules.warnings import WarningKind, warnings_of
from rotation_role_policy_cli import messages as cli_messages
from tests.support.account import ACCOUNT, PLACE, REGION, Account, AlteredAws, WatchedAws, error

DEFAULT = "DefaultEncryptionKey"
CURRENT, OLD, OLDER, AWS_MANAGED = (
    f"arn:aws:kms:{REGION}:{ACCOUNT}:key/{name}" for name in ("current", "old", "older", "of-aws")
)
OLD_ALIAS = "alias/old"
LABELS = ("AWSCURRENT", "AWSPENDING", "AWSPREVIOUS")
LABEL_SETS = [
    *itertools.chain.from_iterable(itertools.combinations(LABELS, size) for size in range(4)),
    ("custom",),
    ("AWSPREVIOUS", "custom"),
]
STATES = ("Enabled", "Updating", "Disabled", "PendingDeletion", "PendingImport", "Unavailable", "missing", "denied")
USABLE = ("Enabled", "Updating", "denied")
"""If DescribeKey is denied, a full ARN is used as it is."""


@pytest.fixture(scope="module")
def account(shared_account: Account) -> Account:
    """Return an account with a rotation function and two secrets."""
    shared_account.function(shared_account.role("rotation"), "rotate")
    for name in ("db", "superuser"):
        shared_account.secret(name)
    return shared_account


def inspected(
    account: Account, key_id: str | None, versions: list[dict[str, Any]], states: dict[str, str], name: str = "db"
) -> Secret:
    """Return the state of the secret `name`, whose key, versions and states of keys are given."""

    def describe_secret(response: dict[str, Any]) -> dict[str, Any]:
        return response | ({"KmsKeyId": key_id} if key_id and response["Name"] == name else {})

    def describe_key(parameters: dict[str, Any]) -> dict[str, Any]:
        key_arn = parameters["KeyId"]
        key_arn = OLD if key_arn.endswith(OLD_ALIAS) else key_arn
        state = states.get(key_arn, "Enabled")
        if state in ("missing", "denied"):
            raise error("NotFoundException" if state == "missing" else "AccessDeniedException")
        manager = "AWS" if key_arn == AWS_MANAGED else "CUSTOMER"
        return {"KeyMetadata": {"Arn": key_arn, "KeyManager": manager, "KeyState": state}}

    def list_versions(parameters: dict[str, Any]) -> dict[str, Any]:
        return {"Versions": versions if f":secret:{name}-" in parameters["SecretId"] else []}

    account.calls.clear()
    account.api_responses["kms:DescribeKey"] = describe_key
    account.api_responses["secretsmanager:ListSecretVersionIds"] = list_versions
    properties = {"SecretId": "db", "SuperuserSecretId": "superuser", "RotationLambdaARN": "rotate"}
    state = inspect(AlteredAws(account, DescribeSecret=describe_secret), parse_properties(properties), PLACE)
    [secret] = [secret for secret in state.all_secrets if f":secret:{name}-" in secret.arn]
    return secret


def version(labels: tuple[str, ...], *key_ids: str) -> dict[str, Any]:
    return {"VersionId": "11111111-2222-3333-4444-555555555555", "VersionStages": [*labels], "KmsKeyIds": [*key_ids]}


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("labels", LABEL_SETS, ids="+".join)
@pytest.mark.parametrize("key_id", [None, CURRENT])
@pytest.mark.parametrize("name", ["db", "superuser"])
def test_a_version_under_an_earlier_key_needs_this_key_if_the_function_reads_the_version(
    account: Account, name: str, key_id: str | None, labels: tuple[str, ...], state: str
) -> None:
    read = {label for label in labels if label in (LABELS if name == "db" else LABELS[:1])}

    def secret() -> Secret:
        return inspected(account, key_id, [version(labels, OLD)], {OLD: state}, name)

    if not read or state in USABLE:
        assert secret().earlier_key_arns == ((OLD,) if read else ())
    elif read == {"AWSPREVIOUS"}:
        assert secret().earlier_key_arns == (), "a rotation succeeds without AWSPREVIOUS"
    else:
        with pytest.raises(RequestError) as rejected:
            secret()
        assert rejected.value.error_code is ErrorCode.RESOURCE_CONFLICT
        reason = str(rejected.value)
        in_use = [label for label in labels if label in read]
        property_name = "SecretId" if name == "db" else "SuperuserSecretId"
        assert reason.startswith(
            f'{property_name} "{name}": the version with the label {" and ".join(in_use)} is encrypted with the KMS key'
            f' "{OLD}", which {"does not exist" if state == "missing" else f"is {state}, not Enabled"}. '
        )
        remedies = {
            "Disabled": "Enable the key",
            "PendingDeletion": "Cancel its deletion and enable it",
            "PendingImport": "Import the key material",
            "Unavailable": "Connect its key store",
        }
        assert state == "missing" or remedies[state] in reason
        # A version that is stored as AWSPENDING would count as an unfinished rotation.
        stored = "tore the secret's value again (aws secretsmanager put-secret-value)."
        removed = "--version-stage AWSPENDING --remove-from-version-id)."
        assert reason.endswith(stored if "AWSCURRENT" in in_use else removed)
    assert account.actions().count("kms:DescribeKey") == (1 if key_id else 0) + (1 if read else 0)


@pytest.mark.parametrize(
    ("key_id", "key_ids", "expected"),
    [
        (None, [], ()),
        (None, [DEFAULT], ()),
        (None, [OLD], (OLD,)),
        (None, [OLD_ALIAS], (OLD,)),
        (None, [AWS_MANAGED], ()),
        # Re-encrypted with the AWS managed key.
        (None, [OLD, DEFAULT], ()),
        (CURRENT, [], ()),
        (CURRENT, [CURRENT], ()),
        # Re-encrypted: each of the keys decrypts the version.
        (CURRENT, [OLD, CURRENT], ()),
        (CURRENT, [CURRENT, OLD], ()),
        (OLD_ALIAS, [OLD], ()),
        (OLD, [OLD_ALIAS], ()),
        # The AWS managed key needs no grant.
        (CURRENT, [DEFAULT], ()),
        (CURRENT, [DEFAULT, OLD], ()),
        (CURRENT, ["alias/aws/secretsmanager"], ()),
        (CURRENT, [OLD], (OLD,)),
        # Re-encrypted at an earlier change of the key, but not at the last one.
        (CURRENT, [OLDER, OLD], (OLDER, OLD)),
    ],
)
def test_a_version_needs_an_earlier_key_only_if_no_key_in_use_decrypts_it(
    account: Account, key_id: str | None, key_ids: list[str], expected: tuple[str, ...]
) -> None:
    secret = inspected(account, key_id, [version(("AWSCURRENT",), *key_ids)], {})
    assert secret.earlier_key_arns == expected


@pytest.mark.parametrize(("old", "older"), list(itertools.product(STATES, STATES)))
def test_of_several_earlier_keys_of_a_version_one_usable_key_is_enough(account: Account, old: str, older: str) -> None:
    versions = [version(("AWSCURRENT",), OLDER, OLD)]
    usable = tuple(key for key, state in ((OLDER, older), (OLD, old)) if state in USABLE)
    if usable:
        assert inspected(account, CURRENT, versions, {OLD: old, OLDER: older}).earlier_key_arns == usable
    else:
        with pytest.raises(RequestError, match=f'the KMS key "{OLDER}"'):
            inspected(account, CURRENT, versions, {OLD: old, OLDER: older})


@pytest.mark.parametrize("label", LABELS)
@pytest.mark.parametrize("key_ids", [("1111-2222", OLD), (OLD, "1111-2222")])
def test_a_key_that_cannot_be_described_does_not_matter_if_another_key_decrypts_the_version(
    account: Account, label: str, key_ids: tuple[str, ...]
) -> None:
    denied = {f"arn:aws:kms:{REGION}:{ACCOUNT}:key/1111-2222": "denied"}
    assert inspected(account, None, [version((label,), *key_ids)], denied).earlier_key_arns == (OLD,)
    assert inspected(account, OLD_ALIAS, [version((label,), *key_ids)], denied).earlier_key_arns == ()


@pytest.mark.parametrize(
    ("key_id", "state", "problem"),
    [
        (OLD, "Disabled", KeyProblem(OLD, "Disabled")),
        (OLD, "missing", KeyProblem(OLD)),
        (OLD_ALIAS, "denied", KeyProblem(OLD_ALIAS, denied="no")),
    ],
)
def test_the_state_says_that_awsprevious_cannot_be_decrypted(
    account: Account, caplog: pytest.LogCaptureFixture, key_id: str, state: str, problem: KeyProblem
) -> None:
    secret = inspected(account, None, [version(("AWSPREVIOUS",), key_id)], {OLD: state})
    assert secret.unreadable_previous == problem
    assert not caplog.records


@pytest.mark.parametrize("key_ids", [(OLD, "1111-2222"), ("1111-2222", OLD)])
def test_awsprevious_is_perhaps_readable_if_one_of_its_keys_cannot_be_described(
    account: Account, key_ids: tuple[str, str]
) -> None:
    states = {OLD: "Disabled", f"arn:aws:kms:{REGION}:{ACCOUNT}:key/1111-2222": "denied"}
    secret = inspected(account, None, [version(("AWSPREVIOUS",), *key_ids)], states)
    assert secret.unreadable_previous == KeyProblem("1111-2222", denied="no")
    [warning] = warnings_of(State((secret,), None, Role("r", "arn:aws:iam::1:role/r"), "", False, ""))
    assert warning.kind is WarningKind.PREVIOUS_NOT_DESCRIBED
    words = cli_messages.warning(warning)
    assert "known whether AWSPREVIOUS can be decrypted" in words
    assert "emove" not in words


@pytest.mark.parametrize(
    ("state", "code", "problem"),
    [
        ("missing", ErrorCode.NOT_FOUND, "does not exist. Encrypt the secret with an existing key"),
        ("Disabled", ErrorCode.RESOURCE_CONFLICT, "is Disabled, not Enabled. Enable the key"),
    ],
)
def test_the_secrets_own_key_must_be_usable(account: Account, state: str, code: ErrorCode, problem: str) -> None:
    with pytest.raises(RequestError) as rejected:
        inspected(account, CURRENT, [], {CURRENT: state})
    assert str(rejected.value).startswith(f'SecretId "db": the secret\'s KMS key "{CURRENT}" {problem}')
    assert rejected.value.error_code is code


def test_a_secret_without_a_version_and_a_version_without_labels_need_no_key(account: Account) -> None:
    assert inspected(account, CURRENT, [{"VersionId": "1", "KmsKeyIds": [OLD]}], {}).earlier_key_arns == ()
    account.api_responses["secretsmanager:ListSecretVersionIds"] = lambda _: {}
    properties = parse_properties({"SecretId": "db", "RotationLambdaARN": "rotate"})
    assert inspect(WatchedAws(account), properties, PLACE).secrets[0].earlier_key_arns == ()


def test_the_keys_of_all_versions_are_listed_once(account: Account) -> None:
    versions = [
        version(("AWSPREVIOUS",), OLDER),
        version(("AWSCURRENT",), OLD),
        version(("AWSPENDING",), OLD),
        version((), AWS_MANAGED),
    ]
    assert inspected(account, CURRENT, versions, {}).earlier_key_arns == (OLDER, OLD)
    assert account.actions().count("kms:DescribeKey") == 3


def test_an_empty_pending_version_needs_no_key(account: Account) -> None:
    """RotateSecret adds a version without a value, and so without a key, before the first step."""
    pending = {"VersionId": "11111111-2222-3333-4444-555555555555", "VersionStages": ["AWSPENDING"]}
    assert inspected(account, CURRENT, [pending], {}).earlier_key_arns == ()


@pytest.mark.parametrize("label", LABELS)
def test_an_earlier_key_without_a_full_arn_must_be_described_unless_only_previous_needs_it(
    account: Account, label: str
) -> None:
    account.faults["kms:DescribeKey"] = [error("AccessDeniedException")]
    if label == "AWSPREVIOUS":
        assert inspected(account, None, [version((label,), OLD_ALIAS)], {}).earlier_key_arns == ()
    else:
        with pytest.raises(RequestError, match="kms:DescribeKey failed with AccessDeniedException"):
            inspected(account, None, [version((label,), OLD_ALIAS)], {})


def test_all_pages_of_the_versions_are_read(account: Account) -> None:
    def pages(parameters: dict[str, Any]) -> dict[str, Any]:
        if "NextToken" not in parameters:
            return {"Versions": [version(("AWSPREVIOUS",), OLDER)], "NextToken": "second"}
        return {"Versions": [version(("AWSCURRENT",), OLD)]}

    inspected(account, None, [], {})
    account.api_responses["secretsmanager:ListSecretVersionIds"] = pages
    properties = parse_properties({"SecretId": "db", "RotationLambdaARN": "rotate"})
    assert inspect(WatchedAws(account), properties, PLACE).secrets[0].earlier_key_arns == (OLDER, OLD)


@pytest.fixture(autouse=True)
def reset(account: Account) -> Iterator[None]:
    """Remove the responses and faults of a test."""
    yield
    account.api_responses.clear()
    account.faults.clear()


@pytest.mark.parametrize(
    ("versions", "previous"),
    [
        ([("AWSPREVIOUS",)], (OLD,)),
        ([("AWSPREVIOUS",), ("AWSCURRENT",)], ()),
        ([("AWSPREVIOUS", "AWSPENDING")], ()),
        ([("AWSCURRENT",)], ()),
    ],
)
def test_a_key_that_only_awsprevious_needs_is_known(
    account: Account, versions: list[tuple[str, ...]], previous: tuple[str, ...]
) -> None:
    secret = inspected(account, CURRENT, [version(labels, OLD) for labels in versions], {})
    assert (secret.earlier_key_arns, secret.previous_key_arns) == ((OLD,), previous)
