"""When a secret should have been rotated, by its schedule.

Source: https://docs.aws.amazon.com/secretsmanager/latest/userguide/rotate-secrets_schedule.html
"""

import re
from datetime import datetime, timedelta

from rotation_role_policy.audit.facts import ListedSecret

_GRACE = timedelta(days=1)
"""A rotation can happen at any time of the day on which it is due."""
_RUNNING = timedelta(hours=2)
"""A rotation can begin at the end of its window. Each of its four steps takes at most 15 minutes, and an attempt that
fails is repeated."""
_FINISHING = timedelta(days=1)
"""A change of a secret within this time of a rotation can be that of the rotation."""
_RATE = re.compile(r"rate\(\s*(\d{1,4})\s*(hour|day)s?\s*\)", re.IGNORECASE)


def due(secret: ListedSecret) -> datetime | None:
    """Return until when a secret has to be rotated; None if that is not known."""
    # NextRotationDate is the end of the rotation window.
    # https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_DescribeSecret.html
    if secret.next_rotation or not secret.days:
        return secret.next_rotation
    last = secret.last_rotated or secret.created
    return last and last + timedelta(days=secret.days) + _GRACE


def is_overdue(secret: ListedSecret, now: datetime) -> bool:
    """Return whether a secret should have been rotated, and no rotation that began in time can still run."""
    until = due(secret)
    return until is not None and until < now - (_RUNNING if secret.next_rotation else timedelta(0))


def is_late(secret: ListedSecret, now: datetime) -> bool:
    """Return whether a rotation was missed, although the next date is in the future.

    `NextRotationDate` moves also when somebody turns the rotation on, saves the schedule or stores a value. So two
    intervals must have passed since the last success, and since the last change too.
    """
    length, since = interval(secret), secret.last_rotated
    if not (length and since and secret.next_rotation):
        return False
    if secret.changed and secret.changed - since > _FINISHING:
        since = secret.changed
        if secret.schedule and not _RATE.fullmatch(secret.schedule.strip()):
            # The number of days can be that of an earlier schedule.
            return False
    return secret.next_rotation > now and now - since > 2 * length


def interval(secret: ListedSecret) -> timedelta | None:
    """Return the time between two rotations; None if that is not known.

    For a cron expression, Secrets Manager calculates `AutomaticallyAfterDays` after each success.
    https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_RotationRulesType.html
    """
    if rate := _RATE.fullmatch(secret.schedule.strip()):
        number = int(rate[1])
        return timedelta(hours=number) if rate[2].lower() == "hour" else timedelta(days=number)
    return timedelta(days=secret.days) if secret.days else None
