"""A `CustomResource` with a function of the test's own, and requests to it."""

from collections.abc import Callable
from typing import Any

from rotation_role_policy.provider.crhelper_adapter import CustomResource
from rotation_role_policy.provider.request import Request
from rotation_role_policy.provider.response import Success
from rotation_role_policy.provider.schedule import Schedule
from rotation_role_policy.provider.single_response import SingleResponse
from tests.support.account import Account, Context
from tests.support.response_server import ResponseServer

SUCCESS = Success("role/policy", {})


class Served:
    """A `CustomResource` that serves each request with `serve`, and requests to it."""

    def __init__(self, responses: ResponseServer) -> None:
        self.responses = responses
        self.resource = CustomResource(self._serve)
        self.serve: Callable[[], Success] = lambda: SUCCESS
        self.requests: list[Request] = []

    @property
    def response(self) -> SingleResponse:
        """The response to the latest request."""
        response: SingleResponse = self.resource.response
        return response

    def _serve(self, response: SingleResponse, _schedule: Schedule, _provider_arn: str) -> Success:
        self.requests.append(response.request)
        return self.serve()

    def request(self, **members: Any) -> dict[str, Any]:
        """Return a Create with these members."""
        return Account(self.responses).request("Create", {"SecretId": "db"}, **members)

    def send(self, context: Context | None = None, **members: Any) -> dict[str, Any]:
        """Send a request, and return the one response."""
        self.resource(self.request(**members), context or Context())
        [response] = self.responses.received
        return response


def failing(error: Exception) -> Callable[[], Success]:
    """Return a function that raises the error."""

    def fail() -> Success:
        raise error

    return fail
