"""Login by an OpenID Connect provider: the code flow with PKCE, by Authlib. Off unless `SWF_OIDC_ISSUER` names one.

The provider's own document says where its endpoints and keys are. What it says of a user is believed only with a good
signature, from this issuer, for this client, with our nonce, and before it expires.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from authlib.common.errors import AuthlibBaseError
from authlib.integrations.django_client import OAuth
from django.conf import settings
from django.contrib.auth import login
from django.contrib.auth.models import User
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme
from joserfc.errors import JoseError
from requests import RequestException

from apps.runs.access import EVERYWHERE, Role
from apps.runs.errors import DomainError
from apps.runs.models import Namespace
from apps.runs.services import set_access, user_of_identity

# Seconds that the provider may take to answer, and by which its clock may differ from ours.
_PATIENCE = 10
_LEEWAY = 30
_NEXT = "oidc_next"
# Names of users are actors in the journal.
_LONGEST_NAME = 100


class LoginRefused(Exception):
    """Nobody is logged in; the text says why."""


def _login(view: Callable[[HttpRequest], HttpResponse]) -> Callable[[HttpRequest], HttpResponse]:
    """A step of the login: there only if there is a provider; what goes wrong is said on a page."""

    @wraps(view)
    def step(request: HttpRequest) -> HttpResponse:
        if not settings.SWF_OIDC_ISSUER:
            raise Http404("this server has no login by an identity provider")
        try:
            return view(request)
        except (AuthlibBaseError, JoseError, LoginRefused, DomainError) as error:
            return _refused(request, str(error) or type(error).__name__)
        except (RequestException, RuntimeError, ValueError) as error:
            return _refused(
                request, f"{settings.SWF_OIDC_ISSUER} does not answer as a provider does: {error}"
            )

    return step


@_login
def oidc_login(request: HttpRequest) -> HttpResponse:
    """`/login/oidc/`: to the provider, and after the login to `next`."""
    request.session[_NEXT] = request.GET.get("next", "")
    answer: HttpResponse = _provider().authorize_redirect(
        request, request.build_absolute_uri(reverse("oidc-done"))
    )
    return answer


@_login
def oidc_done(request: HttpRequest) -> HttpResponse:
    """`/login/oidc/done/`: where the provider sends the user back to, with a code that is good for its claims."""
    wanted = {"essential": True, "value": settings.SWF_OIDC_ISSUER}
    # The audience may be a list that holds us.
    meant = {"essential": True, "values": [settings.SWF_OIDC_CLIENT_ID]}
    token = _provider().authorize_access_token(
        request, claims_options={"iss": wanted, "aud": meant}, leeway=_LEEWAY
    )
    claims = token.get("userinfo")
    if not claims:
        raise LoginRefused("the provider has sent no ID token")
    user = _user(claims)
    back = request.session.pop(_NEXT, "")
    login(request, user)
    hosts, secure = {request.get_host()}, request.is_secure()
    known = url_has_allowed_host_and_scheme(back, allowed_hosts=hosts, require_https=secure)
    return redirect(back if known else "home")


def _provider() -> Any:
    """The provider, with what its document says.

    Raises:
        LoginRefused: the document is that of another one.
    """
    issuer = settings.SWF_OIDC_ISSUER
    provider = OAuth().register(
        "oidc",
        client_id=settings.SWF_OIDC_CLIENT_ID,
        client_secret=settings.SWF_OIDC_CLIENT_SECRET or None,
        server_metadata_url=f"{issuer.rstrip('/')}/.well-known/openid-configuration",
        client_kwargs={
            "scope": "openid profile email",
            "code_challenge_method": "S256",
            "default_timeout": _PATIENCE,
        },
    )
    said = provider.load_server_metadata().get("issuer")
    if said != issuer:
        raise LoginRefused(f"the provider calls itself {said}, SWF_OIDC_ISSUER is {issuer}")
    return provider


def _user(claims: dict[str, Any]) -> User:
    """The user of these claims, with what its groups may do."""
    name = str(claims.get("preferred_username") or claims.get("email") or claims["sub"])
    if len(name) > _LONGEST_NAME:
        raise LoginRefused(
            f"the provider gives a name of {len(name)} characters; {_LONGEST_NAME} are possible"
        )
    user = user_of_identity(issuer=settings.SWF_OIDC_ISSUER, subject=str(claims["sub"]), name=name)
    if settings.SWF_OIDC_ROLES:
        roles, namespaces = _access(claims.get(settings.SWF_OIDC_CLAIM) or [])
        set_access(user, by=settings.SWF_OIDC_ISSUER, roles=roles, namespaces=namespaces)
    return user


def _access(groups: Any) -> tuple[list[str], set[str]]:
    """The highest role of these groups, and the namespaces that they give with it: a lower one must not widen them.

    A namespace that no run has opened yet counts once it is there.
    """
    named = {groups} if isinstance(groups, str) else {str(group) for group in groups}
    given = [access for group in named for access in settings.SWF_OIDC_ROLES.get(group, [])]
    if not given:
        return [], set()
    highest = max((role for role, _ in given), key=Role.values.index)
    wanted = {namespace for role, namespace in given if role == highest and namespace}
    there = set(Namespace.objects.filter(name__in=wanted).values_list("name", flat=True))
    return [highest], there | (wanted & {EVERYWHERE})


def _refused(request: HttpRequest, said: str) -> HttpResponse:
    return render(request, "403.html", {"said": f"the login was refused: {said}"}, status=403)
