"""An AWS account in moto, with what a rotation needs, and CloudFormation's requests to the provider."""

from __future__ import annotations

import io
import json
import os
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache, cached_property
from types import SimpleNamespace
from typing import Any, cast
from unittest import mock

import boto3
import botocore.session
from botocore.exceptions import ClientError
from moto import mock_aws

from rotation_role_policy import custom_resource
from rotation_role_policy.aws.client import Aws, Client, Parameters, Response, iam_action
from rotation_role_policy.cloudformation.provider import CustomResource
from rotation_role_policy_cli.caller_aws import CallerAws
from tests.support.fake_cloudformation import FakeCloudFormation
from tests.support.response_server import ResponseServer

ACCOUNT = "123456789012"
REGION = "eu-central-1"
STACK_ID = f"arn:aws:cloudformation:{REGION}:{ACCOUNT}:stack/database/6b1e1c50-0000-11ef-8e9a-0a1b2c3d4e5f"
LOGICAL_ID = "DatabaseRotationPolicy"
OWN_POLICY = "DatabaseRotationPolicy-697baaecb2ba"
"""`<LogicalResourceId>-<12 hex digits>` of the two above, reckoned by hand: `sha256sum` says the digits."""

Trouble = BaseException | Callable[[], Any]
"""What is raised, or what else happens at that moment."""

BOTOCORE_SESSION = botocore.session.get_session()
SESSION = boto3.Session(botocore_session=BOTOCORE_SESSION)
"""One for all tests: it reads botocore's data once."""


@cache
def _client(service: str) -> Any:
    make: Any = SESSION.client
    return make(service, region_name=REGION)


@dataclass
class Context:
    """Lambda's context object."""

    function_name: str = "provider"
    invoked_function_arn: str = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:provider"
    aws_request_id: str = "11111111-2222-3333-4444-555555555555"
    log_stream_name: str = "2026/01/01/[$LATEST]0123"
    milliseconds: int = 600_000
    """What is left of the invocation when it begins."""
    begun: float = field(default_factory=lambda: time.monotonic())

    def get_remaining_time_in_millis(self) -> int:
        """As Lambda's own."""
        return self.milliseconds - int(1000 * (time.monotonic() - self.begun))


def simulate_nothing(_: dict[str, Any]) -> list[dict[str, Any]]:
    """No EvaluationResults."""
    return []


