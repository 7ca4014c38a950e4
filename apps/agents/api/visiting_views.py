"""What agents of the existing system send of themselves: logs and subscriptions."""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import Any

from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework import status
from rest_framework.decorators import action
from rest_framework.fields import DictField
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import ReadOnlyModelViewSet

from apps.runs.api.fields import NUMBER_PATTERN
from apps.runs.api.pagination import NewestFirst
from apps.runs.api.renderers import QuickJSONRenderer
from apps.runs.api.requests import all_said_in, made, name_of, one_or_many, said_in
from apps.runs.people import is_admin

from .. import selectors, services
from ..filters import LogFilter, SubscriberFilter
from ..models import AppLog, Subscriber
from .visiting_serializers import AppLogSerializer, ErrorSummarySerializer, SubscriberSerializer

# So far back a summary looks that is not told.
_SUMMARISED = timedelta(hours=24)


class LogViewSet(ReadOnlyModelViewSet[AppLog]):
    """Records of logs, the last received first."""

    queryset = selectors.log_list()
    serializer_class = AppLogSerializer
    filterset_class = LogFilter
    pagination_class = NewestFirst
    lookup_value_regex = NUMBER_PATTERN

    @extend_schema(
        request=one_or_many("AppLogs", AppLogSerializer),
        responses={201: one_or_many("AppLogs", AppLogSerializer)},
    )
    def create(self, request: Request) -> Response:
        """Keep a record, or a list of them; answers with what was kept."""
        logs = services.record_logs([_log(said) for said in all_said_in(request, AppLogSerializer)])
        rows = self.get_serializer(logs, many=True).data
        return Response(rows if isinstance(request.data, list) else rows[0], status.HTTP_201_CREATED)

    @extend_schema(filters=True, responses={200: DictField(child=DictField(child=ErrorSummarySerializer()))})
    @action(detail=False, pagination_class=None, renderer_classes=[QuickJSONRenderer])
    def summary(self, request: Request) -> Response:
        """The errors by `app_name` and `instance_name`: counts by level, and the newest five. The filters are those of the
        list; without `after`, of the last 24 hours."""
        logs = self.filter_queryset(self.get_queryset())
        if "after" not in request.query_params:
            logs = logs.filter(timestamp__gte=timezone.now() - _SUMMARISED)
        return Response(
            {
                app: {name: ErrorSummarySerializer(errors).data for name, errors in instances.items()}
                for app, instances in selectors.log_summary(logs).items()
            }
        )


class SubscriberViewSet(ReadOnlyModelViewSet[Subscriber]):
    """Those who are sent messages, by their name."""

    queryset = selectors.subscriber_list()
    serializer_class = SubscriberSerializer
    filterset_class = SubscriberFilter
    search_fields = ["subscriber_name", "description"]

    @extend_schema(request=SubscriberSerializer)
    def create(self, request: Request) -> Response:
        """Write down a subscriber; a known one of the same user is described anew, and answered with 200."""
        said = said_in(request, SubscriberSerializer)
        name, by_admin = said.pop("subscriber_name"), is_admin(request.user)
        subscriber, created = services.subscribe(name, by=name_of(request), by_admin=by_admin, **said)
        return made(self.get_serializer(subscriber).data, created=created)


def _log(said: dict[str, Any]) -> AppLog:
    extra = said.pop("extra_data", None) or {}
    return AppLog(
        **{name: value for name, value in said.items() if value is not None},
        **({} if said.get("levelname") else {"levelname": logging.getLevelName(said["level"])}),
        **({} if said.get("timestamp") else {"timestamp": timezone.now()}),
        run_number=_run_number(extra.get("run_id")),
        extra_data=extra,
    )


def _run_number(run_id: Any) -> int | None:
    """The run's number, if what the record calls the run is one."""
    text = str(run_id)
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else None
