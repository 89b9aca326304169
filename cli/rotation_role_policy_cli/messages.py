"""Messages for errors that the user can do something about. The provider's own texts speak of its role and its log."""

from botocore.exceptions import BotoCoreError, ProfileNotFound

from rotation_role_policy.errors import AccessDeniedError, AwsApiError, RequestError
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
    elif isinstance(error, ProfileNotFound):
        text = f"{error}. --profile names AWS credentials. For PolicyProfile use --policy-profile."
    elif isinstance(error, BotoCoreError):
        text = f"{str(error).rstrip('.')}.{_REMEDIES.get(type(error).__name__, '')}"
    else:
        text = str(error)
    return " ".join(text.split())
