"""Authentication and roles: by session, by a proxy's header, or by a loopback address."""

import hmac
from ipaddress import ip_address
from typing import NamedTuple

from starlette.requests import Request

from lib.reviewing.sessions import Session, Sessions
from lib.sections.reviewing import ReviewingSettings, Role
from lib.serving.api_keys import ApiKeys, hash_of_key
from lib.serving.refusals import UNKNOWN_KEY, RefusedRequestError
from lib.serving.server import requires_key_for

COOKIE = "captionlake_session"
AT_THIS_MACHINE = "local"  # the reviewer where nobody is asked who they are
HASH_DIGITS = 16  # of a key's hash in a session, by which it belongs to that key
LOOPBACK_HOSTS = {"127.0.0.1", "localhost", "::1"}
ENDED = "your session has ended: sign in again in another tab, then press the same button here again"


class Visitor(NamedTuple):
    """Who asks."""

    name: str
    role: Role
    token: str  # of the forms that they get
    can_sign_out: bool

    @property
    def may_review(self) -> bool:
        """Whether they may do more than look."""
        return self.role in ("review", "admin")

    @property
    def may_take_back_all(self) -> bool:
        """Whether they may take back reviews of others."""
        return self.role == "admin"


class AccessControl:
    """Tells visitors apart."""

    def __init__(self, settings: ReviewingSettings, keys: ApiKeys, sessions: Sessions) -> None:
        self._settings, self._keys, self.sessions = settings, keys, sessions
        self.asks_who = requires_key_for(settings) or bool(settings.proxy_header)

    def visitor(self, request: Request) -> Visitor:
        """The visitor of a request. Raises RefusedRequestError with status 401 if unknown."""
        if not self.asks_who:
            return self._visitor(request, AT_THIS_MACHINE, can_sign_out=False)
        if self._settings.proxy_header:
            name = request.headers.get(self._settings.proxy_header, "").strip()
            address = request.client.host if request.client else ""
            if not name or not self._is_of_proxy(address):
                raise RefusedRequestError(401, "the proxy before this page does not say who you are: go through it")
            return self._visitor(request, name, can_sign_out=False)
        session = self.sessions.session_in(request.cookies.get(COOKIE, ""))
        known = (Session(entry.name, entry.sha256[:HASH_DIGITS]) for entry in self._keys.entries())
        if session is None or session not in known:  # a key that was made anew under its name begins no old session
            raise RefusedRequestError(401, ENDED)
        return self._visitor(request, session.name, can_sign_out=True)

    def sign_in(self, key: str) -> str:
        """The cookie of a new session of a key's owner. Raises RefusedRequestError for an unknown key."""
        key = key.strip()
        if name := self._keys.name_of(key):
            return self.sessions.begin(Session(name, hash_of_key(key)[:HASH_DIGITS]))
        raise RefusedRequestError(401, UNKNOWN_KEY)

    def check_form(self, visitor: Visitor, token: str) -> None:
        """Raise RefusedRequestError with status 403 if a form is not of a page that this visitor got."""
        if not hmac.compare_digest(token.encode(), visitor.token.encode()):
            raise RefusedRequestError(403, "this form is not of this page: load the page again, then repeat it")

    def refusal_of_address(self, request: Request) -> str | None:
        """Why a request is not answered at all: of another site's page, or by a name that is not this machine's."""
        if not self.asks_who and request.url.hostname not in {*LOOPBACK_HOSTS, self._settings.host}:
            return "this page answers to 127.0.0.1 and localhost alone"
        site = request.headers.get("sec-fetch-site", "same-origin")
        if request.method == "POST" and site not in ("same-origin", "none"):
            return "forms of other sites are not taken"
        if request.url.path.startswith("/files/") and site == "cross-site":
            return "images are not shown in pages of other sites"
        return None

    def _is_of_proxy(self, address: str) -> bool:
        try:
            return any(ip_address(address) in network for network in self._settings.proxy_networks)
        except ValueError:  # a socket that is no address
            return False

    def _visitor(self, request: Request, name: str, can_sign_out: bool) -> Visitor:
        request.state.key_name = name  # for the log
        role = self._settings.roles.get(name, self._settings.default_role)
        return Visitor(name, role, self.sessions.token(name), can_sign_out)
