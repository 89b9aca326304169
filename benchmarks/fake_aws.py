"""A stand-in for AWS, and for the place of the answers: HTTPS servers with one answer to each call.

Each service has a server of its own, as it has a host of its own in AWS: connecting, and reading the authorities for
it, is a good part of a cold start. All live in the process that compares, so that what they cost is no part of what is
measured. They remember the inline policies that were put, which decides whether a policy is found unchanged, and keep
all that arrived.
"""

import json
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import parse_qs, quote, unquote, urlsplit
from xml.sax.saxutils import escape

import trustme

ACCOUNT = "123456789012"
REGION = "eu-central-1"
ROLE = "orders-rotation"
ROLE_ARN = f"arn:aws:iam::{ACCOUNT}:role/{ROLE}"
KEY_ARN = f"arn:aws:kms:{REGION}:{ACCOUNT}:key/11111111-2222-3333-4444-555555555555"
FUNCTION = "rotate-orders"
FUNCTION_ARN = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:{FUNCTION}"


def secret_arn(name: str) -> str:
    """The ARN of the secret of this name: there is one of any name."""
    return f"arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:{name}-a1b2c3"


class Arrival(NamedTuple):
    """A call by its IAM action, ``iam:PutRolePolicy``, or an answer to CloudFormation by the name ``response``."""

    name: str
    content: dict[str, Any]


class _UnknownCall(Exception):
    """The stand-in has no answer to it."""


@dataclass
class StandIn:
    """The account. `customer_key` and `in_vpc` say what it looks like."""

    customer_key: bool = False
    in_vpc: bool = False
    arrivals: list[Arrival] = field(default_factory=list)
    _policies: dict[tuple[str, str], str] = field(default_factory=dict)

    def begin(self, *, customer_key: bool, in_vpc: bool) -> None:
        """Forgets everything; from now on the account looks like this."""
        self.customer_key, self.in_vpc = customer_key, in_vpc
        self.arrivals.clear()
        self._policies.clear()

    # --- protocols ---

    def respond(self, method: str, path: str, headers: Any, body: bytes) -> tuple[int, str, str]:
        """The status, content type and body for a request."""
        parts = urlsplit(path)
        if method == "PUT" and parts.path == "/answer":
            self.arrivals.append(Arrival("answer", json.loads(body)))
            return 200, "text/plain", ""
        try:
            if parts.path.startswith("/2015-03-31/functions/"):
                name = unquote(parts.path.split("/")[3])
                return 200, "application/json", json.dumps(self._call("lambda:GetFunctionConfiguration", name=name))
            if target := headers["X-Amz-Target"]:
                service, _, operation = target.partition(".")
                prefix = {"secretsmanager": "secretsmanager", "TrentService": "kms"}.get(service, service)
                content = self._call(f"{prefix}:{operation}", **json.loads(body))
                return 200, headers["Content-Type"], json.dumps(content)
            parameters = {name: values[0] for name, values in parse_qs(body.decode()).items()}
            operation = parameters.pop("Action", "")
            prefix = "cloudformation" if parameters.pop("Version", "") == "2010-05-15" else "iam"
            content = self._call(f"{prefix}:{operation}", **parameters)
            return content.pop("status", 200), "text/xml", _xml({f"{operation}Response": content})
        except _UnknownCall as unknown:
            text = f"the stand-in has no answer to {unknown}"
            return 400, "text/xml", _xml({"ErrorResponse": {"Error": {"Code": "NotInStandIn", "Message": text}}})

    def _call(self, action: str, **parameters: Any) -> dict[str, Any]:
        self.arrivals.append(Arrival(action, parameters))
        known: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
            "secretsmanager:DescribeSecret": self._describe_secret,
            "kms:DescribeKey": self._describe_key,
            "lambda:GetFunctionConfiguration": self._get_function_configuration,
            "iam:GetRolePolicy": self._get_role_policy,
            "iam:SimulatePrincipalPolicy": self._simulate_principal_policy,
            "iam:PutRolePolicy": self._put_role_policy,
            "cloudformation:DescribeStacks": self._describe_stacks,
            "cloudformation:DescribeStackEvents": self._describe_stack_events,
        }
        if action not in known:
            raise _UnknownCall(action)
        return known[action](parameters)

    # --- operations ---

    def _describe_secret(self, parameters: dict[str, Any]) -> dict[str, Any]:
        name = parameters["SecretId"]
        key = {"KmsKeyId": KEY_ARN} if self.customer_key else {}
        return {
            "ARN": secret_arn(name),
            "Name": name,
            **key,
            "RotationEnabled": False,
            "CreatedDate": 1767225600.0,
            "LastChangedDate": 1767225600.0,
            "Tags": [],
            "VersionIdsToStages": {"11111111-2222-3333-4444-555555555555": ["AWSCURRENT"]},
        }

    def _describe_key(self, parameters: dict[str, Any]) -> dict[str, Any]:
        return {
            "KeyMetadata": {
                "AWSAccountId": ACCOUNT,
                "Arn": parameters["KeyId"],
                "CreationDate": 1767225600.0,
                "Enabled": True,
                "KeyId": parameters["KeyId"].rpartition("/")[2],
                "KeyManager": "CUSTOMER",
                "KeySpec": "SYMMETRIC_DEFAULT",
                "KeyState": "Enabled",
                "KeyUsage": "ENCRYPT_DECRYPT",
                "Origin": "AWS_KMS",
            }
        }

    def _get_function_configuration(self, parameters: dict[str, Any]) -> dict[str, Any]:
        vpc = {"SubnetIds": ["subnet-1", "subnet-2"], "SecurityGroupIds": ["sg-1"], "VpcId": "vpc-1"}
        return {
            "FunctionName": parameters["name"],
            "FunctionArn": FUNCTION_ARN,
            "Role": ROLE_ARN,
            "Runtime": "python3.13",
            "Handler": "index.handler",
            "Timeout": 30,
            "MemorySize": 128,
            "State": "Active",
            "VpcConfig": vpc if self.in_vpc else {"SubnetIds": [], "SecurityGroupIds": [], "VpcId": ""},
        }

    def _get_role_policy(self, parameters: dict[str, Any]) -> dict[str, Any]:
        document = self._policies.get((parameters["RoleName"], parameters["PolicyName"]))
        if document is None:
            return {"status": 404, "Error": {"Type": "Sender", "Code": "NoSuchEntity", "Message": "no such policy"}}
        names = {name: parameters[name] for name in ("RoleName", "PolicyName")}
        return {"GetRolePolicyResult": {**names, "PolicyDocument": quote(document)}}

    def _put_role_policy(self, parameters: dict[str, Any]) -> dict[str, Any]:
        self._policies[parameters["RoleName"], parameters["PolicyName"]] = parameters["PolicyDocument"]
        return {"ResponseMetadata": {"RequestId": "1"}}

    def _simulate_principal_policy(self, parameters: dict[str, Any]) -> dict[str, Any]:
        """Allows all that is asked."""
        allowed = [
            {"EvalActionName": action, "EvalResourceName": resource, "EvalDecision": "allowed"}
            for action in _members(parameters, "ActionNames")
            for resource in _members(parameters, "ResourceArns")
        ]
        return {
            "SimulatePrincipalPolicyResult": {"EvaluationResults": {"member": allowed}, "IsTruncated": "false"},
        }

    def _describe_stacks(self, parameters: dict[str, Any]) -> dict[str, Any]:
        stack = {
            "StackId": parameters["StackName"],
            "StackName": "database",
            "CreationTime": "2026-01-01T00:00:00Z",
            "StackStatus": "CREATE_IN_PROGRESS",
        }
        return {"DescribeStacksResult": {"Stacks": {"member": stack}}}

    def _describe_stack_events(self, parameters: dict[str, Any]) -> dict[str, Any]:
        stack_event = {
            "StackId": parameters["StackName"],
            "EventId": "1",
            "StackName": "database",
            "LogicalResourceId": "database",
            "PhysicalResourceId": parameters["StackName"],
            "ResourceType": "AWS::CloudFormation::Stack",
            "Timestamp": "2026-01-01T00:00:00Z",
            "ResourceStatus": "CREATE_IN_PROGRESS",
        }
        return {"DescribeStackEventsResult": {"StackEvents": {"member": stack_event}}}


