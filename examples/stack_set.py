"""Make the template of a StackSet from the provider's processed template. Reads standard input, writes standard output.

    aws cloudformation get-template --stack-name STACK --template-stage Processed --query TemplateBody |
        python3 stack_set.py BUCKET > stack-set.json

Lambda accepts code only from a bucket in the function's own region. The template of the StackSet therefore refers to
the bucket BUCKET-<region>. The command that copies the code there is printed to standard error.
"""

import argparse
import json
import sys


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description="Make the template of a StackSet from the processed template.")
    parser.add_argument("bucket", help="name of the code's buckets, without -<region>")
    bucket = parser.parse_args().bucket

    template = json.load(sys.stdin)
    code = template["Resources"]["RotationRolePolicyFunction"]["Properties"]["Code"]
    source, key = code["S3Bucket"], code["S3Key"]
    code["S3Bucket"] = {"Fn::Sub": f"{bucket}-${{AWS::Region}}"}
    json.dump(template, sys.stdout, indent=1)
    print(f"In each region: aws s3 cp s3://{source}/{key} s3://{bucket}-REGION/{key}", file=sys.stderr)


if __name__ == "__main__":
    main()
