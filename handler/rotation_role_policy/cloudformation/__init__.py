"""The CloudFormation side of the provider: requests, responses, and what CloudFormation is doing with the stack.

Only `custom_resource` imports from this package. The modules beside it know nothing of CloudFormation.
"""
