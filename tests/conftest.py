"""Fixtures: a clean environment, a place for answers, a moto account."""

import os
from collections.abc import Iterator

import pytest
from hypothesis import Phase, settings
from moto import mock_aws

from emulator.lambda_runtime import json_log
from rotation_role_policy.aws import transport
from tests.support import response_server as answers_module
from tests.support.account import REGION, Account, connected
from tests.support.response_server import ResponseServer

# `make test` makes the same few examples each time, `make soak` many new ones.
settings.register_profile(
    "default",
    max_examples=25,
    stateful_step_count=20,
    deadline=None,
    derandomize=True,
    phases=[Phase.explicit, Phase.generate],
)
settings.register_profile("soak", max_examples=200, stateful_step_count=50, deadline=None, print_blob=True)
settings.load_profile("default")


@pytest.fixture(autouse=True, scope="session")
def _no_real_account() -> None:
    """No test reads the user's own AWS settings, let alone calls a real account."""
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
def _lambda_log() -> None:
    """The log that the Lambda runtime sets up."""
    json_log.install()


@pytest.fixture(scope="session")
def _place_for_answers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ResponseServer]:
    with answers_module.serve(tmp_path_factory.mktemp("answers")) as (responses, authority):
        transport.ssl_context.cache_clear()
        os.environ["SSL_CERT_FILE"] = str(authority)
        yield responses


@pytest.fixture
def responses(_place_for_answers: ResponseServer) -> ResponseServer:
    """The place that answers are put, empty."""
    _place_for_answers.clear()
    return _place_for_answers


@pytest.fixture(scope="module")
def shared_account(_place_for_answers: ResponseServer) -> Iterator[Account]:
    """An AWS account for all the tests of a module, which only look at it."""
    with mock_aws(config={"lambda": {"use_docker": False}}):
        yield Account(_place_for_answers)


@pytest.fixture
def account(responses: ResponseServer) -> Iterator[Account]:
    """An empty AWS account, and the provider connected to it."""
    with connected(responses) as account:
        yield account
