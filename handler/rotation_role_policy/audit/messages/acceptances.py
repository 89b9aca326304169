"""The words of findings about acceptances that are not used."""

from rotation_role_policy.audit.findings import Acceptance, Words


def expired(acceptance: Acceptance) -> Words:
    """Return the words for an acceptance whose last day has passed."""
    return Words(
        f"The acceptance of {acceptance.code} for {acceptance.resource} has expired: its last day was"
        f" {acceptance.until}. Reason: {acceptance.reason}",
        "If the finding is still accepted, give the entry another date. Otherwise, remove the entry.",
    )


def unused(acceptance: Acceptance) -> Words:
    """Return the words for an acceptance that matches no finding."""
    return Words(
        f"The acceptance of {acceptance.code} for {acceptance.resource} matches no finding. Reason:"
        f" {acceptance.reason}",
        "If the finding was corrected, remove the entry, so that it does not hide a new one.",
    )
