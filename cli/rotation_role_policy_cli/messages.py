"""The words of the command line: for errors that the user can do something about, and for the results of a preview.

The provider's own texts speak of its role and its log.
"""

from botocore.exceptions import BotoCoreError

from rotation_role_policy.errors import AccessDeniedError, AwsApiError, RequestError, quoted
from rotation_role_policy.iam.document import Element, PolicyKind
from rotation_role_policy.rules.excess import Excess, ExcessKind
from rotation_role_policy.rules.warnings import StateWarning
from rotation_role_policy_cli.template.file import TemplateError

EXPECTED_ERRORS = (RequestError, TemplateError, BotoCoreError)

_LOG_IN = " Log in to AWS again, or give --profile."
_CHECK_REGION = " Check --region and your network."
_GIVE_REGION = " Give --region, or set AWS_REGION."
_REMEDIES = {
    "ConnectTimeoutError": _CHECK_REGION,
    "EndpointConnectionError": _CHECK_REGION,
    "ExpiredToken": _LOG_IN,
    "ExpiredTokenException": _LOG_IN,
    "InvalidClientTokenId": _LOG_IN,
    "NoCredentialsError": _LOG_IN,
    "NoRegionError": _GIVE_REGION,
    "ProfileNotFound": " --profile names AWS credentials, as in the AWS CLI.",
    "SSLError": " Set AWS_CA_BUNDLE to the file with the certificates that your network uses.",
    "SSOTokenLoadError": _LOG_IN,
    "TokenRetrievalError": _LOG_IN,
    "UnauthorizedSSOTokenError": _LOG_IN,
    "UnrecognizedClientException": _LOG_IN,
}
"""What to do, by AWS's error code or by botocore's exception."""


def message(error: Exception) -> str:
    """Return one line for one of the `EXPECTED_ERRORS`: what is wrong, and what to do if that is known."""
    if isinstance(error, AccessDeniedError):
        # AWS's own message usually names the caller, the action and the resource.
        if "not authorized to perform" in error.message:
            text = f"AWS denies the call: {error.message}"
        else:
            text = f"AWS denies you {error.action}. {error.message}"
    elif isinstance(error, AwsApiError):
        text = f"{error.message} ({error.action} failed with {error.code}).{_REMEDIES.get(error.code, '')}"
    elif isinstance(error, BotoCoreError):
        text = f"{str(error).rstrip('.')}.{_REMEDIES.get(type(error).__name__, '')}"
    else:
        text = str(error)
    return " ".join(text.split())


def other_function(rotation: str, function_id: str, own_function_arn: str) -> str:
    """Return that a rotation, such as ``The schedule Schedule``, uses another function than the resource."""
    return (
        f"{rotation} uses the function {function_id}, and this policy is for the role of {own_function_arn}. If that"
        " function has another role, its rotations do not get these permissions: name the same function in both."
    )


def warning(found: StateWarning) -> str:
    """Return a warning as a sentence."""
    text = found.kind.value
    detail = f": {found.detail}" if found.detail else ""
    return f"{text[0].upper()}{text[1:]} ({found.resource}{detail})."


_EXCESS = {
    ExcessKind.OTHER_SECRETS: "which matches other secrets",
    ExcessKind.SECRET_NOT_NEEDED: "which is neither a secret nor the superuser secret of this resource",
    ExcessKind.SECRET_MANAGEMENT: "so the function can also delete the secret or change its settings",
    ExcessKind.SUPERUSER_WRITABLE: "although the function only reads its superuser secret",
    ExcessKind.SECRET_SHARING: "so the function can also give itself and others access to the secret",
    ExcessKind.INCOMPLETE_ARN: "which matches no secret, because the ARN of a secret ends in a hyphen and six random"
    " characters",
    ExcessKind.OTHER_KEYS: "which matches other keys",
    ExcessKind.KEY_NOT_NEEDED: "which encrypts no secret of this resource",
    ExcessKind.KEY_ALIAS: "which allows nothing: these actions need the ARN of the key",
    ExcessKind.KEY_FOR_EVERYTHING: "for everything under this key",
    ExcessKind.KEY_FOR_EVERY_SECRET: "for every secret under this key",
    ExcessKind.KEY_FOR_OTHER_SECRETS: "for other secrets under this key",
    ExcessKind.KEY_MANAGEMENT: "so the function can also delete or change the key",
    ExcessKind.KEY_SHARING: "so the function can also give itself and others the use of the key",
    ExcessKind.INTERFACES_OUTSIDE_VPC: "although the function is not in a VPC",
    ExcessKind.INTERFACES_OPEN_TO_CODE: "although only Lambda needs that, not the code of the function",
}
"""By kind: what is too much, to complete a sentence that begins with the grant."""


def excess(found: Excess) -> str:
    """Describe a grant, as in ``the inline policy "x" allows secretsmanager:GetSecretValue on *, which ...``."""
    kind = "inline" if found.policy.kind is PolicyKind.INLINE else "managed"
    name = quoted(found.policy.name) if found.policy.kind is PolicyKind.INLINE else found.policy.name
    return (
        f"the {kind} policy {name} allows {_elements(found.actions)} on {_elements(found.resource)},"
        f" {_EXCESS[found.kind]}{_within(found)}"
    )


def _within(found: Excess) -> str:
    return (
        f"; within the conditions, the permissions boundary and the denials: {', '.join(found.remaining)}"
        if found.remaining
        else ""
    )


def _elements(element: Element) -> str:
    return f"{'all but ' if element.is_negated else ''}{', '.join(element.patterns)}"
