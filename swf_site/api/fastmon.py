"""What fast monitoring shows of a run, over REST: the same JSON as on its page."""

from __future__ import annotations

from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.fields import DictField
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from apps.runs.selectors import get_run
from swf_site.pages.fastmon_content import GROUPS, as_content, gather


class RunFastmonView(APIView):
    """`runs/<number>/fastmon/`: of the detectors of a `group` (left out: all), of a `window` of time (left out: the run)."""

    @extend_schema(
        parameters=[
            OpenApiParameter("group", str, enum=GROUPS, description="Of these detectors."),
            OpenApiParameter("window", str, description="When the window of time began, or `newest`."),
        ],
        responses={200: DictField()},
    )
    def get(self, request: Request, run_number: int) -> Response:
        """The summary, histograms, strip charts and slices of the run."""
        asked = {name: request.query_params.get(name, "") for name in ("group", "window")}
        return Response(as_content(gather(get_run(run_number), **asked)))
