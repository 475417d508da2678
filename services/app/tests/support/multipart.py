"""Forms as browsers send them, byte by byte: Django's test client would repair the file names."""

import re

BOUNDARY = "----s3tasks"
CONTENT_TYPE = f"multipart/form-data; boundary={BOUNDARY}"


def head(name: str, filename: str | None = None) -> bytes:
    """What stands before the bytes of one part."""
    file = "" if filename is None else f'; filename="{filename}"\r\nContent-Type: image/png'
    return f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"{file}\r\n\r\n'.encode()


TAIL = f"--{BOUNDARY}--\r\n".encode()


def body(*parts) -> bytes:
    """The parts, each `(name, text)` or `(name, filename, content)`."""
    written = [
        head(name, *filename) + (content if isinstance(content, bytes) else content.encode())
        for name, *filename, content in parts
    ]
    return b"".join(part + b"\r\n" for part in written) + TAIL


def post(client, path, *parts, **extra):
    """Send the form through Django's test client."""
    return client.post(path, body(*parts), content_type=CONTENT_TYPE, **extra)


def csrf_token(html: str) -> str:
    """The token of a page's first form."""
    return re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', html)[1]


def message(response) -> str:
    """What stands in the page's message, without its markup."""
    html = response.content.decode()
    found = re.findall(
        r'(?:role="alert".*?>|id="messages".*?>|class="lede">)(.*?)</div>', html, re.DOTALL
    )
    return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", " ".join(found))).strip()


def nothing_is_left(store) -> bool:
    """No object, no row, and no byte in the quota."""
    from support.samples import keys
    from uploads.models import Installation, Upload

    used = Installation.objects.get().used_bytes
    return keys(store) == set() and not Upload.objects.exists() and used == 0
