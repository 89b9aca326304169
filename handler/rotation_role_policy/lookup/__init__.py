"""Reads AWS, and returns values."""
