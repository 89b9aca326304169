"""Tests of Custom::RotationRolePolicy. A test's name is a sentence about the contract."""
