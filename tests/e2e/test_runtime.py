"""The artifact of `sam build` in Lambda's own runtime client (awslambdaric).

Lambda finds the handler. One process serves several events. An invocation fails if Lambda has to see a failure. Other
tests cover the results of the requests in detail.
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

from emulator import provider
from emulator.lambda_runtime import json_log
from emulator.server import ACCOUNT_ID, REGION, Emulator
from emulator.stack import Stack
from tests import ROOT
from tests.support import response_server
from tests.support.response_server import ResponseServer
from tests.support.runtime_api import Runtime

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="awslambdaric runs only on Linux")

FUNCTION_ARN = f"arn:aws:lambda:{REGION}:{ACCOUNT_ID}:function:{provider.STACK_NAME}"
OWN_POLICY = "OrdersRotationPolicy-381c2d916b3a"
ROLE, SUCCESSOR = "orders-rotation", "orders-rotation-2"
SECRET_VALUE = "sentinel-password"

# The types of the resources around the function. The function itself is not deployed, because the test runs it.
_TYPES_OF_ROLE_STACK = ("AWS::IAM::Role", "AWS::IAM::Policy", "AWS::Logs::LogGroup", "AWS::SQS::Queue")


@dataclass
class Environment:
    """An emulated account with the secret and the functions of `events/`, and the provider's artifact."""

    emulator: Emulator
    responses: ResponseServer
    function: dict[str, Any]
    """The properties of the function in the built template."""
    task_root: Path
    variables: dict[str, str]
    """The environment variables that are not set by Lambda: credentials and the endpoint of the emulator."""
    folder: Path

    @cached_property
    def iam(self) -> Any:
        """The IAM client of the account's administrator."""
        return self.emulator.client("iam")

    def start(self, task_root: Path | None = None) -> Runtime:
        """Return a new execution environment. It runs while it is used as a context manager."""
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

    def event(self, name: str, **members: Any) -> dict[str, Any]:
        """Return the request of a file in `events/`. The test receives the response, without PropagationDelay."""
        request: dict[str, Any] = json.loads((ROOT / "events" / f"{name}.json").read_text())
        request["ResourceProperties"]["PropagationDelay"] = "0"
        return request | {"ResponseURL": self.responses.url} | members

    def response(self, runtime: Runtime, event: dict[str, Any]) -> dict[str, Any]:
        """Invoke the function, which must succeed, and return the one response that was sent."""
        self.responses.received.clear()
        outcome = runtime.invoke(event)
        assert outcome.kind == "response", outcome
        [response] = self.responses.received
        return response

    def sids(self, role: str) -> list[str]:
        """Return the Sids of the resource's own policy on a role. Empty if the role does not have the policy."""
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
    with response_server.serve(folder) as (responses, authority), Emulator(folder / "emulator") as emulator:
        credentials = provider_credentials(emulator, template)
        populate(emulator)
        bundle = folder / "both-authorities.pem"
        bundle.write_bytes(Path(emulator.environment["SSL_CERT_FILE"]).read_bytes() + authority.read_bytes())
        variables = credentials | {
            "AWS_ENDPOINT_URL": emulator.endpoint_url,
            "AWS_CA_BUNDLE": str(bundle),
            "SSL_CERT_FILE": str(bundle),
        }
        yield Environment(emulator, responses, function, built.parent / function["CodeUri"], variables, folder)


def provider_credentials(emulator: Emulator, template: dict[str, Any]) -> dict[str, str]:
    """Return the credentials that Lambda gives the function: those of a session of the template's role."""
    resources = {
        name: resource for name, resource in template["Resources"].items() if resource["Type"] in _TYPES_OF_ROLE_STACK
    }
    sections = {name: template[name] for name in ("Parameters", "Conditions") if name in template}
    stack = Stack(emulator, provider.STACK_NAME)
    stack.create(json.dumps({**sections, "Resources": resources}))
    role_arn = f"arn:aws:iam::{ACCOUNT_ID}:role/{stack.physical_id('ProviderRole')}"
    session = emulator.client("sts").assume_role(RoleArn=role_arn, RoleSessionName=provider.STACK_NAME)["Credentials"]
    return {
        "AWS_ACCESS_KEY_ID": session["AccessKeyId"],
        "AWS_SECRET_ACCESS_KEY": session["SecretAccessKey"],
        "AWS_SESSION_TOKEN": session["SessionToken"],
    }


