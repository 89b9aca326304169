"""Whether a function's policy lets Secrets Manager invoke it, as a table of statements."""

from typing import Any

import pytest

from rotation_role_policy.audit import invocation
from rotation_role_policy.audit.invocation import statements_without_source

ACCOUNT = "123456789012"
SECRET = f"arn:aws:secretsmanager:eu-central-1:{ACCOUNT}:secret:prod/db-AbCdEf"
OTHER_SECRET = f"arn:aws:secretsmanager:eu-central-1:{ACCOUNT}:secret:prod/other-AbCdEf"
FUNCTION = f"arn:aws:lambda:eu-central-1:{ACCOUNT}:function:rotate-db"


def permission(**members: Any) -> dict[str, Any]:
    """Return the statement of AddPermission without a source."""
    return {
        "Sid": "SecretsManagerAccess",
        "Effect": "Allow",
        "Principal": {"Service": "secretsmanager.amazonaws.com"},
        "Action": "lambda:InvokeFunction",
        "Resource": FUNCTION,
    } | members


def for_secret(pattern: str, operator: str = "ArnLike") -> dict[str, Any]:
    return {"Condition": {operator: {"AWS:SourceArn": pattern}}}


FOR_ACCOUNT = {"Condition": {"StringEquals": {"AWS:SourceAccount": ACCOUNT}}}


def may_invoke(*statements: Any, function: str = FUNCTION, secret: str = SECRET) -> bool:
    """Return whether a policy with these statements lets Secrets Manager invoke the function for the secret."""
    document = {"Version": "2012-10-17", "Id": "default", "Statement": list(statements)}
    return invocation.may_invoke(document, function, secret)


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        (permission(), True),
        (permission(**FOR_ACCOUNT), True),
        (permission(**for_secret(SECRET)), True),
        (permission(**for_secret(SECRET, "StringEquals")), True),
        (permission(**for_secret(SECRET[:-6] + "??????")), True),
        (permission(**for_secret(f"arn:aws:secretsmanager:*:{ACCOUNT}:secret:prod/*")), True),
        (permission(Action=["lambda:GetFunction", "lambda:InvokeFunction"]), True),
        (permission(Action="lambda:*"), True),
        (permission(Resource="*"), True),
        (permission(Principal={"Service": ["events.amazonaws.com", "secretsmanager.amazonaws.com"]}), True),
        (permission(Principal="*", **FOR_ACCOUNT), True),
        (permission(Principal={"AWS": "*"}, **FOR_ACCOUNT), True),
        # What cannot be evaluated is no finding.
        (permission(Condition={"StringEquals": {"aws:SourceOrgID": "o-1"}}), True),
        (permission(**for_secret(OTHER_SECRET)), False),
        (permission(**for_secret(SECRET[:-7])), False),
        (permission(Condition={"StringEquals": {"AWS:SourceAccount": "999999999999"}}), False),
        (permission(Action="lambda:GetFunction"), False),
        (permission(Resource=f"{FUNCTION}-2"), False),
        # An alias has a policy of its own.
        (permission(Resource=f"{FUNCTION}:live"), False),
        (permission(Principal={"Service": "events.amazonaws.com"}), False),
        (permission(Principal={"AWS": f"arn:aws:iam::{ACCOUNT}:root"}), False),
        (permission(Principal={"AWS": ACCOUNT}), False),
        (permission(Effect="Deny"), False),
    ],
)
def test_a_statement_lets_secrets_manager_invoke_the_function_for_a_secret(
    statement: dict[str, Any], expected: bool
) -> None:
    assert may_invoke(statement) is expected
    # A single statement needs no list.
    assert invocation.may_invoke({"Statement": statement}, FUNCTION, SECRET) is expected


def test_a_policy_without_statements_lets_nobody_invoke_the_function() -> None:
    assert may_invoke() is False
    assert invocation.may_invoke({}, FUNCTION, SECRET) is False


