"""Fixture: an account with rotations."""

import pytest

from tests.support.account import Account
from tests.support.audit_account import AuditAccount


@pytest.fixture
def audited(account: Account) -> AuditAccount:
    """An empty AWS account that can be audited."""
    return AuditAccount(account)
