"""Names in place of ARNs, for readers who know the account and the region."""

import re
from collections.abc import Iterator

from rotation_role_policy import arn
from rotation_role_policy.audit.report import Report, Rotation

# In quotation marks it is a part of a policy, and some options of commands take only an ARN. A full stop or a comma
# belongs to the sentence.
_ARN = re.compile(r'(?<!["\w])(?<!-arn )arn:[^\s"(),;]*[^\s"(),;.:]')


class Names:
    """The names of the secrets, functions, roles and keys of a report, each with what its head does not say."""

    def __init__(self, report: Report) -> None:
        self._has_one_account = len({each.id for each in report.accounts}) == 1
        self._has_one_region = len(report.regions) == 1
        self._names = {
            each: f"{name}{self._place(each)}" for rotation in report.rotations for each, name in _of(rotation)
        }

    def brief(self, text: str) -> str:
        """Return a text with names in place of ARNs. The ARN of anything else stays."""
        return _ARN.sub(lambda match: self._names.get(match[0], match[0]), text)

    def in_commands(self, text: str) -> str:
        """Return a text with commands: names in place of ARNs if no place belongs to a name."""
        return self.brief(text) if self._has_one_account and self._has_one_region else text

    def _place(self, resource: str) -> str:
        account, region = arn.account(resource), arn.region(resource)
        parts = ["" if self._has_one_account else account, "" if self._has_one_region else region]
        place = ", ".join(filter(None, parts))
        return f" ({place})" if place else ""


def _of(rotation: Rotation) -> Iterator[tuple[str, str]]:
    """Yield the ARNs of a rotation with their names."""
    yield rotation.secret_arn, rotation.secret_name
    before, _, function_name = rotation.function_arn.rpartition(":function:")
    yield rotation.function_arn, function_name
    yield f"{before}:function:{function_name.partition(':')[0]}", function_name.partition(":")[0]
    if rotation.role_arn:
        yield rotation.role_arn, arn.role_name(rotation.role_arn)
    if rotation.state:
        for secret in rotation.state.all_secrets:
            yield secret.arn, secret.arn[:-7].split(":", 6)[-1]
        for key_arn in rotation.state.key_arns:
            yield key_arn, key_arn.rpartition(":")[2]
