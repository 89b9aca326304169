"""MiniStack with behavior of AWS that the tests rely on and MiniStack lacks, as an ASGI application for hypercorn.

The functions below replace functions of MiniStack. tests/e2e/test_emulator.py has a test for each behavior. Whether
Secrets Manager may invoke a rotation function is not checked.
"""

import json
import logging
from collections.abc import Callable
from contextvars import ContextVar, copy_context
from datetime import UTC, datetime
from functools import partial
from threading import Thread
from typing import Any

from ministack.app import app as app  # for hypercorn
from ministack.core import iam_actions, iam_evaluator, lambda_runtime
from ministack.core.responses import error_response_json, get_account_id, get_region, json_response
from ministack.core.router import extract_access_key_id
from ministack.services import cloudformation, iam, kms, lambda_svc, secretsmanager
from ministack.services.cloudformation import custom_resource, provisioners

Function = Callable[..., Any]


def replaces(*owners: Any, name: str = "") -> Callable[[Function], Function]:
    """Put the decorated function into modules or dictionaries. It gets the original that it replaces as an argument."""

    def replace(replacement: Function) -> Function:
        replaced = name or replacement.__name__
        for names in (owner if isinstance(owner, dict) else vars(owner) for owner in owners):
            names[replaced] = partial(replacement, names[replaced])
        return replacement

    return replace


# --- authorization: condition keys and resources ---
_caller: ContextVar[str] = ContextVar("caller", default="")  # its access key
_functions: dict[str, str] = {}  # ARNs of functions, keyed by the access key of the function's code


@replaces(iam_evaluator)
def pin_request_caller(original: Function, headers: Any, query_params: Any = None) -> None:
    """Remember the caller, with whose permissions Secrets Manager calls KMS."""
    _caller.set(extract_access_key_id(headers, query_params))
    original(headers, query_params)


@replaces(lambda_runtime, lambda_svc)
def execution_credentials(original: Function, config: Any) -> Any:
    """Remember which function gets the credentials."""
    credentials = original(config)
    _functions[credentials["AWS_ACCESS_KEY_ID"]] = ":".join(config["FunctionArn"].split(":")[:7])
    return credentials


@replaces(iam_evaluator)
def enforce(original: Function, access_key: str, *args: Any, service_context: Any = None, **kwargs: Any) -> Any:
    """Add the context key of calls that a function's code makes."""
    source = {"lambda:SourceFunctionArn": _functions[access_key]} if access_key in _functions else {}
    return original(access_key, *args, service_context={**(service_context or {}), **source}, **kwargs)


@replaces(iam_evaluator)
def _resolve_condition_key(original: Function, key: str, request: Any) -> Any:
    """Compare the caller of a session with its role, as `aws:PrincipalArn` does."""
    value = original(key, request)
    if key.lower() != "aws:principalarn" or ":assumed-role/" not in value:
        return value
    return iam._roles[value.split("/")[1]]["Arn"]


@replaces(iam_actions)
def extract_resource_arn(original: Function, *request: Any) -> Any:
    """Authorize the policy simulator on the role, RDS on the database with a given ARN, KMS on the key of an alias."""
    names = ("PolicySourceArn", "DBInstanceIdentifier", "DBClusterIdentifier")
    values = (iam_actions._query_param(request[5], name) for name in names)
    resource = next((value for value in values if value.startswith("arn:")), None) or original(*request)
    key = kms._resolve_key(resource) if request[0] == "kms" and ":alias/" in resource else None
    return key["Arn"] if key else resource


@replaces(iam_actions)
def request_tag_context(original: Function, service: str, action: str, body: bytes, parameters: Any) -> Any:
    """Add the encryption context of a call of KMS. Such a call has no `kms:ViaService`."""
    context = json.loads(body).get("EncryptionContext", {}) if service == "kms" else {}
    keys = {f"kms:EncryptionContext:{name}": value for name, value in context.items()}
    return original(service, action, body, parameters) | keys


# --- IAM: the bulk read has the permissions boundaries ---
@replaces(iam._IAM_HANDLERS, name="GetAccountAuthorizationDetails")
def _get_account_authorization_details(original: Function, parameters: Any) -> Any:
    status, headers, body = original(parameters)
    for role in iam._roles.values():
        if role.get("PermissionsBoundary"):
            boundary = (
                "<PermissionsBoundary><PermissionsBoundaryType>Policy</PermissionsBoundaryType>"
                f"<PermissionsBoundaryArn>{role['PermissionsBoundary']}</PermissionsBoundaryArn></PermissionsBoundary>"
            )
            name = f"<RoleName>{role['RoleName']}</RoleName>".encode()
            body = body.replace(name, name + boundary.encode())
    return status, headers, body


