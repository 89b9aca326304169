"""What one policy covers: the rotations of one function, with all that their policy depends on."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from rotation_role_policy import arn
from rotation_role_policy.audit.facts import FunctionDetails, FunctionFacts, Known, RoleFacts, SecretFacts, secret_ids
from rotation_role_policy.audit.needs import Needs, declared_needs, infer_needs, may_write, shown_needs
from rotation_role_policy.audit.ownership import Owner, Ownership, Unproven
from rotation_role_policy.iam.document import JsonDocument, Policy, PolicyKind, as_list
from rotation_role_policy.iam.evaluation import Calls, Outcome, evaluate
from rotation_role_policy.rules import policy
from rotation_role_policy.rules.calls import calls_of
from rotation_role_policy.rules.plan import document_at
from rotation_role_policy.rules.policy import summarize
from rotation_role_policy.rules.properties import Properties
from rotation_role_policy.rules.state import NO_KEY, EnvironmentKey, RolePolicies, Secret, State
from rotation_role_policy.rules.widening import named_secrets


@dataclass(frozen=True)
class Coverage:
    """The rotations of one function that one policy covers, or would cover."""

    function: FunctionFacts
    details: FunctionDetails
    secrets: tuple[SecretFacts, ...]
    policy_name: str
    """The policy of a `Custom::RotationRolePolicy` that covers the secrets; empty if there is none."""
    owner: Ownership
    """Who has put the policy on the role."""
    needs: Needs
    """What is declared, or what the policies show: the superuser secret can be one of several candidates."""
    superuser_id: str = ""
    """The superuser secret, as `needs` has it, which the resource names, or would name if it were adopted; empty if it
    has none, or if it is not known."""
    missing_calls: tuple[Calls, ...] = ()
    """Calls on the only candidate for the superuser secret that the role may not make today, may make only under a
    condition, or of which that is not known. It is then not adopted."""
    target_arns: tuple[str, ...] = ()
    rotated_by_others: tuple[str, ...] = ()
    """Secrets that other functions of the role rotate, and that this one may read, too."""

    @property
    def is_superuser_assumed(self) -> bool:
        """Whether only grants show the superuser secret. No error follows from it."""
        return bool(self.superuser_id) and not self.policy_name

    def without_assumption(self) -> Coverage:
        """Return the coverage with the superuser secret only if a resource names it."""
        return replace(self, superuser_id="") if self.is_superuser_assumed else self

    def state(self, facts: RoleFacts, secret_arns: Collection[str] = ()) -> State | None:
        """Return what the policy for these secrets depends on; None if none of them could be inspected.

        Args:
            facts: of the role.
            secret_arns: the secrets, by default all. Secrets that could not be inspected are left out.
        """
        inspected = tuple(
            secret.state.value
            for secret in self.secrets
            if isinstance(secret.state, Known) and (not secret_arns or secret.arn in secret_arns)
        )
        if not inspected:
            return None
        superuser = found_superuser(facts, self.superuser_id)
        return replace(
            _state(self.function, self.details, inspected),
            superuser_secret=superuser,
            target_arns=(*self.target_arns, *self._redshift_target(superuser, inspected[0].arn)),
        )

    def _redshift_target(self, superuser: Secret | None, secret_arn: str) -> tuple[str, ...]:
        """Return a target that explains why the policy allows to describe a superuser secret that nobody manages.

        A Redshift target has no grant of its own (`targets`), so the policy does not contain its ARN.
        """
        is_described = self.needs.describes_superuser and not self.needs.are_declared
        if not self.policy_name or not is_described or superuser is None or superuser.managed_by:
            return ()
        place = arn.parse(secret_arn)
        return (f"arn:{place.partition}:redshift:{place.region}:{place.account}:cluster:unknown",)


def _state(function: FunctionFacts, details: FunctionDetails, secrets: tuple[Secret, ...]) -> State:
    """Return the state of rotations without a superuser secret and without targets."""
    return State(
        secrets=secrets,
        superuser_secret=None,
        role=details.function.role,
        function_arn=details.function.arn,
        in_vpc=details.function.in_vpc,
        dns_suffix=function.dns_suffix,
        environment_key=details.environment_key,
        function_qualifier=arn.split_qualifier(function.function_id)[1] or "",
        function_modified=details.function.last_modified,
    )


# --- which policy covers which secret ---------------------------------------------------------------------------------


def unnamed_candidates(facts: RoleFacts, covered: Iterable[Coverage]) -> Needs:
    """Return what the other policies of the role show, without what is known to be the superuser secret of a rotation.

    Nothing, if the superuser secret of each rotation is known.
    """
    if not isinstance(facts.role, Known) or facts.role.value is None or all(each.superuser_id for each in covered):
        return Needs()
    named = {name for each in covered if each.superuser_id for name in _ids(facts, each.superuser_id)}
    shown = infer_needs(other_policies(facts), secrets_of(facts))
    remaining = tuple(each for each in shown.superuser_ids if each not in named and not is_gone(facts, each))
    return shown._replace(superuser_ids=remaining)


def _ids(facts: RoleFacts, superuser_id: str) -> set[str]:
    """Return what names a superuser secret, also as a pattern for its ARN."""
    superuser = found_superuser(facts, superuser_id)
    if superuser is None:
        return {superuser_id}
    return {superuser_id, *arn.ids_of_secret(superuser.arn), f"{superuser.arn[:-6]}??????"}


def secrets_of(facts: RoleFacts) -> set[str]:
    """Return the secrets that the functions of the role rotate: those with a rotation, and those that a resource names.

    A function can rotate several secrets by the rotation of one of them, such as the keytabs of a directory.
    """
    found = {secret.arn for function in facts.functions for secret in function.secrets}
    for name, own in proven_policies(facts).items():
        properties = _properties(facts, name)
        found |= {
            each
            for each in named_secrets(own)
            if not properties or not arn.ids_of_secret(each).isdisjoint(properties.secret_ids)
        }
    return found


def proven_policies(facts: RoleFacts) -> dict[str, Policy]:
    """Return the policies that a resource of a stack has put on the role, by name."""
    return {each.name.name: each for each in _inline(facts) if isinstance(facts.owners.get(each.name.name), Owner)}


def unproven_policy(facts: RoleFacts, secret_arn: str) -> tuple[str, Unproven] | None:
    """Return the policy of the role that covers a secret, if it is not known whether a stack has put it there."""
    for each in _inline(facts):
        owner = facts.owners.get(each.name.name)
        if isinstance(owner, Unproven) and may_write(each, secret_arn):
            return each.name.name, owner
    return None


def other_policies(facts: RoleFacts) -> list[Policy]:
    """Return the policies of which no stack is known that has put them on the role."""
    proven = proven_policies(facts)
    return [each for each in _policies(facts) if proven.get(each.name.name) != each]


def coverages(facts: RoleFacts) -> list[Coverage]:
    """Return the rotations of a role, by function and by policy; empty if the role could not be read."""
    if not isinstance(facts.role, Known) or facts.role.value is None:
        return []
    rotated = {secret.arn: secret for function in facts.functions for secret in function.secrets}
    own = proven_policies(facts)
    covering = _covering(facts, own, rotated)
    needs = {name: _needs(facts, each, rotated) for name, each in own.items()}
    # Only needed for secrets that no policy of the provider covers.
    needs[""] = infer_needs([each for each in _policies(facts) if each not in own.values()], secrets_of(facts))
    found = []
    for function in facts.functions:
        others = _rotated_by_others(facts, function)
        by_policy: dict[str, list[SecretFacts]] = {}
        for secret in function.secrets:
            by_policy.setdefault(covering.get(secret.arn, ""), []).append(secret)
        if isinstance(function.details, Known):
            found += [
                _decided(
                    facts,
                    facts.role.value,
                    Coverage(
                        function,
                        function.details.value,
                        tuple(secrets),
                        name,
                        facts.owners.get(name),
                        needs[name],
                        rotated_by_others=others,
                    ),
                )
                for name, secrets in by_policy.items()
            ]
    return found


def _rotated_by_others(facts: RoleFacts, function: FunctionFacts) -> tuple[str, ...]:
    """Return the secrets of the role's other functions that a function may read, too."""
    others = [secret.arn for each in facts.functions if each is not function for secret in each.secrets]
    if not others:
        return ()
    readable = {*infer_needs(_policies(facts), {secret.arn for secret in function.secrets}).superuser_ids}
    return tuple(each for each in others if not readable.isdisjoint((each, f"{each[:-6]}??????")))


