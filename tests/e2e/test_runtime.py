"""The artifact of `sam build` in Lambda's own runtime loop: its handler is found, serves event after event in one
process, and fails where Lambda has to see a failure.

What the requests lead to in detail is shown elsewhere; here all that stands between Lambda and the handler is real.
"""

import io
import json
import logging
import shutil
import sys
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest
from samtranslator.yaml_helper import yaml_parse

from demo import rotation_function
from emulator import provider
from emulator.lambda_runtime import json_log
from emulator.server import ACCOUNT_ID, REGION, Emulator
from emulator.stack import Stack
from tests import ROOT
from tests.support import response_server
from tests.support.response_server import ResponseServer
from tests.support.runtime_api import Runtime

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="awslambdaric is for Linux")

FUNCTION_ARN = f"arn:aws:lambda:{REGION}:{ACCOUNT_ID}:function:{provider.STACK_NAME}"
OWN_POLICY = "OrdersRotationPolicy-381c2d916b3a"
ROLE, SUCCESSOR = "orders-rotation", "orders-rotation-2"
SECRET_VALUE = "sentinel-password"

# The resources of the template that the provider's role speaks of. The function is not among them: it runs here.
_BESIDE_THE_FUNCTION = ("AWS::IAM::Role", "AWS::IAM::Policy", "AWS::Logs::LogGroup", "AWS::SQS::Queue")


@dataclass
class Environment:
    """An emulated account with the secret and functions of `events/`, and the provider's artifact."""

    emulator: Emulator
    responses: ResponseServer
    function: dict[str, Any]
    """The properties of the built function."""
    task_root: Path
    variables: dict[str, str]
    """What a process needs besides Lambda's own variables: credentials, and the way to the emulator."""
    folder: Path

    @cached_property
    def iam(self) -> Any:
        """The administrator's client."""
        return self.emulator.client("iam")

    def start(self, task_root: Path | None = None) -> Runtime:
        """A new execution environment; as a context manager it runs."""
        folder = self.folder / f"runtime-{len(list(self.folder.glob('runtime-*')))}"
        folder.mkdir()
        return Runtime(
            task_root or self.task_root,
            self.function["Handler"],
            folder,
            self.variables,
            function_arn=FUNCTION_ARN,
            seconds=self.function["Timeout"],
        )

    def event(self, name: str, **more: Any) -> dict[str, Any]:
        """The request of a file of `events/`, with an answer that goes to this test, at once."""
        request: dict[str, Any] = json.loads((ROOT / "events" / f"{name}.json").read_text())
        request["ResourceProperties"]["PropagationDelay"] = "0"
        return request | {"ResponseURL": self.responses.url} | more

    def response(self, runtime: Runtime, event: dict[str, Any]) -> dict[str, Any]:
        """The one answer to a request whose invocation succeeded."""
        self.responses.received.clear()
        outcome = runtime.invoke(event)
        assert outcome.kind == "response", outcome
        [response] = self.responses.received
        return response

    def sids(self, role: str) -> list[str]:
        """The statements of this resource's policy on a role; none where it does not stand there."""
        if OWN_POLICY not in self.iam.list_role_policies(RoleName=role)["PolicyNames"]:
            return []
        document = self.iam.get_role_policy(RoleName=role, PolicyName=OWN_POLICY)["PolicyDocument"]
        return [statement.get("Sid", "") for statement in document["Statement"]]


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Environment]:
    folder = tmp_path_factory.mktemp("runtime")
    built = provider.build(ROOT, folder / "build")
    template = yaml_parse(built.read_text())
    function = template["Resources"]["RotationRolePolicyFunction"]["Properties"]
    with response_server.serve(folder) as (place, authority), Emulator(folder / "emulator") as emulator:
        credentials = as_the_provider(emulator, template)
        populate(emulator)
        bundle = folder / "both-authorities.pem"
        bundle.write_bytes(Path(emulator.environment["SSL_CERT_FILE"]).read_bytes() + authority.read_bytes())
        variables = credentials | {
            "AWS_ENDPOINT_URL": emulator.endpoint_url,
            "AWS_CA_BUNDLE": str(bundle),
            "SSL_CERT_FILE": str(bundle),
        }
        yield Environment(emulator, place, function, built.parent / function["CodeUri"], variables, folder)


