"""Custom::RotationRolePolicy: the least-privilege inline policy for a Secrets Manager rotation function's role.

All of this package is in the artifact that Lambda gets (handler/Makefile). The template's function starts in
`provider.handler`. A second function that audits would start beside it, and call `audit.audit`.
"""

__version__ = "0.3.0.dev0"
"""Semantic version, in Python's form. CHANGELOG.md says what the contract is."""
