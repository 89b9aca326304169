"""The words of findings about the key of a function's environment variables."""

from rotation_role_policy import arn
from rotation_role_policy.audit.coverage import Coverage
from rotation_role_policy.audit.environment import EnvironmentProblem
from rotation_role_policy.audit.findings import Words
from rotation_role_policy.audit.messages.commands import aws
from rotation_role_policy.audit.messages.phrases import ADOPT, send_update


def key_unusable(problem: EnvironmentProblem, _: Coverage | None) -> Words:
    """Return the words for a key that is disabled or gone."""
    detail = problem.key.detail if problem.key else "the key cannot be used"
    return Words(
        f"Lambda cannot decrypt the environment variables of the function {problem.function.function_id} with the KMS"
        f" key {problem.key_arn}: {detail}. The function cannot start.",
        "Enable or restore the key. If that is not possible, configure the function with another key"
        " (UpdateFunctionConfiguration with KMSKeyArn), and set its environment variables again.",
    )


def not_granted(problem: EnvironmentProblem, covered: Coverage | None) -> Words:
    """Return the words for a key that neither a policy nor a grant allows to the role."""
    return Words(
        f"Neither a policy nor a grant allows the role {problem.function.role_arn} kms:Decrypt on {problem.key_arn},"
        f" the key of the environment variables of the function {problem.function.function_id}. Lambda decrypts them"
        " with this role, so the function probably fails when it starts next time.",
        *_remediation(problem, covered),
    )


def role_recreated(problem: EnvironmentProblem, covered: Coverage | None) -> Words:
    """Return the words for a role that is younger than the last change of its function."""
    return Words(
        f"The role {problem.function.role_arn} was created after the last change of the function"
        f" {problem.function.function_id}, and no policy allows it kms:Decrypt on {problem.key_arn}, the key of the"
        " function's environment variables. Lambda's grant on the key was for the former role with this name, so the"
        " function probably fails when it starts next time.",
        *_remediation(problem, covered),
    )


def _remediation(problem: EnvironmentProblem, covered: Coverage | None) -> tuple[str, tuple[str, ...]]:
    """Return what to do, and its command. `covered`: the function's rotations, if a resource has a policy for them."""
    name, _ = arn.split_qualifier(problem.function.function_id)
    first = send_update(covered.policy_name, covered.owner) if covered else f"{ADOPT}."
    place = problem.function.function_id
    update = aws("lambda update-function-configuration", place, function_name=name, kms_key_arn=problem.key_arn)
    text = (
        f"{first} The statement DecryptEnvironment of its policy allows it. Or allow kms:Decrypt on the key to the"
        " role. Or update the function with permissions to create grants on the key (kms:CreateGrant), so that Lambda"
        f" makes its grant again ({update})."
    )
    return text, (update,)
