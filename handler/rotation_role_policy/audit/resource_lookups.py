"""Look up the policies of secrets and keys, and the grants on keys, in threads."""

from __future__ import annotations

import json
from functools import partial
from itertools import islice
from typing import Any, cast

from rotation_role_policy.audit.facts import Grant, Known, Unknown
from rotation_role_policy.audit.lookups import Lookups, UnusableError, Workers
from rotation_role_policy.audit.resources import ResourceFact, ResourceQuestion
from rotation_role_policy.aws.client import Aws
from rotation_role_policy.iam.document import JsonDocument, parse
from rotation_role_policy.iam.resource_policies import is_key
from rotation_role_policy.write.resource_policies import MAX_GRANT_PAGES

# https://docs.aws.amazon.com/secretsmanager/latest/userguide/reference_limits.html: GetResourcePolicy 50 per second,
# together with the other calls for resource policies. As for `collect._SECRET_THREADS`.
_SECRET_POLICY_THREADS = 4
_KEY_THREADS = 4
_MEMBERS_OF_A_GRANT = ("GranteePrincipal", "Operations", "Constraints", "CreationDate")
"""What it depends on whether a grant allows a call. A key can have many grants, and the rest is large."""


class ResourceLookups:
    """The look-ups in one region.

    Args:
        aws: makes the calls in the region, in several threads.
        workers: of the audit.
    """

    def __init__(self, aws: Aws, workers: Workers) -> None:
        # A key's policy must not wait for those of thousands of secrets, which have a low rate.
        self._secret_policies = Lookups(
            workers, "resource policies", _SECRET_POLICY_THREADS, partial(_secret_policy, aws)
        )
        self._key_policies = Lookups(workers, "key policies", _KEY_THREADS, partial(_key_policy, aws))
        self._grants = Lookups(workers, "grants", _KEY_THREADS, partial(_grants, aws))
        self._policy_names = Lookups(workers, "grants", _KEY_THREADS, partial(_policy_names, aws))

    def start(self, question: ResourceQuestion) -> None:
        """Look up the answer to a question in the background."""
        self._lookups(question).start(question.resource)

    def get(self, question: ResourceQuestion) -> Known[Any] | Unknown:
        """Return the answer to a question. Wait until it is looked up."""
        return self._lookups(question).get(question.resource)

    def _lookups(self, question: ResourceQuestion) -> Lookups[str, Any]:
        match question.fact:
            case ResourceFact.POLICY:
                return self._key_policies if is_key(question.resource) else self._secret_policies
            case ResourceFact.GRANTS:
                return self._grants
            case ResourceFact.POLICY_NAMES:
                return self._policy_names


def _secret_policy(aws: Aws, secret_arn: str) -> JsonDocument:
    """Return the policy of a secret; an empty document if there is none."""
    text = aws.call(aws.secretsmanager.get_resource_policy, SecretId=secret_arn).get("ResourcePolicy", "")
    return _parsed(text) if text else {}


def _key_policy(aws: Aws, key_arn: str) -> JsonDocument:
    return _parsed(aws.call(aws.kms.get_key_policy, KeyId=key_arn, PolicyName="default")["Policy"])


def _parsed(text: str) -> JsonDocument:
    """Return a policy. Raises `ValueError` if it does not follow IAM's grammar."""
    document = cast(JsonDocument, json.loads(text))
    parse(document)
    return document


def _grants(aws: Aws, key_arn: str) -> tuple[Grant, ...]:
    """Return the grants on a key, not only those for one role: a grant to its session or account can count too."""
    pages = list(islice(aws.paginate(aws.kms.list_grants, KeyId=key_arn, Limit=100), MAX_GRANT_PAGES + 1))
    if len(pages) > MAX_GRANT_PAGES:
        raise UnusableError(f"The key {key_arn} has more than {100 * MAX_GRANT_PAGES} grants")
    grants = (cast(Grant, grant) for page in pages for grant in page["Grants"])
    return tuple({name: grant[name] for name in _MEMBERS_OF_A_GRANT if name in grant} for grant in grants)


def _policy_names(aws: Aws, key_arn: str) -> tuple[str, ...]:
    pages = aws.paginate(aws.kms.list_key_policies, KeyId=key_arn)
    return tuple(name for page in pages for name in page["PolicyNames"])