@dataclass
class Account:
    """The account, and what the provider did in it."""

    responses: ResponseServer
    calls: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    """The provider's calls to AWS in their order: ``("secretsmanager:DescribeSecret", parameters)``."""
    faults: dict[str, list[Trouble]] = field(default_factory=dict)
    """For an action, the trouble of its next calls, before AWS is called."""
    lost: dict[str, list[Trouble]] = field(default_factory=dict)
    """For an action, the trouble of its next calls, when AWS was called and its response is lost."""
    moment: Callable[[str, str], None] = lambda _when, _action: None
    """Called ``before`` and ``after`` each call, with its action: more trouble, wherever it falls."""
    cloudformation: FakeCloudFormation = field(default_factory=FakeCloudFormation)
    simulate: Callable[[dict[str, Any]], list[dict[str, Any]]] = simulate_nothing
    """The EvaluationResults of a SimulatePrincipalPolicy, from its parameters."""
    api_responses: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = field(default_factory=dict)
    """For an action, its response from its parameters, in place of moto's."""
    slept: list[float] = field(default_factory=list)

    def client(self, service: str) -> Any:
        """A client of the test's own: what it does is not counted."""
        return _client(service)

    # --- the account ---

    def secret(self, name: str = "prod/db", key: str | None = None, **more: Any) -> str:
        """A new secret's ARN."""
        key_id = {"KmsKeyId": key} if key else {}
        created = self.client("secretsmanager").create_secret(Name=name, SecretString="{}", **key_id, **more)
        return str(created["ARN"])

    def key(self) -> str:
        """A new customer managed key's ARN."""
        return str(self.client("kms").create_key()["KeyMetadata"]["Arn"])

    def role(self, name: str = "rotation-role", path: str = "/", service: str = "lambda.amazonaws.com") -> str:
        """A new role's ARN; `service` may assume it."""
        trust = {
            "Version": "2012-10-17",
            "Statement": [{"Effect": "Allow", "Principal": {"Service": service}, "Action": "sts:AssumeRole"}],
        }
        role = self.client("iam").create_role(RoleName=name, Path=path, AssumeRolePolicyDocument=json.dumps(trust))
        return str(role["Role"]["Arn"])

    def function(self, role_arn: str, name: str = "rotate-db", vpc: dict[str, Any] | None = None) -> str:
        """A new function's ARN."""
        code = io.BytesIO()
        with zipfile.ZipFile(code, "w") as archive:
            archive.writestr("index.py", "def handler(event, context): pass")
        created = self.client("lambda").create_function(
            FunctionName=name,
            Role=role_arn,
            Runtime="python3.13",
            Handler="index.handler",
            Code={"ZipFile": code.getvalue()},
            VpcConfig=vpc or {},
            Publish=True,
        )
        return ":".join(created["FunctionArn"].split(":")[:7])

    def vpc(self) -> dict[str, Any]:
        """A VpcConfig with a real subnet and security group."""
        ec2 = self.client("ec2")
        vpc_id = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
        subnet = ec2.create_subnet(VpcId=vpc_id, CidrBlock="10.0.0.0/24")["Subnet"]["SubnetId"]
        group = ec2.create_security_group(GroupName="rotation", Description="rotation", VpcId=vpc_id)["GroupId"]
        return {"SubnetIds": [subnet], "SecurityGroupIds": [group]}

    def policies(self, role: str = "rotation-role") -> dict[str, Any]:
        """The inline policies of a role: documents by name."""
        iam = self.client("iam")
        names = iam.list_role_policies(RoleName=role)["PolicyNames"]
        return {name: iam.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"] for name in names}

    # --- requests ---

    def request(
        self, request_type: str, properties: Any, *, stack_status: str | None = None, **more: Any
    ) -> dict[str, Any]:
        """An event as CloudFormation sends it now, for this world's place for answers.

        The stack has `stack_status`; by default it is in the middle of what the request is for.
        """
        in_progress = f"{request_type.upper()}_IN_PROGRESS"
        stack_id, logical_id = more.get("StackId", STACK_ID), more.get("LogicalResourceId", LOGICAL_ID)
        # A test may damage them.
        if isinstance(stack_id, str) and stack_id.startswith("arn:") and isinstance(logical_id, str):
            physical_id = more.get("PhysicalResourceId", "")
            self.cloudformation.begin(stack_id, stack_status or in_progress)
            self.cloudformation.set_resource(stack_id, logical_id, in_progress, physical_id, properties)
        return {
            "RequestType": request_type,
            "ResponseURL": self.cloudformation.response_url(self.responses.url),
            "StackId": STACK_ID,
            "RequestId": "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee",
            "ResourceType": "Custom::RotationRolePolicy",
            "LogicalResourceId": LOGICAL_ID,
            "ResourceProperties": properties,
            **more,
        }

    def send(self, event: Any, context: Context | None = None) -> dict[str, Any]:
        """Has the provider serve `event` and gives the one answer that arrived."""
        self.responses.received.clear()
        self.calls.clear()
        custom_resource.handler(event, context or Context())
        [response] = self.responses.received
        return response

    def send_elsewhere(self, event: Any) -> dict[str, Any]:
        """As `send`, but in another execution environment: this one can be in the middle of a request."""
        resource = CustomResource()
        resource.create(custom_resource.create)
        resource.update(custom_resource.update)
        resource.delete(custom_resource.delete)
        aws = WatchedAws(
            Account(self.responses, simulate=self.simulate, cloudformation=self.cloudformation, slept=self.slept)
        )
        with mock.patch.multiple(custom_resource, resource=resource, aws=aws):
            custom_resource.handler(event, Context())
        return self.responses.received.pop()

    def create(self, **properties: Any) -> dict[str, Any]:
        """The answer to a Create."""
        return self.send(self.request("Create", properties))

    def update(self, physical_id: str, **properties: Any) -> dict[str, Any]:
        """The answer to an Update."""
        return self.send(self.request("Update", properties, PhysicalResourceId=physical_id, OldResourceProperties={}))

    def update_in_rollback(self, physical_id: str, **properties: Any) -> dict[str, Any]:
        """The answer to an Update of a rollback, with the old properties."""
        status = "UPDATE_ROLLBACK_IN_PROGRESS"
        return self.send(self.request("Update", properties, stack_status=status, PhysicalResourceId=physical_id))

    def delete(self, physical_id: str, **properties: Any) -> dict[str, Any]:
        """The answer to a Delete."""
        return self.send(self.request("Delete", properties, PhysicalResourceId=physical_id))

    def actions(self) -> list[str]:
        """The provider's calls in serving the last event."""
        return [action for action, _ in self.calls]


@contextmanager
def connected(responses: ResponseServer) -> Iterator[Account]:
    """An empty AWS account, and the provider connected to it.

    Nobody sleeps: the clock goes on by as much, and `Account.slept` says how long it was.
    """
    with mock_aws(config={"lambda": {"use_docker": False}}):
        account = Account(responses)
        monotonic = time.monotonic

        def clock() -> float:
            return monotonic() + sum(account.slept)

        with (
            mock.patch.object(custom_resource, "aws", WatchedAws(account)),
            mock.patch.multiple(time, sleep=account.slept.append, monotonic=clock),
        ):
            yield account


def error(code: str, message: str = "no", operation: str = "Operation") -> ClientError:
    """An error of AWS's, for `Account.faults`."""
    return ClientError({"Error": {"Code": code, "Message": message}}, operation)


def _next_trouble(troubles: list[Trouble] | None) -> None:
    if troubles:
        trouble = troubles.pop(0)
        if isinstance(trouble, BaseException):
            raise trouble
        trouble()


class WatchedAws(Aws):
    """`Aws` that notes its calls in a `Account`, fails where the world says so, and answers simulations from it."""

    _botocore_session, _session = BOTOCORE_SESSION, SESSION

    def __init__(self, account: Account) -> None:
        super().__init__()
        self._world = account

    def _configure(self, client: Client) -> Client:
        """Watch a new client. Moto answers in place of botocore's own transport, so that this stays."""
        watch(self._world, client)
        return client


def watch(account: Account, client: Any) -> None:
    """Notes the calls of a botocore client in `account`, and has them fail where it says so."""

    service = client.meta.service_model.service_name

    def note(params: dict[str, Any], model: Any, **_: Any) -> None:
        action = f"{service}:{model.name}"
        account.calls.append((action, params))
        account.moment("before", action)
        _next_trouble(account.faults.get(action))

    def lose(model: Any, **_: Any) -> None:
        action = f"{service}:{model.name}"
        account.moment("after", action)
        _next_trouble(account.lost.get(action))

    def respond(model: Any, **_: Any) -> tuple[Any, dict[str, Any]] | None:
        parameters = account.calls[-1][1]
        if response := account.api_responses.get(f"{service}:{model.name}"):
            return SimpleNamespace(status_code=200), response(parameters)
        if service == "cloudformation":
            # Moto has no stack with a custom resource.
            return SimpleNamespace(status_code=200), account.cloudformation.respond(model.name, parameters)
        if model.name == "SimulatePrincipalPolicy":
            # Moto has none: the world says what comes back.
            results = account.simulate(parameters)
            return SimpleNamespace(status_code=200), {"EvaluationResults": results, "IsTruncated": False}
        return None

    client.meta.events.register("provide-client-params", note)
    client.meta.events.register("after-call", lose)
    client.meta.events.register("before-call", respond)


def watched_caller_aws(account: Account) -> type[CallerAws]:
    """In place of `CallerAws`: it is watched, and answered, as the provider is."""

    class WatchedCallerAws(CallerAws):
        @cached_property
        def _botocore_session(self) -> botocore.session.Session:
            # The shared one, unless the test chooses the profile or the region.
            is_own = self._profile or self._region or "AWS_DEFAULT_REGION" not in os.environ
            return super()._botocore_session if is_own else BOTOCORE_SESSION

        @cached_property
        def _session(self) -> boto3.Session:
            return SESSION if self._botocore_session is BOTOCORE_SESSION else super()._session

        def _configure(self, client: Client) -> Client:
            watch(account, client)
            return client

    return WatchedCallerAws


class AlteredAws(WatchedAws):
    """`WatchedAws` whose responses say more than moto can: `alter` has a function for an operation's response."""

    def __init__(self, account: Account, **alter: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
        super().__init__(account)
        self._alter = alter

    def call(
        self, method: Callable[Parameters, Response], *args: Parameters.args, **parameters: Parameters.kwargs
    ) -> Response:
        """As `Aws.call`."""
        response: Any = super().call(method, *args, **parameters)
        if alter := self._alter.get(iam_action(method).split(":")[1]):
            response = alter(response)
        return cast(Response, response)


def managed_secret(account: Account, **more: Any) -> AlteredAws:
    """AWS in which the secret named ``managed`` has `more` in its DescribeSecret, such as ``OwningService="rds"``."""
    return AlteredAws(
        account, DescribeSecret=lambda response: response | more if response["Name"] == "managed" else response
    )
