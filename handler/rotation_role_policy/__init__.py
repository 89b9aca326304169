"""Custom::RotationRolePolicy: the least-privilege inline policy for a Secrets Manager rotation function's role."""

__version__ = "0.3.0.dev0"
"""Semantic version, in Python's form. CHANGELOG.md says what the contract is."""
