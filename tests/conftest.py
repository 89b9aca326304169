"""Fixtures: a clean environment, a server for responses, an AWS account in moto."""

import gc
import os
from collections.abc import Iterator

import pytest
from hypothesis import Phase, settings
from moto import mock_aws

from emulator.lambda_runtime import json_log
from rotation_role_policy.audit import lookups
from rotation_role_policy.aws import transport
from tests.support import response_server
from tests.support.account import REGION, Account, connected
from tests.support.response_server import ResponseServer

# `make test` runs the same few examples each time, `make soak` many new ones.
settings.register_profile(
    "default",
    max_examples=25,
    stateful_step_count=20,
    deadline=None,
    derandomize=True,
    phases=[Phase.explicit, Phase.generate],
)
settings.register_profile("soak", max_examples=400, stateful_step_count=50, deadline=None, print_blob=True)
settings.load_profile("default")


_LONGEST = (
    "tests/e2e/",
    "tests/model/",
    "tests/unit/provider/test_custom_resource.py",
    "tests/unit/audit/test_a",
    "tests/unit/cli/test_preview.py",
)
"""Beginnings of paths, in the order in which `make test` runs them. Short files at the end keep both processes busy."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run the tests that take longest first."""
    ranks = {path: rank for rank, path in enumerate(_LONGEST)}
    items.sort(key=lambda item: min((ranks[path] for path in _LONGEST if item.nodeid.startswith(path)), default=99))


def pytest_collection_finish() -> None:
    """Keep Python's garbage collector from visiting the modules that stay until the end, such as those of moto."""
    gc.freeze()


@pytest.fixture(autouse=True, scope="session")
def _no_real_account() -> None:
    """Keep the tests from the user's own AWS settings and accounts."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        del os.environ[name]
    os.environ |= {
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_DEFAULT_REGION": REGION,
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
    }


@pytest.fixture(autouse=True, scope="session")
def _no_contained_errors() -> None:
    """Let an unexpected error of an audit fail the test, so that no bug hides behind a finding."""
    lookups.CONTAINED_ERRORS = ()


@pytest.fixture(autouse=True, scope="session")
def _lambda_log() -> None:
    """Set up the log, as the Lambda runtime does."""
    json_log.install()


@pytest.fixture(scope="session")
def _shared_responses(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ResponseServer]:
    with response_server.serve(tmp_path_factory.mktemp("responses")) as (responses, authority):
        transport.ssl_context.cache_clear()
        os.environ["SSL_CERT_FILE"] = str(authority)
        yield responses


@pytest.fixture
def responses(_shared_responses: ResponseServer) -> ResponseServer:
    """The server that receives responses, empty."""
    _shared_responses.clear()
    return _shared_responses


@pytest.fixture(scope="module")
def shared_account(_shared_responses: ResponseServer) -> Iterator[Account]:
    """An AWS account for all tests of a module, which only read it."""
    with mock_aws(config={"lambda": {"use_docker": False}}):
        yield Account(_shared_responses)


@pytest.fixture
def account(responses: ResponseServer) -> Iterator[Account]:
    """An empty AWS account, with the provider connected to it."""
    with connected(responses) as account:
        yield account
