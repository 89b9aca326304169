"""Tests of the rules for cfn-lint."""
