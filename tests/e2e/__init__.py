"""Tests of the deployed provider, in the emulator or in Lambda's own runtime loop: seconds each."""
