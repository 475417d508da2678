"""`/storage/…`: what S3 answers behind a signed address, where the local disk stands in for it."""

from django.http import FileResponse, Http404, HttpRequest, HttpResponseBase
from django.views.decorators.http import require_safe

from uploads.storage import LocalDisk, storage


@require_safe
def local_storage(request: HttpRequest, signed: str) -> HttpResponseBase:
    """The file of a signed address, as that address says. 404 where it has run out."""
    disk = storage()
    found = disk.open_signed(signed) if isinstance(disk, LocalDisk) else None
    if found is None:
        raise Http404
    file, headers = found
    response = FileResponse(file)
    for name, value in headers.items():
        response[name] = value
    # These bytes are a stranger's and this is the app's own origin: no script, no sniffing.
    response["Content-Security-Policy"] = "default-src 'none'; sandbox"
    response["X-Content-Type-Options"] = "nosniff"
    return response