def test_a_deny_counts_if_it_concerns_secrets_manager() -> None:
    assert may_invoke(permission(), permission(Effect="Deny", **for_secret(SECRET))) is False
    assert may_invoke(permission(), permission(Effect="Deny", **for_secret(OTHER_SECRET))) is True
    assert may_invoke(permission(), permission(Effect="Deny", Principal={"Service": "s3.amazonaws.com"})) is True
    assert may_invoke(permission(), permission(Effect="Deny", Principal="*")) is False


def test_the_policy_of_an_alias_or_a_version_names_it() -> None:
    for qualifier in ("live", "7"):
        statement = permission(Resource=f"{FUNCTION}:{qualifier}", **for_secret(SECRET))
        assert may_invoke(statement, function=f"{FUNCTION}:{qualifier}") is True
        assert may_invoke(statement) is False


def test_the_policy_of_the_function_is_also_that_of_its_latest_version() -> None:
    assert may_invoke(permission(), function=f"{FUNCTION}:$LATEST") is True


def test_the_service_has_the_same_name_in_china() -> None:
    secret, function = (text.replace("arn:aws:", "arn:aws-cn:") for text in (SECRET, FUNCTION))
    statement = permission(Resource=function, **for_secret(secret))
    assert may_invoke(statement, function=function, secret=secret) is True


@pytest.mark.parametrize(
    ("statement", "is_open"),
    [
        (permission(), True),
        (permission(Action="lambda:*"), True),
        (permission(Principal="*"), True),
        (permission(Condition={"StringEquals": {"aws:PrincipalTag/team": "data"}}), True),
        (permission(**FOR_ACCOUNT), False),
        (permission(**for_secret(SECRET)), False),
        (permission(Condition={"StringEquals": {"aws:SourceOrgID": "o-1"}}), False),
        (permission(Condition={"ForAnyValue:StringLike": {"aws:SourceOrgPaths": ["o-1/r-1/*"]}}), False),
        (permission(Effect="Deny"), False),
        (permission(Principal={"Service": "events.amazonaws.com"}), False),
        (permission(Principal={"AWS": f"arn:aws:iam::{ACCOUNT}:root"}), False),
        (permission(Action="lambda:GetFunction"), False),
    ],
)
def test_a_statement_without_a_source_is_open_to_other_accounts(statement: dict[str, Any], is_open: bool) -> None:
    assert list(statements_without_source({"Statement": [statement]}, FUNCTION)) == (
        ["SecretsManagerAccess"] if is_open else []
    )


def test_a_statement_without_a_sid_is_reported_too() -> None:
    statement = {name: value for name, value in permission().items() if name != "Sid"}
    assert list(statements_without_source({"Statement": statement}, FUNCTION)) == [""]


def test_a_statement_for_the_url_of_the_function_concerns_nobody_here() -> None:
    url = permission(Principal="*", Condition={"Bool": {"lambda:InvokedViaFunctionUrl": "true"}})
    assert not may_invoke(url)
    assert list(statements_without_source({"Statement": [url, permission(**FOR_ACCOUNT)]}, FUNCTION)) == []


