"""What all functions of a role need together. Everything else that its policies grant is excess."""

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

from rotation_role_policy import arn
from rotation_role_policy.iam.conditions import OF_ROLE, KnownContext, holds
from rotation_role_policy.iam.document import Condition, Element
from rotation_role_policy.iam.wildcard import has_wildcard, matches
from rotation_role_policy.rules.breadth import is_one, names_secret
from rotation_role_policy.rules.state import State
from rotation_role_policy.rules.statements import NETWORK_INTERFACE_ACTIONS
from rotation_role_policy.rules.targets import TARGET_TYPES


class Needed(NamedTuple):
    """What all functions of a role need together."""

    rotated_arns: Collection[str]
    superuser_arns: Collection[str]
    key_arns: Collection[str]
    """Of these secrets."""
    other_key_arns: Collection[str]
    """Keys that the functions need for other things, such as their environment variables."""
    in_vpc: bool
    function_arns: tuple[str, ...]
    """Unqualified."""
    regions: Collection[str]
    """The regions whose functions are known. In another region, a function can need what is not needed here."""
    are_all_keys_known: bool = True
    """Whether the keys of all secrets are known."""
    tags: Mapping[str, tuple[tuple[str, str], ...]] = {}
    """By the ARN of a secret whose tags are known: all of them."""

    @property
    def secret_arns(self) -> set[str]:
        """The rotated secrets and the superuser secrets."""
        return {*self.rotated_arns, *self.superuser_arns}

    def is_in_regions(self, pattern: str) -> bool:
        """Return whether the resource of a pattern can be in a region whose functions are known."""
        return any(matches(arn.region(pattern), region) for region in self.regions)

    def is_own_secret(self, pattern: str) -> bool:
        """Return whether a value of a condition is the ID of a needed secret, or a pattern that matches only one."""
        ids = {each for secret_arn in self.secret_arns for each in arn.ids_of_secret(secret_arn)}
        return pattern in ids or (is_one(pattern) and names_secret(pattern, ids))

    def can_be_own_function(self, pattern: str) -> bool:
        """Return whether a value of a condition names a function of the role, in any version, or one not known here.

        Functions of other regions are not known, and none that does not exist yet.
        """
        function = ":".join(pattern.split(":")[:7])
        if has_wildcard(function.rpartition(":")[2]):
            return False
        is_known = bool(self.function_arns) and self.is_in_regions(pattern)
        return not is_known or any(matches(function, each) for each in self.function_arns)

    def can_satisfy(self, condition: Condition, *, is_wanted: bool) -> bool:
        """Return whether a condition on a tag can be for what is needed.

        Args:
            condition: on a tag of a secret.
            is_wanted: whether it must hold: that of a Deny must not.
        """
        # Another function, with secrets of its own, can have the role.
        is_known = bool(self.regions) and self.tags.keys() >= self.secret_arns
        if not is_known or any(OF_ROLE in value for value in condition.values):
            return True
        certainly_not = not is_wanted
        key = condition.key.lower()
        return any(
            holds(condition, self.known_tags(secret_arn, (key,))) is not certainly_not
            for secret_arn in self.secret_arns
        )

    def known_tags(self, secret_arn: str, keys: Collection[str]) -> KnownContext:
        """Return what is known of a needed secret about some context keys for tags, in lower case."""
        values: dict[str, str] = {}
        absent: set[str] = set()
        for key in keys if secret_arn in self.tags else ():
            found = [value for name, value in self.tags[secret_arn] if name.lower() == key.partition("/")[2]]
            if not found:
                absent.add(key)
            # IAM ignores the case of tags that differ only in it, and does not say which counts.
            elif len(found) == 1:
                values[key] = found[0]
        return KnownContext(values, frozenset(absent))


def needed_by(states: Sequence[State]) -> Needed:
    """Return what rotations with these states need together."""
    superusers = [state.superuser_secret for state in states if state.superuser_secret]
    return Needed(
        rotated_arns={secret.arn for state in states for secret in state.secrets},
        superuser_arns={superuser.arn for superuser in superusers},
        key_arns={key_arn for state in states for key_arn in state.secret_key_arns},
        other_key_arns={state.environment_key.arn for state in states},
        in_vpc=any(state.in_vpc for state in states),
        function_arns=tuple(dict.fromkeys(state.function_arn for state in states if state.function_arn)),
        regions={arn.region(secret.arn) for state in states for secret in state.secrets},
        tags={secret.arn: secret.tags for state in states for secret in state.all_secrets},
    )


_SERVICES = ("secretsmanager", "kms")
_OTHER_ACTIONS = (
    *NETWORK_INTERFACE_ACTIONS,
    *(action for row in TARGET_TYPES for action in (*row.actions, *row.superuser_actions)),
)


def rotation_actions(actions: Element) -> tuple[str, ...]:
    """Return the patterns of actions that are about secrets, keys, or other calls of rotations."""
    return tuple(filter(_concerns_rotations, actions.patterns))


def _concerns_rotations(pattern: str) -> bool:
    service = pattern.partition(":")[0].lower()
    is_of_service = has_wildcard(service) or service in _SERVICES
    return is_of_service or any(matches(pattern, action, ignore_case=True) for action in _OTHER_ACTIONS)