def _members(parameters: dict[str, Any], name: str) -> list[str]:
    """A list as the Query protocol writes it."""
    return [value for key, value in parameters.items() if key.startswith(f"{name}.member.")]


def _xml(content: dict[str, Any]) -> str:
    """Elements by their names; a list is an element for each of its members."""
    text = ""
    for name, value in content.items():
        for one in value if isinstance(value, list) else [value]:
            text += f"<{name}>{_xml(one) if isinstance(one, dict) else escape(str(one))}</{name}>"
    return text


SERVERS = ("answers", "secrets_manager", "kms", "lambda", "iam", "cloudformation")
"""The services by the names that botocore's variables (``AWS_ENDPOINT_URL_IAM``) have for them."""


@contextmanager
def serve(folder: Path) -> Iterator[tuple[StandIn, dict[str, str], Path]]:
    """The stand-in, the URL of each of `SERVERS`, and the certificate of the authority that clients have to trust."""
    authority = trustme.CA()
    certificate = folder / "authority.pem"
    authority.cert_pem.write_to_path(str(certificate))
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(tls)
    stand_in = StandIn()
    servers = {name: ThreadingHTTPServer(("127.0.0.1", 0), _handler_class(stand_in)) for name in SERVERS}
    threads = [threading.Thread(target=server.serve_forever, daemon=True) for server in servers.values()]
    for server, thread in zip(servers.values(), threads, strict=True):
        server.socket = tls.wrap_socket(server.socket, server_side=True)
        thread.start()
    try:
        yield (
            stand_in,
            {name: f"https://localhost:{server.server_port}" for name, server in servers.items()},
            certificate,
        )
    finally:
        for server, thread in zip(servers.values(), threads, strict=True):
            server.shutdown()
            server.server_close()
            thread.join()


def _handler_class(stand_in: StandIn) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        # Head and body in one packet: apart, the second would wait for the client's delayed acknowledgement.
        wbufsize = -1
        disable_nagle_algorithm = True

        def _respond(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            status, content_type, content = stand_in.respond(self.command, self.path, self.headers, body)
            self.send_response(status)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(content.encode())))
            self.end_headers()
            self.wfile.write(content.encode())

        do_GET = do_POST = do_PUT = _respond  # noqa: N815  # the names that http.server calls

        def log_message(self, *_: Any) -> None:
            pass

    return Handler