@pytest.mark.parametrize(
    ("condition", "is_open"),
    [
        ({"StringNotEquals": {"aws:SourceAccount": "999999999999"}}, True),
        ({"Null": {"aws:SourceAccount": "false"}}, True),
        ({"StringLike": {"aws:SourceAccount": "*"}}, True),
        ({"ArnLike": {"aws:SourceArn": "arn:aws:secretsmanager:*:*:secret:*"}}, True),
        ({"StringLikeIfExists": {"aws:SourceOrgID": "o-1"}}, True),
        ({"StringLike": {"aws:SourceOrgID": "*"}}, True),
        ({"StringLike": {"aws:SourceOrgID": "o-*"}}, True),
        ({"ForAnyValue:StringLike": {"aws:SourceOrgPaths": "o-*/*"}}, True),
        ({"ForAnyValue:StringLike": {"aws:SourceOrgPaths": "o-1a2b3c4d5e/*"}}, False),
        # Whether its star spans colons is not known, but it names no account.
        ({"ArnLike": {"aws:SourceArn": "arn:aws:secretsmanager:*"}}, True),
        ({"StringLike": {"aws:SourceArn": "arn:aws:secretsmanager:*"}}, True),
        # Whether this excludes other accounts is not known.
        ({"StringEquals": {"aws:SourceAccount": "${aws:PrincipalAccount}"}}, False),
        # Secrets Manager always names the secret and its account.
        ({"StringEqualsIfExists": {"aws:SourceAccount": ACCOUNT}}, False),
        ({"ArnLike": {"aws:SourceArn": f"arn:aws:secretsmanager:*:{ACCOUNT}:*"}}, False),
        ({"ArnLike": {"aws:SourceArn": f"arn:aws:secretsmanager:eu-central-1:{ACCOUNT}:secret:prod/*"}}, False),
        ({"ArnLike": {"aws:SourceArn": ["arn:aws:secretsmanager:us-east-1:*:secret:prod/*"]}}, False),
        # Everybody can give a secret this name.
        ({"ArnLike": {"aws:SourceArn": "arn:aws:secretsmanager:eu-central-1:*:secret:prod/*"}}, True),
        ({"ArnLike": {"aws:SourceArn": [SECRET, "arn:aws:secretsmanager:*:*:secret:db-??????"]}}, True),
        ({"StringLike": {"aws:SourceArn": "arn:aws:secretsmanager:*:secret:db*"}}, True),
        ({"StringLike": {"aws:SourceArn": "*:secret:prod/*/db-*"}}, True),
        ({"StringEquals": {"aws:SourceAccount": ACCOUNT}, "ArnLike": {"aws:SourceArn": "*:secret:db*"}}, False),
        # Calls that do not come from the function's URL.
        ({"Null": {"lambda:FunctionUrlAuthType": "true"}}, True),
        ({"Bool": {"lambda:InvokedViaFunctionUrl": "false"}}, True),
        ({"Null": {"lambda:FunctionUrlAuthType": "false"}}, False),
    ],
)
def test_only_a_condition_that_excludes_other_accounts_is_a_source(condition: dict[str, Any], is_open: bool) -> None:
    statement = permission(Condition=condition)
    assert list(statements_without_source({"Statement": statement}, FUNCTION)) == (
        ["SecretsManagerAccess"] if is_open else []
    )


@pytest.mark.parametrize(
    "condition",
    [
        {"Bool": {"lambda:InvokedViaFunctionUrl": "false"}},
        {"Null": {"lambda:InvokedViaFunctionUrl": "true"}},
        {"Null": {"lambda:FunctionUrlAuthType": "true"}},
        {"StringNotEquals": {"Lambda:FunctionURLAuthType": "NONE"}},
    ],
)
def test_a_statement_for_all_but_the_url_lets_secrets_manager_invoke_the_function(condition: dict[str, Any]) -> None:
    assert may_invoke(permission(Condition={**condition, "StringLike": {"aws:SourceAccount": ACCOUNT}}))


@pytest.mark.parametrize("key", ["lambda:FunctionUrlAuthType", "lambda:InvokedViaFunctionUrl"])
def test_a_statement_for_the_url_is_known_by_its_context_key(key: str) -> None:
    url = permission(Principal="*", Condition={"StringEquals": {key: "NONE"}})
    assert list(statements_without_source({"Statement": url}, FUNCTION)) == []


def test_a_deny_for_another_service_is_no_source() -> None:
    deny = permission(Effect="Deny", Principal={"Service": "s3.amazonaws.com"})
    assert list(statements_without_source({"Statement": [permission(), deny]}, FUNCTION)) == ["SecretsManagerAccess"]


def test_a_deny_for_other_accounts_is_a_source_too() -> None:
    deny = permission(Effect="Deny", Condition={"StringNotEquals": {"aws:SourceAccount": ACCOUNT}})
    assert list(statements_without_source({"Statement": [permission(), deny]}, FUNCTION)) == []


def test_a_deny_for_some_names_is_no_source() -> None:
    for name, expected in (("x-*", ["SecretsManagerAccess"]), ("*", [])):
        deny = permission(Effect="Deny", **for_secret(f"arn:aws:secretsmanager:*:*:secret:{name}"))
        assert list(statements_without_source({"Statement": [permission(), deny]}, FUNCTION)) == expected
