"""When a secret should have been rotated, by its schedule.

Source: https://docs.aws.amazon.com/secretsmanager/latest/userguide/rotate-secrets_schedule.html
"""

import re
from datetime import datetime, timedelta

from rotation_role_policy.audit.facts import ListedSecret

_GRACE = timedelta(days=1)
"""A rotation can happen at any time of the day on which it is due."""
_RATE = re.compile(r"rate\(\s*(\d{1,4})\s*(hour|day)s?\s*\)", re.IGNORECASE)


def due(secret: ListedSecret) -> datetime | None:
    """Return until when a secret has to be rotated; None if that is not known."""
    # NextRotationDate is the end of the rotation window.
    # https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_DescribeSecret.html
    if secret.next_rotation or not secret.days:
        return secret.next_rotation
    last = secret.last_rotated or secret.created
    return last and last + timedelta(days=secret.days) + _GRACE


def is_late(secret: ListedSecret, now: datetime) -> bool:
    """Return whether the last success is more than two intervals ago, although the next date is in the future.

    One rotation was then missed. `NextRotationDate` moves also when somebody saves the schedule or stores a value.
    """
    length = interval(secret)
    if not (length and secret.last_rotated and secret.next_rotation):
        return False
    return secret.next_rotation > now and now - secret.last_rotated > 2 * length


def interval(secret: ListedSecret) -> timedelta | None:
    """Return the time between two rotations; None if that is not known.

    For a cron expression, Secrets Manager calculates `AutomaticallyAfterDays` after each success.
    https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_RotationRulesType.html
    """
    if rate := _RATE.fullmatch(secret.schedule.strip()):
        number = int(rate[1])
        return timedelta(hours=number) if rate[2].lower() == "hour" else timedelta(days=number)
    return timedelta(days=secret.days) if secret.days else None
