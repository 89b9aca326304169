"""Audit: which rotations of an account will fail, and which roles of rotation functions can do too much.

The provider does not use this package. It makes only read calls, and reads no secret's value.
"""