def rotating(covered: Iterable[Coverage]) -> list[Coverage]:
    """Return the coverages with only those secrets whose rotation is turned on. What nobody rotates needs no access."""
    return [
        replace(coverage, secrets=secrets)
        for coverage in covered
        if (secrets := tuple(secret for secret in coverage.secrets if secret.listed.is_enabled))
    ]


def _policies(facts: RoleFacts) -> Sequence[Policy]:
    return facts.role.value.policies if isinstance(facts.role, Known) and facts.role.value else ()


def _inline(facts: RoleFacts) -> list[Policy]:
    return [each for each in _policies(facts) if each.name.kind is PolicyKind.INLINE]


def _properties(facts: RoleFacts, name: str) -> Properties | None:
    """Return the properties of the resource that has put a policy on the role; None if they are not known."""
    owner = facts.owners.get(name)
    return owner.properties if isinstance(owner, Owner) else None


def _needs(facts: RoleFacts, own: Policy, rotated: Collection[str]) -> Needs:
    properties = _properties(facts, own.name.name)
    return declared_needs(properties) if properties else shown_needs(own, rotated)


def _covering(facts: RoleFacts, own: Mapping[str, Policy], rotated: Mapping[str, SecretFacts]) -> dict[str, str]:
    """Return the name of the provider's policy that covers a secret, by the ARN of the secret.

    The properties of the resource say which secrets it is for. Without them, the policy shows it: by the ARN, else by a
    pattern that somebody has put in place of the ARN.
    """
    covering: dict[str, str] = {}
    shown = []
    for name, each in own.items():
        if properties := _properties(facts, name):
            covering |= {secret.arn: name for secret in rotated.values() if _is_named(secret, properties)}
        else:
            shown.append(each)
    for each in shown:
        named = set(rotated).intersection(map(str, summarize(each.json).secret_arns))
        covering = dict.fromkeys(named, each.name.name) | covering
    for each in shown:
        matching = [secret_arn for secret_arn in rotated if may_write(each, secret_arn)]
        covering = dict.fromkeys(matching, each.name.name) | covering
    return covering


