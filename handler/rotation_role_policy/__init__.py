"""Custom::RotationRolePolicy: the least-privilege inline policy for a Secrets Manager rotation function's role."""

__version__ = "0.2.0"
"""Semantic version. CHANGELOG.md says what the contract is."""
