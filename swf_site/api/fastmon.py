"""What fast monitoring shows of a run, over REST: the same JSON as on its page."""

from __future__ import annotations

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from apps.runs.api.renderers import QuickJSONRenderer
from apps.runs.api.requests import asked_in
from apps.runs.selectors import get_run
from swf_site.pages.fastmon_content import as_content, gather

from .fastmon_serializers import FastmonAskedSerializer, FastmonSerializer


class RunFastmonView(APIView):
    """`runs/<number>/fastmon/`: of the detectors of a `group` (left out: all), of a `window` of time (left out: the run)."""

    renderer_classes = [QuickJSONRenderer]

    @extend_schema(parameters=[FastmonAskedSerializer], responses=FastmonSerializer)
    def get(self, request: Request, run_number: int) -> Response:
        """The summary, histograms, strip charts and slices of the run."""
        asked = asked_in(request, FastmonAskedSerializer)
        return Response(as_content(gather(get_run(run_number), **asked)))
