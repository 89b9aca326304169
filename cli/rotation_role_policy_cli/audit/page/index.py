"""What the script of the page knows of each secret, to search, sort and group, and the sections of many secrets.

The data is in the page as JSON, compressed if the sections are: of 10,000 secrets they would have 60 MB.
"""

import base64
import json
import zlib
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from markupsafe import Markup

from rotation_role_policy.audit.finding_types import Severity
from rotation_role_policy.audit.findings import Finding
from rotation_role_policy.audit.report import Rotation
from rotation_role_policy_cli.render import printable

ACCEPTED = "accepted"
"""What stands in place of the severity of an accepted finding."""
NO_SEVERITY = "none"
"""What stands in place of a severity for secrets without errors and warnings."""
_GROUPS = ("owner", "role", "function", "account", "region", "found")
"""The members of a secret that many secrets share. Each value is in the data once."""


class Index:
    """The data for the script. Secrets are added in the order of the page."""

    per_chunk = 200
    """Sections of a chunk, which is decompressed as a whole when the first of them is opened."""

    def __init__(self, *, with_sections: bool, with_accounts: bool = False) -> None:
        """Create an index without secrets.

        Args:
            with_sections: whether it has the sections too, because the page does not.
            with_accounts: whether the accounts belong to the names of owners, because there are several.
        """
        self._with_accounts = with_accounts
        self._values: dict[str, dict[str, int]] = {name: {} for name in _GROUPS}
        self._secrets: list[list[Any]] = []
        self.with_sections = with_sections
        self._chunk: list[str] = []
        self._chunks: list[str] = []

    def add(self, rotation: Rotation, findings: list[Finding], section: str) -> None:
        """Add a secret. `section` is its HTML."""
        account, region = rotation.place
        owner = rotation.owner_name
        if owner and self._with_accounts:
            owner = f"{owner} ({account})"
        values = (owner, rotation.role_arn, rotation.function_arn, account, region, found(findings))
        shared = [self._number(name, printable(value)) for name, value in zip(_GROUPS, values, strict=True)]
        dates = [_date(rotation.last_rotated), _date(rotation.next_rotation)]
        name = printable(rotation.secret_name)
        self._secrets.append([name, search_text(findings, rotation), *dates, *shared])
        if self.with_sections:
            self._chunk.append(section)
            if len(self._chunk) == self.per_chunk:
                self._compress()

    def data(self) -> Markup:
        """Return the data without the sections, for an element of the page."""
        data = {name: list(values) for name, values in self._values.items()} | {"secrets": self._secrets}
        if self.with_sections:
            return Markup(_compressed(data))  # noqa: S704  # it is Base64
        # What could end the element, or begin a comment.
        return Markup(json.dumps(data).replace("<", r"\u003c"))  # noqa: S704

    def sections(self) -> Markup:
        """Return the sections in compressed chunks, for an element of the page. All secrets have been added."""
        self._compress()
        return Markup(json.dumps(self._chunks))  # noqa: S704  # it is Base64

    def _compress(self) -> None:
        self._chunks.append(_compressed(self._chunk))
        self._chunk = []

    def _number(self, name: str, value: str) -> int:
        return self._values[name].setdefault(value, len(self._values[name]))


def found(findings: list[Finding]) -> str:
    """Return the severities and codes for the filter of the page, such as ``error:ActionNotGranted note:NoPolicy``."""
    codes = {
        f"{ACCEPTED if finding.accepted else finding.severity.value}:{finding.type.code}": None for finding in findings
    }
    is_sound = all(finding.severity is Severity.NOTE or finding.accepted for finding in findings)
    return " ".join([*codes, *([NO_SEVERITY] if is_sound else [])])


def search_text(findings: Iterable[Finding], rotation: Rotation | None = None) -> str:
    """Return in lower case what the search field of the page searches."""
    words: list[str] = []
    if rotation:
        words = [rotation.secret_name, rotation.secret_arn, rotation.function_arn, rotation.role_arn]
        words += [f"{name} {value}" for name, value in rotation.owner.items()]
        words += [f"{name}={value}" for name, value in rotation.tags.items()]
    for each in findings:
        words += [
            each.type.code,
            each.type.title,
            each.resource,
            each.message,
            each.subject.function_arn,
            each.subject.role_arn,
        ]
    return printable(" ".join(dict.fromkeys(filter(None, words))).lower())


def _date(date: datetime | None) -> int:
    """Return a date in seconds since 1970; 0 if there is none."""
    return int(date.timestamp()) if date else 0


def _compressed(data: Any) -> str:
    """Return data as JSON, compressed with zlib, in Base64."""
    return base64.b64encode(zlib.compress(json.dumps(data).encode())).decode()
