"""The app as gunicorn calls it, through WSGI: so what breaks before any middleware is seen."""

import io
from contextlib import contextmanager

from django.core.signals import request_finished, request_started
from django.db import close_old_connections
from django.test.client import RequestFactory

from s3tasks import wsgi


@contextmanager
def connection_kept():
    """The test's transaction outlives the request."""
    for signal in (request_started, request_finished):
        signal.disconnect(close_old_connections)
    try:
        yield
    finally:
        for signal in (request_started, request_finished):
            signal.connect(close_old_connections)


def send(path, content_type="", body=b"", method="POST", **extra):
    """The status and the text of the answer."""
    environ = RequestFactory().generic(method, path).environ
    # A header's bytes come as latin-1, whatever they are.
    environ |= {"CONTENT_TYPE": content_type, "CONTENT_LENGTH": str(len(body)), **extra}
    environ["wsgi.input"] = io.BytesIO(body)
    answered = []
    with connection_kept():
        response = wsgi.application(environ, lambda status, *_: answered.append(int(status[:3])))
        text = b"".join(response).decode(errors="replace")
        response.close()
    return answered[0], text
