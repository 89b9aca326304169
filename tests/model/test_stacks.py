"""A stateful model of CloudFormation: several stacks with resources on a few roles, and requests that meet faults.

After every step, each role has exactly the policies that CloudFormation has recorded, with the recorded documents, and
the policies of other owners. Each delivery of a request gets one response. In the end, no policy of a resource is left.
`make soak` runs thousands of steps.
"""

import itertools
import json
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

from botocore.exceptions import ClientError, ConnectionClosedError, ReadTimeoutError
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from rotation_role_policy.aws.transport import READ_SECONDS
from rotation_role_policy.errors import ResponseDeliveryError
from rotation_role_policy.provider import handler
from tests.support.account import ACCOUNT, REGION, Account, Context, connected, error, simulate_nothing
from tests.support.response_server import ResponseServer

ROLES = ("role-0", "role-1", "role-2")
SECRETS = ("db", "keyed", "other")
STACK_NAMES = ("one", "two")
LOGICAL_IDS = ("Policy", "SecondPolicy")
GENERATED_ID = "one_Policy_ABCDEFGH"
"""The physical ID that CloudFormation generates if the provider has not returned one."""
MINUTE = timedelta(minutes=1)

URL = "https://iam.amazonaws.com/"
_UNAVAILABLE: Any = {"Error": {"Code": "ServiceFailure"}, "ResponseMetadata": {"HTTPStatusCode": 503}}
UNKNOWN_OUTCOME = {
    "closed": ConnectionClosedError(endpoint_url=URL),
    "slow": ReadTimeoutError(endpoint_url=URL),
    "unavailable": ClientError(_UNAVAILABLE, "PutRolePolicy"),
}
"""Errors that leave open whether AWS has served the call."""
RETRYABLE = UNKNOWN_OUTCOME | {"throttled": error("Throttling"), "two writers": error("ConcurrentModification")}
FATAL = {"denied": error("AccessDenied"), "invalid": error("MalformedPolicyDocument"), "full": error("LimitExceeded")}
PERMANENT = {"always throttled": RETRYABLE["throttled"], "always closed": RETRYABLE["closed"]}


@dataclass
class Resource:
    """One `Custom::RotationRolePolicy`, as CloudFormation has recorded it."""

    key: tuple[str, str]
    """The ID of the stack, and the logical ID of the resource."""
    physical_id: str
    properties: dict[str, Any]
    document: Any
    is_kept: bool = False
    """Whether a rollback kept the existing policy, so that the document may differ from that of the properties."""


@dataclass(frozen=True)
class Fault:
    """A fault in one delivery: before or after the `call`-th call to AWS. After a call, its response is lost."""

    kind: str
    call: int = 0
    when: str = "before"
    times: int = 1
    statuses: tuple[int, ...] = ()
    """The HTTP status codes of the first attempts to deliver the response."""
    only: str = ""
    """The prefix of the actions that the fault affects, such as ``cloudformation:``."""

    @property
    def is_tolerated(self) -> bool:
        """Whether the request must succeed despite the fault."""
        return self.kind in ("none", "delivered twice", *RETRYABLE) or bool(self.only)


NO_FAULT = Fault("none")


class FaultInjector:
    """`Account.moment` of one delivery: counts the AWS calls, and calls `inject` at the calls that `fault` names."""

    def __init__(self, fault: Fault, inject: Callable[[], None]) -> None:
        self.fault = fault
        self.inject = inject
        self.call = -1
        self.remaining = fault.times

    def __call__(self, when: str, action: str) -> None:
        """`when` is ``before`` or ``after`` the call."""
        if not action.startswith(self.fault.only):
            return
        self.call += when == "before"
        if when == self.fault.when and self.call >= self.fault.call and self.remaining:
            self.remaining -= 1
            self.inject()


def faults(*kinds: str) -> st.SearchStrategy[Fault]:
    """Return a strategy for faults of these kinds, or none."""
    return st.sampled_from(("none", *kinds)).flatmap(
        lambda kind: st.builds(
            Fault,
            kind=st.just(kind),
            call=st.integers(0, 9),
            when=st.sampled_from(
                ["before", "after"]
                if kind in UNKNOWN_OUTCOME or kind == "time runs out"
                else ["after" if kind == "always closed" else "before"]
            ),
            times=st.just(1_000_000) if kind in PERMANENT else st.integers(1, 4 if kind in RETRYABLE else 1),
            statuses=st.sampled_from(((), (), (500,), (429, 503))),
        )
    )


