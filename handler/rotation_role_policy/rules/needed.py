"""What all functions of a role need together. Everything else that its policies grant is excess."""

from collections.abc import Collection, Sequence
from typing import NamedTuple

from rotation_role_policy import arn
from rotation_role_policy.iam.document import Condition
from rotation_role_policy.iam.wildcard import has_wildcard, matches
from rotation_role_policy.rules.breadth import ROTATION_FUNCTION_KEY, SECRET_ID_KEY, is_one, names_secret
from rotation_role_policy.rules.state import State


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

    @property
    def secret_arns(self) -> set[str]:
        """The rotated secrets and the superuser secrets."""
        return {*self.rotated_arns, *self.superuser_arns}

    def is_in_regions(self, pattern: str) -> bool:
        """Return whether the resource of a pattern can be in a region whose functions are known."""
        return any(matches(arn.region(pattern), region) for region in self.regions)

    def can_be_for(self, condition: Condition) -> bool:
        """Return whether a condition on the ID of a secret or on its function can be for what is needed.

        Of other conditions, such as those on tags, it is not known which secrets they are for.
        """
        key, values = condition.key.lower(), [value for value in condition.values if "${" not in value]
        if key == SECRET_ID_KEY:
            ids = {each for secret_arn in self.secret_arns for each in arn.ids_of_secret(secret_arn)}
            return all(value in ids or (is_one(value) and names_secret(value, ids)) for value in values)
        if key == ROTATION_FUNCTION_KEY and self.function_arns:
            named = [value for value in values if not has_wildcard(value) and self.is_in_regions(value)]
            return all({value, value.rpartition(":")[0]} & {*self.function_arns} for value in named)
        return True


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
    )