def _is_named(secret: SecretFacts, properties: Properties) -> bool:
    return not secret_ids(secret.listed.name, secret.arn).isdisjoint(properties.secret_ids)


# --- the superuser secret and the targets -----------------------------------------------------------------------------


def found_superuser(facts: RoleFacts, superuser_id: str) -> Secret | None:
    """Return a superuser secret by its ID in `Needs`; None if it does not exist, or if it is not known."""
    found = facts.superusers.get(superuser_id)
    return found.value if isinstance(found, Known) else None


def is_gone(facts: RoleFacts, superuser_id: str) -> bool:
    """Return whether a superuser secret does not exist or is scheduled for deletion."""
    found = facts.superusers.get(superuser_id)
    return isinstance(found, Known) and found.value is None


def _decided(facts: RoleFacts, role: RolePolicies, coverage: Coverage) -> Coverage:
    """Return the coverage with its superuser secret and its targets.

    Where no resource names them, a superuser secret counts only if the role may read no other secret, and may not write
    this one. It counts, and so does a target, only if the role may make all calls on it today, and without a condition:
    whether a condition holds is not known, and a policy without it would be broader.
    """
    needs = coverage.needs
    if coverage.policy_name:
        superuser_id = needs.superuser_ids[0] if len(needs.superuser_ids) == 1 else ""
        return replace(coverage, superuser_id=superuser_id, target_arns=needs.target_arns)
    needs = needs._replace(superuser_ids=tuple(each for each in needs.superuser_ids if not is_gone(facts, each)))
    coverage = replace(coverage, needs=needs)
    state = coverage.state(facts)
    if state is None:
        return coverage
    with_target = {target: replace(state, target_arns=(target,)) for target in needs.target_arns}
    targets = tuple(target for target, needing in with_target.items() if not _missing_calls(role, state, needing))
    coverage = replace(coverage, target_arns=targets)
    if len(needs.superuser_ids) != 1 or needs.wildcards or needs.writable_ids:
        return coverage
    [superuser_id] = needs.superuser_ids
    superuser = found_superuser(facts, superuser_id)
    if superuser is None:
        return coverage
    # What a Deny or a condition on a key leaves open, `access` examines.
    missing = _missing_calls(role, state, replace(state, superuser_secret=superuser), Outcome.OPEN)
    return replace(coverage, superuser_id="" if missing else superuser_id, missing_calls=missing)