def populate(emulator: Emulator) -> None:
    """Create the secret, the roles and the functions that the events name."""
    value = json.dumps({"username": "orders", "password": SECRET_VALUE})
    emulator.client("secretsmanager").create_secret(Name="prod/orders", SecretString=value)
    allow = {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}
    trust = json.dumps({"Version": "2012-10-17", "Statement": [allow]})
    code = io.BytesIO()
    with zipfile.ZipFile(code, "w") as archive:
        archive.writestr("index.py", (ROOT / "examples" / "rotation_function.py").read_text())
    iam, lambda_ = emulator.client("iam"), emulator.client("lambda")
    for name, role in (("rotate-orders", ROLE), ("rotate-orders-2", SUCCESSOR)):
        role_arn = iam.create_role(RoleName=role, AssumeRolePolicyDocument=trust)["Role"]["Arn"]
        lambda_.create_function(
            FunctionName=name,
            Role=role_arn,
            Runtime="python3.13",
            Handler="index.handler",
            Code={"ZipFile": code.getvalue()},
        )


@pytest.fixture(autouse=True)
def _remove_own_policies(environment: Environment) -> None:
    environment.responses.clear()
    for role in (ROLE, SUCCESSOR):
        if environment.sids(role):
            environment.iam.delete_role_policy(RoleName=role, PolicyName=OWN_POLICY)


@pytest.fixture(scope="module")
def warm(environment: Environment) -> Iterator[Runtime]:
    """A process that serves the events of several tests, as a warm execution environment does."""
    with environment.start() as runtime:
        yield runtime


def test_one_process_serves_all_requests_of_a_resource(environment: Environment, warm: Runtime) -> None:
    created = environment.response(warm, environment.event("create"))
    assert (created["Status"], created["PhysicalResourceId"]) == ("SUCCESS", f"{ROLE}/{OWN_POLICY}"), created["Reason"]
    assert created["Data"]["RoleName"] == ROLE
    assert environment.sids(ROLE) == ["RotateSecret", "GeneratePassword"]

    assert environment.response(warm, environment.event("create")) == created

    updated = environment.response(warm, environment.event("update-in-place"))
    assert updated == created
    assert environment.sids(ROLE) == ["RotateSecret", "GeneratePassword", "UseSecretKey"]

    replaced = environment.response(warm, environment.event("update-role"))
    assert (replaced["Status"], replaced["PhysicalResourceId"]) == ("SUCCESS", f"{SUCCESSOR}/{OWN_POLICY}")
    assert environment.sids(SUCCESSOR) == ["RotateSecret", "GeneratePassword"]

    cleaned_up = environment.response(warm, environment.event("delete-replaced"))
    assert (cleaned_up["Status"], environment.sids(ROLE)) == ("SUCCESS", [])
    assert environment.sids(SUCCESSOR) == ["RotateSecret", "GeneratePassword"]

    delete = environment.event("delete", PhysicalResourceId=replaced["PhysicalResourceId"])
    assert environment.response(warm, delete)["Status"] == "SUCCESS"
    assert environment.sids(SUCCESSOR) == []


def test_an_invocation_with_a_rejected_request_succeeds_and_responds_failed(
    environment: Environment, warm: Runtime
) -> None:
    response = environment.response(warm, environment.event("create-wrong-role"))
    assert response["Status"] == "FAILED"
    assert response["Reason"].startswith('RoleName "other-role" is not the execution role of the function')
    assert environment.sids(ROLE) == []


def test_an_event_that_is_not_a_request_fails_the_invocation_without_a_response(
    environment: Environment, warm: Runtime
) -> None:
    event = environment.event("create")
    del event["RequestType"]
    outcome = warm.invoke(event)
    assert (outcome.kind, outcome.body["errorType"]) == ("error", "InvalidEventError")
    assert outcome.body["errorMessage"].endswith("RequestType is missing or not an ASCII string")
    assert environment.responses.received == []
    assert environment.sids(ROLE) == []


