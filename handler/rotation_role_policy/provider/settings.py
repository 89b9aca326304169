"""The parameters of the provider's stack that its function reads, as environment variables (template.yaml)."""

import os
from typing import NamedTuple


class Settings(NamedTuple):
    """The settings of one deployment of the provider."""

    allow_documented_profile: bool = False
    """Whether the provider writes policies with the profile `Documented`: the parameter AllowDocumentedProfile."""

    @classmethod
    def from_env(cls) -> "Settings":
        """Return the settings of this Lambda function."""
        return cls(os.environ.get("ALLOW_DOCUMENTED_PROFILE") == "true")
