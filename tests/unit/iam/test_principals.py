"""Whom a statement is about, as tables of principals."""

from typing import Any

import pytest

from rotation_role_policy.iam.document import parse
from rotation_role_policy.iam.principals import (
    can_assume,
    is_about_account,
    is_about_role,
    is_about_service,
    unique_ids,
)

ACCOUNT, ELSEWHERE = "123456789012", "999999999999"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/service-role/rotation"
SESSION = f"arn:aws:sts::{ACCOUNT}:assumed-role/rotation/rotate-db"


def about_role(statement: dict[str, Any], *, has_boundary: bool = False) -> bool | None:
    [parsed] = parse({"Statement": {"Effect": "Allow"} | statement})
    return is_about_role(parsed, ROLE, has_boundary=has_boundary, unique_id="")


@pytest.mark.parametrize(
    ("principal", "expected"),
    [
        ("*", True),
        ({"AWS": "*"}, True),
        ({"AWS": ROLE}, True),
        ({"AWS": ["arn:aws:iam::1:root", ROLE]}, True),
        # The name of a session is not known.
        ({"AWS": SESSION}, None),
        ({"AWS": SESSION.replace(ACCOUNT, ELSEWHERE)}, False),
        ({"AWS": SESSION.replace("rotation/", "rotation-2/")}, False),
        ({"AWS": SESSION.replace("arn:aws:", "arn:aws-cn:")}, False),
        ({"AWS": ROLE.replace(ACCOUNT, ELSEWHERE)}, False),
        # Without its path it is another role.
        ({"AWS": f"arn:aws:iam::{ACCOUNT}:role/rotation"}, False),
        # A role that was deleted. A new role with its name is another one.
        ({"AWS": "AROAEXAMPLEEXAMPLEEX"}, False),
        ({"Service": "lambda.amazonaws.com"}, False),
        ({"Federated": "cognito-identity.amazonaws.com"}, False),
        ({"CanonicalUser": "79a59df900b949e55d96a1e698fbacedfd6e09d98eacf8f8d5218e7cd47ef2be"}, False),
        ({}, False),
    ],
)
def test_a_principal_includes_the_role_or_not(principal: Any, expected: bool | None) -> None:
    for effect in ("Allow", "Deny"):
        assert about_role({"Effect": effect, "Principal": principal}) is expected


@pytest.mark.parametrize("account", [f"arn:aws:iam::{ACCOUNT}:root", ACCOUNT])
def test_a_deny_for_the_account_is_for_the_role_and_an_allow_delegates(account: str) -> None:
    assert about_role({"Effect": "Deny", "Principal": {"AWS": account}}) is True
    assert about_role({"Effect": "Allow", "Principal": {"AWS": account}}) is False


@pytest.mark.parametrize(
    ("excepted", "allowed", "denied", "denied_with_boundary"),
    [
        # The administrator is excepted, so the role is not.
        ({"AWS": f"arn:aws:iam::{ACCOUNT}:role/administrator"}, True, True, True),
        ({"AWS": SESSION.replace(ACCOUNT, ELSEWHERE)}, True, True, True),
        ({"AWS": "AROAEXAMPLEEXAMPLEEX"}, True, True, True),
        ({"Service": "lambda.amazonaws.com"}, True, True, True),
        ({"AWS": ROLE}, False, None, True),
        # Other sessions of the role are not excepted.
        ({"AWS": SESSION}, None, None, True),
        ({"AWS": ACCOUNT}, False, None, True),
        ({"AWS": [f"arn:aws:iam::{ACCOUNT}:root", ROLE, SESSION]}, False, None, True),
    ],
)
def test_not_principal_includes_everybody_else(
    excepted: Any, allowed: bool | None, denied: bool | None, denied_with_boundary: bool
) -> None:
    assert about_role({"NotPrincipal": excepted}) is allowed
    assert about_role({"Effect": "Deny", "NotPrincipal": excepted}) is denied
    assert about_role({"Effect": "Deny", "NotPrincipal": excepted}, has_boundary=True) is denied_with_boundary


OURS = "AROAEXAMPLEOURS"


