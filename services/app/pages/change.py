"""Changing a link of mine: a form on a page of its own, which scripts show in a dialog."""

import uuid

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import redirect, render
from django.utils.html import format_html
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from pages.base import VisitorView
from pages.forms import (
    USUAL_DOWNLOADS,
    USUAL_TTLS,
    DownloadsField,
    NameField,
    PasswordField,
    TtlField,
)
from pages.views import PAGES
from pages.wording import HOUR, duration, shown_name, time_left, title
from s3tasks.web.retry_after import set_retry_after
from uploads import limits
from uploads.errors import InvalidUpload, RateLimited
from uploads.links.change import Changes, change_link, longest_from_now
from uploads.links.owned import find_link
from uploads.models import Kind, Link
from uploads.rate import check_rate

# Half a day too: no link that is there can be given a whole one, where that is the most.
OFFERED_TTLS = [*USUAL_TTLS, 12 * HOUR]


class ChangeForm(forms.Form):
    """What can be changed of a link."""

    ttl = TtlField(label=gettext_lazy("Delete after"), required=False)
    name = NameField(gettext_lazy("Name (optional)"))
    password = PasswordField(
        label=gettext_lazy("New password"),
        required=False,
        strip=False,
        widget=forms.PasswordInput({"autocomplete": "new-password"}),
    )
    open_to_all = forms.BooleanField(label=gettext_lazy("Without a password"), required=False)
    max_downloads = DownloadsField(label=gettext_lazy("How often the link opens"), required=False)

    def __init__(self, sent: QueryDict | None = None, *, link: Link) -> None:
        initial = {"name": link.name, "max_downloads": link.max_downloads}
        super().__init__(sent, auto_id="change_%s", initial=initial, label_suffix="")
        self.link = link
        most = longest_from_now(link)
        offered = [(s, duration(s)) for s in sorted(OFFERED_TTLS) if s <= most]
        as_it_is = _("As it is: %s left") % time_left(link.seconds_left or 0)
        self.fields["ttl"].widget = forms.Select(choices=[("", as_it_is), *offered])
        self.fields["ttl"].help_text = _("Counted from now on.")
        if link.kind == Kind.IMAGE:  # which nothing protects
            del self.fields["password"], self.fields["max_downloads"]
        else:
            self.fields["password"].widget.attrs["maxlength"] = limits.PASSWORD_MAX
            counts = {n for n in USUAL_DOWNLOADS if n > link.downloads} | {link.max_downloads}
            times = [
                ("", _("Any number of times")),
                *((n, n) for n in sorted(filter(None, counts))),
            ]
            self.fields["max_downloads"].widget = forms.Select(choices=times)
            if link.downloads:
                self.fields["max_downloads"].help_text = (
                    _("In all. Downloads so far: %d.") % link.downloads
                )
        if not link.password:
            del self.fields["open_to_all"]

    def changes(self) -> Changes:
        """What the visitor changed, of a valid form."""
        sent = self.cleaned_data
        changes = Changes(ttl=sent["ttl"], name=sent["name"])
        if sent.get("password"):
            changes["password"] = sent["password"]
        elif sent.get("open_to_all"):
            changes["password"] = None
        if "max_downloads" in self.changed_data:
            changes["max_downloads"] = sent["max_downloads"]
        return changes


class Change(VisitorView):
    """`/links/<id>/`: the form, and what it does."""

    def get(self, request: HttpRequest, link_id: uuid.UUID) -> HttpResponse:
        link = find_link(link_id=link_id, owner=self.owner)
        return self.show(link, ChangeForm(link=link))

    def post(self, request: HttpRequest, link_id: uuid.UUID) -> HttpResponse:
        link = find_link(link_id=link_id, owner=self.owner)
        form = ChangeForm(request.POST, link=link)
        if not form.is_valid():
            return self.show(link, form, status=422)
        changes = form.changes()
        try:
            if "password" in changes:  # hashing one takes half a second
                check_rate(request.META["REMOTE_ADDR"])
            change_link(link_id=link.id, owner=self.owner, **changes)
        except (InvalidUpload, RateLimited) as error:
            form.add_error(None, error.sentence)
            response = self.show(link, form, status=error.status)
            set_retry_after(response, error.retry_after)
            return response
        link.name = changes["name"] or ""
        messages.success(request, changed(called(link), changes["ttl"]))
        return redirect(PAGES[Kind(link.kind)])

    def show(self, link: Link, form: ChangeForm, *, status: int = 200) -> HttpResponse:
        """The page with the form."""
        context = {
            "title": _("Change the link"),
            "form": form,
            "link": link,
            "called": called(link),
            "back": PAGES[Kind(link.kind)],
        }
        return render(self.request, "pages/change.html", context, status=status)


def called(link: Link) -> str:
    """What the link is called: by its owner, or as its files."""
    return link.name or title(link)


def changed(name: str, ttl: int | None) -> str:
    """What is said when a link was changed."""
    if ttl is None:
        return format_html(_("{} was changed."), shown_name(name))
    return format_html(_("{} will be deleted in {}."), shown_name(name), duration(ttl))