# --- Secrets Manager calls KMS with the permissions of its caller ---
# https://docs.aws.amazon.com/secretsmanager/latest/userguide/security-encryption.html
# A version that was stored before the secret got another key has the key that encrypts it as KmsKeyId.
def _key_failure(key_id: str | None, actions: list[str], secret: Any, version: str) -> Any:
    """Return the response to a call whose caller may not use the key, or whose key cannot be used; otherwise None."""
    if not key_id or key_id.endswith("alias/aws/secretsmanager"):
        return None
    key = kms._resolve_key(key_id)
    if not key or kms._check_key_state(key):
        return error_response_json("DecryptionFailure", f"Secrets Manager can't use the KMS key {key_id}.")
    context = {
        "kms:EncryptionContext:SecretARN": secret["ARN"],
        "kms:EncryptionContext:SecretVersionId": version,
        "kms:ViaService": f"secretsmanager.{get_region()}.amazonaws.com",
        "kms:CallerAccount": get_account_id(),
        "aws:ViaAWSService": "true",
    }
    for action in actions:
        request = (_caller.get(), f"kms:{action}", "kms", get_region())
        if iam_evaluator.enforce(*request, resource_arn=key["Arn"], service_context=context):
            return error_response_json("AccessDeniedException", "Access to KMS is not allowed")
    return None


def _key_of(secret: Any, version: str) -> Any:
    return secret["Versions"][version].get("KmsKeyId", secret.get("KmsKeyId"))


@replaces(secretsmanager)
def _describe_secret(original: Function, data: Any) -> Any:
    status, _, body = original(data)
    described = json.loads(body)
    tags = {tag["Key"]: tag["Value"] for tag in described.get("Tags", ())}
    return json_response(described | {"OwningService": tags.get("aws:secretsmanager:owningService")}, status)


@replaces(secretsmanager)
def _list_secrets(original: Function, data: Any) -> Any:
    """List what DescribeSecret returns. A tag has the date of the next rotation, because there is no schedule here."""
    status, _, body = original(data)
    listed = json.loads(body)
    for entry in listed.get("SecretList", ()):
        secret = json.loads(secretsmanager._describe_secret({"SecretId": entry["ARN"]})[2])
        names = ("KmsKeyId", "RotationLambdaARN", "RotationRules", "LastRotatedDate", "OwningService")
        entry |= {name: secret[name] for name in names if secret.get(name)}
        for tag in entry["Tags"]:
            if tag["Key"] == "emulator:NextRotationDate":
                entry["NextRotationDate"] = float(tag["Value"])
    return json_response(listed, status)


@replaces(secretsmanager)
def _get_secret_value(original: Function, data: Any) -> Any:
    response = original(data)
    if response[0] != 200:
        return response
    _, secret = secretsmanager._resolve(data["SecretId"])
    value = json.loads(response[2])
    if not value.keys() & {"SecretString", "SecretBinary"}:
        return error_response_json("ResourceNotFoundException", "Secrets Manager can't find the secret value.")
    return _key_failure(_key_of(secret, value["VersionId"]), ["Decrypt"], secret, value["VersionId"]) or response


@replaces(secretsmanager)
def _put_secret_value(original: Function, data: Any) -> Any:
    _, secret = secretsmanager._resolve(data["SecretId"])
    version, actions = data.get("ClientRequestToken", ""), ["GenerateDataKey", "Decrypt"]
    return (secret and _key_failure(secret.get("KmsKeyId"), actions, secret, version)) or original(data)


@replaces(secretsmanager)
def _update_secret(original: Function, data: Any) -> Any:
    _, secret = secretsmanager._resolve(data["SecretId"])
    old_keys = {version: _key_of(secret, version) for version in (secret or {}).get("Versions", ())}
    response = original(data)
    for version, entry in [item for item in (secret or {}).get("Versions", {}).items() if item[0] in old_keys]:
        # Only the versions in use are re-encrypted, and only if the caller may use both keys.
        is_in_use = {"AWSCURRENT", "AWSPENDING", "AWSPREVIOUS"} & set(entry["Stages"])
        can_decrypt = not _key_failure(old_keys[version], ["Decrypt"], secret, version)
        can_encrypt = not _key_failure(secret.get("KmsKeyId"), ["GenerateDataKey"], secret, version)
        entry["KmsKeyId"] = secret.get("KmsKeyId") if is_in_use and can_decrypt and can_encrypt else old_keys[version]
    return response


@replaces(secretsmanager)
def _list_secret_version_ids(original: Function, data: Any) -> Any:
    status, _, body = original(data)
    _, secret = secretsmanager._resolve(data["SecretId"])
    listed = json.loads(body)
    for entry in listed.get("Versions", ()):
        entry["KmsKeyIds"] = [_key_of(secret, entry["VersionId"]) or "DefaultEncryptionKey"]
    return json_response(listed, status)


# --- RotateSecret starts the four steps in the background ---
# AWS tries a failed step again. Here the rotation ends, and the next RotateSecret continues it.
_log = logging.getLogger("rotation")  # emulator/rotation.py reads the outcome in the server's log


