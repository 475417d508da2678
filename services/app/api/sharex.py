"""`/sharex.sxcu`: what ShareX imports to upload here. https://getsharex.com/docs/custom-uploader"""

import json

from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_safe


@require_safe
def sharex(request: HttpRequest) -> HttpResponse:
    """A custom uploader for this host, which sends what `curl -T` sends."""
    host = request.get_host()
    uploader = {
        "Version": "15.0.0",
        "Name": f"S3Tasks ({host})",
        "DestinationType": "ImageUploader, TextUploader, FileUploader",
        "RequestMethod": "PUT",
        "RequestURL": request.build_absolute_uri("/") + "{filename}",
        "Body": "Binary",
        # The answer without the line break at its end. No backslash: ShareX takes it for an escape.
        "URL": "{regex:https?://.+}",
        "DeletionURL": "{header:X-Url-Delete}",
        "ErrorMessage": "{response}",
    }
    return HttpResponse(
        json.dumps(uploader, indent=2) + "\n",
        content_type="application/json",
        headers={
            "Content-Disposition": f'attachment; filename="{host.partition(":")[0]}.sxcu"',
            "Cache-Control": "no-store",
        },
    )
