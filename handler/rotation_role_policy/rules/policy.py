"""The policy document for a state: the table of statements, and the documents that are made of them.

One function of `statements` builds each type of statement, in the order of the table `STATEMENTS`. This is the order of
the document.
Source: docs/policy.md.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import product
from typing import NamedTuple

from rotation_role_policy import arn
from rotation_role_policy.iam.document import JsonDocument, JsonStatement, as_list
from rotation_role_policy.iam.wildcard import has_wildcard
from rotation_role_policy.rules import statements
from rotation_role_policy.rules.state import State
from rotation_role_policy.rules.statements import (
    FUNCTION_ARN_KEY,
    NETWORK_INTERFACE_ACTIONS,
    SECRET_ARN_KEY,
    Caller,
    Grant,
)


class Form(NamedTuple):
    """How a document expresses the grants: the properties `PolicyProfile` and `KmsScope`. By default, narrowest."""

    profile: str = "Strict"
    """``Strict`` or ``Documented``."""
    kms_scope: str = "Key"
    """``Key`` or ``Secret``."""


class AnyKey(NamedTuple):
    """What a row of the table has with `KmsScope` Secret."""

    build: Callable[[State], Iterator[Grant]]
    reason: str


@dataclass(frozen=True)
class StatementType:
    """One row of the table of statements."""

    sid: str
    """`Sid` of the first statement of this type. Further statements are numbered."""
    build: Callable[[State], Iterator[Grant]]
    resource: str
    """Markdown, for the documentation, as `when`."""
    when: str
    reason: str
    """Why the policy has the statement, for the reviewer of a policy."""
    _reason_omitted: Callable[[State], str]
    any_key: AnyKey | None = None
    """In place of `build` and `reason` with `KmsScope` Secret, if that differs."""

    def grants(self, state: State, form: Form) -> Iterator[Grant]:
        """Yield the grants of this type in a form."""
        build = self.any_key.build if self.any_key and form.kms_scope == "Secret" else self.build
        for grant in build(state):
            if form.profile == "Strict":
                yield grant
            elif grant.statement["Effect"] == "Allow":
                yield _as_documented(grant)

    def reason_for(self, kms_scope: str) -> str:
        """Return why a policy with this `KmsScope` has the statement."""
        return self.any_key.reason if self.any_key and kms_scope == "Secret" else self.reason

    def reason_omitted(self, state: State) -> str:
        """Return why the policy does not have the statement: `build` yields nothing, or the policy omits it."""
        if any(grant.statement["Effect"] == "Allow" for grant in self.build(state)):
            return "another statement grants the same"
        return self._reason_omitted(state)


_AWS_MANAGED_KEY = "AWS managed key: no grant needed"


def _never(_: State) -> str:
    """Return no reason, for a statement that every policy has."""
    return ""


def _superuser_reason(reason: str) -> Callable[[State], str]:
    """Return a function that gives `reason` if there is a superuser secret."""
    return lambda state: reason if state.superuser_secret else "no SuperuserSecretId"


_not_managed = _superuser_reason("neither RDS nor Redshift manages the superuser secret")


def _no_environment_key(state: State) -> str:
    if state.environment_key.problem:
        return "the key of the function's environment variables could not be resolved"
    return "no customer managed key encrypts the function's environment variables"


def _no_database(state: State) -> str:
    superuser = state.superuser_secret
    if superuser and superuser.managed_by:
        return "no tag of the superuser secret names a database"
    return _not_managed(state)


def _no_call(state: State) -> str:
    if not state.target_arns:
        return "no TargetArns"
    if state.superuser_secret is None:
        return "a Redshift target has no effect without SuperuserSecretId"
    return "the rotation function does not call Redshift, but describes the superuser secret"


def _not_in_vpc(state: State) -> str:
    # In a VPC, only the profile Documented omits the Deny.
    return "the user guide's policy has no Deny" if state.in_vpc else "the function is not in a VPC"


STATEMENTS = (
    StatementType(
        "RotateSecret",
        statements.rotate_secret,
        resource="the secret, or all of the secrets",
        when="always",
        reason="the four steps of a rotation make these calls",
        _reason_omitted=_never,
    ),
    StatementType(
        "GeneratePassword",
        statements.generate_password,
        resource="`*`",
        when="always",
        reason="generates the new password; the action has no resource",
        _reason_omitted=_never,
    ),
    StatementType(
        "UseSecretKey",
        statements.use_secret_key,
        resource="the key; one statement per key",
        when="the secret has a customer managed key",
        reason="this customer managed key encrypts the secret",
        _reason_omitted=lambda _: _AWS_MANAGED_KEY,
        any_key=AnyKey(
            statements.use_any_secret_key,
            "any key, so that the policy survives a new one; the conditions limit the statement to the secrets",
        ),
    ),
    StatementType(
        "DecryptEarlierVersions",
        statements.decrypt_earlier_versions,
        resource="the earlier key; one statement per key",
        when="a version labelled `AWSCURRENT`, `AWSPENDING` or `AWSPREVIOUS` (of the superuser secret: `AWSCURRENT`) is"
        " encrypted only with another customer managed key than the secret's",
        reason="this earlier key still encrypts versions that the function reads",
        _reason_omitted=lambda _: "no version in use needs an earlier key",
        any_key=AnyKey(
            statements.decrypt_earlier_foreign_versions,
            "this earlier key of another account still encrypts versions that the function reads",
        ),
    ),
    StatementType(
        "DecryptEnvironment",
        statements.decrypt_environment,
        resource="the key of the function's environment variables",
        when="the environment variables of the function are encrypted with a customer managed key",
        reason="Lambda decrypts the environment variables with the execution role, also if the grant that Lambda has"
        " made on the key is lost",
        _reason_omitted=_no_environment_key,
    ),
    StatementType(
        "ReadSuperuserSecret",
        statements.read_superuser_secret,
        resource="the superuser secret",
        when="`SuperuserSecretId`",
        reason="the function uses the credentials in this secret to change the password",
        _reason_omitted=lambda _: "no SuperuserSecretId",
    ),
    StatementType(
        "UseSuperuserKey",
        statements.use_superuser_key,
        resource="the key of the superuser secret",
        when="the superuser secret has a customer managed key",
        reason="this customer managed key encrypts the superuser secret, which is only read",
        _reason_omitted=_superuser_reason(_AWS_MANAGED_KEY),
        any_key=AnyKey(
            statements.use_any_superuser_key,
            "any key, so that the policy survives a new one; the conditions limit the statement to this secret, which"
            " is only read",
        ),
    ),
    StatementType(
        "DescribeSuperuserSecret",
        statements.describe_superuser_secret,
        resource="the superuser secret",
        when="RDS or Redshift manages the superuser secret, or `TargetArns` has a Redshift target",
        reason="the function reads the tags of the superuser secret, which name the database of a managed secret",
        _reason_omitted=_not_managed,
    ),
    StatementType(
        "DescribeSuperuserDatabase",
        statements.describe_superuser_database,
        resource="the database that a tag of the superuser secret names; `*` for Redshift Serverless",
        when="RDS or Redshift manages the superuser secret, and a tag names its database",
        reason="a managed superuser secret contains no host: the function looks up the host of this database",
        _reason_omitted=_no_database,
    ),
    StatementType(
        "CallTarget",
        statements.call_target,
        resource="the target; `*` for DescribeDirectories",
        when="`TargetArns`",
        reason="the function calls the API of this target",
        _reason_omitted=_no_call,
    ),
    StatementType(
        "ManageNetworkInterfaces",
        statements.manage_network_interfaces,
        resource="`*`",
        when="the function is in a VPC",
        reason="Lambda connects the function to its VPC with the execution role; CreateFunction fails with a"
        " narrower resource",
        _reason_omitted=_not_in_vpc,
    ),
    StatementType(
        "KeepNetworkInterfacesFromCode",
        statements.keep_network_interfaces_from_code,
        resource="`*`",
        when="the function is in a VPC, `Strict` only",
        reason="only Lambda needs network interfaces; only calls of function code have the context key"
        " `lambda:SourceFunctionArn`",
        _reason_omitted=_not_in_vpc,
    ),
)
"""The statements (docs/policy.md) in the order of the document."""


# --- documents --------------------------------------------------------------------------------------------------------


def document(state: State, profile: str = "Strict", kms_scope: str = "Key") -> JsonDocument:
    """Return the policy document for `state` in a form. The arguments are those of `Form`."""
    built = [statement for _, some in statements_by_type(state, profile, kms_scope) for statement in some]
    return {"Version": "2012-10-17", "Statement": built}


def form_of(document: JsonDocument) -> Form:
    """Return the form of a document that `document` has built. Only the profile ``Strict`` has a `Sid`."""
    found = as_list(document.get("Statement", []))
    if not any("Sid" in statement for statement in found):
        return Form("Documented")
    on_keys = [statement for statement in found if "kms:GenerateDataKey" in as_list(statement.get("Action", []))]
    resources = [resource for statement in on_keys for resource in as_list(statement.get("Resource", []))]
    return Form(kms_scope="Secret" if any(has_wildcard(str(resource)) for resource in resources) else "Key")


class DocumentSummary(NamedTuple):
    """What a document of this module grants access to."""

    secret_arns: list[str]
    key_arns: list[str]
    """Full ARNs of keys, without patterns."""
    in_vpc: bool
    """Whether it allows Lambda to manage network interfaces."""


def summarize(document: JsonDocument | None) -> DocumentSummary:
    """Summarize a document that `document` has built, in any form. None gives an empty summary.

    The rotated secrets are the resources of the first statement (`rotate_secret`).
    """
    # Somebody may have edited the policy, so every element can be missing.
    grants = [
        (as_list(statement.get("Action", [])), as_list(statement.get("Resource", [])))
        for statement in as_list((document or {}).get("Statement", []))
    ]
    secret_arns = grants[0][1] if grants else []
    resources = [resource for actions, resources in grants if "kms:Decrypt" in actions for resource in resources]
    key_arns = [resource for resource in resources if arn.KEY.fullmatch(str(resource))]
    in_vpc = any(NETWORK_INTERFACE_ACTIONS[0] in actions for actions, _ in grants)
    return DocumentSummary(secret_arns, list(dict.fromkeys(key_arns)), in_vpc)


def grants(state: State) -> Iterator[Grant]:
    """Yield what the rotation needs: all grants for `state` in the narrowest form, in the order of the document."""
    for _, grants in _grants_by_type(state, Form()):
        yield from grants


def statements_by_type(
    state: State, profile: str = "Strict", kms_scope: str = "Key"
) -> Iterator[tuple[StatementType, list[JsonStatement]]]:
    """Yield each type of statement with its statements in the document: an empty list if there are none."""
    for statement_type, grants in _grants_by_type(state, Form(profile, kms_scope)):
        built = [grant.statement for grant in grants]
        yield statement_type, _with_sids(statement_type.sid, built) if profile == "Strict" else built


def _grants_by_type(state: State, form: Form) -> Iterator[tuple[StatementType, list[Grant]]]:
    """Yield each type of statement with its grants in a form. No permission is granted twice."""
    granted: set[tuple[str, str, str]] = set()
    for statement_type in STATEMENTS:
        grants = []
        for grant in statement_type.grants(state, form):
            permissions = _permissions(grant.statement)
            is_granted = all(not granted.isdisjoint({each, (*each[:2], "")}) for each in permissions)
            # A Deny has no permissions.
            if not permissions or not is_granted:
                grants.append(grant)
                granted |= permissions
        yield statement_type, grants


def _permissions(statement: JsonStatement) -> set[tuple[str, str, str]]:
    """Return what a statement allows: actions, resources, and the encryption context of a key. Empty for a Deny.

    The context is the ARN of a secret or of a function; empty for any.
    """
    if statement["Effect"] == "Deny":
        return set()
    conditions = statement.get("Condition", {})
    contexts = conditions.get("StringEquals", {}).get(SECRET_ARN_KEY) or conditions.get("StringLike", {}).get(
        FUNCTION_ARN_KEY, ""
    )
    return set(product(statement["Action"], as_list(statement["Resource"]), as_list(contexts)))


def _with_sids(sid: str, unnumbered: list[JsonStatement]) -> list[JsonStatement]:
    """Add Sids, which are unique in a document: the second statement and further ones are numbered."""
    return [
        {"Sid": f"{sid}{number}" if number > 1 else sid} | statement for number, statement in enumerate(unnumbered, 1)
    ]


def _as_documented(grant: Grant) -> Grant:
    """Return a grant in the form of the user guide, which has no `Condition`.

    The guide has no statement for the key of the environment variables, so that one keeps its condition.
    """
    if grant.caller is not Caller.SECRETS_MANAGER:
        return grant
    return grant._replace(statement={name: value for name, value in grant.statement.items() if name != "Condition"})
