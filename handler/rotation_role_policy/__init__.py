"""The least-privilege inline policy for the execution role of a Secrets Manager rotation function."""

__version__ = "0.2.0"
"""Semantic: a change of the contract (README, from "Properties" to "What you can rely on") is a breaking one."""
