"""The addresses for PUT, open to anyone: every address is a file name.

The pages' addresses follow, so that `reverse` finds them.
"""

from django.urls import re_path

from api.put import put_file
from s3tasks import urls
from s3tasks.urls import handler400, handler403, handler404, handler500

__all__ = ["handler400", "handler403", "handler404", "handler500", "urlpatterns"]

urlpatterns = [
    re_path(r"^(?P<filename>[\s\S]*)\Z", put_file),
    *urls.urlpatterns,
]
