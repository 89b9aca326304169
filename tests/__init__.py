"""Tests of Custom::RotationRolePolicy. A test's name is a sentence about the contract."""

from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
"""The folder of the repository."""
