"""A model of CloudFormation: many stacks' resources on few roles, and whatever can go wrong with their requests.

After every step each role holds exactly the policies that CloudFormation believes in, with the documents that it was
told of, and everyone else's; each delivery of a request has brought one answer. At the end nothing is left.
`make soak` takes thousands of steps.
"""

import itertools
import json
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
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
from rotation_role_policy.errors import Undelivered
from rotation_role_policy.transport import READ_SECONDS
from tests.answers import Answers
from tests.world import ACCOUNT, REGION, Context, World, connected, error

ROLES = ("role-0", "role-1", "role-2")
SECRETS = ("db", "keyed", "other")
STACKS = tuple(f"arn:aws:cloudformation:{REGION}:{ACCOUNT}:stack/{name}/6b1e1c50-0000-11ef" for name in ("one", "two"))
LOGICAL_IDS = ("Policy", "SecondPolicy")
MADE_UP_ID = "one-Policy-1ABCDEFGHIJKL"
"""What CloudFormation calls a resource that has not said its id."""

URL = "https://iam.amazonaws.com/"
LOST = {
    "closed": ConnectionClosedError(endpoint_url=URL),
    "slow": ReadTimeoutError(endpoint_url=URL),
    "unavailable": ClientError(
        {"Error": {"Code": "ServiceFailure"}, "ResponseMetadata": {"HTTPStatusCode": 503}}, "PutRolePolicy"
    ),
}
"""What leaves open whether the call was made."""
PASSING = LOST | {"throttled": error("Throttling"), "two writers": error("ConcurrentModification")}
FATAL = {"denied": error("AccessDenied"), "invalid": error("MalformedPolicyDocument"), "full": error("LimitExceeded")}
FOR_EVER = {"throttled for ever": PASSING["throttled"], "closed for ever": PASSING["closed"]}


@dataclass
class Resource:
    """One `Custom::RotationRolePolicy`, as CloudFormation believes it to be."""

    stack_id: str
    logical_id: str
    physical_id: str
    properties: dict[str, Any]
    document: Any


@dataclass(frozen=True)
class Trouble:
    """What befalls one delivery: at its `call`-th call to AWS, before that or after it, when the response is lost."""

    kind: str
    call: int = 0
    when: str = "before"
    times: int = 1
    statuses: tuple[int, ...] = ()
    """The first responses to the answer itself."""

    @property
    def passes(self) -> bool:
        """Whether the request has to succeed nonetheless."""
        return self.kind in ("none", "delivered twice", *PASSING)


QUIET = Trouble("none")


class Moments:
    """`World.moment` of one delivery: it counts the calls, and `strike`s where `trouble` says."""

    def __init__(self, trouble: Trouble, strike: Callable[[], None]) -> None:
        self.trouble = trouble
        self.strike = strike
        self.call = -1
        self.left = trouble.times

    def __call__(self, when: str, _: str) -> None:
        """`when` is ``before`` or ``after`` the call."""
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


