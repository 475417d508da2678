"""Uploads for the operator: find one by its link, delete it."""

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext_lazy

from uploads.models import PurgeKey, Sweep, Upload
from uploads.sweeps import report


class ReadOnly(admin.ModelAdmin):  # type: ignore[type-arg]  # not subscriptable at run time
    """Rows that only the domain changes: nothing is added or edited by hand."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return False


@admin.register(Upload)
class UploadAdmin(ReadOnly):
    """Deleting a row deletes its objects: the post_delete signal queues their keys."""

    list_display = [
        "filename", "kind", "state", "size_bytes", "created_at", "expires_at", "downloads"
    ]  # fmt: skip
    list_select_related = ["link"]
    list_filter = ["kind", "state"]
    search_fields = ["link__token", "filename", "link__name"]
    search_help_text = gettext_lazy("Search for a shared link, or for part of a name.")
    ordering = ["-created_at"]
    view_on_site = False  # the link is the visitor's

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Upload], search_term: str
    ) -> tuple[QuerySet[Upload], bool]:
        # The search may be a whole link: its last part is the token.
        token = search_term.strip().rstrip("/").rpartition("/")[2].partition("?")[0]
        return super().get_search_results(request, queryset, token or search_term)

    @admin.display(description=gettext_lazy("downloads"))
    def downloads(self, upload: Upload) -> str:
        """Of its link, where that is protected: `2`, or `2 / 5` where there are only so many."""
        link = upload.link
        if link.max_downloads is None:
            return str(link.downloads) if link.is_protected else ""
        return f"{link.downloads} / {link.max_downloads}"


@admin.register(PurgeKey)
class PurgeKeyAdmin(ReadOnly):
    """What waits to be deleted from storage. Deleting a key here would leave its object."""

    list_display = ["key", "size_bytes", "not_before", "attempts"]
    search_fields = ["key"]

    def has_delete_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return False


@admin.register(Sweep)
class SweepAdmin(PurgeKeyAdmin):
    """The sweeps' reports: why one stopped."""

    list_display = ["name", "is_on_time", "last_ok", "last_error_at", "last_error", "backlog"]
    search_fields = []
    exclude = ["told_until", "progress"]

    @admin.display(description=gettext_lazy("on time"), boolean=True)
    def is_on_time(self, sweep: Sweep) -> bool:
        """Whether its last success is not too old; a cross where it is."""
        return sweep.name not in report.late()
