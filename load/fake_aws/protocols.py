"""The protocols of AWS's services: which call an HTTP request makes, and what its response looks like."""

import json
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

from load.fake_aws.calls import FakeAws, ServiceError

SERVICES = ("secretsmanager", "kms", "lambda", "iam", "sts", "cloudformation")
"""The prefixes of IAM actions."""
RESPONSES = "responses"
"""Not a service: where the provider puts its responses."""

_LAMBDA_CALLS = {"configuration": "GetFunctionConfiguration", "policy": "GetPolicy"}
"""Calls that name a function, by the end of their path."""


def respond(aws: FakeAws, service: str, request: str, headers: dict[str, str], body: bytes) -> tuple[int, bytes]:
    """Return status and body of the response to an HTTP request.

    Args:
        aws: what responds to the call.
        service: the IAM prefix of the service, or `RESPONSES`.
        request: method and target.
        headers: keyed by name in lower case.
    """
    if service == RESPONSES:
        aws.statistics.responses.append(json.loads(body))
        return 200, b""
    match service:
        case "lambda":
            operation, parameters = _lambda_call(request)
        case "secretsmanager" | "kms":
            operation, parameters = headers["x-amz-target"].rpartition(".")[2], json.loads(body)
        case _:
            parameters = {key: values[0] for key, values in parse_qs(body.decode()).items()}
            operation = parameters["Action"]
    is_xml = service in ("iam", "sts", "cloudformation")
    try:
        content = aws.call(f"{service}:{operation}", parameters)
        status, content = 200, {f"{operation}Response": {f"{operation}Result": content}} if is_xml else content
    except ServiceError as error:
        code, message = error.args
        in_xml = {"ErrorResponse": {"Error": {"Type": "Sender", "Code": code, "Message": message}}}
        # The JSON protocol reads __type, Lambda's protocol reads code.
        in_json = {"__type": code, "code": code, "message": message}
        status, content = 400, in_xml if is_xml else in_json
    return status, _xml(content).encode() if is_xml else json.dumps(content).encode()


def _lambda_call(request: str) -> tuple[str, dict[str, Any]]:
    """Return operation and parameters of a call of Lambda's REST API; the request itself for an unknown one."""
    method, target = request.split(" ")
    url = urlsplit(target)
    name, _, end = url.path.removeprefix("/2015-03-31/functions").strip("/").partition("/")
    operation = _LAMBDA_CALLS.get(end, request) if name else "ListFunctions"
    parameters = {key: values[0] for key, values in parse_qs(url.query).items()}
    return operation if method == "GET" else request, parameters | {"FunctionName": unquote(name)}


def _xml(value: Any) -> str:
    """Return XML: an element for each key of a dictionary, and an element ``member`` for each item of a list."""
    match value:
        case dict():
            return "".join(f"<{name}>{_xml(content)}</{name}>" for name, content in value.items())
        case list():
            return "".join(f"<member>{_xml(item)}</member>" for item in value)
        case bool():
            return str(value).lower()
        case _:
            return escape(str(value))
