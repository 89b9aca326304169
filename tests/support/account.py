"""An AWS account in moto, with what a rotation needs, and CloudFormation's requests to the provider."""

from __future__ import annotations

import copy
import io
import json
import os
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache, partial
from types import SimpleNamespace
from typing import Any, cast
from unittest import mock

import boto3
import botocore.session
from botocore.config import Config
from botocore.exceptions import ClientError
from moto import mock_aws

from rotation_role_policy.aws.client import Aws
from rotation_role_policy.aws.errors import iam_action
from rotation_role_policy.aws.retries import Parameters, Response
from rotation_role_policy.aws.session import CLIENT_CONFIG, Session
from rotation_role_policy.provider import handler
from rotation_role_policy.provider.crhelper_adapter import CustomResource
from rotation_role_policy.provider.serve import serve
from rotation_role_policy.provider.settings import Settings
from rotation_role_policy.rules.place import Place
from rotation_role_policy_cli.caller_aws import WithProgress, user_session
from tests.support.fake_cloudformation import FakeCloudFormation
from tests.support.response_server import ResponseServer

ACCOUNT = "123456789012"
REGION = "eu-central-1"
PLACE = Place("aws", REGION, ACCOUNT)
"""Where the provider works."""
STACK_ID = f"arn:aws:cloudformation:{REGION}:{ACCOUNT}:stack/database/6b1e1c50-0000-11ef-8e9a-0a1b2c3d4e5f"
LOGICAL_ID = "DatabaseRotationPolicy"
OWN_POLICY = "DatabaseRotationPolicy-697baaecb2ba"
"""`<LogicalResourceId>-<12 hex digits>` of the two above, computed by hand: `sha256sum` prints the digits."""

Trouble = BaseException | Callable[[], Any]
"""An exception to raise, or a function to call."""

# Otherwise moto builds 1,300 machine images for each account with a VPC: a fifth of a second.
os.environ["MOTO_EC2_LOAD_DEFAULT_AMIS"] = "false"

BOTOCORE_SESSION = botocore.session.get_session()
SESSION = boto3.Session(botocore_session=BOTOCORE_SESSION)
"""Shared by all tests, so that botocore's data is read once."""


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
    """The remaining time of the invocation when it begins."""
    begun: float = field(default_factory=lambda: time.monotonic())

    def get_remaining_time_in_millis(self) -> int:
        """Return the remaining time, as Lambda's context object does."""
        return self.milliseconds - int(1000 * (time.monotonic() - self.begun))


def simulate_nothing(_: dict[str, Any]) -> list[dict[str, Any]]:
    """Return no EvaluationResults."""
    return []