STACK_LOOKUP_FAULT = st.builds(
    Fault,
    kind=st.sampled_from([*RETRYABLE, *PERMANENT, "denied"]),
    call=st.integers(0, 3),
    times=st.sampled_from([1, 2, 5, 1_000_000]),
    only=st.just("cloudformation:"),
)
"""Faults of the calls to CloudFormation, temporary or permanent."""
RETRYABLE_FAULTS = faults(*RETRYABLE)
ANY_FAULT = faults(*RETRYABLE, *FATAL, *PERMANENT, "time runs out", "delivered twice")

SECRET_IDS = st.sampled_from(SECRETS)
VALID = st.fixed_dictionaries(
    {"PropagationDelay": st.sampled_from(["0", "10", 60])},
    optional={
        "PolicyProfile": st.sampled_from(["Strict", "Documented"]),
        "AccessCheck": st.sampled_from(["Enforce", "Off"]),
        "SuperuserSecretId": st.just("superuser"),
        "Triggers": st.dictionaries(st.sampled_from("ab"), st.text(max_size=3), max_size=2),
    },
).flatmap(
    lambda optional: st.one_of(
        st.builds(
            lambda secret, number, suffix: (
                optional | {"SecretId": secret, "RotationLambdaARN": f"function-{number}{suffix}"}
            ),
            SECRET_IDS,
            st.integers(0, 2),
            st.sampled_from(["", ":1", ":$LATEST"]),
        ),
        # The role is that of the function that the secret reports.
        st.builds(lambda secret: optional | {"SecretId": secret}, SECRET_IDS),
        st.builds(
            lambda secrets, role, subnets: (
                optional | {"SecretIds": secrets, "RoleName": role, "VpcConfig": {"SubnetIds": subnets}}
            ),
            st.lists(SECRET_IDS, min_size=1, max_size=3),
            st.sampled_from(ROLES),
            st.lists(st.just("subnet-1"), max_size=1),
        ),
    )
)
INVALID = st.sampled_from(
    [
        {},
        {"SecretId": "nowhere", "RotationLambdaARN": "function-0"},
        {"SecretId": "db", "RotationLambdaARN": "nowhere"},
        {"SecretId": "db", "RotationLambdaARN": "function-0", "RoleName": "role-1"},
        {"SecretId": "db", "RoleName": "nowhere", "VpcConfig": {}},
        {"SecretId": "db", "RotationLambda": "function-0"},
        {"SecretId": "*", "RoleName": "*", "VpcConfig": {}},
    ]
)


CHANGES = (
    "nothing", "key disabled", "secret deleted", "function deleted", "function has another role",
    "secrets report other functions", "role deleted", "put denied", "explicit deny",
)  # fmt: skip
"""Changes in the account between an Update and its rollback. They are undone after the rollback."""


ERRORS_BY_CHANGE = {
    "function deleted": {"lambda:GetFunctionConfiguration": "ResourceNotFoundException"},
    "role deleted": dict.fromkeys(("iam:GetRole", "iam:GetRolePolicy", "iam:PutRolePolicy"), "NoSuchEntity"),
    "put denied": {"iam:PutRolePolicy": "AccessDenied"},
}
"""The errors of AWS calls after some of these changes: error codes keyed by action."""


def follows_report(properties: dict[str, Any]) -> bool:
    """Return whether only the secrets' configuration leads to a role."""
    return not properties.keys() & {"RotationLambdaARN", "RoleName"}


