"""Each request in `events/`: the response, and the policies on the roles afterwards."""

import json
from dataclasses import dataclass
from typing import Any

import pytest

from tests import ROOT
from tests.support.account import Account

EVENTS = ROOT / "events"
OWN_POLICY = "OrdersRotationPolicy-381c2d916b3a"
ROLE, SUCCESSOR = "orders-rotation", "orders-rotation-2"


@dataclass
class Expected:
    """The outcome of an event in an account where the events `before` were served first."""

    physical_id: str
    sids: dict[str, list[str]]
    """The Sids of the resource's policy, by role. Roles without the policy are omitted."""
    before: tuple[str, ...] = ()
    status: str = "SUCCESS"


ROTATE = ["RotateSecret", "GeneratePassword"]
OWN_ID = f"{ROLE}/{OWN_POLICY}"
EXPECTED = {
    "create": Expected(OWN_ID, {ROLE: ROTATE}),
    "create-customer-managed-key": Expected(OWN_ID, {ROLE: [*ROTATE, "UseSecretKey"]}),
    "create-alternating-users": Expected(OWN_ID, {ROLE: [*ROTATE, "ReadSuperuserSecret", "UseSuperuserKey"]}),
    "create-several-secrets": Expected(OWN_ID, {ROLE: [*ROTATE, "UseSecretKey"]}),
    "create-with-vpc-config": Expected(
        OWN_ID, {ROLE: [*ROTATE, "ManageNetworkInterfaces", "KeepNetworkInterfacesFromCode"]}
    ),
    "create-wrong-role": Expected("uncreated-OrdersRotationPolicy", {}, status="FAILED"),
    "update-in-place": Expected(OWN_ID, {ROLE: [*ROTATE, "UseSecretKey"]}, before=("create",)),
    "update-role": Expected(f"{SUCCESSOR}/{OWN_POLICY}", {ROLE: ROTATE, SUCCESSOR: ROTATE}, before=("create",)),
    "update-role-rolled-back": Expected(OWN_ID, {ROLE: ROTATE, SUCCESSOR: ROTATE}, before=("create", "update-role")),
    "delete": Expected(OWN_ID, {}, before=("create",)),
    "delete-replaced": Expected(OWN_ID, {SUCCESSOR: ROTATE}, before=("create", "update-role")),
    "delete-failed-create": Expected("uncreated-OrdersRotationPolicy", {}, before=("create-wrong-role",)),
    "delete-cancelled-create": Expected("orders-OrdersRotationPolicy-1K5QW0G7Y2Z8X", {}, before=("create",)),
    "delete-missing-role": Expected(f"deleted-role/{OWN_POLICY}", {}),
}


def event(name: str, account: Account) -> dict[str, Any]:
    """Return the request in a file. The response goes to this account."""
    request: dict[str, Any] = json.loads((EVENTS / f"{name}.json").read_text())
    return request | {"ResponseURL": account.responses.url}


@pytest.fixture
def orders(account: Account) -> Account:
    """Return the account that the events refer to."""
    account.secret("prod/orders")
    account.secret("prod/payments", account.key())
    account.secret("prod/superuser", account.key())
    account.function(account.role(ROLE), "rotate-orders")
    account.function(account.role(SUCCESSOR, "/rotation/"), "rotate-orders-2")
    return account


def test_each_event_file_has_an_expected_outcome() -> None:
    assert {path.stem for path in EVENTS.glob("*.json")} == set(EXPECTED)


@pytest.mark.parametrize("name", EXPECTED)
def test_an_event_has_the_expected_response_and_policies(orders: Account, name: str) -> None:
    expected = EXPECTED[name]
    for earlier in expected.before:
        orders.send(event(earlier, orders))

    response = orders.send(event(name, orders))

    assert response["Status"] == expected.status, response["Reason"]
    assert response["PhysicalResourceId"] == expected.physical_id
    sids = {
        role: [statement.get("Sid", "") for statement in document["Statement"]]
        for role in (ROLE, SUCCESSOR)
        for policy, document in orders.policies(role).items()
        if policy == OWN_POLICY
    }
    assert sids == expected.sids


@pytest.mark.parametrize("name", EXPECTED)
def test_an_event_that_is_delivered_twice_has_the_same_response_and_policies(orders: Account, name: str) -> None:
    for earlier in EXPECTED[name].before:
        orders.send(event(earlier, orders))
    first = orders.send(event(name, orders))
    state = {role: orders.policies(role) for role in (ROLE, SUCCESSOR)}

    assert orders.send(event(name, orders)) == first
    assert {role: orders.policies(role) for role in (ROLE, SUCCESSOR)} == state
    assert not {"iam:PutRolePolicy"} & set(orders.actions())
