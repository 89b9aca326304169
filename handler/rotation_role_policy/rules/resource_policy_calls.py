"""The calls that the resource policies of secrets and keys decide about, with the context keys that are certain there.

Of the keys that the policies of a role can use, one cannot be used there. `rules.calls` says what else is certain.
"""

from rotation_role_policy import arn
from rotation_role_policy.iam.conditions import context_keys
from rotation_role_policy.iam.document import Policy
from rotation_role_policy.iam.evaluation import Calls
from rotation_role_policy.rules.calls import ENCRYPTION_CONTEXT_KEYS, calls_of, for_key, for_secrets
from rotation_role_policy.rules.policy import grants
from rotation_role_policy.rules.state import State
from rotation_role_policy.rules.statements import SECRET_ARN_KEY, SOURCE_FUNCTION_KEY, Caller, Grant, via_services


def resource_policy_calls(state: State) -> dict[str, list[Calls]]:
    """Return the calls on each secret and key whose resource policy counts.

    Those are the secrets, and the customer managed keys of the role's account that encrypt a version of one. The owner
    of another account's key need not let anybody here read its policy.

    Returns:
        By full ARN of the secret or key, in the order of the policy: for a secret one element, for a key one for each
        of the secrets that it encrypts.
    """
    by_secret: dict[tuple[str, object], Calls] = {}
    for grant in grants(state):
        for calls in calls_of(state, grant):
            for resource in _with_policy(state, grant, calls):
                key = (resource, calls.context.get(SECRET_ARN_KEY))
                earlier = by_secret.get(key)
                actions = dict.fromkeys((*(earlier.actions if earlier else ()), *calls.actions))
                by_secret[key] = calls._replace(actions=tuple(actions), resources=(resource,))
    result: dict[str, list[Calls]] = {}
    for (resource, _), calls in by_secret.items():
        result.setdefault(resource, []).append(calls)
    return result


def _with_policy(state: State, grant: Grant, calls: Calls) -> list[str]:
    """Return the resources of some calls whose policies count."""
    if grant.caller is Caller.SECRETS_MANAGER:
        account = arn.parse(state.role.arn).account
        return [key_arn for key_arn in calls.resources if arn.parse(key_arn).account == account]
    # Other grants are for other resources, such as the key of the function's environment.
    return list(calls.resources) if grant.secrets and grant.caller is Caller.FUNCTION_CODE else []


def with_certain_context(state: State, calls: Calls, policy: Policy) -> tuple[Calls, ...]:
    """Return the calls with the context keys that are certain in a resource policy.

    Args:
        state: of which `calls` are.
        calls: of `resource_policy_calls`.
        policy: of the resource. It determines which absent keys matter.

    Returns:
        More than one element if it is not known which of the contexts the real calls have.

    Raises:
        ValueError: the document does not follow IAM's grammar.
    """
    [resource] = calls.resources
    # This key cannot be used in resource policies, so what a condition on it does is not known.
    # https://docs.aws.amazon.com/lambda/latest/dg/permissions-source-function-arn.html
    context = {key: value for key, value in calls.context.items() if key != SOURCE_FUNCTION_KEY}
    context["aws:PrincipalType"] = "AssumedRole"
    calls = calls._replace(context=context)
    used = {key for statement in policy.statements for key in context_keys(statement.conditions)}
    secrets = {secret.arn: secret for secret in state.all_secrets}
    if resource in secrets:
        return (for_secrets(calls, [secrets[resource]], used),)
    on_key = for_key(state, calls, used)
    secret = secrets[str(context[SECRET_ARN_KEY])]
    return tuple(
        on_key._replace(context={**on_key.context, "kms:ViaService": service})
        for service in via_services(secret, state.dns_suffix)
    )


def encryption_context(secret_arn: str) -> dict[str, str | None]:
    """Return the encryption context of Secrets Manager for a secret, as `iam.key_grants.can_allow` takes it."""
    # Only the secret is known. The version is a new one in each rotation.
    return dict.fromkeys(ENCRYPTION_CONTEXT_KEYS) | {ENCRYPTION_CONTEXT_KEYS[0]: secret_arn}