def as_the_provider(emulator: Emulator, template: dict[str, Any]) -> dict[str, str]:
    """The credentials that Lambda gives the function: of a session of the template's own role."""
    resources = {
        name: resource for name, resource in template["Resources"].items() if resource["Type"] in _BESIDE_THE_FUNCTION
    }
    kept = {name: template[name] for name in ("Parameters", "Conditions") if name in template}
    stack = Stack(emulator, provider.STACK_NAME)
    stack.create(json.dumps({**kept, "Resources": resources}))
    provider.allow_simulation(emulator, stack)
    role_arn = f"arn:aws:iam::{ACCOUNT_ID}:role/{stack.physical_id('ProviderRole')}"
    session = emulator.client("sts").assume_role(RoleArn=role_arn, RoleSessionName=provider.STACK_NAME)["Credentials"]
    return {
        "AWS_ACCESS_KEY_ID": session["AccessKeyId"],
        "AWS_SECRET_ACCESS_KEY": session["SecretAccessKey"],
        "AWS_SESSION_TOKEN": session["SessionToken"],
    }


def populate(emulator: Emulator) -> None:
    """The secret, roles and functions that the events speak of."""
    value = json.dumps({"username": "orders", "password": SECRET_VALUE})
    emulator.client("secretsmanager").create_secret(Name="prod/orders", SecretString=value)
    allow = {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}
    trust = json.dumps({"Version": "2012-10-17", "Statement": [allow]})
    code = io.BytesIO()
    with zipfile.ZipFile(code, "w") as archive:
        archive.writestr("index.py", Path(rotation_function.__file__).read_text())
    iam, lambda_ = emulator.client("iam"), emulator.client("lambda")
    for name, role in (("rotate-orders", ROLE), ("rotate-orders-2", SUCCESSOR)):
        made = iam.create_role(RoleName=role, AssumeRolePolicyDocument=trust)
        lambda_.create_function(
            FunctionName=name,
            Role=made["Role"]["Arn"],
            Runtime="python3.13",
            Handler="index.handler",
            Code={"ZipFile": code.getvalue()},
        )


@pytest.fixture(autouse=True)
def _clean(environment: Environment) -> None:
    environment.responses.clear()
    for role in (ROLE, SUCCESSOR):
        if environment.sids(role):
            environment.iam.delete_role_policy(RoleName=role, PolicyName=OWN_POLICY)


@pytest.fixture(scope="module")
def warm(environment: Environment) -> Iterator[Runtime]:
    """A process that serves the events of several tests."""
    with environment.start() as runtime:
        yield runtime


def test_one_process_serves_a_resource_from_its_create_to_its_last_delete(
    environment: Environment, warm: Runtime
) -> None:
    created = environment.response(warm, environment.event("create"))
    assert (created["Status"], created["PhysicalResourceId"]) == ("SUCCESS", f"{ROLE}/{OWN_POLICY}"), created["Reason"]
    assert created["Data"]["RoleName"] == ROLE
    assert environment.sids(ROLE) == ["RotateSecret", "GeneratePassword"]

    assert environment.response(warm, environment.event("create")) == created

    updated = environment.response(warm, environment.event("update-in-place"))
    assert updated == created
    assert environment.sids(ROLE) == ["", ""]

    replaced = environment.response(warm, environment.event("update-role"))
    assert (replaced["Status"], replaced["PhysicalResourceId"]) == ("SUCCESS", f"{SUCCESSOR}/{OWN_POLICY}")
    assert environment.sids(SUCCESSOR) == ["RotateSecret", "GeneratePassword"]

    cleaned_up = environment.response(warm, environment.event("delete-replaced"))
    assert (cleaned_up["Status"], environment.sids(ROLE)) == ("SUCCESS", [])
    assert environment.sids(SUCCESSOR) == ["RotateSecret", "GeneratePassword"]

    last = environment.event("delete", PhysicalResourceId=replaced["PhysicalResourceId"])
    assert environment.response(warm, last)["Status"] == "SUCCESS"
    assert environment.sids(SUCCESSOR) == []


def test_a_refused_request_is_responded_to_and_is_no_failed_invocation(environment: Environment, warm: Runtime) -> None:
    response = environment.response(warm, environment.event("create-refused"))
    assert response["Status"] == "FAILED"
    assert response["Reason"].startswith('RoleName "somebody-elses-role" is not the execution role of the function')
    assert environment.sids(ROLE) == []


