"""What the tests share: an AWS account in memory, a fake CloudFormation, a server for responses."""
