"""The app as gunicorn calls it, through WSGI: so what breaks before any middleware is seen."""

import io
from contextlib import contextmanager
from urllib.parse import unquote_to_bytes
from wsgiref.util import setup_testing_defaults

from django.core.signals import request_finished, request_started
from django.db import close_old_connections

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
    path, _, query = path.partition("?")
    environ = {
        "REQUEST_METHOD": method,
        # What came as bytes stands here as latin-1, whatever it is.
        "PATH_INFO": unquote_to_bytes(path).decode("latin-1"),
        "QUERY_STRING": query,
        "CONTENT_TYPE": content_type,
        "CONTENT_LENGTH": str(len(body)),
        "HTTP_HOST": "testserver",
        "REMOTE_ADDR": "127.0.0.1",
        "wsgi.input": io.BytesIO(body),
        **extra,
    }
    setup_testing_defaults(environ)
    answered = []
    with connection_kept():
        response = wsgi.application(environ, lambda status, *_: answered.append(int(status[:3])))
        text = b"".join(response).decode(errors="replace")
        response.close()
    return answered[0], text
