"""Tests of the repository: the template, the package, the documentation."""