class Stacks(RuleBasedStateMachine):
    """The state machine: CloudFormation, the deliveries of Lambda, and the account."""

    def __init__(self, responses: ResponseServer) -> None:
        super().__init__()
        self._exit = ExitStack()
        self.account: Account = self._exit.enter_context(connected(responses))
        self.cloudformation = self.account.cloudformation
        self.cloudformation.page_size = 4
        self.resources: dict[tuple[str, str], Resource] = {}
        self.other_policies: dict[str, dict[str, Any]] = {role: {} for role in ROLES}
        self.serial = itertools.count(1)
        self.stack_ids = {name: self._new_stack_id(name) for name in STACK_NAMES}
        self.last_request: dict[str, Any] | None = None
        self.sent: deque[dict[str, Any]] = deque(maxlen=8)
        """The latest Creates and Updates, delivered or not."""

    @initialize(seconds=st.sampled_from([1, 3, 30]))
    def set_up_account(self, seconds: int) -> None:
        """Create roles, functions and secrets, and set the time between two stack events."""
        self.cloudformation.pace = timedelta(seconds=seconds)
        account = self.account
        for number, role in enumerate(ROLES):
            account.function(account.role(role), f"function-{number}")
        self.key_id = account.key().rpartition("/")[2]
        account.secret("db")
        account.secret("keyed", self.key_id)
        account.secret("other")
        account.secret("superuser", account.key())
        self._set_reported_functions(0)

    def _set_reported_functions(self, shift: int) -> None:
        """Let the secrets report their rotation functions, or others with a `shift`."""
        for number, secret in enumerate(SECRETS):
            function = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:function-{(number + shift) % len(ROLES)}"
            self.account.client("secretsmanager").rotate_secret(SecretId=secret, RotationLambdaARN=function)

    def teardown(self) -> None:
        """Delete all remaining resources, as if their stacks were deleted."""
        try:
            for key in [*self.resources]:
                self._delete_resource(key, NO_FAULT)
            self.each_role_has_exactly_the_recorded_policies()
        finally:
            self._exit.close()

    # --- deliveries ---

    def _deliver(self, event: dict[str, Any], fault: Fault) -> dict[str, Any] | None:
        """Invoke the function. Return its one response, or None if the response could not be delivered."""
        account = self.account

        def inject() -> None:
            if fault.kind == "time runs out":
                self._run_out_of_time()
            elif fault.kind == "delivered twice":
                account.send_elsewhere(event)
            elif fault.kind != "none":
                if fault.kind == "slow":
                    account.slept.append(READ_SECONDS)
                raise (RETRYABLE | FATAL | PERMANENT)[fault.kind]

        account.moment = FaultInjector(fault, inject)
        account.slept.clear()
        account.responses.clear()
        account.responses.statuses.extend(fault.statuses)
        context = Context()
        try:
            handler.handler(event, context)
        except ResponseDeliveryError:
            assert account.responses.received == []
            return None
        finally:
            account.moment = lambda _when, _action: None
            account.responses.statuses.clear()
        assert context.get_remaining_time_in_millis() > 0
        [response] = account.responses.received
        assert [response[name] for name in ("StackId", "RequestId", "LogicalResourceId")] == [
            event[name] for name in ("StackId", "RequestId", "LogicalResourceId")
        ]
        assert response["PhysicalResourceId"]
        assert max(account.responses.sizes) <= 4096
        assert response["Reason"].isprintable()
        return response

    def _run_out_of_time(self) -> None:
        """Let the timer of the response deadline expire during an AWS call."""
        resource = handler.resource
        self.account.slept.append(max(0.0, resource.schedule.respond_at - time.monotonic()))
        resource.response.time_out()

    def _succeed(self, event: dict[str, Any], fault: Fault) -> dict[str, Any]:
        """Deliver a request that must succeed, and return the response."""
        response = self._deliver(event, fault)
        assert response is not None
        assert response["Status"] == "SUCCESS", response["Reason"]
        return response

    def _deliver_superseded(
        self, event: dict[str, Any], call: int, when: str, supersede: Callable[[], None]
    ) -> dict[str, Any] | None:
        """Deliver a request that `supersede` supersedes at a call. Return the response if it was sent before that."""
        account = self.account
        is_superseded = False

        def inject() -> None:
            nonlocal is_superseded
            is_superseded = True
            sleeps_before = len(account.slept)
            supersede()
            # The superseding request ran in another process, so its sleeps take no time of this delivery.
            del account.slept[sleeps_before:]

        account.moment = FaultInjector(Fault("superseded", call, when), inject)
        account.slept.clear()
        account.responses.clear()
        handler.handler(event, Context())
        account.moment = lambda _when, _action: None
        [response] = account.responses.received
        return None if is_superseded else response

    # --- requests ---

    def _new_stack_id(self, name: str) -> str:
        return f"arn:aws:cloudformation:{REGION}:{ACCOUNT}:stack/{name}/6b1e1c50-{next(self.serial):04}-11ef"

    def _request(
        self, request_type: str, key: tuple[str, str], status: str, properties: dict[str, Any], **members: Any
    ) -> dict[str, Any]:
        stack_id, logical_id = key
        event = self.account.request(
            request_type,
            properties,
            stack_status=status,
            StackId=stack_id,
            LogicalResourceId=logical_id,
            RequestId=str(next(self.serial)),
            **members,
        )
        if request_type != "Delete":
            self.sent.append(event)
        self.last_request = event
        return event

    def _create_request(self, key: tuple[str, str], properties: dict[str, Any]) -> dict[str, Any]:
        is_new = key[0] not in self.cloudformation.stacks
        return self._request("Create", key, "CREATE_IN_PROGRESS" if is_new else "UPDATE_IN_PROGRESS", properties)

    def _update_request(
        self, resource: Resource, properties: dict[str, Any], physical_id: str, status: str = "UPDATE_IN_PROGRESS"
    ) -> dict[str, Any]:
        return self._request(
            "Update",
            resource.key,
            status,
            properties,
            PhysicalResourceId=physical_id,
            OldResourceProperties=resource.properties,
        )

    def _set_resource(self, event: dict[str, Any], status: str, physical_id: str, reason: str = "") -> None:
        stack_id, logical_id, properties = (
            event[name] for name in ("StackId", "LogicalResourceId", "ResourceProperties")
        )
        self.cloudformation.set_resource(stack_id, logical_id, status, physical_id, properties, reason)

    def _clean_up(self, key: tuple[str, str], status: str, physical_id: str, properties: dict[str, Any]) -> None:
        """Send the Delete of a clean-up, which must succeed."""
        stack_id, logical_id = key
        self.cloudformation.begin(stack_id, status)
        self.cloudformation.set_resource(stack_id, logical_id, "DELETE_IN_PROGRESS", physical_id)
        event = self._clean_up_request(key, physical_id, properties)
        response = self._succeed(event, NO_FAULT)
        assert response["PhysicalResourceId"] == physical_id
        self.cloudformation.set_resource(stack_id, logical_id, "DELETE_COMPLETE", physical_id)

    def _clean_up_request(self, key: tuple[str, str], physical_id: str, properties: dict[str, Any]) -> dict[str, Any]:
        """Return a Delete. The caller records its stack events, which differ from those of other requests."""
        stack_id, logical_id = key
        self.last_request = {
            "RequestType": "Delete",
            "ResponseURL": self.cloudformation.response_url(self.account.responses.url),
            "StackId": stack_id,
            "LogicalResourceId": logical_id,
            "RequestId": str(next(self.serial)),
            "ResourceType": "Custom::RotationRolePolicy",
            "PhysicalResourceId": physical_id,
            "ResourceProperties": properties,
        }
        return self.last_request

    def _current_document(self, physical_id: str) -> Any:
        role, _, name = physical_id.partition("/")
        return self.account.policies(role).get(name) if name else None

    def _unused_keys(self) -> list[tuple[str, str]]:
        return [key for key in itertools.product(self.stack_ids.values(), LOGICAL_IDS) if key not in self.resources]

    def _is_first_of_stack(self, key: tuple[str, str]) -> bool:
        return self.cloudformation.stacks[key[0]].status.startswith(("CREATE_", "ROLLBACK_"))

    def _renew_stack(self, stack_id: str) -> None:
        """Give the name of a deleted stack a new stack ID, for the next stack of this name."""
        name = stack_id.split("/")[1]
        self.stack_ids[name] = self._new_stack_id(name)

    # --- Create ---

    @precondition(lambda self: self._unused_keys())
    @rule(data=st.data(), properties=VALID, fault=st.one_of(ANY_FAULT, STACK_LOOKUP_FAULT))
    def create(self, data: st.DataObject, properties: dict[str, Any], fault: Fault) -> None:
        """Create a resource. If the Create fails, a Delete follows with the physical ID of the failed response."""
        event = self._create_request(data.draw(st.sampled_from(self._unused_keys())), properties)
        self._finish_create(event, self._deliver(event, fault), fault)

    def _finish_create(self, event: dict[str, Any], response: dict[str, Any] | None, fault: Fault) -> None:
        assert response is not None
        if response["Status"] == "SUCCESS":
            self._record_create(event, response)
            self.cloudformation.set_status(event["StackId"], "CREATE_COMPLETE")
        else:
            assert not fault.is_tolerated, response["Reason"]
            self._roll_back_create(event, response["PhysicalResourceId"])

    def _record_create(self, event: dict[str, Any], response: dict[str, Any]) -> None:
        key, physical_id = (event["StackId"], event["LogicalResourceId"]), response["PhysicalResourceId"]
        self._set_resource(event, "CREATE_IN_PROGRESS", physical_id, "Resource creation Initiated")
        self._set_resource(event, "CREATE_COMPLETE", physical_id)
        self.resources[key] = Resource(
            key, physical_id, event["ResourceProperties"], self._current_document(physical_id)
        )
        assert self.resources[key].document, "the role must have the policy"

    def _roll_back_create(self, event: dict[str, Any], physical_id: str) -> None:
        """Send the Delete that follows a failed Create."""
        key, properties = (event["StackId"], event["LogicalResourceId"]), event["ResourceProperties"]
        is_first = self._is_first_of_stack(key)
        self._set_resource(event, "CREATE_FAILED", physical_id, "failed")
        if is_first:
            delete = self._request("Delete", key, "ROLLBACK_IN_PROGRESS", properties, PhysicalResourceId=physical_id)
            assert self._succeed(delete, NO_FAULT)["PhysicalResourceId"] == physical_id
            self._set_resource(delete, "DELETE_COMPLETE", physical_id)
            self.cloudformation.set_status(key[0], "ROLLBACK_COMPLETE")
            self._renew_stack(key[0])
        else:
            self.cloudformation.begin(key[0], "UPDATE_ROLLBACK_IN_PROGRESS")
            self._clean_up(key, "UPDATE_ROLLBACK_COMPLETE_CLEANUP_IN_PROGRESS", physical_id, properties)
            self.cloudformation.set_status(key[0], "UPDATE_ROLLBACK_COMPLETE")

    @precondition(lambda self: self._unused_keys())
    @rule(data=st.data(), properties=VALID, statuses=st.sampled_from([(403,), (500,) * 6]))
    def create_whose_first_response_is_not_delivered(
        self, data: st.DataObject, properties: dict[str, Any], statuses: tuple[int, ...]
    ) -> None:
        """The invocation fails, and Lambda retries it."""
        event = self._create_request(data.draw(st.sampled_from(self._unused_keys())), properties)
        assert self._deliver(event, Fault("none", statuses=statuses)) is None
        self._finish_create(event, self._deliver(event, NO_FAULT), NO_FAULT)

    @precondition(lambda self: self._unused_keys())
    @rule(data=st.data(), properties=INVALID, fault=RETRYABLE_FAULTS)
    def create_with_invalid_properties(self, data: st.DataObject, properties: dict[str, Any], fault: Fault) -> None:
        """Create a resource with invalid properties."""
        event = self._create_request(data.draw(st.sampled_from(self._unused_keys())), properties)
        response = self._deliver(event, fault)
        assert response is not None
        assert response["Status"] == "FAILED"
        self._roll_back_create(event, response["PhysicalResourceId"])

    @precondition(lambda self: self._unused_keys())
    @rule(
        data=st.data(),
        first_properties=st.one_of(VALID, INVALID),
        second_properties=VALID,
        fault=ANY_FAULT,
        clean_up_fault=st.one_of(st.just(NO_FAULT), STACK_LOOKUP_FAULT),
    )
    def create_that_fails_and_is_repeated_without_rollback(
        self,
        data: st.DataObject,
        first_properties: dict[str, Any],
        second_properties: dict[str, Any],
        fault: Fault,
        clean_up_fault: Fault,
    ) -> None:
        """With ``--disable-rollback``, the next operation creates the resource again and deletes the failed one."""
        key = data.draw(st.sampled_from(self._unused_keys()))
        event = self._create_request(key, first_properties)
        response = self._deliver(event, fault)
        assert response is not None
        if response["Status"] == "SUCCESS":
            self._finish_create(event, response, fault)
            return
        failed_id = response["PhysicalResourceId"]
        self._set_resource(event, "CREATE_FAILED", failed_id, "failed")
        self.cloudformation.set_status(key[0], "CREATE_FAILED")
        second_event = self._create_request(key, second_properties)
        self._record_create(second_event, self._succeed(second_event, NO_FAULT))
        # With the same physical ID, there is no clean-up.
        if failed_id != self.resources[key].physical_id:
            status = "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS"
            self.cloudformation.begin(key[0], status)
            self.cloudformation.set_resource(*key, "DELETE_IN_PROGRESS", failed_id)
            self._succeed(self._clean_up_request(key, failed_id, first_properties), clean_up_fault)
            self.cloudformation.set_resource(*key, "DELETE_COMPLETE", failed_id)
        self.cloudformation.set_status(key[0], "UPDATE_COMPLETE")

    @precondition(lambda self: self._unused_keys())
    @rule(data=st.data(), properties=VALID, call=st.integers(0, 9), when=st.sampled_from(["before", "after"]))
    def create_that_is_cancelled(self, data: st.DataObject, properties: dict[str, Any], call: int, when: str) -> None:
        """Another resource fails. A Delete with a generated physical ID arrives while the Create is being served."""
        event = self._create_request(data.draw(st.sampled_from(self._unused_keys())), properties)
        key = event["StackId"], event["LogicalResourceId"]
        status = "ROLLBACK_IN_PROGRESS" if self._is_first_of_stack(key) else "UPDATE_ROLLBACK_IN_PROGRESS"

        def supersede() -> None:
            self._set_resource(event, "CREATE_FAILED", GENERATED_ID, "Resource creation cancelled")
            self.cloudformation.begin(key[0], status)
            delete = self._clean_up_request(key, GENERATED_ID, properties)
            assert self.account.send_elsewhere(delete)["Status"] == "SUCCESS"

        if self._deliver_superseded(event, call, when, supersede):
            supersede()
        self.cloudformation.set_status(key[0], status.replace("IN_PROGRESS", "COMPLETE"))
        if status == "ROLLBACK_IN_PROGRESS":
            self._renew_stack(key[0])

    # --- Update ---

    def _any_resource(self, data: st.DataObject) -> Resource:
        return self.resources[data.draw(st.sampled_from([*self.resources]))]

    @precondition(lambda self: self.resources)
    @rule(
        data=st.data(),
        properties=st.one_of(VALID, INVALID),
        fault=st.one_of(ANY_FAULT, STACK_LOOKUP_FAULT),
        another_resource_fails=st.booleans(),
        change=st.sampled_from(CHANGES),
        rollback_fault=st.one_of(ANY_FAULT, STACK_LOOKUP_FAULT),
    )
    def update(
        self,
        data: st.DataObject,
        properties: dict[str, Any],
        fault: Fault,
        another_resource_fails: bool,
        change: str,
        rollback_fault: Fault,
    ) -> None:
        """Update a resource, in place or with another role. If this or another resource fails, the stack rolls back."""
        resource = self._any_resource(data)
        event = self._update_request(resource, properties, resource.physical_id)
        response = self._deliver(event, fault)
        assert response is not None
        new_id = response["PhysicalResourceId"]
        if response["Status"] == "FAILED":
            assert new_id == resource.physical_id
            assert self._current_document(new_id) == resource.document, "a failed Update changes nothing"
            self._check_policies()
            self._roll_back(resource, event, new_id, change, rollback_fault)
        elif another_resource_fails:
            self._set_resource(event, "UPDATE_COMPLETE", new_id)
            self._roll_back(resource, event, new_id, change, rollback_fault)
        else:
            self._record_update(resource, event, new_id)

    def _record_update(self, resource: Resource, event: dict[str, Any], new_id: str) -> None:
        old = replace(resource)
        if new_id != old.physical_id:
            self._set_resource(event, "UPDATE_IN_PROGRESS", new_id, "Requested update required a new physical resource")
        self._set_resource(event, "UPDATE_COMPLETE", new_id)
        resource.physical_id, resource.properties, resource.is_kept = new_id, event["ResourceProperties"], False
        resource.document = self._current_document(new_id)
        assert resource.document
        if new_id != old.physical_id:
            self._clean_up(resource.key, "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS", old.physical_id, old.properties)
        self.cloudformation.set_status(resource.key[0], "UPDATE_COMPLETE")

    def _roll_back(
        self,
        resource: Resource,
        update: dict[str, Any],
        physical_id: str,
        change: str = "nothing",
        fault: Fault = NO_FAULT,
    ) -> None:
        """Roll back `update`, whose response had `physical_id`. The Update of the rollback must succeed.

        `change` is a change in the account, `fault` a fault of the delivery.
        """
        key, is_in_place = resource.key, physical_id == resource.physical_id
        is_role_unknown = change == "role deleted" or fault.kind in (*PERMANENT, "time runs out") or bool(fault.only)
        # Only CloudFormation tells that the role of the secrets' function is the one from before the update.
        is_role_unknown = is_role_unknown or (follows_report(resource.properties) and fault != NO_FAULT)
        if not is_in_place and (is_role_unknown or change != "nothing"):
            # If neither IAM nor CloudFormation returns the old role, the old policy is left on it. Exclude this case.
            change, fault = "nothing" if is_role_unknown else change, NO_FAULT
        if change != "nothing" and fault.only and fault.kind == "denied" and fault.times > 1:
            # If CloudFormation denies the look-up, the provider cannot recognize a rollback. Exclude this case.
            fault = NO_FAULT
        if self.cloudformation.stacks[key[0]].status != "UPDATE_ROLLBACK_IN_PROGRESS":
            self._set_resource(update, "UPDATE_FAILED", physical_id, "failed or cancelled")
            self.cloudformation.set_status(key[0], "UPDATE_ROLLBACK_IN_PROGRESS")
        old = replace(resource)
        with self._with_change(change):
            event = self._update_request(resource, resource.properties, physical_id, "UPDATE_ROLLBACK_IN_PROGRESS")
            response = self._succeed(event, fault)
            self._end_rollback(resource, event, physical_id, response["PhysicalResourceId"])
        resource.is_kept = change not in ("nothing", "explicit deny") or not fault.is_tolerated
        if not (resource.is_kept or old.is_kept) and resource.physical_id == old.physical_id:
            assert resource.document == old.document, "the old properties still give the old document"

    def _end_rollback(self, resource: Resource, event: dict[str, Any], previous_id: str, new_id: str) -> None:
        """Record the response of a rollback's Update, and clean up the physical ID of the request if it differs."""
        self._set_resource(event, "UPDATE_COMPLETE", new_id)
        resource.physical_id, resource.document = new_id, self._current_document(new_id)
        assert resource.document
        self.cloudformation.set_status(resource.key[0], "UPDATE_ROLLBACK_COMPLETE_CLEANUP_IN_PROGRESS")
        if previous_id != new_id:
            self._clean_up(
                resource.key, "UPDATE_ROLLBACK_COMPLETE_CLEANUP_IN_PROGRESS", previous_id, resource.properties
            )
        self.cloudformation.set_status(resource.key[0], "UPDATE_ROLLBACK_COMPLETE")

    @contextmanager
    def _with_change(self, change: str) -> Iterator[None]:
        """Apply one of `CHANGES` to the account for the duration of the block."""
        account, undo = self.account, ExitStack()
        functions, kms = account.client("lambda"), account.client("kms")
        with undo:
            if change == "key disabled":
                kms.disable_key(KeyId=self.key_id)
                undo.callback(kms.enable_key, KeyId=self.key_id)
            elif change == "secret deleted":
                secrets = account.client("secretsmanager")
                for secret in SECRETS:
                    secrets.delete_secret(SecretId=secret)
                    undo.callback(secrets.restore_secret, SecretId=secret)
            elif change == "function has another role":
                for number, role in enumerate((*ROLES[1:], ROLES[0])):
                    functions.update_function_configuration(
                        FunctionName=f"function-{number}", Role=f"arn:aws:iam::{ACCOUNT}:role/{role}"
                    )
                    undo.callback(
                        functions.update_function_configuration,
                        FunctionName=f"function-{number}",
                        Role=f"arn:aws:iam::{ACCOUNT}:role/{ROLES[number]}",
                    )
            elif change == "secrets report other functions":
                self._set_reported_functions(1)
                undo.callback(self._set_reported_functions, 0)
            elif change in ERRORS_BY_CHANGE:
                account.faults |= {action: [error(code)] * 99 for action, code in ERRORS_BY_CHANGE[change].items()}
                undo.callback(account.faults.clear)
            elif change == "explicit deny":
                account.simulate = lambda params: [
                    {"EvalActionName": action, "EvalResourceName": "*", "EvalDecision": "explicitDeny"}
                    for action in params["ActionNames"]
                ]
                undo.callback(setattr, account, "simulate", simulate_nothing)
            yield

    @precondition(lambda self: self.resources)
    @rule(
        data=st.data(), properties=st.one_of(VALID, INVALID), call=st.integers(0, 12), rollback_ends_first=st.booleans()
    )
    def update_that_is_cancelled(
        self, data: st.DataObject, properties: dict[str, Any], call: int, rollback_ends_first: bool
    ) -> None:
        """Another resource fails. The Update of the rollback arrives while the Update is being served."""
        resource = self._any_resource(data)
        update = self._update_request(resource, properties, resource.physical_id)
        unfinished_rollbacks: list[dict[str, Any]] = []

        def supersede() -> None:
            self._set_resource(update, "UPDATE_FAILED", resource.physical_id, "Resource update cancelled")
            self.cloudformation.set_status(resource.key[0], "UPDATE_ROLLBACK_IN_PROGRESS")
            status = "UPDATE_ROLLBACK_IN_PROGRESS"
            event = self._update_request(resource, resource.properties, resource.physical_id, status)
            response = self.account.send_elsewhere(event)
            assert response["Status"] == "SUCCESS", response["Reason"]
            assert response["PhysicalResourceId"] == resource.physical_id
            if rollback_ends_first:
                self._end_rollback(resource, event, resource.physical_id, resource.physical_id)
            else:
                unfinished_rollbacks.append(event)

        response = self._deliver_superseded(update, call, "before", supersede)
        if unfinished_rollbacks:
            self._end_rollback(resource, unfinished_rollbacks[0], resource.physical_id, resource.physical_id)
        elif response:
            self._roll_back(resource, update, response["PhysicalResourceId"])

    @precondition(lambda self: self.resources)
    @rule(
        data=st.data(),
        properties=VALID,
        was_served=st.booleans(),
        starts=st.sampled_from(["before the rollback's Update", "after the rollback's Update", "after the rollback"]),
        change=st.sampled_from(CHANGES),
    )
    def update_that_starts_after_its_cancellation(
        self, data: st.DataObject, properties: dict[str, Any], was_served: bool, starts: str, change: str
    ) -> None:
        """Lambda starts or repeats an Update after CloudFormation has cancelled it."""
        resource = self._any_resource(data)
        if properties == resource.properties:
            # CloudFormation sends an Update only if the properties change.
            return
        key, own_id = resource.key, resource.physical_id
        update = self._update_request(resource, properties, own_id)
        if was_served:
            assert self._deliver(update, Fault("none", statuses=(403,))) is None
            # CloudFormation has not received the physical ID. After a change, the properties may no longer lead to that
            # role either, so that the policy is left on it. Exclude this case.
            change = "nothing"
        self._set_resource(update, "UPDATE_FAILED", own_id, "Resource update cancelled")
        self.cloudformation.set_status(key[0], "UPDATE_ROLLBACK_IN_PROGRESS")
        self.cloudformation.now += MINUTE
        if starts == "before the rollback's Update":
            self._deliver_superseded_update(update)
        with self._with_change(change):
            event = self._update_request(resource, resource.properties, own_id, "UPDATE_ROLLBACK_IN_PROGRESS")
            new_id = self._succeed(event, NO_FAULT)["PhysicalResourceId"]
            if starts == "after the rollback's Update":
                self._deliver_superseded_update(update, change)
            self._end_rollback(resource, event, own_id, new_id)
        resource.is_kept = change not in ("nothing", "explicit deny")
        if starts == "after the rollback":
            self._deliver_superseded_update(update)

    def _deliver_superseded_update(self, event: dict[str, Any], change: str = "nothing") -> None:
        response = self._deliver(event, NO_FAULT)
        assert response is not None
        # CloudFormation ignores the response. If the properties cannot be served during a rollback, the response is the
        # same as to the rollback's own Update.
        can_be_redirected = follows_report(event["ResourceProperties"])
        assert response["Status"] == "FAILED" or change != "nothing" or can_be_redirected

    # --- Delete, and repeated deliveries ---

    @precondition(lambda self: self.resources)
    @rule(data=st.data(), fault=ANY_FAULT)
    def delete(self, data: st.DataObject, fault: Fault) -> None:
        """Delete a resource. The stack is deleted with its last resource."""
        self._delete_resource(data.draw(st.sampled_from([*self.resources])), fault)

    def _delete_resource(self, key: tuple[str, str], fault: Fault) -> None:
        """Send the Delete of a resource. If the Delete fails, the user repeats it."""
        resource = self.resources.pop(key)
        is_last = not any(stack_id == key[0] for stack_id, _ in self.resources)
        status = "DELETE_IN_PROGRESS" if is_last else "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS"
        event = self._request("Delete", key, status, resource.properties, PhysicalResourceId=resource.physical_id)
        response = self._deliver(event, fault)
        if response is None or response["Status"] == "FAILED":
            assert not fault.is_tolerated
            response = self._deliver(event, NO_FAULT)
        assert response is not None
        assert (response["Status"], response["PhysicalResourceId"]) == ("SUCCESS", resource.physical_id), response
        self._set_resource(event, "DELETE_COMPLETE", resource.physical_id)
        self.cloudformation.set_status(key[0], "DELETE_COMPLETE" if is_last else "UPDATE_COMPLETE")
        if is_last:
            self._renew_stack(key[0])

    @precondition(lambda self: self.last_request)
    @rule()
    def deliver_the_last_request_again(self) -> None:
        """Lambda can deliver an event twice without an error."""
        assert self.last_request is not None
        self._deliver_again(self.last_request)

    @precondition(lambda self: self.sent)
    @rule(data=st.data())
    def deliver_an_old_request_again(self, data: st.DataObject) -> None:
        """Lambda can deliver a Create or Update late or repeatedly, after later requests."""
        self.cloudformation.now += MINUTE
        self._deliver_again(data.draw(st.sampled_from([*self.sent])))

    def _deliver_again(self, event: dict[str, Any]) -> None:
        self._deliver(event, NO_FAULT)
        resource = self.resources.get((event["StackId"], event["LogicalResourceId"]))
        if resource and resource.is_kept and resource.properties == event.get("ResourceProperties"):
            # The properties can be served again, so the policy may be the current one now.
            resource.document = self._current_document(resource.physical_id)
            assert resource.document

    @rule(role=st.sampled_from(ROLES), name=st.sampled_from(["other-policy", "Policy", "Policy-0123456789ab"]))
    def another_owner_puts_a_policy(self, role: str, name: str) -> None:
        """Put a policy that no resource owns on a role, with a similar name."""
        statement = {
            "Effect": "Allow",
            "Action": "logs:PutLogEvents",
            "Resource": f"arn:aws:logs:::{next(self.serial)}",
        }
        document = {"Version": "2012-10-17", "Statement": [statement]}
        text = json.dumps(document)
        self.account.client("iam").put_role_policy(RoleName=role, PolicyName=name, PolicyDocument=text)
        self.other_policies[role][name] = document

    # --- invariants ---

    def _check_policies(self) -> None:
        for role in ROLES:
            recorded = {
                name: resource.document
                for resource in self.resources.values()
                for own_role, name in [resource.physical_id.split("/")]
                if own_role == role
            }
            assert self.account.policies(role) == recorded | self.other_policies[role]

    @invariant()
    def each_role_has_exactly_the_recorded_policies(self) -> None:
        """Each role has the policies that CloudFormation has recorded, and those of other owners, and no others."""
        self._check_policies()


def test_each_role_has_exactly_the_policies_that_cloudformation_has_recorded(responses: ResponseServer) -> None:
    class StacksWithResponseServer(Stacks):
        def __init__(self) -> None:
            super().__init__(responses)

    # One example is a stack with dozens of requests.
    run_state_machine_as_test(StacksWithResponseServer, settings=settings(max_examples=settings().max_examples // 2))
