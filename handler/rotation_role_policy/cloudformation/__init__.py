"""The CloudFormation side of the provider: requests, responses, and what CloudFormation is doing with the stack.

In the handler, only `custom_resource` imports from this package. The preview imports `response`, for the size limit.
"""