def _missing_calls(role: RolePolicies, without: State, state: State, *possible: Outcome) -> tuple[Calls, ...]:
    """Return the calls of a state that a role may not make without a condition, but for those of a state `without`.

    An outcome in `possible` counts as allowed.
    """
    known = list(policy.grants(without))
    policies = [_without_conditions(each) for each in role.policies]
    return tuple(
        calls._replace(actions=(decision.action,), resources=(decision.resource,))
        for grant in policy.grants(state)
        if grant not in known
        for calls in calls_of(state, grant)
        for decision in evaluate(policies, role.boundary_policy, calls)
        if decision.outcome not in (Outcome.ALLOWED, *possible)
    )


def _without_conditions(granting: Policy) -> Policy:
    """Return a policy without the statements that allow under a condition, but for those of keys, which need one."""
    statements = zip(as_list(granting.json.get("Statement", [])), granting.statements, strict=True)
    kept = [
        raw
        for raw, statement in statements
        if not (statement.allows and statement.conditions)
        or all(action.lower().startswith("kms:") for action in statement.actions.patterns)
    ]
    return Policy(granting.name, {**granting.json, "Statement": kept})


# --- what the provider would write ------------------------------------------------------------------------------------


def expected_document(
    name: str, current: JsonDocument, facts: RoleFacts, covered: Iterable[Coverage], now: datetime | None
) -> JsonDocument | None:
    """Return what the provider would write at the time `now` in place of one of its policies; None if not known.

    If the time is None, network statements that Lambda may still need are expected.
    """
    own = [coverage for coverage in covered if coverage.policy_name == name]
    states = [state for coverage in own if (state := coverage.state(facts))]
    if not states or len(states) < len(own):
        return None
    # Without its superuser secret, the provider would refuse the request.
    if any(coverage.superuser_id and not found_superuser(facts, coverage.superuser_id) for coverage in own):
        return None
    secrets = {secret.arn: secret for state in states for secret in state.secrets}
    properties = _properties(facts, name)
    if properties:
        in_order = [_arn_of(secret_id, secrets) for secret_id in properties.secret_ids]
    else:
        # The order of the secrets is that of the template, which the current policy shows.
        in_order = summarize(current).secret_arns
    if not secrets.keys() >= set(in_order):
        # A secret of the policy was deleted, or it has no rotation yet.
        return None
    state = replace(states[0], secrets=tuple(secrets[secret_arn] for secret_arn in dict.fromkeys(in_order)))
    if properties:
        state = _as_declared(state, properties)
    return document_at(form_of_policy(name, current, facts), None, state, current, now)


def form_of_policy(name: str, current: JsonDocument, facts: RoleFacts) -> policy.Form:
    """Return the form of a policy of the provider: as its resource says, else as the policy is."""
    properties = _properties(facts, name)
    return properties.form if properties else policy.form_of(current)


def _arn_of(secret_id: str, secrets: Iterable[str]) -> str:
    """Return the ARN of the secret with an ID; the ID itself if there is none."""
    return next((each for each in secrets if secret_id in arn.ids_of_secret(each)), secret_id)


def _as_declared(state: State, properties: Properties) -> State:
    """Return a state as the provider derives it from the properties: in declared mode, it inspects no function."""
    if properties.subnet_ids is None:
        return state
    key_id = properties.kms_key_arn
    key_arn = key_id if arn.KEY.fullmatch(key_id) else state.environment_key.arn
    return replace(
        state,
        function_arn="",
        function_qualifier="",
        function_modified=None,
        in_vpc=bool(properties.subnet_ids),
        environment_key=EnvironmentKey(key_arn) if key_id else NO_KEY,
    )
