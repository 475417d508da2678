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
from pages.forms import USUAL_TTLS, NameField, TtlField
from pages.views import PAGES
from pages.wording import HOUR, duration, shown_name, time_left, title
from uploads.errors import InvalidUpload
from uploads.links.change import change_link, longest_from_now
from uploads.links.owned import find_link
from uploads.models import Kind, Link

# Half a day too: no link that is there can be given a whole one, where that is the most.
OFFERED_TTLS = [*USUAL_TTLS, 12 * HOUR]


class ChangeForm(forms.Form):
    """What can be changed of a link."""

    ttl = TtlField(label=gettext_lazy("Delete after"), required=False)
    name = NameField(gettext_lazy("Name (optional)"))

    def __init__(self, sent: QueryDict | None = None, *, link: Link) -> None:
        super().__init__(sent, auto_id="change_%s", initial={"name": link.name})
        self.label_suffix = ""
        most = longest_from_now(link)
        offered = [(s, duration(s)) for s in sorted(OFFERED_TTLS) if s <= most]
        as_it_is = _("As it is: %s left") % time_left(link.seconds_left or 0)
        self.fields["ttl"].widget = forms.Select(choices=[("", as_it_is), *offered])
        self.fields["ttl"].help_text = _("Counted from now on.")


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
        ttl, name = form.cleaned_data["ttl"], form.cleaned_data["name"]
        try:
            change_link(link_id=link.id, owner=self.owner, ttl=ttl, name=name)
        except InvalidUpload as error:
            form.add_error(None, error.sentence)
            return self.show(link, form, status=422)
        link.name = name
        messages.success(request, changed(called(link), ttl))
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
