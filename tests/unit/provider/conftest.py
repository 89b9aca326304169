"""The fixture of the tests of requests, responses and the provider."""

import time

import pytest

from tests.support.response_server import ResponseServer
from tests.support.served import Served


@pytest.fixture
def served(responses: ResponseServer, monkeypatch: pytest.MonkeyPatch) -> Served:
    """Return a resource whose calls to `time.sleep` do not wait."""
    monkeypatch.setattr(time, "sleep", lambda _: None)
    return Served(responses)
