"""Journal entries in the words of the bus."""

from __future__ import annotations

from typing import Any

from apps.runs.models import JournalEntry

from .vocabulary import MESSAGES


def message_of(entry: JournalEntry) -> dict[str, Any] | None:
    """The message that the entry is, ready for JSON; None for kinds that concern the journal's readers only.

    Raises:
        ValidationError: the entry makes no valid message, which is a bug of its writer.
    """
    model = MESSAGES.get(entry.kind)
    if model is None:
        return None
    run = entry.run
    fields = entry.payload | {
        "msg_type": entry.kind,
        "msg_id": entry.msg_id,
        "occurred_at": entry.occurred_at,
        "timestamp": entry.occurred_at.isoformat(),
        "correlation_id": entry.correlation_id,
        "causation_id": entry.causation_id,
        "stream_sequence": entry.stream_sequence,
        "sender": entry.actor,
        "namespace": entry.namespace.name if entry.namespace else "",
        "run_id": str(run.run_number) if run else None,
        "execution_id": run.execution.execution_id if run else None,
    }
    return model.model_validate(fields).model_dump(mode="json")
