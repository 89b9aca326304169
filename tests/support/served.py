"""A `CustomResource` with functions of the test's own, and requests to it."""

from typing import Any

from rotation_role_policy.provider.crhelper_adapter import CustomResource
from rotation_role_policy.provider.request import Request
from tests.support.account import Account, Context
from tests.support.response_server import ResponseServer


class Served:
    """A `CustomResource` whose functions return `result`, and requests to it."""

    def __init__(self, responses: ResponseServer) -> None:
        self.responses = responses
        self.resource = CustomResource()
        self.result: Any = "role/policy"
        self.requests: list[Request] = []
        self.resource.create(self._serve)
        self.resource.update(self._serve)
        self.resource.delete(self._serve)

    def _serve(self, request: Request, _: Any) -> Any:
        self.requests.append(request)
        return self.result() if callable(self.result) else self.result

    def request(self, **members: Any) -> dict[str, Any]:
        """Return a Create with these members."""
        return Account(self.responses).request("Create", {"SecretId": "db"}, **members)

    def send(self, context: Context | None = None, **members: Any) -> dict[str, Any]:
        """Send a request, and return the one response."""
        self.resource(self.request(**members), context or Context())
        [response] = self.responses.received
        return response


def failing(error: Exception) -> Any:
    """Return a function that raises the error."""

    def fail() -> None:
        raise error

    return fail
