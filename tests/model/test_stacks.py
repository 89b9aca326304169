"""A model of CloudFormation: many stacks' resources on few roles, and whatever can go wrong with their requests.

After every step each role holds exactly the policies that CloudFormation believes in, with the documents that it was
told of, and everyone else's; each delivery of a request has brought one answer. At the end nothing is left.
`make soak` takes thousands of steps.
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
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from rotation_role_policy import custom_resource
from rotation_role_policy.aws.transport import READ_SECONDS
from rotation_role_policy.errors import ResponseDeliveryError
from tests.support.account import ACCOUNT, REGION, Account, Context, connected, error, simulate_nothing
from tests.support.response_server import ResponseServer

ROLES = ("role-0", "role-1", "role-2")
SECRETS = ("db", "keyed", "other")
STACK_NAMES = ("one", "two")
LOGICAL_IDS = ("Policy", "SecondPolicy")
MADE_UP_ID = "one_Policy_ABCDEFGH"
"""What CloudFormation calls a resource that has not said its ID."""
MINUTE = timedelta(minutes=1)

URL = "https://iam.amazonaws.com/"
_UNAVAILABLE: Any = {"Error": {"Code": "ServiceFailure"}, "ResponseMetadata": {"HTTPStatusCode": 503}}
LOST = {
    "closed": ConnectionClosedError(endpoint_url=URL),
    "slow": ReadTimeoutError(endpoint_url=URL),
    "unavailable": ClientError(_UNAVAILABLE, "PutRolePolicy"),
}
"""What leaves open whether the call was made."""
PASSING = LOST | {"throttled": error("Throttling"), "two writers": error("ConcurrentModification")}
FATAL = {"denied": error("AccessDenied"), "invalid": error("MalformedPolicyDocument"), "full": error("LimitExceeded")}
FOR_EVER = {"throttled for ever": PASSING["throttled"], "closed for ever": PASSING["closed"]}


@dataclass
class Resource:
    """One `Custom::RotationRolePolicy`, as CloudFormation believes it to be."""

    key: tuple[str, str]
    """The ID of its stack, and its logical ID."""
    physical_id: str
    properties: dict[str, Any]
    document: Any
    is_kept: bool = False
    """The document may be another than the properties lead to: a rollback has left what stood there."""


@dataclass(frozen=True)
class Trouble:
    """What befalls one delivery: at its `call`-th call to AWS, before that or after it, when the response is lost."""

    kind: str
    call: int = 0
    when: str = "before"
    times: int = 1
    statuses: tuple[int, ...] = ()
    """The first responses to the answer itself."""
    only: str = ""
    """What the actions of these calls begin with."""

    @property
    def passes(self) -> bool:
        """Whether the request has to succeed nonetheless."""
        return self.kind in ("none", "delivered twice", *PASSING) or bool(self.only)


QUIET = Trouble("none")


class Moments:
    """`Account.moment` of one delivery: it counts the calls, and `strike`s where `trouble` says."""

    def __init__(self, trouble: Trouble, strike: Callable[[], None]) -> None:
        self.trouble = trouble
        self.strike = strike
        self.call = -1
        self.left = trouble.times

    def __call__(self, when: str, action: str) -> None:
        """`when` is ``before`` or ``after`` the call."""
        if not action.startswith(self.trouble.only):
            return
        self.call += when == "before"
        if when == self.trouble.when and self.call >= self.trouble.call and self.left:
            self.left -= 1
            self.strike()


def troubles(*kinds: str) -> st.SearchStrategy[Trouble]:
    """Of these kinds, or none."""
    return st.sampled_from(("none", *kinds)).flatmap(
        lambda kind: st.builds(
            Trouble,
            kind=st.just(kind),
            call=st.integers(0, 9),
            when=st.sampled_from(
                ["before", "after"]
                if kind in LOST or kind == "time runs out"
                else ["after" if kind == "closed for ever" else "before"]
            ),
            times=st.just(1_000_000) if kind in FOR_EVER else st.integers(1, 4 if kind in PASSING else 1),
            statuses=st.sampled_from(((), (), (500,), (429, 503))),
        )
    )


LOOKS = "cloudformation:"
LOOK_TROUBLE = st.builds(
    Trouble,
    kind=st.sampled_from([*PASSING, *FOR_EVER, "denied"]),
    call=st.integers(0, 3),
    times=st.sampled_from([1, 2, 5, 1_000_000]),
    only=st.just(LOOKS),
)
"""stack status unavailable: for a while, or to the end."""
PASSING_TROUBLE = troubles(*PASSING)
ANY_TROUBLE = troubles(*PASSING, *FATAL, *FOR_EVER, "time runs out", "delivered twice")

SECRET_IDS = st.sampled_from(SECRETS)
GOOD = st.fixed_dictionaries(
    {"PropagationDelay": st.sampled_from(["0", "10", 60])},
    optional={
        "PolicyProfile": st.sampled_from(["Strict", "Documented"]),
        "AccessCheck": st.sampled_from(["Enforce", "Off"]),
        "SuperuserSecretId": st.just("superuser"),
        "Triggers": st.dictionaries(st.sampled_from("ab"), st.text(max_size=3), max_size=2),
    },
).flatmap(
    lambda common: st.one_of(
        st.builds(
            lambda secret, number, suffix: (
                common | {"SecretId": secret, "RotationLambdaARN": f"function-{number}{suffix}"}
            ),
            SECRET_IDS,
            st.integers(0, 2),
            st.sampled_from(["", ":1", ":$LATEST"]),
        ),
        st.builds(
            lambda secrets, role, subnets: (
                common | {"SecretIds": secrets, "RoleName": role, "VpcConfig": {"SubnetIds": subnets}}
            ),
            st.lists(SECRET_IDS, min_size=1, max_size=3),
            st.sampled_from(ROLES),
            st.lists(st.just("subnet-1"), max_size=1),
        ),
    )
)
BAD = st.sampled_from(
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
    "nothing", "key disabled", "secret gone", "function gone", "function has another role", "role gone", "put denied",
    "deny",
)  # fmt: skip
"""What changes between an Update and its rollback, and is as before when the rollback is over."""


ANSWERED = {
    "function gone": {"lambda:GetFunctionConfiguration": "ResourceNotFoundException"},
    "role gone": dict.fromkeys(("iam:GetRole", "iam:GetRolePolicy", "iam:PutRolePolicy"), "NoSuchEntity"),
    "put denied": {"iam:PutRolePolicy": "AccessDenied"},
}
"""What AWS answers to which calls after some of these changes."""


class Stacks(RuleBasedStateMachine):
    """CloudFormation, Lambda's deliveries, and the account."""

    def __init__(self, responses: ResponseServer) -> None:
        super().__init__()
        self._exit = ExitStack()
        self.account: Account = self._exit.enter_context(connected(responses))
        self.cloudformation = self.account.cloudformation
        self.cloudformation.page_size = 4
        self.resources: dict[tuple[str, str], Resource] = {}
        self.others: dict[str, dict[str, Any]] = {role: {} for role in ROLES}
        self.serial = itertools.count(1)
        self.stack_ids = {name: self._new_stack_id(name) for name in STACK_NAMES}
        self.last: dict[str, Any] | None = None
        self.sent: deque[dict[str, Any]] = deque(maxlen=8)
        """The Creates and Updates of late, whether they were delivered or not."""

    @initialize(seconds=st.sampled_from([1, 3, 30]))
    def set_up_account(self, seconds: int) -> None:
        """Roles, functions, secrets; and how fast CloudFormation goes from event to event."""
        self.cloudformation.pace = timedelta(seconds=seconds)
        account = self.account
        for number, role in enumerate(ROLES):
            account.function(account.role(role), f"function-{number}")
        self.key_id = account.key().rpartition("/")[2]
        account.secret("db")
        account.secret("keyed", self.key_id)
        account.secret("other")
        account.secret("superuser", account.key())

    def teardown(self) -> None:
        """Deletes what is left, as the deletion of the stacks does."""
        try:
            for key in [*self.resources]:
                self._delete_resource(key, QUIET)
            self.nothing_but_what_is_believed_in()
        finally:
            self._exit.close()

    # --- deliveries ---

    def _deliver(self, event: dict[str, Any], trouble: Trouble) -> dict[str, Any] | None:
        """One invocation; its answer, or None where it failed. Never two answers."""
        account = self.account

        def strike() -> None:
            if trouble.kind == "time runs out":
                self._let_time_run_out()
            elif trouble.kind == "delivered twice":
                account.send_elsewhere(event)
            elif trouble.kind != "none":
                if trouble.kind == "slow":
                    account.slept.append(READ_SECONDS)
                raise (PASSING | FATAL | FOR_EVER)[trouble.kind]

        account.moment = Moments(trouble, strike)
        account.slept.clear()
        account.responses.clear()
        account.responses.statuses.extend(trouble.statuses)
        context = Context()
        try:
            custom_resource.handler(event, context)
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

    def _let_time_run_out(self) -> None:
        """The timer rings while a call hangs."""
        resource = custom_resource.resource
        self.account.slept.append(max(0.0, resource.response_deadline - time.monotonic()))
        resource._timer.function()

    def _succeed(self, event: dict[str, Any], trouble: Trouble) -> dict[str, Any]:
        """The answer to a request that has to succeed."""
        response = self._deliver(event, trouble)
        assert response is not None
        assert response["Status"] == "SUCCESS", response["Reason"]
        return response

    def _deliver_overtaken(
        self, event: dict[str, Any], at: int, when: str, overtake: Callable[[], None]
    ) -> dict[str, Any] | None:
        """The answer, where it was given before anything overtook the request."""
        account = self.account
        overtaken: list[bool] = []

        def strike() -> None:
            overtaken.append(True)
            before = len(account.slept)
            overtake()
            # It took place elsewhere: no call of this delivery took so long.
            del account.slept[before:]

        account.moment = Moments(Trouble("overtaken", at, when), strike)
        account.slept.clear()
        account.responses.clear()
        custom_resource.handler(event, Context())
        account.moment = lambda _when, _action: None
        [response] = account.responses.received
        return None if overtaken else response

    # --- requests ---

    def _new_stack_id(self, name: str) -> str:
        return f"arn:aws:cloudformation:{REGION}:{ACCOUNT}:stack/{name}/6b1e1c50-{next(self.serial):04}-11ef"

    def _request(
        self, request_type: str, key: tuple[str, str], status: str, properties: dict[str, Any], **more: Any
    ) -> dict[str, Any]:
        stack_id, logical_id = key
        event = self.account.request(
            request_type,
            properties,
            stack_status=status,
            StackId=stack_id,
            LogicalResourceId=logical_id,
            RequestId=str(next(self.serial)),
            **more,
        )
        if request_type != "Delete":
            self.sent.append(event)
        self.last = event
        return event

    def _create_request(self, key: tuple[str, str], properties: dict[str, Any]) -> dict[str, Any]:
        is_new = key[0] not in self.cloudformation.stacks
        return self._request("Create", key, "CREATE_IN_PROGRESS" if is_new else "UPDATE_IN_PROGRESS", properties)

    def _update_request(
        self, resource: Resource, properties: dict[str, Any], physical_id: str, status: str = "UPDATE_IN_PROGRESS"
    ) -> dict[str, Any]:
        old = {"OldResourceProperties": resource.properties}
        return self._request("Update", resource.key, status, properties, PhysicalResourceId=physical_id, **old)

    def _set_resource(self, event: dict[str, Any], status: str, physical_id: str, reason: str = "") -> None:
        stack_id, logical_id, properties = (
            event[name] for name in ("StackId", "LogicalResourceId", "ResourceProperties")
        )
        self.cloudformation.set_resource(stack_id, logical_id, status, physical_id, properties, reason)

    def _clean_up(self, key: tuple[str, str], status: str, physical_id: str, properties: dict[str, Any]) -> None:
        """The Delete of the clean-up, which has to succeed."""
        stack_id, logical_id = key
        self.cloudformation.begin(stack_id, status)
        self.cloudformation.set_resource(stack_id, logical_id, "DELETE_IN_PROGRESS", physical_id)
        event = self._request_of_clean_up(key, physical_id, properties)
        response = self._succeed(event, QUIET)
        assert response["PhysicalResourceId"] == physical_id
        self.cloudformation.set_resource(stack_id, logical_id, "DELETE_COMPLETE", physical_id)

    def _request_of_clean_up(
        self, key: tuple[str, str], physical_id: str, properties: dict[str, Any]
    ) -> dict[str, Any]:
        """Its events have been recorded: those of a clean-up are others."""
        stack_id, logical_id = key
        self.last = {
            "RequestType": "Delete",
            "ResponseURL": self.cloudformation.response_url(self.account.responses.url),
            "StackId": stack_id,
            "LogicalResourceId": logical_id,
            "RequestId": str(next(self.serial)),
            "ResourceType": "Custom::RotationRolePolicy",
            "PhysicalResourceId": physical_id,
            "ResourceProperties": properties,
        }
        return self.last

    def _standing(self, physical_id: str) -> Any:
        role, _, name = physical_id.partition("/")
        return self.account.policies(role).get(name) if name else None

    def _unused(self) -> list[tuple[str, str]]:
        return [key for key in itertools.product(self.stack_ids.values(), LOGICAL_IDS) if key not in self.resources]

    def _is_first_of_stack(self, key: tuple[str, str]) -> bool:
        return self.cloudformation.stacks[key[0]].status.startswith(("CREATE_", "ROLLBACK_"))

    def _renew_stack(self, stack_id: str) -> None:
        """A stack that is deleted is created again under its name, with another ID."""
        name = stack_id.split("/")[1]
        self.stack_ids[name] = self._new_stack_id(name)

    # --- Create ---

    @precondition(lambda self: self._unused())
    @rule(data=st.data(), properties=GOOD, trouble=st.one_of(ANY_TROUBLE, LOOK_TROUBLE))
    def create(self, data: st.DataObject, properties: dict[str, Any], trouble: Trouble) -> None:
        """A resource is created; if that fails, its Delete follows with the ID that the failure gave."""
        event = self._create_request(data.draw(st.sampled_from(self._unused())), properties)
        self._finish_create(event, self._deliver(event, trouble), trouble)

    def _finish_create(self, event: dict[str, Any], response: dict[str, Any] | None, trouble: Trouble) -> None:
        assert response is not None
        if response["Status"] == "SUCCESS":
            self._believe_in_create(event, response)
            self.cloudformation.set_status(event["StackId"], "CREATE_COMPLETE")
        else:
            assert not trouble.passes, response["Reason"]
            self._roll_create_back(event, response["PhysicalResourceId"])

    def _believe_in_create(self, event: dict[str, Any], response: dict[str, Any]) -> None:
        key, physical_id = (event["StackId"], event["LogicalResourceId"]), response["PhysicalResourceId"]
        self._set_resource(event, "CREATE_IN_PROGRESS", physical_id, "Resource creation Initiated")
        self._set_resource(event, "CREATE_COMPLETE", physical_id)
        self.resources[key] = Resource(key, physical_id, event["ResourceProperties"], self._standing(physical_id))
        assert self.resources[key].document, "it stands there"

    def _roll_create_back(self, event: dict[str, Any], physical_id: str) -> None:
        """The Delete of a Create that failed."""
        key, properties = (event["StackId"], event["LogicalResourceId"]), event["ResourceProperties"]
        is_first = self._is_first_of_stack(key)
        self._set_resource(event, "CREATE_FAILED", physical_id, "it failed")
        if is_first:
            delete = self._request("Delete", key, "ROLLBACK_IN_PROGRESS", properties, PhysicalResourceId=physical_id)
            assert self._succeed(delete, QUIET)["PhysicalResourceId"] == physical_id
            self._set_resource(delete, "DELETE_COMPLETE", physical_id)
            self.cloudformation.set_status(key[0], "ROLLBACK_COMPLETE")
            self._renew_stack(key[0])
        else:
            self.cloudformation.begin(key[0], "UPDATE_ROLLBACK_IN_PROGRESS")
            self._clean_up(key, "UPDATE_ROLLBACK_COMPLETE_CLEANUP_IN_PROGRESS", physical_id, properties)
            self.cloudformation.set_status(key[0], "UPDATE_ROLLBACK_COMPLETE")

    @precondition(lambda self: self._unused())
    @rule(data=st.data(), properties=GOOD, statuses=st.sampled_from([(403,), (500,) * 6]))
    def create_of_which_the_first_answer_is_not_taken(
        self, data: st.DataObject, properties: dict[str, Any], statuses: tuple[int, ...]
    ) -> None:
        """The invocation fails, and Lambda delivers the event again."""
        event = self._create_request(data.draw(st.sampled_from(self._unused())), properties)
        assert self._deliver(event, Trouble("none", statuses=statuses)) is None
        self._finish_create(event, self._deliver(event, QUIET), QUIET)

    @precondition(lambda self: self._unused())
    @rule(data=st.data(), properties=BAD, trouble=PASSING_TROUBLE)
    def create_of_what_cannot_be(self, data: st.DataObject, properties: dict[str, Any], trouble: Trouble) -> None:
        """A template with a mistake."""
        event = self._create_request(data.draw(st.sampled_from(self._unused())), properties)
        response = self._deliver(event, trouble)
        assert response is not None
        assert response["Status"] == "FAILED"
        self._roll_create_back(event, response["PhysicalResourceId"])

    @precondition(lambda self: self._unused())
    @rule(
        data=st.data(),
        first=st.one_of(GOOD, BAD),
        second=GOOD,
        trouble=ANY_TROUBLE,
        clean_up_trouble=st.one_of(st.just(QUIET), LOOK_TROUBLE),
    )
    def create_that_fails_and_is_corrected(
        self,
        data: st.DataObject,
        first: dict[str, Any],
        second: dict[str, Any],
        trouble: Trouble,
        clean_up_trouble: Trouble,
    ) -> None:
        """With ``--disable-rollback``: what failed is deleted when the next operation has created its successor."""
        key = data.draw(st.sampled_from(self._unused()))
        event = self._create_request(key, first)
        response = self._deliver(event, trouble)
        assert response is not None
        if response["Status"] == "SUCCESS":
            self._finish_create(event, response, trouble)
            return
        failed_id = response["PhysicalResourceId"]
        self._set_resource(event, "CREATE_FAILED", failed_id, "it failed")
        self.cloudformation.set_status(key[0], "CREATE_FAILED")
        again = self._create_request(key, second)
        self._believe_in_create(again, self._succeed(again, QUIET))
        # Else the physical ID is the same, and nothing is to be cleaned up.
        if failed_id != self.resources[key].physical_id:
            status = "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS"
            self.cloudformation.begin(key[0], status)
            self.cloudformation.set_resource(*key, "DELETE_IN_PROGRESS", failed_id)
            self._succeed(self._request_of_clean_up(key, failed_id, first), clean_up_trouble)
            self.cloudformation.set_resource(*key, "DELETE_COMPLETE", failed_id)
        self.cloudformation.set_status(key[0], "UPDATE_COMPLETE")

    @precondition(lambda self: self._unused())
    @rule(data=st.data(), properties=GOOD, at=st.integers(0, 9), when=st.sampled_from(["before", "after"]))
    def create_that_is_cancelled(self, data: st.DataObject, properties: dict[str, Any], at: int, when: str) -> None:
        """Another resource fails: the Delete comes while the Create is under way, with an ID that was made up."""
        event = self._create_request(data.draw(st.sampled_from(self._unused())), properties)
        key = event["StackId"], event["LogicalResourceId"]
        status = "ROLLBACK_IN_PROGRESS" if self._is_first_of_stack(key) else "UPDATE_ROLLBACK_IN_PROGRESS"

        def overtake() -> None:
            self._set_resource(event, "CREATE_FAILED", MADE_UP_ID, "Resource creation cancelled")
            self.cloudformation.begin(key[0], status)
            delete = self._request_of_clean_up(key, MADE_UP_ID, properties)
            assert self.account.send_elsewhere(delete)["Status"] == "SUCCESS"

        if self._deliver_overtaken(event, at, when, overtake):
            overtake()
        self.cloudformation.set_status(key[0], status.replace("IN_PROGRESS", "COMPLETE"))
        if status == "ROLLBACK_IN_PROGRESS":
            self._renew_stack(key[0])

    # --- Update ---

    def _any_resource(self, data: st.DataObject) -> Resource:
        return self.resources[data.draw(st.sampled_from([*self.resources]))]

    @precondition(lambda self: self.resources)
    @rule(
        data=st.data(),
        properties=st.one_of(GOOD, BAD),
        trouble=st.one_of(ANY_TROUBLE, LOOK_TROUBLE),
        rolls_back=st.booleans(),
        change=st.sampled_from(CHANGES),
        rollback_trouble=st.one_of(ANY_TROUBLE, LOOK_TROUBLE),
    )
    def update(
        self,
        data: st.DataObject,
        properties: dict[str, Any],
        trouble: Trouble,
        rolls_back: bool,
        change: str,
        rollback_trouble: Trouble,
    ) -> None:
        """A resource is updated, in place or onto another role. If it fails, or another does, the old comes back."""
        resource = self._any_resource(data)
        event = self._update_request(resource, properties, resource.physical_id)
        response = self._deliver(event, trouble)
        assert response is not None
        new_id = response["PhysicalResourceId"]
        if response["Status"] == "FAILED":
            assert new_id == resource.physical_id
            assert self._standing(new_id) == resource.document, "a failed Update changes nothing"
            self._believed_in()
            self._roll_back(resource, event, new_id, change, rollback_trouble)
        elif rolls_back:
            self._set_resource(event, "UPDATE_COMPLETE", new_id)
            self._roll_back(resource, event, new_id, change, rollback_trouble)
        else:
            self._believe_in_update(resource, event, new_id)

    def _believe_in_update(self, resource: Resource, event: dict[str, Any], new_id: str) -> None:
        old = replace(resource)
        if new_id != old.physical_id:
            self._set_resource(event, "UPDATE_IN_PROGRESS", new_id, "Requested update required a new physical resource")
        self._set_resource(event, "UPDATE_COMPLETE", new_id)
        resource.physical_id, resource.properties, resource.is_kept = new_id, event["ResourceProperties"], False
        resource.document = self._standing(new_id)
        assert resource.document
        if new_id != old.physical_id:
            self._clean_up(resource.key, "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS", old.physical_id, old.properties)
        self.cloudformation.set_status(resource.key[0], "UPDATE_COMPLETE")

    def _roll_back(
        self,
        resource: Resource,
        forward: dict[str, Any],
        came: str,
        change: str = "nothing",
        trouble: Trouble = QUIET,
    ) -> None:
        """The Update of the rollback, with the ID `came`. It succeeds whatever has changed, and whatever befalls it."""
        key, is_in_place = resource.key, came == resource.physical_id
        is_untold = change == "role gone" or trouble.kind in (*FOR_EVER, "time runs out") or trouble.only
        if not is_in_place and (is_untold or change != "nothing"):
            # If neither IAM nor CloudFormation tells where the old policy stands, it is left over.
            change, trouble = "nothing" if is_untold else change, QUIET
        if change != "nothing" and trouble.only and trouble.kind == "denied" and trouble.times > 1:
            # Who may not ask CloudFormation can't tell a rollback from an update that is refused.
            trouble = QUIET
        if self.cloudformation.stacks[key[0]].status != "UPDATE_ROLLBACK_IN_PROGRESS":
            self._set_resource(forward, "UPDATE_FAILED", came, "it failed, or was cancelled")
            self.cloudformation.set_status(key[0], "UPDATE_ROLLBACK_IN_PROGRESS")
        old = replace(resource)
        with self._changed(change):
            event = self._update_request(resource, resource.properties, came, "UPDATE_ROLLBACK_IN_PROGRESS")
            response = self._succeed(event, trouble)
            self._end_rollback(resource, event, came, response["PhysicalResourceId"])
        resource.is_kept = change not in ("nothing", "deny") or not trouble.passes
        if not (resource.is_kept or old.is_kept) and resource.physical_id == old.physical_id:
            assert resource.document == old.document, "the old properties still lead to it"

    def _end_rollback(self, resource: Resource, event: dict[str, Any], came: str, new_id: str) -> None:
        """CloudFormation believes in what the Update answered; the ID that came is cleaned up if it is another."""
        self._set_resource(event, "UPDATE_COMPLETE", new_id)
        resource.physical_id, resource.document = new_id, self._standing(new_id)
        assert resource.document
        self.cloudformation.set_status(resource.key[0], "UPDATE_ROLLBACK_COMPLETE_CLEANUP_IN_PROGRESS")
        if came != new_id:
            self._clean_up(resource.key, "UPDATE_ROLLBACK_COMPLETE_CLEANUP_IN_PROGRESS", came, resource.properties)
        self.cloudformation.set_status(resource.key[0], "UPDATE_ROLLBACK_COMPLETE")

    @contextmanager
    def _changed(self, change: str) -> Iterator[None]:
        """The account with one of `CHANGES`."""
        account, undo = self.account, ExitStack()
        functions, kms = account.client("lambda"), account.client("kms")
        with undo:
            if change == "key disabled":
                kms.disable_key(KeyId=self.key_id)
                undo.callback(kms.enable_key, KeyId=self.key_id)
            elif change == "secret gone":
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
            elif change in ANSWERED:
                account.faults |= {action: [error(code)] * 99 for action, code in ANSWERED[change].items()}
                undo.callback(account.faults.clear)
            elif change == "deny":
                account.simulate = lambda params: [
                    {"EvalActionName": one, "EvalResourceName": "*", "EvalDecision": "explicitDeny"}
                    for one in params["ActionNames"]
                ]
                undo.callback(setattr, account, "simulate", simulate_nothing)
            yield

    @precondition(lambda self: self.resources)
    @rule(data=st.data(), properties=st.one_of(GOOD, BAD), at=st.integers(0, 12), is_over=st.booleans())
    def update_that_is_cancelled(self, data: st.DataObject, properties: dict[str, Any], at: int, is_over: bool) -> None:
        """Another resource fails: the old properties come back while the Update is under way."""
        resource = self._any_resource(data)
        forward = self._update_request(resource, properties, resource.physical_id)
        rollback: list[dict[str, Any]] = []

        def overtake() -> None:
            self._set_resource(forward, "UPDATE_FAILED", resource.physical_id, "Resource update cancelled")
            self.cloudformation.set_status(resource.key[0], "UPDATE_ROLLBACK_IN_PROGRESS")
            status = "UPDATE_ROLLBACK_IN_PROGRESS"
            event = self._update_request(resource, resource.properties, resource.physical_id, status)
            response = self.account.send_elsewhere(event)
            assert response["Status"] == "SUCCESS", response["Reason"]
            assert response["PhysicalResourceId"] == resource.physical_id
            if is_over:
                self._end_rollback(resource, event, resource.physical_id, resource.physical_id)
            else:
                rollback.append(event)

        response = self._deliver_overtaken(forward, at, "before", overtake)
        if rollback:
            self._end_rollback(resource, rollback[0], resource.physical_id, resource.physical_id)
        elif response:
            self._roll_back(resource, forward, response["PhysicalResourceId"])

    @precondition(lambda self: self.resources)
    @rule(
        data=st.data(),
        properties=GOOD,
        was_served=st.booleans(),
        starts=st.sampled_from(["before the rollback's Update", "after it", "after the rollback"]),
        change=st.sampled_from(CHANGES),
    )
    def update_that_starts_late(
        self, data: st.DataObject, properties: dict[str, Any], was_served: bool, starts: str, change: str
    ) -> None:
        """Lambda starts an Update, or starts it once more, when CloudFormation has cancelled it already."""
        resource = self._any_resource(data)
        if properties == resource.properties:
            # CloudFormation sends no Update without a change.
            return
        key, own_id = resource.key, resource.physical_id
        forward = self._update_request(resource, properties, own_id)
        if was_served:
            assert self._deliver(forward, Trouble("none", statuses=(403,))) is None
            # What CloudFormation has not heard of is left where nobody can tell it from the function any more.
            change = "nothing"
        self._set_resource(forward, "UPDATE_FAILED", own_id, "Resource update cancelled")
        self.cloudformation.set_status(key[0], "UPDATE_ROLLBACK_IN_PROGRESS")
        self.cloudformation.now += MINUTE
        if starts == "before the rollback's Update":
            self._deliver_in_vain(forward)
        with self._changed(change):
            event = self._update_request(resource, resource.properties, own_id, "UPDATE_ROLLBACK_IN_PROGRESS")
            new_id = self._succeed(event, QUIET)["PhysicalResourceId"]
            if starts == "after it":
                self._deliver_in_vain(forward, change)
            self._end_rollback(resource, event, own_id, new_id)
        resource.is_kept = change not in ("nothing", "deny")
        if starts == "after the rollback":
            self._deliver_in_vain(forward)

    def _deliver_in_vain(self, event: dict[str, Any], change: str = "nothing") -> None:
        response = self._deliver(event, QUIET)
        assert response is not None
        # Nobody reads it. What leads nowhere, in a rollback, is answered like the rollback's own Update.
        assert response["Status"] == "FAILED" or change != "nothing"

    # --- the rest ---

    @precondition(lambda self: self.resources)
    @rule(data=st.data(), trouble=ANY_TROUBLE)
    def delete(self, data: st.DataObject, trouble: Trouble) -> None:
        """A resource is deleted, and its stack with the last one."""
        self._delete_resource(data.draw(st.sampled_from([*self.resources])), trouble)

    def _delete_resource(self, key: tuple[str, str], trouble: Trouble) -> None:
        """Tried again by the stack's owner if it fails."""
        resource = self.resources.pop(key)
        is_last = not any(stack_id == key[0] for stack_id, _ in self.resources)
        status = "DELETE_IN_PROGRESS" if is_last else "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS"
        old = {"PhysicalResourceId": resource.physical_id}
        event = self._request("Delete", key, status, resource.properties, **old)
        response = self._deliver(event, trouble)
        if response is None or response["Status"] == "FAILED":
            assert not trouble.passes
            response = self._deliver(event, QUIET)
        assert response is not None
        assert (response["Status"], response["PhysicalResourceId"]) == ("SUCCESS", resource.physical_id), response
        self._set_resource(event, "DELETE_COMPLETE", resource.physical_id)
        self.cloudformation.set_status(key[0], "DELETE_COMPLETE" if is_last else "UPDATE_COMPLETE")
        if is_last:
            self._renew_stack(key[0])

    @precondition(lambda self: self.last)
    @rule()
    def deliver_the_last_request_again(self) -> None:
        """Lambda delivers some events twice, without any error."""
        assert self.last is not None
        self._deliver_again(self.last)

    @precondition(lambda self: self.sent)
    @rule(data=st.data())
    def deliver_an_old_request_again(self, data: st.DataObject) -> None:
        """A Create or Update has waited long, or is started once more: much may have happened since."""
        self.cloudformation.now += MINUTE
        self._deliver_again(data.draw(st.sampled_from([*self.sent])))

    def _deliver_again(self, event: dict[str, Any]) -> None:
        self._deliver(event, QUIET)
        resource = self.resources.get((event["StackId"], event["LogicalResourceId"]))
        if resource and resource.is_kept and resource.properties == event.get("ResourceProperties"):
            # The old properties lead to a document again: it is the better one.
            resource.document = self._standing(resource.physical_id)
            assert resource.document

    @rule(role=st.sampled_from(ROLES), name=st.sampled_from(["theirs", "Policy", "Policy-0123456789ab"]))
    def somebody_else_puts_a_policy(self, role: str, name: str) -> None:
        """On the same role, by hand, with a name like ours."""
        statement = {
            "Effect": "Allow",
            "Action": "logs:PutLogEvents",
            "Resource": f"arn:aws:logs:::{next(self.serial)}",
        }
        document = {"Version": "2012-10-17", "Statement": [statement]}
        text = json.dumps(document)
        self.account.client("iam").put_role_policy(RoleName=role, PolicyName=name, PolicyDocument=text)
        self.others[role][name] = document

    # --- what holds ---

    def _believed_in(self) -> None:
        for role in ROLES:
            believed = {
                name: resource.document
                for resource in self.resources.values()
                for own_role, name in [resource.physical_id.split("/")]
                if own_role == role
            }
            assert self.account.policies(role) == believed | self.others[role]

    @invariant()
    def nothing_but_what_is_believed_in(self) -> None:
        """Each role holds the policies that CloudFormation believes in, and everyone else's."""
        self._believed_in()


def test_each_role_holds_exactly_what_cloudformation_believes_in(responses: ResponseServer) -> None:
    class OnThisServer(Stacks):
        def __init__(self) -> None:
            super().__init__(responses)

    run_state_machine_as_test(OnThisServer)
