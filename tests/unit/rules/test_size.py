"""The size of policies, and what the properties alone show."""

import json
from typing import Any

import pytest

from rotation_role_policy.errors import RequestError
from rotation_role_policy.rules import policy
from rotation_role_policy.rules.properties import parse_properties
from rotation_role_policy.rules.size import ROLE_LIMIT, check_document, size, smallest_state
from rotation_role_policy.rules.state import Role, Secret, State
from tests.support.account import ACCOUNT, PLACE, REGION

PREFIX = f"arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:"


def smallest_arns(*secret_ids: str) -> list[str]:
    """Return the secrets of the smallest state for these IDs."""
    return [secret.arn for secret in smallest_state(parse_properties({"SecretIds": list(secret_ids)}), PLACE).secrets]


def test_ids_that_can_name_one_secret_count_once_with_the_shortest_arn() -> None:
    assert smallest_arns("a") == [f"{PREFIX}a-000000"]
    assert smallest_arns("a", f"{PREFIX}a-AbCdEf") == [f"{PREFIX}a-000000"]
    assert smallest_arns("a", f"{PREFIX}a", f"{PREFIX}a-AbCdEf") == [f"{PREFIX}a"]
    assert len(smallest_arns("a", "b", f"{PREFIX}c")) == 3
    master = f"{PREFIX}db-master"
    assert smallest_arns("db-master", f"{master}-AbCdEf", master) == [master]
    # Too few secrets are no fault: the state is a lower bound.
    assert len(smallest_arns("prod/mysql-master", "prod/mysql")) == 1
    # The shortest, not the first in the alphabet.
    assert smallest_arns(f"{PREFIX}db-AbCdEf", "db-AAAAAA") == [f"{PREFIX}db-AbCdEf"]


def test_the_smallest_state_has_only_what_the_properties_show() -> None:
    target = f"arn:aws:rds:{REGION}:{ACCOUNT}:db:x"
    state = smallest_state(parse_properties({"SecretId": "a", "TargetArns": [target]}), PLACE)
    assert state == State(
        (Secret(f"{PREFIX}a-000000", None),),
        None,
        Role("r", f"arn:aws:iam::{ACCOUNT}:role/r"),
        "",
        in_vpc=False,
        dns_suffix="amazonaws.com",
        target_arns=(target,),
    )


def test_a_declared_vpc_and_the_superuser_secret_count() -> None:
    properties: dict[str, Any] = {"SecretId": "a", "RoleName": "r", "VpcConfig": {"SubnetIds": ["s"]}}
    state = smallest_state(parse_properties(properties | {"SuperuserSecretId": "s"}), PLACE)
    assert state.in_vpc
    assert state.superuser_secret
    assert not smallest_state(parse_properties({"SecretId": "a"}), PLACE).in_vpc


@pytest.mark.parametrize("room", [0, 1, -1])
def test_a_document_must_fit_a_role(room: int) -> None:
    properties = parse_properties({"SecretIds": ["a", "b"], "TargetArns": [f"arn:aws:rds:{REGION}:{ACCOUNT}:db:x"]})
    document = policy.document(smallest_state(properties, PLACE))
    document["Id"] = ""
    document["Id"] = "x" * (ROLE_LIMIT - size(document) - room)
    if room >= 0:
        check_document(properties, document)
        return
    with pytest.raises(RequestError) as refused:
        check_document(properties, document)
    assert str(refused.value) == (
        "SecretIds and TargetArns: the policy for 2 and 1 values would have at least 10,241 characters, and IAM allows"
        " 10,240 for all inline policies of a role. Distribute the values over several functions with a role and a"
        " resource each."
    )
    assert refused.value.error_code == "ServiceLimitExceeded"


def test_the_message_names_each_list() -> None:
    targets = [f"arn:aws:rds:{REGION}:{ACCOUNT}:db:{number}" for number in range(3)]
    properties = parse_properties({"SecretIds": ["a", "b"], "TargetArns": targets})
    with pytest.raises(RequestError, match=r"^SecretIds and TargetArns: the policy for 2 and 3 values"):
        check_document(properties, {"Id": "x" * ROLE_LIMIT})


def test_white_space_does_not_count() -> None:
    assert size({"ü": "é"}) == len('{"ü":"é"}')
    assert size({"a": "b  c"}) == len(json.dumps({"a": "bc"}, separators=(",", ":")))
