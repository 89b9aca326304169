"""Tests of the deployed provider, in the emulator or in Lambda's own runtime loop. `make e2e TEST=name` runs some."""
