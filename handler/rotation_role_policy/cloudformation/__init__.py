"""Serves the requests of CloudFormation: validates them, plans what they lead to, and answers in time."""
