"""The SAM template and the artifact of the function.

test_provider_role.py covers the permissions of the provider's role.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import grimp
import pytest
from packaging.version import Version
from samtranslator.yaml_helper import yaml_parse

from rotation_role_policy import __version__
from rotation_role_policy.provider.metrics import METRICS_NAMESPACE, WARNINGS, emf_metrics
from rotation_role_policy.provider.schedule import RESPONSE_SECONDS, UNDO_SECONDS
from tests import ROOT

TEMPLATE = ROOT / "template.yaml"


@pytest.fixture(scope="module")
def template() -> dict[str, Any]:
    """The template, with the full form of intrinsic functions such as ``!Ref``."""
    parsed: dict[str, Any] = yaml_parse(TEMPLATE.read_text())
    return parsed


def test_a_deny_keeps_the_provider_from_changing_the_role_of_any_provider(template: dict[str, Any]) -> None:
    policy = template["Resources"]["KeepOwnRole"]["Properties"]
    assert policy["Roles"] == [{"Ref": "ProviderRole"}]
    [tag] = template["Resources"]["ProviderRole"]["Properties"]["Tags"]
    assert policy["PolicyDocument"]["Statement"] == [
        {
            "Sid": "KeepOwnRole",
            "Effect": "Deny",
            "Action": ["iam:PutRolePolicy", "iam:DeleteRolePolicy"],
            "Resource": {"Fn::GetAtt": ["ProviderRole", "Arn"]},
        },
        {
            "Sid": "KeepRolesOfProviders",
            "Effect": "Deny",
            # Without iam:DeleteRolePolicy, because a Delete must not depend on a tag.
            "Action": "iam:PutRolePolicy",
            "Resource": {"Fn::Sub": "arn:${AWS::Partition}:iam::${AWS::AccountId}:role/*"},
            "Condition": {"Null": {f"aws:ResourceTag/{tag['Key']}": "false"}},
        },
    ]
    assert tag["Key"] == "rotation-role-policy:provider"
    assert template["Resources"]["RotationRolePolicyFunction"]["DependsOn"] == "KeepOwnRole"


def test_a_comment_explains_each_wildcard() -> None:
    lines = TEMPLATE.read_text().splitlines()
    resources = [number for number, line in enumerate(lines) if re.match(r"\s+Resource: !Sub", line)]
    # JSON has no comments, so the comment is above the document.
    documents = [number - 1 for number, line in enumerate(lines) if line.strip() == "Fn::Sub:"]
    assert (len(resources), len(documents)) == (7, 2)
    for number in resources + documents:
        assert lines[number - 1].strip().startswith("#"), lines[number]


def test_the_template_has_these_parameters_and_each_is_in_a_group(template: dict[str, Any]) -> None:
    assert set(template["Parameters"]) == {
        "RoleNamePattern", "SecretNamePattern", "RequiredSecretTag", "RequiredRoleTag", "RequiredRoleBoundaryArn",
        "AllowDocumentedProfile", "FunctionName", "PermissionsBoundaryArn", "KmsKeyArn", "LogRetentionInDays",
        "AlarmTopicArn", "Dashboard",
    }  # fmt: skip
    groups = template["Metadata"]["AWS::CloudFormation::Interface"]["ParameterGroups"]
    assert sorted(name for group in groups for name in group["Parameters"]) == sorted(template["Parameters"])
    for name in ("RequiredSecretTag", "RequiredRoleTag", "RequiredRoleBoundaryArn"):
        assert template["Parameters"][name]["Default"] == ""
    boundary = template["Resources"]["ProviderRole"]["Properties"]["PermissionsBoundary"]
    assert boundary["Fn::If"][1] == {"Ref": "PermissionsBoundaryArn"}


@pytest.mark.parametrize(
    ("parameter", "value", "is_valid"),
    [
        ("RoleNamePattern", "service-role/rotation-*", True),
        ("RoleNamePattern", "a,b", True),
        ("RoleNamePattern", "${aws:username}", False),
        ("RoleNamePattern", "", False),
        ("SecretNamePattern", "prod/db-??????", True),
        ("SecretNamePattern", "a:b", False),
        *[
            (name, value, is_valid)
            for name in ("RequiredSecretTag", "RequiredRoleTag")
            for value, is_valid in (
                ("", True),
                ("rotation=enabled", True),
                ("example.com/team:a=db+1@eu-central_1", True),
                ("aws:cloudformation:stack-name=shop", True),
                ("rotation", False),
                ("=enabled", False),
                ("rotation=", False),
                ("rotation=a=b", False),
                ("rotation=enabled*", False),
                ("rot?=enabled", False),
                ("rotation=two words", False),
                ('rotation="enabled"', False),
                ("rotation=${aws:PrincipalTag/team}", False),
            )
        ],
        ("RequiredRoleBoundaryArn", "", True),
        ("RequiredRoleBoundaryArn", "arn:aws:iam::123456789012:policy/path/boundary", True),
        ("RequiredRoleBoundaryArn", "arn:aws-us-gov:iam::aws:policy/PowerUserAccess", True),
        ("RequiredRoleBoundaryArn", "boundary", False),
        ("RequiredRoleBoundaryArn", "arn:aws:iam::123456789012:policy/*", False),
        ("RequiredRoleBoundaryArn", "arn:aws:iam::123456789012:policy/${aws:username}", False),
        ("PermissionsBoundaryArn", "", True),
        ("PermissionsBoundaryArn", "arn:aws:iam::123456789012:policy/path/boundary", True),
        ("PermissionsBoundaryArn", "arn:aws:iam::aws:policy/PowerUserAccess", True),
        ("PermissionsBoundaryArn", "boundary", False),
        ("AlarmTopicArn", "", True),
        ("AlarmTopicArn", "arn:aws-cn:sns:cn-north-1:123456789012:on-call", True),
        ("AlarmTopicArn", "on-call", False),
    ],
)
def test_a_parameter_accepts_only_values_that_are_valid_in_a_policy(
    template: dict[str, Any], parameter: str, value: str, is_valid: bool
) -> None:
    pattern = template["Parameters"][parameter]["AllowedPattern"]
    assert bool(re.fullmatch(pattern, value)) is is_valid


def test_the_function_knows_whether_it_may_serve_the_documented_profile(template: dict[str, Any]) -> None:
    parameter = template["Parameters"]["AllowDocumentedProfile"]
    assert (parameter["Default"], parameter["AllowedValues"]) == ("false", ["true", "false"])
    variables = template["Resources"]["RotationRolePolicyFunction"]["Properties"]["Environment"]["Variables"]
    assert variables == {"ALLOW_DOCUMENTED_PROFILE": {"Ref": "AllowDocumentedProfile"}}


def test_the_export_and_the_ssm_parameter_of_the_service_token_have_the_functions_name(
    template: dict[str, Any],
) -> None:
    arn = {"Fn::GetAtt": ["RotationRolePolicyFunction", "Arn"]}
    name = {"Fn::If": ["HasFunctionName", {"Ref": "FunctionName"}, {"Ref": "AWS::StackName"}]}
    assert template["Resources"]["RotationRolePolicyFunction"]["Properties"]["FunctionName"] == name
    assert template["Outputs"]["ServiceToken"]["Value"] == arn
    assert template["Outputs"]["ServiceToken"]["Export"] == {
        "Name": {"Fn::Sub": ["${Name}-ServiceToken", {"Name": name}]}
    }
    parameter = template["Resources"]["ServiceTokenParameter"]["Properties"]
    assert (parameter["Value"], parameter["Name"]) == (arn, {"Fn::Sub": ["/${Name}/service-token", {"Name": name}]})


def test_the_function_has_its_own_log_group_with_the_retention_and_key_of_the_parameters(
    template: dict[str, Any],
) -> None:
    function = template["Resources"]["RotationRolePolicyFunction"]["Properties"]
    assert function["LoggingConfig"]["LogGroup"] == {"Ref": "LogGroup"}
    assert template["Resources"]["LogGroup"]["Properties"] == {
        "RetentionInDays": {"Ref": "LogRetentionInDays"},
        "KmsKeyId": {"Fn::If": ["HasKmsKey", {"Ref": "KmsKeyArn"}, {"Ref": "AWS::NoValue"}]},
    }
    assert (function["Runtime"], function["Architectures"]) == ("python3.13", ["arm64"])
    assert function["Timeout"] >= 60 + UNDO_SECONDS + RESPONSE_SECONDS + 60


def test_lambda_retries_an_event_for_an_hour_and_then_sends_it_to_the_queue(template: dict[str, Any]) -> None:
    invoke_config = template["Resources"]["RotationRolePolicyFunction"]["Properties"]["EventInvokeConfig"]
    assert (invoke_config["MaximumRetryAttempts"], invoke_config["MaximumEventAgeInSeconds"]) == (2, 3600)
    queue = {"Type": "SQS", "Destination": {"Fn::GetAtt": ["FailedEvents", "Arn"]}}
    assert invoke_config["DestinationConfig"]["OnFailure"] == queue


def test_the_queue_of_failed_events_is_encrypted_and_requires_tls(template: dict[str, Any]) -> None:
    queue = template["Resources"]["FailedEvents"]["Properties"]
    assert queue["SqsManagedSseEnabled"] == {"Fn::If": ["HasKmsKey", False, True]}
    assert queue["KmsMasterKeyId"] == {"Fn::If": ["HasKmsKey", {"Ref": "KmsKeyArn"}, {"Ref": "AWS::NoValue"}]}
    policy = template["Resources"]["FailedEventsPolicy"]["Properties"]
    assert policy["Queues"] == [{"Ref": "FailedEvents"}]
    [statement] = policy["PolicyDocument"]["Statement"]
    assert (statement["Effect"], statement["Principal"]) == ("Deny", "*")
    assert statement["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}


def test_alarms_watch_failed_events_and_failed_requests(template: dict[str, Any]) -> None:
    dimensions = {}
    for resource in template["Resources"].values():
        if resource["Type"] == "AWS::CloudWatch::Alarm":
            alarm = resource["Properties"]
            assert (alarm["ComparisonOperator"], alarm["Threshold"]) == ("GreaterThanThreshold", 0)
            missing_data = "ignore" if alarm["Namespace"] == "AWS/SQS" else "notBreaching"
            assert alarm["TreatMissingData"] == missing_data
            topic = [{"Ref": "AlarmTopicArn"}]
            assert alarm["AlarmActions"] == {"Fn::If": ["HasAlarmTopic", topic, {"Ref": "AWS::NoValue"}]}
            [dimension] = alarm["Dimensions"]
            dimensions[alarm["Namespace"], alarm["MetricName"]] = (dimension["Name"], dimension["Value"])
    assert dimensions == {
        ("AWS/SQS", "ApproximateNumberOfMessagesVisible"): (
            "QueueName",
            {"Fn::GetAtt": ["FailedEvents", "QueueName"]},
        ),
        (METRICS_NAMESPACE, "FailedRequests"): ("Provider", {"Ref": "RotationRolePolicyFunction"}),
    }


def test_the_dashboard_shows_all_metrics_that_the_provider_logs(template: dict[str, Any]) -> None:
    dashboard = template["Resources"]["ProviderDashboard"]
    assert template["Conditions"][dashboard["Condition"]] == {"Fn::Equals": [{"Ref": "Dashboard"}, "true"]}
    text = dashboard["Properties"]["DashboardBody"]["Fn::Sub"]
    widgets = json.loads(re.sub(r"\$\{!", "${", re.sub(r"\$\{([^!}]+)\}", r"<\1>", text)))["widgets"]
    metrics = [widget["properties"]["metrics"] for widget in widgets if widget["type"] == "metric"]
    counts = {"Requests": 1, "FailedRequests": 1, "Duration": 1, "ColdStarts": 1} | dict.fromkeys(WARNINGS, 0)
    logged = emf_metrics("<RotationRolePolicyFunction>", "Role", **counts)
    by_provider, by_error_code = logged["_aws"]["CloudWatchMetrics"]
    requests, error_codes, duration, warnings, cold_starts, lost_events = metrics
    assert all(second[:4:2] == [".", "."] and second[3] == "." for _, second in (requests, warnings))
    provider_metrics = [
        *[[*first[:1], name, *first[2:]] for first, second in (requests,) for name in (first[1], second[1])],
        duration[0],
        *cold_starts,
        *[[*first[:1], name, *first[2:]] for first, second in (warnings,) for name in (first[1], second[1])],
    ]
    for metric in provider_metrics:
        assert metric[:4:2] == [by_provider["Namespace"], *by_provider["Dimensions"][0]]
        assert metric[3] == logged["Provider"]
    assert [metric[1] for metric in provider_metrics] == [definition["Name"] for definition in by_provider["Metrics"]]
    schema = ",".join([by_error_code["Namespace"], *by_error_code["Dimensions"][0]])
    [[search]] = error_codes
    name, provider_name = by_error_code["Metrics"][0]["Name"], logged["Provider"]
    assert search["expression"] == (
        f"""SEARCH('{{{schema}}} MetricName="{name}" Provider="{provider_name}"', 'Sum', 300)"""
    )
    assert lost_events[0][:4] == [
        "AWS/SQS",
        "ApproximateNumberOfMessagesVisible",
        "QueueName",
        "<FailedEvents.QueueName>",
    ]
    [alarms] = [widget["properties"]["alarms"] for widget in widgets if widget["type"] == "alarm"]
    logical_ids = [
        logical_id
        for logical_id, resource in template["Resources"].items()
        if resource["Type"] == "AWS::CloudWatch::Alarm"
    ]
    assert sorted(alarms) == sorted(f"<{logical_id}.Arn>" for logical_id in logical_ids)
    # The widgets do not overlap, on a grid of 24 columns.
    cells = [
        (x, y)
        for widget in widgets
        for x in range(widget["x"], widget["x"] + widget["width"])
        for y in range(widget["y"], widget["y"] + widget["height"])
    ]
    assert len(cells) == len(set(cells))
    assert max(x for x, _ in cells) == 23


def test_the_version_is_the_same_in_template_and_code_and_newer_than_the_last_release(template: dict[str, Any]) -> None:
    """The version of a release stands in the changelog; that of a development version follows its last release."""
    version = Version(__version__)
    assert str(version) == __version__ == template["Outputs"]["ProviderVersion"]["Value"]
    # Semantic versioning writes the same version in another form than Python.
    semantic = template["Metadata"]["AWS::ServerlessRepo::Application"]["SemanticVersion"]
    assert semantic == (version.base_version if version.dev is None else f"{version.base_version}-dev.{version.dev}")
    changelog = (ROOT / "CHANGELOG.md").read_text()
    released = Version(re.findall(r"^## \[(\S+)\] - \d{4}-\d\d-\d\d$", changelog, re.MULTILINE)[0])
    assert version > released if version.is_devrelease else version == released
    assert len(version.release) == 3


def test_the_metadata_meets_the_limits_of_the_serverless_application_repository(template: dict[str, Any]) -> None:
    """Source of the limits:

    https://docs.aws.amazon.com/serverless-application-model/latest/developerguide/serverless-sam-template-publishing-applications-metadata-properties.html
    """
    application = template["Metadata"]["AWS::ServerlessRepo::Application"]
    assert re.fullmatch(r"[a-zA-Z0-9\-]{1,140}", application["Name"])
    assert 1 <= len(application["Description"]) <= 256
    assert re.fullmatch(r"(?=.{1,127}$)[a-z0-9](([a-z0-9]|-(?!-))*[a-z0-9])?", application["Author"])
    assert len(application["Labels"]) <= 10
    assert all(re.fullmatch(r"[a-zA-Z0-9+\-_:/@]{1,127}", label) for label in application["Labels"])
    for file in (application["LicenseUrl"], application["ReadmeUrl"]):
        assert (ROOT / file).stat().st_size < 5_000_000


def test_the_artifact_contains_crhelper_and_the_handler_and_any_python_can_build_it(tmp_path: Path) -> None:
    tools = tmp_path / "bin"
    tools.mkdir()
    for tool in ("make", "sh"):
        (tools / tool).symlink_to(str(shutil.which(tool)))
    # The only interpreter on PATH. Its name includes its version.
    name = f"python{sys.version_info.major}.{sys.version_info.minor}"
    (tools / name).write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    (tools / name).chmod(0o755)
    artifacts = tmp_path / "artifacts"
    artifacts.mkdir()
    source = shutil.copytree(ROOT / "handler", tmp_path / "source")
    subprocess.run(
        ["make", "build-RotationRolePolicyFunction", f"ARTIFACTS_DIR={artifacts}"],
        cwd=source,
        env=os.environ | {"PATH": str(tools)},
        check=True,
        capture_output=True,
    )
    assert {path.name for path in artifacts.iterdir()} == {
        "crhelper", "crhelper-2.0.12.dist-info", "rotation_role_policy",
    }  # fmt: skip
    package, deployed = ROOT / "handler" / "rotation_role_policy", artifacts / "rotation_role_policy"
    modules = {path.relative_to(package) for path in package.rglob("*.py")}
    assert {path.relative_to(deployed) for path in deployed.rglob("*") if path.is_file()} == modules
    # What the handler imports, directly or not, also inside of functions.
    graph = grimp.build_graph("rotation_role_policy", cache_dir=None)
    imported = graph.find_upstream_modules("rotation_role_policy.provider.handler")
    assert len(imported) > 20
    for module in imported:
        path = artifacts / module.replace(".", "/")
        assert path.with_suffix(".py").is_file() or (path / "__init__.py").is_file(), module


def test_crhelper_is_the_only_runtime_requirement_and_its_wheel_is_pinned() -> None:
    requirements = (ROOT / "handler" / "requirements.txt").read_text().splitlines()
    [requirement] = [line for line in requirements if line and not line.startswith("#")]
    assert re.fullmatch(r"crhelper==2\.0\.12 --hash=sha256:[0-9a-f]{64}", requirement)


def test_a_wheel_with_another_hash_is_not_installed(tmp_path: Path) -> None:
    source = shutil.copytree(ROOT / "handler", tmp_path / "source")
    requirements = source / "requirements.txt"
    requirements.write_text(re.sub("sha256:[0-9a-f]{4}", "sha256:0000", requirements.read_text()))
    build = ["make", "build-RotationRolePolicyFunction", f"ARTIFACTS_DIR={tmp_path}", f"PYTHON={sys.executable}"]
    process = subprocess.run(build, cwd=source, check=False, capture_output=True, text=True)
    assert process.returncode
    assert "DO NOT MATCH THE HASHES" in process.stderr


def test_importing_the_handler_imports_no_types_that_lambda_lacks() -> None:
    program = """
import sys
from rotation_role_policy.provider import handler
assert not [name for name in sys.modules if name.startswith(("types_boto3", "mypy", "typing_extensions"))]
"""
    subprocess.run([sys.executable, "-c", program], check=True, env=os.environ | {"PYTHONPATH": str(ROOT / "handler")})


def test_importing_the_handler_creates_no_session_and_no_client() -> None:
    program = """
import boto3, botocore.session
def fail(*_, **__): raise AssertionError("created at import")
boto3.Session.__init__ = boto3.client = botocore.session.Session.__init__ = fail
from rotation_role_policy.provider import handler
assert not {"_session", "cloudformation", "iam", "kms", "lambda_", "secretsmanager"} & vars(handler.aws).keys()
"""
    subprocess.run([sys.executable, "-c", program], check=True, env=os.environ | {"PYTHONPATH": str(ROOT / "handler")})
