"""Tests of handler/rotation_role_policy/iam."""
