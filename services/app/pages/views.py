"""My Images and My Files: authorise, parse, call the domain, answer."""

import uuid
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy

from pages import wording
from pages.base import VisitorView
from pages.forms import FileForm, ImagesForm, UploadForm
from pages.spool import FILES_AT_ONCE, FORM_BYTES
from s3tasks.web.retry_after import set_retry_after
from uploads import discard, limits
from uploads.arrivals.claim import LINK_UPLOADS_MAX
from uploads.arrivals.form import receive_upload
from uploads.errors import UploadError
from uploads.existence import page_check
from uploads.links.owned import find_link, links_of
from uploads.models import Kind, Link, State, Upload
from uploads.rate import check_rate, source_of

# The names of the pages' addresses, by kind.
PAGES = {Kind.IMAGE: "images", Kind.FILE: "files"}


class UploadsPage(VisitorView):
    """A page with the owner's uploads of one kind, and the form for more."""

    kind: Kind
    title: Promise
    form_class: type[UploadForm]

    def get(self, request: HttpRequest) -> HttpResponse:
        return self.show(self.form())

    def form(self, *args: Any) -> UploadForm:
        """The form, empty or with what was sent."""
        return self.form_class(*args)

    def present(self) -> dict[str, object]:
        """What is there, for the page."""
        raise NotImplementedError

    def post(self, request: HttpRequest) -> HttpResponse:
        form = self.form(request.POST, request.FILES)
        if not form.is_valid():
            return self.show(form, status=422)
        received = 0
        link_id = form.cleaned_data.get("link")
        protection = {name: form.cleaned_data[name] for name in form.folded if name in form.fields}
        try:
            address = request.META["REMOTE_ADDR"]
            # The first was counted before the form was read.
            check_rate(address, len(form.arrived) - 1)
            for file in form.arrived:
                claim = limits.check_claim(
                    owner=self.owner,
                    kind=self.kind,
                    filename=file.name,
                    size_bytes=file.size_bytes,
                    name=form.cleaned_data.get(form.called, ""),
                    ttl=form.cleaned_data.get("ttl"),
                    address=source_of(address),
                    link_id=link_id,
                    **protection,
                )
                upload = receive_upload(claim, file.content)
                if self.kind == Kind.FILE:  # what is sent together is one link
                    link_id, protection = upload.link_id, {}
                received += 1
        except UploadError as error:
            form.report(error.sentence, received)
            response = self.show(form, status=error.status)
            set_retry_after(response, error.retry_after)
            return response
        names = [file.name for file in form.arrived]
        superseded = [upload.filename for upload in discard.superseded_images(owner=self.owner)]
        messages.success(request, wording.received(self.kind, names, superseded=superseded))
        return redirect(PAGES[self.kind])

    def show(self, form: UploadForm, *, status: int = 200) -> HttpResponse:
        """The page with the form, and with the uploads whose objects are in storage."""
        context = {
            "title": self.title,
            "form": form,
            **self.present(),
            "ttl": settings.UPLOAD_TTL,
            "kept": settings.IMAGES_KEPT,
            "shared": settings.SHARED_BOARD,
            "origin": self.request.build_absolute_uri("/"),
            # For page.js.
            "kind": self.kind.value,
            "max_bytes": limits.max_bytes(self.kind),
            "too_large": limits.too_large(self.kind),
            "not_an_image": limits.not_an_image(),
            "blank": blank_upload(self.kind),
            "link_files": LINK_UPLOADS_MAX,
            "files_at_once": FILES_AT_ONCE[self.kind],
            "form_bytes": FORM_BYTES,
        }
        return render(self.request, f"pages/{PAGES[self.kind]}.html", context, status=status)


def blank_upload(kind: Kind) -> Upload:
    """A blank upload, for the markup that page.js fills in."""
    nobody = uuid.UUID(int=0)
    link = Link(id=nobody, kind=kind, token="", ttl=timedelta())
    link.live_uploads = []
    blank = Upload(id=nobody, kind=kind, state=State.READY, link=link, size_bytes=0)
    blank.seconds_left = 0.0
    return blank


class Images(UploadsPage):
    """My Images."""

    kind = Kind.IMAGE
    title = gettext_lazy("My Images")
    form_class = ImagesForm

    def present(self) -> dict[str, object]:
        live = Upload.objects.live().with_seconds_left().with_link()
        mine = live.filter(owner=self.owner, kind=self.kind)
        uploads = page_check().present(list(mine.order_by("-created_at", "-id")))
        by_state = {state.value: [u for u in uploads if u.state == state] for state in State}
        return {"uploads": uploads, **by_state}


class Files(UploadsPage):
    """My Files."""

    kind = Kind.FILE
    title = gettext_lazy("My Files")
    form_class = FileForm

    def form(self, *args: Any) -> UploadForm:
        sent = self.request.POST if args else self.request.GET
        if not sent.get("link"):
            return FileForm(*args)
        try:
            link_id = uuid.UUID(sent["link"])
        except ValueError:
            link_id = uuid.UUID(int=0)  # nobody's
        return FileForm(*args, joined=find_link(link_id=link_id, owner=self.owner))

    def present(self) -> dict[str, object]:
        links = list(links_of(self.owner, self.kind))
        return {"links": page_check().present_links(links)}


class Clear(VisitorView):
    """Delete all of mine, of one kind."""

    kind = Kind.FILE

    def post(self, request: HttpRequest) -> HttpResponse:
        count = discard.clear_uploads(owner=self.owner, kind=self.kind)
        messages.success(request, wording.cleared(self.kind, count))
        return redirect(PAGES[self.kind])


class DeleteLink(VisitorView):
    """Delete one of my links with all its files."""

    def post(self, request: HttpRequest, link_id: uuid.UUID) -> HttpResponse:
        link = find_link(link_id=link_id, owner=self.owner)
        title = wording.title(link)
        count = discard.discard_link(link_id=link_id, owner=self.owner)
        several = wording.cleared(Kind(link.kind), count)
        messages.success(request, wording.deleted(title) if count == 1 else several)
        return redirect(PAGES[Kind(link.kind)])


class Delete(VisitorView):
    """Delete one of mine."""

    def post(self, request: HttpRequest, upload_id: uuid.UUID) -> HttpResponse:
        upload = Upload.objects.of_owner(self.owner, upload_id)
        discard.discard_upload(upload_id=upload.id, owner=self.owner)
        messages.success(request, wording.deleted(upload.filename))
        return redirect(PAGES[Kind(upload.kind)])
