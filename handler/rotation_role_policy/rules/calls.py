"""The AWS calls that a grant is for, with the context keys whose values are known.

The access check simulates them. The audit also evaluates them against the policies that a role has.
"""

from collections.abc import Iterator

from rotation_role_policy import arn
from rotation_role_policy.iam.document import as_list
from rotation_role_policy.iam.evaluation import Calls, Context
from rotation_role_policy.rules.state import Secret, State
from rotation_role_policy.rules.statements import SECRET_ARN_KEY, SOURCE_FUNCTION_KEY, Caller, Grant, via_services


def calls_of(state: State, grant: Grant) -> Iterator[Calls]:
    """Yield the calls that a grant is for, with the context keys whose values are known.

    None for a safety net: whether the calls are allowed does not depend on the policies of the role alone.
    """
    if grant.is_safety_net:
        return
    actions, resources = tuple(grant.statement["Action"]), tuple(as_list(grant.statement["Resource"]))
    # A target can be in another region or account.
    owner = arn.parse(state.secrets[0].arn if resources == ("*",) else resources[0])
    context: dict[str, str | bool] = {
        # The context keys that SCPs and permissions boundaries use most.
        "aws:PrincipalAccount": arn.parse(state.role.arn).account,
        "aws:PrincipalArn": state.role.arn,
        "aws:PrincipalIsAWSService": False,
        "aws:RequestedRegion": owner.region,
        "aws:SecureTransport": True,
        "aws:ViaAWSService": grant.caller is Caller.SECRETS_MANAGER,
    }
    if resources != ("*",):
        context["aws:ResourceAccount"] = owner.account
    match grant.caller:
        case Caller.SECRETS_MANAGER:
            for secret in grant.secrets:
                encryption = {
                    SECRET_ARN_KEY: secret.arn,
                    "kms:ViaService": via_services(secret, state.dns_suffix)[0],
                }
                yield Calls(actions, resources, context | encryption)
        case Caller.LAMBDA:
            yield Calls(actions, resources, context, absent_keys=frozenset({SOURCE_FUNCTION_KEY.lower()}))
        case Caller.FUNCTION_CODE:
            if state.function_arn:
                context[SOURCE_FUNCTION_KEY] = state.function_arn
            for secrets, tag_context in _by_tags(grant.secrets):
                yield Calls(actions, tuple(secret.arn for secret in secrets), {**context, **tag_context})
            if not grant.secrets:
                yield Calls(actions, resources, context)


def _by_tags(secrets: tuple[Secret, ...]) -> Iterator[tuple[list[Secret], Context]]:
    """Yield groups of secrets with the same tags, and these tags as context keys."""
    for tags in dict.fromkeys(secret.tags for secret in secrets):
        # The simulator rejects duplicate context keys, and ignores their case.
        distinct_tags = {key.lower(): (key, value) for key, value in reversed(tags)}
        context: Context = {
            f"{service}:ResourceTag/{key}": value
            for key, value in sorted(distinct_tags.values())
            for service in ("aws", "secretsmanager")
        }
        yield [secret for secret in secrets if secret.tags == tags], context
