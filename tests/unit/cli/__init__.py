"""Tests of cli/rotation_role_policy_cli."""
