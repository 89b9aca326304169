"""Lambda entry point of the provider: one invocation serves one request of CloudFormation.

If the response cannot be delivered, the invocation fails, and Lambda delivers the event again.
"""

from functools import partial
from typing import Any

from rotation_role_policy.aws.client import Aws
from rotation_role_policy.provider.crhelper_adapter import CustomResource
from rotation_role_policy.provider.serve import serve
from rotation_role_policy.provider.settings import Settings

# Both are kept between invocations, with the clients and their connections.
aws = Aws()
resource = CustomResource(partial(serve, aws, Settings.from_env()))


def handler(event: Any, context: Any) -> None:
    """Serve one CloudFormation request. The response is sent to the request's ResponseURL.

    Raises:
        InvalidEventError: the event is not a CloudFormation request.
        ResponseDeliveryError: the response did not arrive.
    """
    resource(event, context)