def test_a_response_that_cannot_be_delivered_fails_the_invocation_and_a_retry_delivers_it(
    environment: Environment, warm: Runtime
) -> None:
    environment.responses.statuses.append(403)
    event = environment.event("create")
    outcome = warm.invoke(event)
    assert (outcome.kind, outcome.body["errorType"]) == ("error", "ResponseDeliveryError")
    assert environment.responses.received == []

    assert environment.response(warm, event)["Status"] == "SUCCESS"


def test_a_new_process_deletes_the_policy_that_another_process_has_put(environment: Environment, warm: Runtime) -> None:
    assert environment.response(warm, environment.event("create"))["Status"] == "SUCCESS"
    with environment.start() as cold:
        response = environment.response(cold, environment.event("delete"))
    assert (response["Status"], response["PhysicalResourceId"]) == ("SUCCESS", f"{ROLE}/{OWN_POLICY}")
    assert environment.sids(ROLE) == []


def test_the_log_is_json_without_signatures_and_secret_values(environment: Environment) -> None:
    create, rejected = environment.event("create"), environment.event("create-wrong-role")
    invalid = environment.event("create")
    del invalid["StackId"]
    with environment.start() as runtime:
        outcomes = [runtime.invoke(event) for event in (create, rejected, invalid)]
        environment.responses.statuses.append(403)
        outcomes.append(runtime.invoke(create))

    assert [outcome.kind for outcome in outcomes] == ["response", "response", "error", "error"]
    lines = [json.loads(line) for line in runtime.log.splitlines()]
    # The messages of the handler, and the error types that the runtime logs.
    messages = [line.get("message", line.get("errorType")) for line in lines]
    decisions = ["policy written", "request failed", "InvalidEventError", "policy unchanged", "ResponseDeliveryError"]
    assert [message for message in messages if message in decisions] == decisions
    assert all(line["timestamp"] and line["level"] for line in lines)
    # The runtime puts `extra` fields at the top level, where CloudWatch looks for metrics and Logs Insights for fields.
    failed = next(line for line in lines if line.get("status") == "FAILED")
    [by_provider, by_code] = failed["_aws"]["CloudWatchMetrics"]
    assert {"Provider", "ErrorCode", "FailedRequests", "stack", "resource"} <= failed.keys()
    assert (by_provider["Dimensions"], by_code["Dimensions"]) == ([["Provider"]], [["Provider", "ErrorCode"]])
    assert "sentinel-signature" in create["ResponseURL"]
    for confidential in ("sentinel-signature", SECRET_VALUE):
        assert confidential not in runtime.log
        assert confidential not in json.dumps([outcome.body for outcome in outcomes])


def test_the_json_log_of_tests_and_emulator_equals_that_of_lambdas_runtime() -> None:
    lambda_runtime_log_utils = pytest.importorskip("awslambdaric.lambda_runtime_log_utils")
    error = ValueError("a value")
    fields = {"status": "FAILED", "_aws": {"Timestamp": 1}, "size": 1.5, "path": Path("a")}
    for exc_info in (None, (type(error), error, None)):
        arguments = ("name", logging.INFO, "path.py", 1, "message %s", ("ü",), exc_info)
        record = logging.getLogger("name").makeRecord(*arguments, extra=fields)
        emulated = json.loads(json_log.JsonFormatter().format(record))
        expected = json.loads(lambda_runtime_log_utils.JsonFormatter().format(record))
        expected.pop("location", None)
        assert emulated == expected


@pytest.mark.parametrize("missing", ["rotation_role_policy", "crhelper"])
def test_the_handler_and_crhelper_are_loaded_only_from_the_artifact(
    environment: Environment, tmp_path: Path, missing: str
) -> None:
    """Lambda's runtime contains neither package. Without one of them in the artifact, the function does not start."""
    shutil.copytree(environment.task_root, tmp_path / "task", ignore=shutil.ignore_patterns(missing))
    with environment.start(tmp_path / "task") as runtime:
        outcome = runtime.outcome()
    assert (outcome.kind, outcome.error_type) == ("init/error", "Runtime.ImportModuleError")
    assert f"No module named '{missing}'" in outcome.body["errorMessage"]
