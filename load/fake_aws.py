"""A fake AWS: HTTPS servers with a fixed response to each call, and a server that receives the provider's responses.

Each service has a server of its own, as each service of AWS has a host of its own. Connections, and the certificate
authorities that are read for them, are a large part of a cold start. The servers run in the process of the benchmark,
so the measured process does not include their cost.

The servers keep the inline policies that were put, because the provider compares with the current policy. They also
record all requests.
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
    """Return the ARN of the secret with this name. The account has a secret of every name."""
    return f"arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:{name}-a1b2c3"


class ReceivedRequest(NamedTuple):
    """A request: the name is the IAM action, such as ``iam:PutRolePolicy``, or ``response`` for a response."""

    name: str
    content: dict[str, Any]


class _UnknownCallError(Exception):
    """The fake AWS does not support this call."""


@dataclass
class FakeAccount:
    """The account: whether the secret has a customer managed key, and whether the function is in a VPC."""

    customer_key: bool = False
    in_vpc: bool = False
    received: list[ReceivedRequest] = field(default_factory=list)
    _policies: dict[tuple[str, str], str] = field(default_factory=dict)

    def reset(self, *, customer_key: bool, in_vpc: bool) -> None:
        """Delete all policies and recorded requests, and set the properties of the account."""
        self.customer_key, self.in_vpc = customer_key, in_vpc
        self.received.clear()
        self._policies.clear()

    # --- protocols ---

    def respond(self, method: str, path: str, headers: Any, body: bytes) -> tuple[int, str, str]:
        """Return status, content type and body of the response to a request."""
        parts = urlsplit(path)
        if method == "PUT" and parts.path == "/response":
            self.received.append(ReceivedRequest("response", json.loads(body)))
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
        except _UnknownCallError as unknown:
            text = f"the fake AWS does not support {unknown}"
            return 400, "text/xml", _xml({"ErrorResponse": {"Error": {"Code": "NotSupported", "Message": text}}})

    def _call(self, action: str, **parameters: Any) -> dict[str, Any]:
        self.received.append(ReceivedRequest(action, parameters))
        known: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
            "secretsmanager:DescribeSecret": self._describe_secret,
            "secretsmanager:ListSecretVersionIds": self._list_secret_version_ids,
            "kms:DescribeKey": self._describe_key,
            "lambda:GetFunctionConfiguration": self._get_function_configuration,
            "iam:GetRolePolicy": self._get_role_policy,
            "iam:SimulatePrincipalPolicy": self._simulate_principal_policy,
            "iam:PutRolePolicy": self._put_role_policy,
            "cloudformation:DescribeStacks": self._describe_stacks,
            "cloudformation:DescribeStackEvents": self._describe_stack_events,
        }
        if action not in known:
            raise _UnknownCallError(action)
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

    def _list_secret_version_ids(self, parameters: dict[str, Any]) -> dict[str, Any]:
        version = {
            "VersionId": "11111111-2222-3333-4444-555555555555",
            "VersionStages": ["AWSCURRENT"],
            "CreatedDate": 1767225600.0,
            "KmsKeyIds": [KEY_ARN if self.customer_key else "DefaultEncryptionKey"],
        }
        arn = parameters["SecretId"]
        return {"ARN": arn, "Name": arn.partition(":secret:")[2], "Versions": [version]}

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
        """Return ``allowed`` for all actions and resources."""
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
    """Return the members of a list parameter of the Query protocol."""
    return [value for key, value in parameters.items() if key.startswith(f"{name}.member.")]


def _xml(content: dict[str, Any]) -> str:
    """Return XML with an element for each key. A list becomes one element per member."""
    text = ""
    for name, value in content.items():
        for member in value if isinstance(value, list) else [value]:
            text += f"<{name}>{_xml(member) if isinstance(member, dict) else escape(str(member))}</{name}>"
    return text


SERVERS = ("responses", "secrets_manager", "kms", "lambda", "iam", "cloudformation")
"""The server for responses, and the services, named as in botocore's variables (``AWS_ENDPOINT_URL_IAM``)."""


@contextmanager
def serve(folder: Path) -> Iterator[tuple[FakeAccount, dict[str, str], Path]]:
    """Run the servers. Yield the account, the URL of each server, and the CA certificate that clients must trust."""
    authority = trustme.CA()
    certificate = folder / "authority.pem"
    authority.cert_pem.write_to_path(str(certificate))
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(tls)
    account = FakeAccount()
    servers = {name: ThreadingHTTPServer(("127.0.0.1", 0), _handler_class(account)) for name in SERVERS}
    threads = [threading.Thread(target=server.serve_forever, daemon=True) for server in servers.values()]
    for server, thread in zip(servers.values(), threads, strict=True):
        server.socket = tls.wrap_socket(server.socket, server_side=True)
        thread.start()
    try:
        yield (
            account,
            {name: f"https://localhost:{server.server_port}" for name, server in servers.items()},
            certificate,
        )
    finally:
        for server, thread in zip(servers.values(), threads, strict=True):
            server.shutdown()
            server.server_close()
            thread.join()


def _handler_class(account: FakeAccount) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        # Send head and body in one packet. Otherwise the body waits for the client's delayed acknowledgement.
        wbufsize = -1
        disable_nagle_algorithm = True

        def _respond(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            status, content_type, content = account.respond(self.command, self.path, self.headers, body)
            self.send_response(status)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(content.encode())))
            self.end_headers()
            self.wfile.write(content.encode())

        do_GET = do_POST = do_PUT = _respond  # noqa: N815  # the names that http.server calls

        def log_message(self, *_: Any) -> None:
            pass

    return Handler
