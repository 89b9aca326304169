"""The resources of a CloudFormation template, with the values of their references."""