class Stacks(RuleBasedStateMachine):
    """CloudFormation, Lambda's deliveries, and the account."""

    def __init__(self, answers: Answers) -> None:
        super().__init__()
        self._exit = ExitStack()
        self.world: World = self._exit.enter_context(connected(answers))
        self.resources: dict[tuple[str, str], Resource] = {}
        self.statuses: dict[str, str] = {}
        self.world.stack_status = lambda stack_id: self.statuses[stack_id]
        self.others: dict[str, dict[str, Any]] = {role: {} for role in ROLES}
        self.serial = itertools.count(1)
        self.last: dict[str, Any] | None = None
        self.newest_create: dict[str, Any] | None = None

    @initialize()
    def account(self) -> None:
        """Roles, functions, secrets."""
        world = self.world
        for number, role in enumerate(ROLES):
            world.function(world.role(role), f"function-{number}")
        world.secret("db")
        world.secret("keyed", world.key())
        world.secret("other")
        world.secret("superuser", world.key())

    def teardown(self) -> None:
        """Deletes what is left, as the deletion of the stacks does."""
        try:
            for key in [*self.resources]:
                self._delete(self.resources.pop(key), QUIET)
            self.nothing_but_what_is_believed_in()
        finally:
            self._exit.close()

    # --- deliveries ---

    def _deliver(self, event: dict[str, Any], trouble: Trouble) -> dict[str, Any] | None:
        """One invocation; its answer, or None where it failed. Never two answers."""
        world = self.world

        def strike() -> None:
            if trouble.kind == "time runs out":
                self._let_time_run_out()
            elif trouble.kind == "delivered twice":
                world.send_elsewhere(event)
                self._settle(event["StackId"])
            elif trouble.kind != "none":
                if trouble.kind == "slow":
                    world.slept.append(READ_SECONDS)
                raise (PASSING | FATAL | FOR_EVER)[trouble.kind]

        world.moment = Moments(trouble, strike)
        world.slept.clear()
        world.answers.clear()
        world.answers.statuses.extend(trouble.statuses)
        context = Context()
        try:
            custom_resource.handler(event, context)
        except Undelivered:
            assert world.answers.received == []
            return None
        finally:
            world.moment = lambda _when, _action: None
            world.answers.statuses.clear()
        assert context.get_remaining_time_in_millis() > 0
        [answer] = world.answers.received
        assert [answer[name] for name in ("StackId", "RequestId", "LogicalResourceId")] == [
            event[name] for name in ("StackId", "RequestId", "LogicalResourceId")
        ]
        assert answer["PhysicalResourceId"]
        assert max(world.answers.sizes) <= 4096
        assert answer["Reason"].isprintable()
        return answer

    def _let_time_run_out(self) -> None:
        """The timer rings while a call hangs."""
        resource = custom_resource.resource
        self.world.slept.append(max(0.0, resource.answers_by - time.monotonic()))
        resource._timer.function()

    def _request(
        self, request_type: str, stack_id: str, logical_id: str, properties: dict[str, Any], **more: Any
    ) -> dict[str, Any]:
        self.statuses[stack_id] = f"{request_type.upper()}_IN_PROGRESS"
        request_id = str(next(self.serial))
        self.last = self.world.request(
            request_type, properties, StackId=stack_id, LogicalResourceId=logical_id, RequestId=request_id, **more
        )
        return self.last

    def _settle(self, stack_id: str, status: str = "UPDATE_COMPLETE") -> None:
        """The stack's operation is over."""
        self.statuses[stack_id] = status

    def _update_request(self, resource: Resource, physical_id: str, properties: dict[str, Any]) -> dict[str, Any]:
        return self._request(
            "Update",
            resource.stack_id,
            resource.logical_id,
            properties,
            PhysicalResourceId=physical_id,
            OldResourceProperties=resource.properties,
        )

    def _delete(self, resource: Resource, trouble: Trouble) -> None:
        """The Delete of a resource, or of one half of a replacement; tried again by its owner if it fails."""
        event = self._request(
            "Delete",
            resource.stack_id,
            resource.logical_id,
            resource.properties,
            PhysicalResourceId=resource.physical_id,
        )
        answer = self._deliver(event, trouble)
        if answer is None or answer["Status"] == "FAILED":
            assert not trouble.passes
            answer = self._deliver(event, QUIET)
        assert answer is not None
        assert (answer["Status"], answer["PhysicalResourceId"]) == ("SUCCESS", resource.physical_id), answer
        is_last = not any(stack_id == resource.stack_id for stack_id, _ in self.resources)
        self._settle(resource.stack_id, "DELETE_COMPLETE" if is_last else "UPDATE_COMPLETE")

    def _succeed(self, event: dict[str, Any]) -> dict[str, Any]:
        """The answer to a request that has to succeed."""
        answer = self._deliver(event, QUIET)
        assert answer is not None
        assert answer["Status"] == "SUCCESS", answer["Reason"]
        return answer

    def _standing(self, physical_id: str) -> Any:
        role, _, name = physical_id.partition("/")
        return self.world.policies(role).get(name) if name else None

    def _unused(self) -> list[tuple[str, str]]:
        return [key for key in itertools.product(STACKS, LOGICAL_IDS) if key not in self.resources]

    # --- what happens ---

    @precondition(lambda self: self._unused())
    @rule(data=st.data(), properties=GOOD, trouble=ANY_TROUBLE)
    def create(self, data: st.DataObject, properties: dict[str, Any], trouble: Trouble) -> None:
        """A resource is created; if that fails, its Delete follows with the id that the failure gave."""
        key = data.draw(st.sampled_from(self._unused()))
        event = self._request("Create", *key, properties)
        self._finish_create(event, self._deliver(event, trouble), trouble)

    def _finish_create(self, event: dict[str, Any], answer: dict[str, Any] | None, trouble: Trouble) -> None:
        assert answer is not None
        resource = Resource(
            event["StackId"],
            event["LogicalResourceId"],
            answer["PhysicalResourceId"],
            event["ResourceProperties"],
            self._standing(answer["PhysicalResourceId"]),
        )
        if answer["Status"] == "SUCCESS":
            assert resource.document, "it stands there"
            self.resources[resource.stack_id, resource.logical_id] = resource
            self.newest_create = event
            self._settle(resource.stack_id, "CREATE_COMPLETE")
        else:
            assert not trouble.passes, answer["Reason"]
            self._delete(resource, QUIET)

    @precondition(lambda self: self._unused())
    @rule(data=st.data(), properties=GOOD, statuses=st.sampled_from([(403,), (500,) * 6]))
    def create_of_which_the_first_answer_is_not_taken(
        self, data: st.DataObject, properties: dict[str, Any], statuses: tuple[int, ...]
    ) -> None:
        """The invocation fails, and Lambda delivers the event again."""
        key = data.draw(st.sampled_from(self._unused()))
        event = self._request("Create", *key, properties)
        assert self._deliver(event, Trouble("none", statuses=statuses)) is None
        self._finish_create(event, self._deliver(event, QUIET), QUIET)

    @precondition(lambda self: self._unused())
    @rule(data=st.data(), properties=BAD, trouble=PASSING_TROUBLE)
    def create_of_what_cannot_be(self, data: st.DataObject, properties: dict[str, Any], trouble: Trouble) -> None:
        """A template with a mistake."""
        event = self._request("Create", *data.draw(st.sampled_from(self._unused())), properties)
        answer = self._deliver(event, trouble)
        assert answer is not None
        assert answer["Status"] == "FAILED"
        stack_id, logical_id = event["StackId"], event["LogicalResourceId"]
        self._delete(Resource(stack_id, logical_id, answer["PhysicalResourceId"], properties, None), trouble)

    @precondition(lambda self: self._unused())
    @rule(data=st.data(), properties=GOOD, at=st.integers(0, 8), when=st.sampled_from(["before", "after"]))
    def create_that_is_cancelled(self, data: st.DataObject, properties: dict[str, Any], at: int, when: str) -> None:
        """Another resource fails: the Delete comes while the Create is under way, with an id that was made up."""
        stack_id, logical_id = data.draw(st.sampled_from(self._unused()))
        event = self._request("Create", stack_id, logical_id, properties)
        delete = self._overtaking("Delete", event, properties, MADE_UP_ID)
        if self._deliver_overtaken(event, at, when, "ROLLBACK_IN_PROGRESS", delete):
            self.statuses[stack_id] = "ROLLBACK_IN_PROGRESS"
            self._succeed(delete)
        self._settle(stack_id, "ROLLBACK_COMPLETE")

    @precondition(lambda self: self.resources)
    @rule(data=st.data(), properties=GOOD, at=st.integers(1, 10))
    def update_that_is_cancelled(self, data: st.DataObject, properties: dict[str, Any], at: int) -> None:
        """Another resource fails: the old properties come back while the Update is under way.

        That is, between its first question to CloudFormation and its last. What it cannot tell from an Update that
        CloudFormation waits for is one that Lambda only begins when it is over.
        """
        resource = self.resources[data.draw(st.sampled_from([*self.resources]))]
        event = self._update_request(resource, resource.physical_id, properties)
        back = self._overtaking("Update", event, resource.properties, resource.physical_id)
        answer = self._deliver_overtaken(event, at, "before", "UPDATE_ROLLBACK_IN_PROGRESS", back)
        if answer:
            self._end_update(resource, properties, answer, rolls_back=True)
        self.last = None
        self._settle(resource.stack_id, "UPDATE_ROLLBACK_COMPLETE")

    def _overtaking(
        self, request_type: str, event: dict[str, Any], properties: dict[str, Any], physical_id: str
    ) -> dict[str, Any]:
        return event | {
            "RequestType": request_type,
            "RequestId": f"after-{event['RequestId']}",
            "PhysicalResourceId": physical_id,
            "ResourceProperties": properties,
        }

    def _deliver_overtaken(
        self, event: dict[str, Any], at: int, when: str, status: str, overtaking: dict[str, Any]
    ) -> dict[str, Any] | None:
        """The answer, where it was given before the other request came."""
        world = self.world
        answers = []

        def overtake() -> None:
            self.statuses[event["StackId"]] = status
            answers.append(world.send_elsewhere(overtaking))

        world.moment = Moments(Trouble("overtaken", at, when), overtake)
        world.slept.clear()
        world.answers.clear()
        custom_resource.handler(event, Context())
        world.moment = lambda _when, _action: None
        [answer] = world.answers.received
        if not answers:
            return answer
        assert answers[0]["Status"] == "SUCCESS", answers[0]["Reason"]
        return None

    @precondition(lambda self: self.resources)
    @rule(data=st.data(), properties=st.one_of(GOOD, BAD), trouble=ANY_TROUBLE, rolls_back=st.booleans())
    def update(self, data: st.DataObject, properties: dict[str, Any], trouble: Trouble, rolls_back: bool) -> None:
        """A resource is updated, in place or onto another role. If it fails, or another does, the old comes back."""
        resource = self.resources[data.draw(st.sampled_from([*self.resources]))]
        answer = self._deliver(self._update_request(resource, resource.physical_id, properties), trouble)
        assert answer is not None
        self._end_update(resource, properties, answer, rolls_back)

    def _end_update(
        self, resource: Resource, properties: dict[str, Any], answer: dict[str, Any], rolls_back: bool
    ) -> None:
        old_id, old_properties = resource.physical_id, resource.properties
        new_id = answer["PhysicalResourceId"]
        if answer["Status"] == "FAILED":
            assert new_id == old_id
            assert self._standing(old_id) == resource.document, "a failed Update changes nothing"
            self._believed_in()
            self._roll_back(resource, old_id)
            return
        resource.properties = properties
        if rolls_back:
            resource.properties = old_properties
            self._roll_back(resource, new_id)
            stale = Resource(resource.stack_id, resource.logical_id, new_id, properties, None)
        else:
            resource.physical_id, resource.document = new_id, self._standing(new_id)
            assert resource.document
            stale = Resource(resource.stack_id, resource.logical_id, old_id, old_properties, None)
        if new_id != old_id:
            self._delete(stale, QUIET)

    def _roll_back(self, resource: Resource, physical_id: str) -> None:
        event = self._update_request(resource, physical_id, resource.properties)
        self.statuses[resource.stack_id] = "UPDATE_ROLLBACK_IN_PROGRESS"
        answer = self._succeed(event)
        assert answer["PhysicalResourceId"] == resource.physical_id
        self._settle(resource.stack_id, "UPDATE_ROLLBACK_COMPLETE")

    @precondition(lambda self: self.resources)
    @rule(data=st.data(), trouble=ANY_TROUBLE)
    def delete(self, data: st.DataObject, trouble: Trouble) -> None:
        """A resource is deleted."""
        key = data.draw(st.sampled_from([*self.resources]))
        self._delete(self.resources.pop(key), trouble)

    @precondition(lambda self: self.last)
    @rule()
    def deliver_the_last_request_again(self) -> None:
        """Lambda delivers some events twice, without any error."""
        assert self.last is not None
        self._deliver(self.last, QUIET)

    @precondition(lambda self: self._old_create())
    @rule()
    def deliver_an_old_create_again(self) -> None:
        """It has waited long: its stack may have been deleted since."""
        event = self._old_create()
        assert event is not None
        self._deliver(event, QUIET)

    def _old_create(self) -> dict[str, Any] | None:
        """The newest Create, unless its resource has had an Update since, or was taken out of a stack that stays.

        There it can't tell that it is no longer waited for.
        """
        event = self.newest_create
        if event is None:
            return None
        resource = self.resources.get((event["StackId"], event["LogicalResourceId"]))
        is_as_created = resource is not None and resource.properties == event["ResourceProperties"]
        return event if is_as_created or self.statuses[event["StackId"]] == "DELETE_COMPLETE" else None

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
        self.world.client("iam").put_role_policy(RoleName=role, PolicyName=name, PolicyDocument=text)
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
            assert self.world.policies(role) == believed | self.others[role]

    @invariant()
    def nothing_but_what_is_believed_in(self) -> None:
        """Each role holds the policies that CloudFormation believes in, and everyone else's."""
        self._believed_in()


def test_each_role_holds_exactly_what_cloudformation_believes_in(answers: Answers) -> None:
    class OnThisServer(Stacks):
        def __init__(self) -> None:
            super().__init__(answers)

    run_state_machine_as_test(OnThisServer)
