"""Calls to AWS with the methods of boto3's clients: a session builds the clients, a strategy repeats the calls.

`Aws.call` is the one place where calls to AWS are made. The types come from types-boto3, which is installed only for
development.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Any, cast

from rotation_role_policy import arn
from rotation_role_policy.aws.retries import Parameters, Response, Retries, UntilDeadline
from rotation_role_policy.aws.session import Session
from rotation_role_policy.errors import AwsApiError

if TYPE_CHECKING:
    from types_boto3_cloudformation import CloudFormationClient
    from types_boto3_iam import IAMClient
    from types_boto3_kms import KMSClient
    from types_boto3_lambda import LambdaClient
    from types_boto3_rds import RDSClient
    from types_boto3_secretsmanager import SecretsManagerClient
    from types_boto3_ssm import SSMClient
    from types_boto3_sts import STSClient

NEW_ROLE_SECONDS = 15
_NEW_ROLE_PAUSE = 2.0
"""Seconds. IAM is eventually consistent: for a while it may not find a role that was created just now.
https://docs.aws.amazon.com/IAM/latest/UserGuide/troubleshoot.html#troubleshoot_general_eventual-consistency"""


class Aws:
    """Calls AWS with the methods of boto3's clients: ``aws.call(aws.iam.get_role, RoleName="rotation-role")``.

    The constructor builds nothing. The session and a client are built when the client is first used.

    Args:
        session: builds the clients, by default with the credentials of the environment.
        retries: repeats the calls, by default until the deadline.
    """

    waits_for_new_roles = False
    """Whether `call_on_role` waits for a role that IAM does not find, because it may have been created just now."""

    def __init__(self, session: Session | None = None, retries: Retries | None = None) -> None:
        self.session = session or Session()
        self.retries = retries or UntilDeadline()

    # --- clients ---

    @property
    def cloudformation(self) -> CloudFormationClient:
        """The client of CloudFormation."""
        return cast("CloudFormationClient", self.session.client("cloudformation"))

    @property
    def iam(self) -> IAMClient:
        """The client of IAM."""
        return cast("IAMClient", self.session.client("iam"))

    @property
    def kms(self) -> KMSClient:
        """The client of KMS."""
        return cast("KMSClient", self.session.client("kms"))

    @property
    def lambda_(self) -> LambdaClient:
        """The client of Lambda."""
        return cast("LambdaClient", self.session.client("lambda"))

    @property
    def rds(self) -> RDSClient:
        """The client of RDS."""
        return cast("RDSClient", self.session.client("rds"))

    @property
    def secretsmanager(self) -> SecretsManagerClient:
        """The client of Secrets Manager."""
        return cast("SecretsManagerClient", self.session.client("secretsmanager"))

    @property
    def ssm(self) -> SSMClient:
        """The client of Systems Manager."""
        return cast("SSMClient", self.session.client("ssm"))

    @property
    def sts(self) -> STSClient:
        """The client of STS."""
        return cast("STSClient", self.session.client("sts"))

    @cached_property
    def caller(self) -> arn.Arn:
        """The ARN of the identity that makes the calls."""
        return arn.parse(self.call(self.sts.get_caller_identity)["Arn"])

    def region(self) -> str:
        """Return the region of the calls, for error messages: a resource of another region is not found."""
        return self.session.region

    def dns_suffix(self, partition: str) -> str:
        """Return the DNS suffix of a partition, such as ``amazonaws.com``."""
        return self.session.dns_suffix(partition)

    # --- time ---

    @property
    def deadline(self) -> float:
        """In seconds of `time.monotonic`. No call or further attempt begins after it. Set for each request."""
        return self.retries.deadline

    @deadline.setter
    def deadline(self, deadline: float) -> None:
        self.retries.deadline = deadline

    def begin_request(self, deadline: float) -> None:
        """Set the deadline of a new request, and forget the trouble of earlier ones."""
        self.retries.begin_request(deadline)

    @contextmanager
    def time_limit(self, seconds: float) -> Iterator[None]:
        """Limit the calls in the block to `seconds`, or to the deadline if that is earlier."""
        deadline = self.deadline
        self.deadline = min(deadline, time.monotonic() + seconds)
        try:
            yield
        finally:
            self.deadline = deadline

    @contextmanager
    def max_attempts(self, limit: int) -> Iterator[None]:
        """Limit each call in the block to `limit` attempts that fail for another reason than throttling."""
        previous = self.retries.most_attempts
        self.retries.most_attempts = limit
        try:
            yield
        finally:
            self.retries.most_attempts = previous

    # --- calls ---

    def call(
        self, method: Callable[Parameters, Response], *args: Parameters.args, **parameters: Parameters.kwargs
    ) -> Response:
        """Call AWS and return the response.

        Args:
            method: a client method, such as ``aws.secretsmanager.describe_secret``.
            args: none. The methods of clients have only keyword arguments.
            parameters: parameters of the operation.

        Raises:
            AccessDeniedError: AWS denies the call.
            AwsApiError: any other failure, with AWS's error code.
            DeadlineExceededError: the deadline has passed before the first attempt.
        """
        return self.retries.call(method, *args, **parameters)

    def call_on_role(
        self, method: Callable[Parameters, Response], *args: Parameters.args, **parameters: Parameters.kwargs
    ) -> Response:
        """Call IAM for a role that must exist. As `call`.

        If `waits_for_new_roles` is set, NoSuchEntity is retried for `NEW_ROLE_SECONDS`.
        """
        not_found_until = math.inf
        while True:
            try:
                return self.call(method, *args, **parameters)
            except AwsApiError as failure:
                if failure.code != "NoSuchEntity" or not self.waits_for_new_roles:
                    raise
                now = time.monotonic()
                not_found_until = min(not_found_until, now + NEW_ROLE_SECONDS)
                if now + _NEW_ROLE_PAUSE >= min(not_found_until, self.deadline):
                    raise
            time.sleep(_NEW_ROLE_PAUSE)

    def paginate(
        self, method: Callable[Parameters, Response], *args: Parameters.args, **parameters: Parameters.kwargs
    ) -> Iterator[Response]:
        """Yield the pages of an operation, with one call for each page. A role must exist, as for `call_on_role`."""
        any_method: Callable[..., Response] = method
        token: dict[str, str] = {}
        while True:
            page = self.call_on_role(any_method, *args, **parameters, **token)
            yield page
            token = _next_token(page)
            if not token:
                return


def _next_token(page: Any) -> dict[str, str]:
    """Return the parameter that requests the page after this one; empty if this is the last page."""
    if page.get("IsTruncated"):  # IAM
        return {"Marker": page["Marker"]}
    if page.get("NextToken"):  # CloudFormation, Secrets Manager
        return {"NextToken": page["NextToken"]}
    if page.get("NextMarker"):  # Lambda
        return {"Marker": page["NextMarker"]}
    return {}