def test_an_event_that_is_no_request_fails_the_invocation_and_nothing_is_sent(
    environment: Environment, warm: Runtime
) -> None:
    event = environment.event("create")
    del event["RequestType"]
    outcome = warm.invoke(event)
    assert (outcome.kind, outcome.body["errorType"]) == ("error", "InvalidEventError")
    assert outcome.body["errorMessage"].endswith("RequestType is missing or not an ASCII string")
    assert environment.responses.received == []
    assert environment.sids(ROLE) == []


def test_a_response_that_is_not_taken_fails_the_invocation_and_lambdas_next_try_delivers_it(
    environment: Environment, warm: Runtime
) -> None:
    environment.responses.statuses.append(403)
    event = environment.event("create")
    outcome = warm.invoke(event)
    assert (outcome.kind, outcome.body["errorType"]) == ("error", "ResponseDeliveryError")
    assert environment.responses.received == []

    assert environment.response(warm, event)["Status"] == "SUCCESS"


def test_a_cold_process_deletes_what_another_one_put(environment: Environment, warm: Runtime) -> None:
    assert environment.response(warm, environment.event("create"))["Status"] == "SUCCESS"
    with environment.start() as cold:
        response = environment.response(cold, environment.event("delete"))
    assert (response["Status"], response["PhysicalResourceId"]) == ("SUCCESS", f"{ROLE}/{OWN_POLICY}")
    assert environment.sids(ROLE) == []


def test_the_log_is_json_and_holds_neither_a_signature_nor_a_secrets_value(environment: Environment) -> None:
    create, refused = environment.event("create"), environment.event("create-refused")
    no_request = environment.event("create")
    del no_request["StackId"]
    with environment.start() as runtime:
        outcomes = [runtime.invoke(event) for event in (create, refused, no_request)]
        environment.responses.statuses.append(403)
        outcomes.append(runtime.invoke(create))

    assert [outcome.kind for outcome in outcomes] == ["response", "response", "error", "error"]
    lines = [json.loads(line) for line in runtime.log.splitlines()]
    # What the handler said, and what the runtime says of an error that reached it.
    said = [line.get("message", line.get("errorType")) for line in lines]
    decisions = ["policy written", "request failed", "InvalidEventError", "policy unchanged", "ResponseDeliveryError"]
    assert [one for one in said if one in decisions] == decisions
    assert all(line["timestamp"] and line["level"] for line in lines)
    # The runtime puts `extra` fields at the top level, where CloudWatch looks for metrics and Logs Insights for fields.
    failed = next(line for line in lines if line.get("status") == "FAILED")
    [by_provider, by_code] = failed["_aws"]["CloudWatchMetrics"]
    assert {"Provider", "ErrorCode", "FailedRequests", "stack", "resource"} <= failed.keys()
    assert (by_provider["Dimensions"], by_code["Dimensions"]) == ([["Provider"]], [["Provider", "ErrorCode"]])
    assert "sentinel-signature" in create["ResponseURL"]
    for unsaid in ("sentinel-signature", SECRET_VALUE):
        assert unsaid not in runtime.log
        assert unsaid not in json.dumps([outcome.body for outcome in outcomes])


def test_the_json_log_of_tests_and_emulator_is_that_of_the_runtime() -> None:
    lambda_runtime_log_utils = pytest.importorskip("awslambdaric.lambda_runtime_log_utils")
    error = ValueError("a value")
    fields = {"status": "FAILED", "_aws": {"Timestamp": 1}, "size": 1.5, "path": Path("a")}
    for exc_info in (None, (type(error), error, None)):
        arguments = ("name", logging.INFO, "path.py", 1, "said %s", ("ü",), exc_info)
        record = logging.getLogger("name").makeRecord(*arguments, extra=fields)
        ours = json.loads(json_log.JsonFormatter().format(record))
        theirs = json.loads(lambda_runtime_log_utils.JsonFormatter().format(record))
        theirs.pop("location", None)
        assert ours == theirs


@pytest.mark.parametrize("missing", ["rotation_role_policy", "crhelper"])
def test_the_handler_and_crhelper_come_from_the_artifact_alone(
    environment: Environment, tmp_path: Path, missing: str
) -> None:
    """Lambda's runtime has neither; without one of them in the artifact the function does not start."""
    shutil.copytree(environment.task_root, tmp_path / "task", ignore=shutil.ignore_patterns(missing))
    with environment.start(tmp_path / "task") as runtime:
        outcome = runtime.outcome()
    assert (outcome.kind, outcome.error_type) == ("init/error", "Runtime.ImportModuleError")
    assert f"No module named '{missing}'" in outcome.body["errorMessage"]