@dataclass
class Account:
    """The account, and the calls that the provider made in it."""

    responses: ResponseServer
    calls: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    """The provider's calls to AWS in their order: ``("secretsmanager:DescribeSecret", parameters)``."""
    faults: dict[str, list[Trouble]] = field(default_factory=dict)
    """By action: the trouble of its next calls, before AWS is called."""
    lost: dict[str, list[Trouble]] = field(default_factory=dict)
    """By action: the trouble of its next calls, after AWS was called. The response is lost."""
    moment: Callable[[str, str], None] = lambda _when, _action: None
    """Called ``before`` and ``after`` each call, with its action. Can cause trouble at any call."""
    cloudformation: FakeCloudFormation = field(default_factory=FakeCloudFormation)
    simulate: Callable[[dict[str, Any]], list[dict[str, Any]]] = simulate_nothing
    """Returns the EvaluationResults of a SimulatePrincipalPolicy for its parameters."""
    api_responses: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = field(default_factory=dict)
    """By action: returns the response for the parameters, in place of moto."""
    slept: list[float] = field(default_factory=list)
    settings: Settings = field(default_factory=lambda: Settings(allow_documented_profile=True))
    """Of the provider."""

    def client(self, service: str) -> Any:
        """Return a client for the test itself. Its calls are not recorded."""
        return _client(service)

    # --- the account ---

    def secret(self, name: str = "prod/db", key: str | None = None, **parameters: Any) -> str:
        """Create a secret, and return its ARN."""
        key_id = {"KmsKeyId": key} if key else {}
        created = self.client("secretsmanager").create_secret(Name=name, SecretString="{}", **key_id, **parameters)
        return str(created["ARN"])

    def key(self) -> str:
        """Create a customer managed key, and return its ARN."""
        return str(self.client("kms").create_key()["KeyMetadata"]["Arn"])

    def role(self, name: str = "rotation-role", path: str = "/", service: str = "lambda.amazonaws.com") -> str:
        """Create a role that `service` can assume, and return its ARN."""
        trust = {
            "Version": "2012-10-17",
            "Statement": [{"Effect": "Allow", "Principal": {"Service": service}, "Action": "sts:AssumeRole"}],
        }
        role = self.client("iam").create_role(RoleName=name, Path=path, AssumeRolePolicyDocument=json.dumps(trust))
        return str(role["Role"]["Arn"])

    def function(self, role_arn: str, name: str = "rotate-db", vpc: dict[str, Any] | None = None) -> str:
        """Create a Lambda function, and return its ARN."""
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
        """Create a subnet and a security group, and return a VpcConfig with them."""
        ec2 = self.client("ec2")
        vpc_id = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
        subnet = ec2.create_subnet(VpcId=vpc_id, CidrBlock="10.0.0.0/24")["Subnet"]["SubnetId"]
        group = ec2.create_security_group(GroupName="rotation", Description="rotation", VpcId=vpc_id)["GroupId"]
        return {"SubnetIds": [subnet], "SecurityGroupIds": [group]}

    def policies(self, role: str = "rotation-role") -> dict[str, Any]:
        """Return the inline policies of a role: documents by name."""
        iam = self.client("iam")
        names = iam.list_role_policies(RoleName=role)["PolicyNames"]
        return {name: iam.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"] for name in names}

    # --- requests ---

    def request(
        self, request_type: str, properties: Any, *, stack_status: str | None = None, **members: Any
    ) -> dict[str, Any]:
        """Return an event as CloudFormation sends it now. The response goes to `responses`.

        The stack has the status `stack_status`. By default, the operation of the request is in progress.
        """
        in_progress = f"{request_type.upper()}_IN_PROGRESS"
        stack_id, logical_id = members.get("StackId", STACK_ID), members.get("LogicalResourceId", LOGICAL_ID)
        # A test can replace these IDs with invalid values.
        if isinstance(stack_id, str) and stack_id.startswith("arn:") and isinstance(logical_id, str):
            physical_id = members.get("PhysicalResourceId", "")
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
            **members,
        }

    def send(self, event: Any, context: Context | None = None) -> dict[str, Any]:
        """Let the provider serve `event`, and return the one response that arrived."""
        self.responses.received.clear()
        self.calls.clear()
        handler.handler(event, context or Context())
        [response] = self.responses.received
        return response

    def send_elsewhere(self, event: Any) -> dict[str, Any]:
        """As `send`, but in another execution environment, so that this one can be serving a request."""
        account = Account(self.responses, simulate=self.simulate, cloudformation=self.cloudformation, slept=self.slept)
        custom_resource(account)(event, Context())
        return self.responses.received.pop()

    def create(self, **properties: Any) -> dict[str, Any]:
        """Return the response to a Create."""
        return self.send(self.request("Create", properties))

    def deploy(self, stack_id: str = STACK_ID, /, **properties: Any) -> dict[str, Any]:
        """Return the response to a Create, with which CloudFormation completes the stack."""
        response = self.send(self.request("Create", properties, StackId=stack_id))
        physical_id = response["PhysicalResourceId"]
        self.cloudformation.set_resource(stack_id, LOGICAL_ID, "CREATE_COMPLETE", physical_id, properties)
        self.cloudformation.set_status(stack_id, "CREATE_COMPLETE")
        return response

    def update(self, physical_id: str, **properties: Any) -> dict[str, Any]:
        """Return the response to an Update."""
        return self.send(self.request("Update", properties, PhysicalResourceId=physical_id, OldResourceProperties={}))

    def update_in_rollback(self, physical_id: str, **properties: Any) -> dict[str, Any]:
        """Return the response to an Update of a rollback, with the old properties."""
        status = "UPDATE_ROLLBACK_IN_PROGRESS"
        return self.send(self.request("Update", properties, stack_status=status, PhysicalResourceId=physical_id))

    def delete(self, physical_id: str, **properties: Any) -> dict[str, Any]:
        """Return the response to a Delete."""
        return self.send(self.request("Delete", properties, PhysicalResourceId=physical_id))

    def actions(self) -> list[str]:
        """Return the actions of the calls that the provider made for the last event."""
        return [action for action, _ in self.calls]


@contextmanager
def connected(responses: ResponseServer) -> Iterator[Account]:
    """Yield an empty AWS account that the provider is connected to.

    `time.sleep` does not wait. It moves the clock forward and adds the seconds to `Account.slept`.
    """
    with mock_aws(config={"lambda": {"use_docker": False}}):
        account = Account(responses)
        monotonic = time.monotonic

        def clock() -> float:
            return monotonic() + sum(account.slept)

        with (
            mock.patch.object(handler, "resource", custom_resource(account)),
            mock.patch.multiple(time, sleep=account.slept.append, monotonic=clock),
        ):
            yield account


def custom_resource(account: Account) -> CustomResource:
    """Return the provider in a new execution environment, connected to an account."""
    return CustomResource(lambda *request: serve(WatchedAws(account), account.settings, *request))


