"""Where the provider works: one account, one region. What is elsewhere is refused before any call on it."""

from collections.abc import Iterator
from typing import NamedTuple

from rotation_role_policy import arn
from rotation_role_policy.errors import RequestError, quoted
from rotation_role_policy.rules.properties import Properties


class Place(NamedTuple):
    """A partition, a region and an account (12 digits)."""

    partition: str
    region: str
    account: str

    @classmethod
    def of(cls, resource_arn: str) -> "Place":
        """Return the place of a resource with a region, from its full ARN. Raises ValueError if it is not an ARN."""
        owner = arn.parse(resource_arn)
        return cls(owner.partition, owner.region, owner.account)

    def check(self, subject: str, resource: str) -> None:
        """Raise `RequestError` if a name or ARN names another place.

        Args:
            subject: what names the resource, for the message.
            resource: name, ARN, or account and name of a function (``123456789012:function:name``).
        """
        other = _named_place(resource, self)
        if other != self:
            raise RequestError(
                f"{subject} is in {other.unlike(self)}, but the provider serves {self.unlike(other)}. Correct it, or"
                f" use a provider there."
            )

    def unlike(self, other: "Place") -> str:
        """Return in words where this is, as far as it differs from another place."""
        names = zip(("partition", "region", "account"), self, other, strict=True)
        return " and ".join(f"{name} {own}" for name, own, others in names if own != others)


def _named_place(resource: str, default: Place) -> Place:
    """Return the place that a name or ARN names. What it leaves open is that of `default`."""
    if not resource.startswith("arn:"):
        account, colon, _ = resource.partition(":function:")
        return default._replace(account=account) if colon else default
    owner = arn.parse(resource)
    # The ARN of a role has no region.
    return Place(owner.partition, owner.region or default.region, owner.account or default.account)


def check_place(properties: Properties, place: Place) -> None:
    """Raise `RequestError` if a property names a secret, a function or a role of another place."""
    for name, value in _named_resources(properties):
        place.check(f"{name} {quoted(value)}", value)


def _named_resources(properties: Properties) -> Iterator[tuple[str, str]]:
    yield from ((properties.secret_property, secret_id) for secret_id in properties.secret_ids)
    if properties.superuser_secret_id:
        yield "SuperuserSecretId", properties.superuser_secret_id
    if properties.rotation_lambda_arn:
        yield "RotationLambdaARN", properties.rotation_lambda_arn
    if properties.role_name:
        yield "RoleName", properties.role_name
