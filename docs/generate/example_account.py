"""An account, in memory, with a secret, a rotation function in a VPC, and what else the pictures show."""

import json
import logging
import os
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from unittest import mock

from moto.moto_api._internal import mock_random

from rotation_role_policy.aws import transport
from tests.support.account import REGION, Account, connected
from tests.support.response_server import serve

SECRET = "prod/orders"  # noqa: S105  # a name
FUNCTION = "rotate-orders"


@contextmanager
def example_account() -> Iterator[Account]:
    """Yield an account that is the same in every run and on every machine."""
    settings = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")} | {
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_DEFAULT_REGION": REGION,
        "AWS_CONFIG_FILE": os.devnull,
    }
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        responses, authority = stack.enter_context(serve(Path(folder)))
        stack.enter_context(mock.patch.dict(os.environ, settings | {"SSL_CERT_FILE": str(authority)}, clear=True))
        # The provider's log is not part of the output.
        stack.enter_context(mock.patch.object(logging.getLogger(), "handlers", [logging.NullHandler()]))
        # The provider reads its authorities once.
        transport.ssl_context.cache_clear()
        stack.callback(transport.ssl_context.cache_clear)
        account = stack.enter_context(connected(responses))
        mock_random.seed(4)
        account.function(account.role("orders-rotation"), name=FUNCTION, vpc=account.vpc())
        account.secret(SECRET, key=account.key())
        yield account


def put_inline_policy(account: Account, name: str, action: str, resource: str) -> None:
    """Put one more inline policy on the function's role."""
    statement = {"Effect": "Allow", "Action": action, "Resource": resource}
    document = json.dumps({"Version": "2012-10-17", "Statement": statement})
    account.client("iam").put_role_policy(RoleName="orders-rotation", PolicyName=name, PolicyDocument=document)
