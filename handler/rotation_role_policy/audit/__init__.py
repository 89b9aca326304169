"""Audit: which rotations of an account will fail, and which roles of rotation functions can do too much.

`audit.audit` audits the selected rotations, and `audit.audit_one` one role: a command or a Lambda function calls them.
The provider does not use this package, although Lambda gets it too. All calls read, and none reads a secret's value.
"""
