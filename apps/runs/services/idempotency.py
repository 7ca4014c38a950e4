"""Answers to requests with an `Idempotency-Key`: kept by the transaction of the effect, given again for a day."""

from __future__ import annotations

from datetime import timedelta

from django.utils import timezone

from ..errors import DomainError
from ..inserting import insert_if_new
from ..models import IdempotentAnswer

KEPT = timedelta(hours=24)
# So many old answers are forgotten by a new one.
_FORGOTTEN_AT_ONCE = 20


class OtherRequest(DomainError):
    """The key was used for another request."""


def begin_request(key: str, *, owner: str, request_hash: str) -> IdempotentAnswer:
    """The answer to this request if it was given already (its status is not 0), else a row that waits for it.

    It must run in the transaction of the effect. A request with the same key that is under way is waited for.

    Raises:
        OtherRequest: the key belongs to a request with another address or body.
        OperationalError: the one under way takes too long.
    """
    _forget_old(owner, key)
    answer = IdempotentAnswer(key=key, owner=owner, request_hash=request_hash)
    if insert_if_new(answer):
        return answer
    known = IdempotentAnswer.objects.get(owner=owner, key=key)
    if known.request_hash != request_hash:
        raise OtherRequest("this Idempotency-Key was used for another address or body: take a new one")
    return known


def finish_request(answer: IdempotentAnswer, *, status: int, body: str, headers: dict[str, str]) -> None:
    """Keep what was answered; an error had no effect, and is not kept."""
    if status >= 400:
        answer.delete()
        return
    answer.status, answer.body, answer.headers = status, body, headers
    answer.save()


def _forget_old(owner: str, key: str) -> None:
    old = IdempotentAnswer.objects.filter(created_at__lt=timezone.now() - KEPT)
    some = old.order_by("created_at").values_list("pk", flat=True)[:_FORGOTTEN_AT_ONCE]
    locked = list(some.select_for_update(skip_locked=True))
    IdempotentAnswer.objects.filter(pk__in=locked).delete()
    old.filter(owner=owner, key=key).delete()
