"""Tests that make up their own input: a model of CloudFormation, and damaged requests. `make soak` runs more."""
