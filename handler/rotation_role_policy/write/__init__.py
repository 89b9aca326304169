"""Checks, compares, puts and restores the policy. Knows no CloudFormation."""
