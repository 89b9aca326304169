"""The summary of an existing policy document, from which a rollback derives attributes."""

from itertools import product
from typing import Any

import pytest

from rotation_role_policy.rules.policy import DocumentSummary, document, summarize
from rotation_role_policy.rules.state import Role, Secret, State

ARN = "arn:aws:{}:eu-central-1:123456789012:{}"
SECRETS = [
    Secret(ARN.format("secretsmanager", f"secret:{name}-AbCdEf"), key and ARN.format("kms", f"key/{key}"))
    for name, key in (("plain", None), ("first", "1"), ("second", "2"), ("third", "1"))
]
SECRETS.append(
    Secret(
        ARN.format("secretsmanager", "secret:re-keyed-AbCdEf"),
        ARN.format("kms", "key/3"),
        earlier_key_arns=(ARN.format("kms", "key/1"), ARN.format("kms", "key/0")),
    )
)
SUPERUSER = Secret(
    ARN.format("secretsmanager", "secret:superuser-AbCdEf"),
    ARN.format("kms", "key/superuser"),
    earlier_key_arns=(ARN.format("kms", "key/earlier"),),
)


@pytest.mark.parametrize(
    ("secrets", "superuser", "in_vpc", "profile"),
    list(
        product(
            [SECRETS[:1], SECRETS[1:2], SECRETS[1:3], SECRETS[4:], SECRETS],
            [None, SUPERUSER],
            [True, False],
            ["Strict", "Documented"],
        )
    ),
)
def test_a_document_is_summarized_as_the_state_that_it_was_built_from(
    secrets: list[Secret], superuser: Secret | None, in_vpc: bool, profile: str
) -> None:
    state = State(
        secrets=tuple(secrets),
        superuser_secret=superuser,
        role=Role("role", "arn:aws:iam::123456789012:role/role"),
        function_arn=ARN.format("lambda", "function:rotate"),
        in_vpc=in_vpc,
        dns_suffix="amazonaws.com",
    )
    expected = DocumentSummary([secret.arn for secret in secrets], list(state.key_arns), in_vpc)
    assert summarize(document(state, profile)) == expected


A, B, ANY_KEY = (ARN.format("kms", f"key/{name}") for name in "ab*")
EMPTY = DocumentSummary([], [], False)


@pytest.mark.parametrize(
    ("edited", "expected"),
    [
        (None, EMPTY),
        ({}, EMPTY),
        ({"Statement": []}, EMPTY),
        ({"Statement": {}}, EMPTY),
        ({"Statement": [{"Effect": "Allow", "NotAction": "x", "NotResource": "y"}]}, EMPTY),
        ({"Statement": {"Action": "kms:Decrypt", "Resource": "key"}}, DocumentSummary(["key"], [], False)),
        (
            {"Statement": [{"Resource": "secret"}, {"Action": ["kms:Decrypt"], "Resource": [B, A, B, ANY_KEY]}]},
            DocumentSummary(["secret"], [B, A], False),
        ),
        (
            {"Statement": [{"Resource": "secret"}, {"Action": "ec2:CreateNetworkInterface"}]},
            DocumentSummary(["secret"], [], True),
        ),
    ],
)
def test_an_edited_document_is_summarized_as_far_as_possible(
    edited: dict[str, Any] | None, expected: DocumentSummary
) -> None:
    assert summarize(edited) == expected
