"""Custom::RotationRolePolicy: the least-privilege inline policy for a Secrets Manager rotation function's role."""

__version__ = "0.2.0"
"""Semantic version. A breaking change of the contract (README, "Compatibility") is a new major version."""