@replaces(secretsmanager)
def _rotate_secret(_: Function, data: Any) -> Any:
    _, secret = secretsmanager._resolve(data["SecretId"])
    secret.update(RotationEnabled=True, RotationLambdaARN=data.get("RotationLambdaARN") or secret["RotationLambdaARN"])
    secret["RotationRules"] = data.get("RotationRules") or secret.get("RotationRules")
    token, version = secretsmanager._find_stage_version(secret, "AWSPENDING")
    if data.get("RotateImmediately") is False:
        return json_response({"ARN": secret["ARN"], "Name": secret["Name"]})
    if not token or "AWSCURRENT" in version["Stages"]:
        secretsmanager._remove_stage_everywhere(secret, "AWSPENDING")
        token, empty = data["ClientRequestToken"], {"SecretString": None, "SecretBinary": None}
        secret["Versions"][token] = empty | {"CreatedDate": secret["CreatedDate"], "Stages": ["AWSPENDING"]}
    Thread(target=copy_context().run, args=(_rotate, secret, token), daemon=True).start()
    return json_response({"ARN": secret["ARN"], "Name": secret["Name"], "VersionId": token})


def _rotate(secret: Any, token: str) -> None:
    function, config, _ = lambda_svc._get_func_record_for_ref(secret["RotationLambdaARN"])
    record, outcome = lambda_svc._execution_record_for_config(function, config), "succeeded"
    for step in ("createSecret", "setSecret", "testSecret", "finishSecret"):
        event = {"Step": step, "SecretId": secret["ARN"], "ClientRequestToken": token}
        result = lambda_svc._execute_function_with_config_scope(record, event)
        if result.get("error"):
            outcome = f"failed in {step}: {result['body']['errorMessage']}"
            break
    _log.info("Rotation of %s %s", secret["ARN"], outcome)


# --- CloudFormation: Ref of a secret is its ARN, and a function keeps its VpcConfig and its key ---
# An update modifies the function. A tag has the date of a modification that is longer ago.
_secrets = provisioners._RESOURCE_HANDLERS["AWS::SecretsManager::Secret"]
_lambdas = provisioners._RESOURCE_HANDLERS["AWS::Lambda::Function"]


@replaces(_secrets, name="create")
@replaces(_secrets, name="update")
@replaces(_secrets, name="delete")
def _with_arn_as_physical_id(original: Function, identifier: str, *args: Any) -> Any:
    result = original(secretsmanager._resolve(identifier)[0] or identifier, *args)
    return result and (result[1]["Arn"], result[1])


@replaces(_lambdas, name="create")
@replaces(_lambdas, name="update")
def _with_complete_configuration(original: Function, *args: Any) -> Any:
    name, attributes = original(*args)
    *_, properties = (arg for arg in args if isinstance(arg, dict))
    tags = {tag["Key"]: tag["Value"] for tag in properties.get("Tags", ())}
    lambda_svc._functions[name]["config"] |= {
        "VpcConfig": lambda_svc._vpc_config_with_id(properties.get("VpcConfig")),
        "KMSKeyArn": properties.get("KmsKeyArn", ""),
        "LastModified": tags.get("emulator:LastModified", f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S.000+0000}"),
    }
    return name, attributes


# --- CloudFormation: the ResponseURL says when it was signed, which is when the request was sent ---
@replaces(custom_resource)
def _response_url(original: Function, token: str) -> str:
    return f"{original(token)}?X-Amz-Date={datetime.now(UTC):%Y%m%dT%H%M%SZ}"


# --- CloudFormation deletes a role as IAM does: not while it has a policy that is not the resource's own ---
@replaces(provisioners, name="_iam_role_delete")  # for a role that an update replaces
@replaces(provisioners._RESOURCE_HANDLERS["AWS::IAM::Role"], name="delete")
def _delete_role(_: Function, name: str, properties: Any) -> None:
    if not (role := iam._roles.get(name)):
        return
    for policy in properties.get("Policies", ()):
        role["InlinePolicies"].pop(policy["PolicyName"], None)
    for arn in properties.get("ManagedPolicyArns", ()):
        iam.detach_managed_policy(role, arn)
    provisioners._rds_call(iam._delete_role, {"RoleName": name}, "AWS::IAM::Role", "delete")


# A nested stack that cannot be deleted completely makes the deletion of its parent fail.
_undeleted: ContextVar[list[str] | None] = ContextVar("undeleted", default=None)  # logical IDs in a nested stack


@replaces(provisioners)
def _delete_resource(original: Function, kind: str, name: str, properties: Any, stack: Any, logical_id: str) -> None:
    try:
        original(kind, name, properties, stack, logical_id)
    except Exception:
        if (undeleted := _undeleted.get()) is not None:
            undeleted.append(logical_id)
        raise


@replaces(provisioners._RESOURCE_HANDLERS["AWS::CloudFormation::Stack"], name="delete")
def _delete_nested_stack(original: Function, identifier: str, properties: Any) -> None:
    stack = cloudformation._stacks.get(provisioners._nested_stack_lookup_name(identifier), {})
    resources, undeleted = dict(stack.get("_resources", {})), list[str]()
    token = _undeleted.set(undeleted)
    try:
        original(identifier, properties)
    finally:
        _undeleted.reset(token)
    if undeleted:
        stack |= {"StackStatus": "DELETE_FAILED", "_resources": {name: resources[name] for name in undeleted}}
        failed = f"The following resource(s) failed to delete: [{', '.join(undeleted)}]."
        raise ValueError(f"Embedded stack {identifier} was not successfully deleted: {failed}")
