"""Where the resource of a rotation belongs, by the owner of its role (docs/introduce.md, section 3)."""

from collections.abc import Mapping


def where_to_declare(owner: Mapping[str, str]) -> str:
    """Return as a sentence into which template the `Custom::RotationRolePolicy` of a rotation belongs.

    `owner` has the tags of the role that name an owner.
    """
    if "serverlessrepo:applicationId" in owner:
        return "An adoption stack (audit --adopt), because the template of the application is not yours."
    if "aws:cdk:path" in owner:
        return "The CDK app that creates the role (examples/cdk). Change the other policies of the role there, too."
    if stack := owner.get("aws:cloudformation:stack-name"):
        return f"The template of the stack {stack}. Change the other policies of the role there, too."
    return "A stack beside the role if Terraform creates it (examples/terraform), otherwise an adoption stack."
