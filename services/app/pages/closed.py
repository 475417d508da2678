"""The page of a protected link, and the form that opens it. It reveals nothing about the files."""

from django import forms
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, QueryDict
from django.shortcuts import render
from django.urls import reverse
from django.utils.cache import patch_vary_headers
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from pages import errors
from s3tasks.web import visitor_cookie
from s3tasks.web.plain_text import line, prefers_html
from s3tasks.web.request_body import Body, body_of
from s3tasks.web.retry_after import set_retry_after
from uploads.errors import BytesMissing, LinkProtected, RateLimited, UploadNotFound, WrongPassword
from uploads.links.protection import PASS_LIFE, Opener, gone, new_pass
from uploads.models import Kind, Link

# Two cookies: one for the page and the addresses under it, one for the zip beside it, because a
# cookie's path only covers addresses behind a slash.
COOKIES = {"pass": "file-link", "zip-pass": "zip"}
FORM_BYTES = 16 * 1024  # of a form are read: enough for a password, percent-encoded


class OpenForm(forms.Form):
    """The form for a link's password."""

    password = forms.CharField(
        label=gettext_lazy("Password"),
        strip=False,
        widget=forms.PasswordInput({"autocomplete": "current-password", "autofocus": True}),
    )


def opener_of(request: HttpRequest) -> Opener:
    """The person who follows a link, known by their cookies."""
    secret = next((request.COOKIES[name] for name in COOKIES if name in request.COOKIES), "")
    return Opener(visitor_cookie.known(request), secret)


def answer(request: HttpRequest, token: str, error: LinkProtected | RateLimited) -> HttpResponse:
    """The closed page, or a line for programs that says how to open the link."""
    link = Link.objects.live().filter(token=token, kind=Kind.FILE).first()
    if link is None:
        return errors.answer(request, UploadNotFound(gone()))
    if prefers_html(request):
        response = page(request, link, error)
    else:
        response = line(error.status, how_to_open(request, link, error))
    set_retry_after(response, error.retry_after)
    patch_vary_headers(response, ["Accept"])
    return response


def page(request: HttpRequest, link: Link, error: LinkProtected | RateLimited) -> HttpResponse:
    """The form that opens the link, with the error of the previous attempt."""
    is_refused = isinstance(error, (WrongPassword, RateLimited))
    form = OpenForm({"password": ""} if is_refused else None, label_suffix="")
    if is_refused:
        form.errors.clear()
        form.add_error("password", error.sentence)
    context = {"title": _("Protected link"), "form": form, "link": link}
    status = error.status if is_refused else 200
    return render(request, "pages/closed.html", context, status=status)


def how_to_open(request: HttpRequest, link: Link, error: LinkProtected | RateLimited) -> str:
    """The command that opens the link."""
    if isinstance(error, RateLimited):
        return error.sentence
    address = request.build_absolute_uri(link.get_absolute_url())
    data = "password=…" if link.password else "''"
    opens = _("Open it with this command:")
    return f"{error.sentence} {opens} curl -LOJ -d {data} {address}"


def posted_password(request: HttpRequest) -> str:
    """The password from a form in any encoding; blank if there was none.

    Raises BytesMissing if the connection was lost; no download is spent then.
    """
    if request.content_type == "multipart/form-data":  # the middleware has read it already
        return request.POST.get("password", "")
    body = body_of(request)
    data = read_start(body)
    body.drain()
    if body.was_cut:
        raise BytesMissing(_("The connection was lost."))
    is_form = request.content_type == "application/x-www-form-urlencoded"
    return QueryDict(data).get("password", "") if is_form else ""


def read_start(body: Body) -> bytes:
    """The first FORM_BYTES of the body, or all of it."""
    data = b""
    while len(data) < FORM_BYTES and (more := body.read(FORM_BYTES - len(data))):
        data += more
    return data


def see_other(address: str) -> HttpResponse:
    """A redirect after a form: 303, which every client follows with a GET."""
    return HttpResponseRedirect(address, status=303)


def remember(request: HttpRequest, response: HttpResponse, link: Link) -> None:
    """Give the browser the pass, with which it can open the link's addresses for PASS_LIFE."""
    secret = new_pass(link)
    for name, address in COOKIES.items():
        response.set_cookie(
            name,
            secret,
            max_age=PASS_LIFE,
            path=reverse(address, args=[link.token]),
            secure=request.is_secure(),
            httponly=True,
            samesite="Lax",
        )
