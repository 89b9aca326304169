"""Makes a StackSet's template of the provider's processed one: from standard input to standard output.

    aws cloudformation get-template --stack-name STACK --template-stage Processed --query TemplateBody |
        python3 stack_set.py BUCKET > stack-set.json

Two things change. The code comes from the bucket BUCKET-<region>, since Lambda takes it from its own region only. And
what has the stack's name (the function, the export, the SSM parameter) has the same name in each account: StackSets
calls its stacks StackSet-<name>-<UUID>, which is longer than a function's name may be.
"""

import argparse
import json
import sys
from typing import Any


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description="Make a StackSet's template of the provider's processed one.")
    parser.add_argument("bucket", help="the code's buckets, without -<region>")
    parser.add_argument("--name", default="rotation-role-policy", help="what the provider is called in each account")
    arguments = parser.parse_args()

    template = json.load(sys.stdin)
    code = template["Resources"]["RotationRolePolicyFunction"]["Properties"]["Code"]
    source, key = code["S3Bucket"], code["S3Key"]
    code["S3Bucket"] = {"Fn::Sub": f"{arguments.bucket}-${{AWS::Region}}"}
    json.dump(named(template, arguments.name), sys.stdout, indent=1)
    print(f"In each region: aws s3 cp s3://{source}/{key} s3://{arguments.bucket}-REGION/{key}", file=sys.stderr)


def named(value: Any, name: str) -> Any:
    """`value` with `name` wherever it says the stack's name."""
    if value == {"Ref": "AWS::StackName"}:
        return name
    if isinstance(value, dict):
        changed = {key: named(one, name) for key, one in value.items()}
        plain = changed.get("Fn::Sub")
        return plain if isinstance(plain, str) and "${" not in plain else changed
    if isinstance(value, list):
        return [named(one, name) for one in value]
    return value.replace("${AWS::StackName}", name) if isinstance(value, str) else value


if __name__ == "__main__":
    main()