@pytest.mark.parametrize(
    ("unique_id", "listed", "principal", "allow_not_principal", "deny_not_principal"),
    [
        (OURS, [OURS], True, False, None),
        (OURS, ["AROAEXAMPLEOTHER"], False, True, True),
        ("", [OURS], False, True, True),
        # Whether it is ours is not known.
        (None, [OURS], None, None, None),
        (None, [OURS, ROLE], True, False, None),
        (None, ["AIDAEXAMPLEUSER"], False, True, True),
        (None, [], False, True, True),
    ],
)
def test_a_role_can_be_named_by_its_unique_id(
    unique_id: str | None,
    listed: list[str],
    principal: bool | None,
    allow_not_principal: bool | None,
    deny_not_principal: bool | None,
) -> None:
    statements = [
        {"Effect": effect, element: {"AWS": listed}}
        for effect in ("Allow", "Deny")
        for element in ("Principal", "NotPrincipal")
    ]
    found = [
        is_about_role(statement, ROLE, has_boundary=False, unique_id=unique_id)
        for statement in parse({"Statement": statements})
    ]
    assert found == [principal, allow_not_principal, principal, deny_not_principal]


def test_the_unique_ids_of_roles_are_recognized() -> None:
    names = {"AWS": [OURS, ROLE, "AIDAEXAMPLEUSER", "AROAEXAMPLEOTHER"], "Service": "AROA.amazonaws.com"}
    for element in ("Principal", "NotPrincipal"):
        [statement] = parse({"Statement": {"Effect": "Deny", element: names}})
        assert unique_ids(statement) == [OURS, "AROAEXAMPLEOTHER"]
    for others in ({}, {"Principal": {"Service": "lambda.amazonaws.com"}}):
        [statement] = parse({"Statement": {"Effect": "Deny"} | others})
        assert unique_ids(statement) == []


def test_a_boundary_of_which_nothing_is_known_leaves_a_deny_open() -> None:
    [statement] = parse({"Statement": {"Effect": "Deny", "NotPrincipal": {"AWS": ROLE}}})
    assert is_about_role(statement, ROLE, has_boundary=None, unique_id="") is None


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        ({"Principal": {"AWS": ACCOUNT}}, True),
        ({"Principal": {"AWS": f"arn:aws:iam::{ACCOUNT}:root"}}, True),
        ({"Principal": {"AWS": ELSEWHERE}}, False),
        ({"Principal": {"AWS": ROLE}}, False),
        ({"NotPrincipal": {"AWS": ACCOUNT}}, False),
        ({"NotPrincipal": {"AWS": ROLE}}, False),
        ({}, False),
    ],
)
def test_the_account_delegates_only_if_it_is_named(statement: dict[str, Any], expected: bool) -> None:
    [parsed] = parse({"Statement": {"Effect": "Allow"} | statement})
    assert is_about_account(parsed, ROLE) is expected


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        ({"Principal": {"Service": "lambda.amazonaws.com"}}, True),
        ({"Principal": {"Service": ["ec2.amazonaws.com", "lambda.amazonaws.com"]}}, True),
        ({"Principal": "*"}, True),
        ({"Principal": {"AWS": "*"}}, True),
        ({"Principal": {"Service": "ec2.amazonaws.com"}}, False),
        ({"Principal": {"AWS": ROLE}}, False),
        ({"NotPrincipal": {"AWS": ROLE}}, True),
        ({"NotPrincipal": {"Service": "lambda.amazonaws.com"}}, False),
        ({}, False),
    ],
)
def test_a_service_is_a_principal(statement: dict[str, Any], expected: bool) -> None:
    document = {"Statement": {"Effect": "Allow", "Action": "sts:*"} | statement}
    [parsed] = parse(document)
    assert is_about_service(parsed, "lambda.amazonaws.com") is expected
    assert can_assume(parse(document), "lambda.amazonaws.com") is expected
    denied = {"Statement": {"Effect": "Deny", "Action": "sts:*"} | statement}
    assert not can_assume(parse(denied), "lambda.amazonaws.com")


def test_a_statement_without_a_principal_is_about_nobody_here() -> None:
    [statement] = parse({"Statement": {"Effect": "Deny", "Action": "*", "Resource": "*"}})
    assert is_about_role(statement, ROLE, has_boundary=False, unique_id="") is False
    assert is_about_account(statement, ROLE) is False
    assert is_about_service(statement, "lambda.amazonaws.com") is False