def error(code: str, message: str = "no", operation: str = "Operation") -> ClientError:
    """Return an error of AWS, for `Account.faults`."""
    return ClientError({"Error": {"Code": code, "Message": message}}, operation)


def _next_trouble(troubles: list[Trouble] | None) -> None:
    if troubles:
        trouble = troubles.pop(0)
        if isinstance(trouble, BaseException):
            raise trouble
        trouble()


class WatchedSession(Session):
    """A session whose clients are watched by an `Account`. It builds one client for each service and returns copies:

    building one takes a while. The clients keep botocore's own transport, in whose place moto responds.

    Args:
        account: watches the clients.
        region: of the clients.
        config: as for `Session`.
        prepare: gets each new client, after it is watched.
    """

    def __init__(
        self,
        account: Account,
        region: str = REGION,
        config: Config = CLIENT_CONFIG,
        prepare: Callable[[Any], None] = lambda _: None,
    ) -> None:
        super().__init__(config, prepare, lambda: BOTOCORE_SESSION)
        self._account = account
        self._region = region

    @property
    def region(self) -> str:
        """The region of the clients."""
        return self._region

    def new_client(self, service: str) -> Any:
        """Return a client with event handlers of its own."""
        original = _session_client(service, self._region, self._config)
        # copy.copy would call the client's __getattr__.
        client = object.__new__(type(original))
        vars(client).update(vars(original))
        client.meta = copy.copy(original.meta)
        client.meta.events = copy.copy(original.meta.events)
        watch(self._account, client)
        self._prepare(client)
        return client


@cache
def _session_client(service: str, region: str, config: Config) -> Any:
    make: Any = SESSION.client
    return make(service, region_name=region, config=config)


class WatchedAws(Aws):
    """`Aws` that records its calls in an `Account`, and fails and responds as the account specifies."""

    def __init__(self, account: Account) -> None:
        super().__init__(WatchedSession(account))


def watch(account: Account, client: Any) -> None:
    """Record the calls of a client in `account`, and let them fail and respond as the account specifies."""

    service = client.meta.service_model.service_name

    def note(params: dict[str, Any], model: Any, context: dict[str, Any], **_: Any) -> None:
        action = f"{service}:{model.name}"
        # Several threads can call at the same time.
        context["parameters"] = params
        account.calls.append((action, params))
        account.moment("before", action)
        _next_trouble(account.faults.get(action))

    def lose(model: Any, **_: Any) -> None:
        action = f"{service}:{model.name}"
        account.moment("after", action)
        _next_trouble(account.lost.get(action))

    def respond(model: Any, context: dict[str, Any], **_: Any) -> tuple[Any, dict[str, Any]] | None:
        parameters = context["parameters"]
        if response := account.api_responses.get(f"{service}:{model.name}"):
            return SimpleNamespace(status_code=200, content=b"{}"), response(parameters)
        if service == "cloudformation":
            # Moto has no stack with a custom resource.
            return SimpleNamespace(status_code=200), account.cloudformation.respond(model.name, parameters)
        if model.name == "SimulatePrincipalPolicy":
            # Moto has no policy simulator.
            results = account.simulate(parameters)
            return SimpleNamespace(status_code=200), {"EvaluationResults": results, "IsTruncated": False}
        return None

    client.meta.events.register("provide-client-params", note)
    client.meta.events.register("after-call", lose)
    client.meta.events.register("before-call", respond)


def watched_caller_aws(account: Account) -> Callable[..., Aws]:
    """Return a replacement for `caller_aws.caller_aws` whose clients are watched as the provider's are."""

    def caller_aws(profile: str | None, region: str | None, progress: Callable[[str], None]) -> Aws:
        # The shared session, unless the test chooses the profile or the region.
        if profile or region or "AWS_DEFAULT_REGION" not in os.environ or "AWS_REGION" in os.environ:
            session = user_session(profile, region, CLIENT_CONFIG)
            session._prepare = partial(watch, account)
        else:
            session = WatchedSession(account)
        return Aws(session, WithProgress(progress))

    return caller_aws


class AlteredAws(WatchedAws):
    """`WatchedAws` with responses that moto does not give: `alter` maps an operation to a function of its response."""

    def __init__(self, account: Account, **alter: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
        super().__init__(account)
        self._alter = alter

    def call(
        self, method: Callable[Parameters, Response], *args: Parameters.args, **parameters: Parameters.kwargs
    ) -> Response:
        """Call AWS and return the altered response."""
        response: Any = super().call(method, *args, **parameters)
        if alter := self._alter.get(iam_action(method).split(":")[1]):
            response = alter(response)
        return cast(Response, response)


def managed_secret(account: Account, **members: Any) -> AlteredAws:
    """Return AWS where DescribeSecret of the secret ``managed`` has `members`, such as ``OwningService="rds"``."""
    return AlteredAws(
        account, DescribeSecret=lambda response: response | members if response["Name"] == "managed" else response
    )
