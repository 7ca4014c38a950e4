"""STFs over REST, with those that agents of the existing system register."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from apps.runs.api.requests import all_said_in, made, name_of, one_or_many
from apps.runs.core_states import CoreState, CoreSubstate
from apps.stf.api.serializers import StfFileSerializer, StfSaidSerializer, StfTakenSerializer
from apps.stf.api.views import StfFileViewSet as ReadOnlyStfFileViewSet
from apps.stf.selectors.file_status import without_copies

from ..services.stf_intake import NotUnderstood, SaidStf, take_stfs

# What the existing agents write where they do not know the state.
_NO_STATE = {"", "unknown", "physics"}
_SAME_NAME = ("file_url", "checksum", "tf_first", "tf_count", "sequence")


class StfFileViewSet(ReadOnlyStfFileViewSet):
    """STFs with their replicas and processing, newest first, by file name."""

    @extend_schema(
        request=one_or_many("StfsSaid", StfSaidSerializer),
        responses=dict.fromkeys((200, 201), one_or_many("StfsTaken", StfFileSerializer, StfTakenSerializer)),
    )
    def create(self, request: Request) -> Response:
        """Register an STF that lies in the exit buffer, or a list of them, all or none; a known one is left as it is.
        Answers with the STF, of a list with the ids of all in the same order and whether each was `created`; with 201 if
        any was not known."""
        said = [_said(fields) for fields in all_said_in(request, StfSaidSerializer)]
        try:
            created = take_stfs(said, by=name_of(request))
        except NotUnderstood as error:
            raise ValidationError(_wrong(error, said, is_list=isinstance(request.data, list))) from error
        if isinstance(request.data, list):
            return made(_short(said, created), created=bool(created))
        stf = created.get(said[0].name)
        if stf is None:
            stf = self.get_queryset().get(stf_filename=said[0].name)
        else:
            without_copies(stf)
        return made(self.get_serializer(stf).data, created=bool(created))


def _short(said: Sequence[SaidStf], created: Collection[str]) -> list[dict[str, Any]]:
    """Whoever names one twice has created it once."""
    new, rows = set(created), []
    for one in said:
        rows.append({"file_id": one.name, "run": one.run_number, "created": one.name in new})
        new.discard(one.name)
    return rows


def _wrong(error: NotUnderstood, said: Sequence[SaidStf], *, is_list: bool) -> Any:
    """The fields that are wrong; of a list, by position."""
    fields = {name: [why] for name, why in error.fields.items()}
    return [fields if one.name == error.name else {} for one in said] if is_list else fields


def _said(said: dict[str, Any]) -> SaidStf:
    """The STF in the fields of `stf_gen`."""
    notes = said.get("metadata") or {}
    state, substate = said.get("machine_state") or "", notes.get("substate")
    state = CoreState.RUN.value if state in _NO_STATE else state
    if state == CoreState.RUN:
        substate = substate or CoreSubstate.PHYSICS.value
    fields = {
        "filename": said["stf_filename"],
        "size_bytes": said.get("file_size_bytes"),
        "state": state,
        "substate": substate if substate is not None else "",
        **{name: said.get(name) for name in _SAME_NAME},
        **{name: notes.get(name) for name in ("start", "end")},
    }
    fields["sequence"] = fields["sequence"] or notes.get("sequence")
    return SaidStf(
        run_number=said["run"] if "run" in said else said["run_number"],
        fields={
            name: value for name, value in fields.items() if value not in (None, "") or name == "substate"
        },
        notes=notes,
    )
