"""What goes wrong, in the words that the reader of a stack's events needs.

A reason names the property and its value, says what is wrong and what to do. ARNs and names of AWS resources are shown
in full, so that they can be copied. The main point comes last, within the last 240 characters where values allow: where
a reason has to be cut, its beginning goes (README, "What is refused").
"""

import json
from enum import StrEnum

FREE_TEXT_CHARACTERS = 72


def quoted(value: object) -> str:
    """The name or ARN of an AWS resource, or AWS's own words, as a reason shows them: printable ASCII, in full."""
    return json.dumps(value, default=str)


def quoted_text(value: object) -> str:
    """What a template's author typed, as a reason shows it: printable ASCII, cut in the middle to 72 characters.

    An ARN is shown in full, even one that is not in the right form.
    """
    text = json.dumps(value, default=str)
    if len(text) > FREE_TEXT_CHARACTERS and not text.startswith('"arn:'):
        half = (FREE_TEXT_CHARACTERS - 3) // 2
        text = f"{text[:half]}...{text[-half:]}"
    return text


class Kind(StrEnum):
    """What a failed request failed of: in the log, and as a dimension of the metric of failures."""

    PROPERTIES = "Properties"
    SECRET = "Secret"  # noqa: S105  # a word
    FUNCTION = "Function"
    ROLE = "Role"
    KEY = "Key"
    LIMIT = "Limit"
    BLOCKED = "Blocked"
    PROVIDER_DENIED = "ProviderDenied"
    OVERTAKEN = "Overtaken"
    NOT_TAKEN_BACK = "NotTakenBack"
    AWS_FAILED = "AwsFailed"
    OUT_OF_TIME = "OutOfTime"
    UNEXPECTED = "Unexpected"


class Refused(Exception):
    """The request cannot be served as it stands. `str()` of it is the reason in the stack's events.

    Unless it says otherwise, it is the template's properties that are refused.
    """

    in_doubt = False
    """As for `CallFailed`."""

    def __init__(self, reason: str, kind: Kind = Kind.PROPERTIES) -> None:
        self.kind = kind
        super().__init__(reason)


class ProviderDenied(Refused):
    """AWS denied a call to the provider's own role.

    `action` is the IAM action that the role lacks, such as ``iam:PutRolePolicy``; `message` AWS's own words, for
    the log: they can say which kind of policy denied it.
    """

    def __init__(self, action: str, message: str, reason: str, *, in_doubt: bool = False) -> None:
        self.action = action
        self.message = message
        self.in_doubt = in_doubt
        super().__init__(reason, Kind.PROVIDER_DENIED)


def no_such_role(role: str) -> Refused:
    """The refusal for an execution role (its name or ARN) that is not there, whichever call shows it."""
    return Refused(
        f"The role {quoted(role)} does not exist in this account. Create it first, or give the right one.", Kind.ROLE
    )


class CallFailed(Exception):
    """An AWS call failed for a reason that the caller has to judge.

    `code` is AWS's error code, such as ``NoSuchEntity``; `action` the IAM action of the call. `in_doubt` where a try of
    it got no answer, so that a write may have happened all the same.
    """

    kind = Kind.AWS_FAILED

    def __init__(self, action: str, code: str, message: str, *, in_doubt: bool = False) -> None:
        self.action = action
        self.code = code
        self.message = message
        self.in_doubt = in_doubt
        super().__init__(f"{quoted(message)} ({action} answered {code}). Try again; the provider's log has more.")


class OutOfTime(Refused):
    """The time that Lambda gives an invocation is up, but for what the answer needs."""

    def __init__(self) -> None:
        super().__init__(
            "The provider function ran out of time, most likely because AWS throttled its calls. Try again; its log"
            " says how far it came.",
            Kind.OUT_OF_TIME,
        )


class NotARequest(Exception):
    """The event is not a request of CloudFormation's; there is nobody to answer."""


class Undelivered(Exception):
    """The answer did not reach CloudFormation. Raised out of the handler, so that Lambda delivers the event again."""
