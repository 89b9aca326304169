"""What the provider costs: its cold start and its warm events, beside two other ways to do the same job.

``make bench`` compares `rotation_role_policy` with `plain`, what one would write plainly with crhelper and boto3, and
with `floor`, the same calls on bare botocore with nothing checked. Each runs in fresh processes (`measured`), in turn
with the others, against the same stand-in for AWS and CloudFormation (`stand_in`), and each time it is verified that
the job was done: on a busy machine only pairs can be compared, and nothing at all where nothing happened.

Nothing here is deployed, and no test depends on a figure.
"""
