"""The headers that storage sends with an object's bytes."""

import re
import unicodedata
from urllib.parse import quote


def response_headers(seconds: int, content_type: str, download_as: str | None) -> dict[str, str]:
    """What storage answers with the bytes: how long a browser may keep them, and as what."""
    return {
        "Cache-Control": f"private, max-age={seconds}",
        "Content-Type": content_type,
        "Content-Disposition": "inline" if download_as is None else attachment(download_as),
    }


def attachment(filename: str) -> str:
    """The Content-Disposition that saves a download under the name.

    Beside `filename*` stands a plain `filename` for who reads no other, as some download managers
    and `curl -J` do: https://www.rfc-editor.org/rfc/rfc6266#appendix-D
    """
    plain = ascii_name(filename)
    disposition = f'attachment; filename="{plain}"'
    if plain != filename:
        disposition += f"; filename*=UTF-8''{quote(filename, safe='')}"
    return disposition


def ascii_name(filename: str) -> str:
    """The name in letters that every reader of a quoted string takes for what they are.

    What ASCII lacks loses its accents, or becomes `_`; a name of which nothing is left is
    `download`, with its extension. No `%`, which some browsers decode, and nothing of a path, which
    a compatible form may turn up: `／` is a `/`.
    """
    if re.fullmatch(r"[ !#-$&-.0-\[\]-~]+", filename):  # ASCII without " % / \\
        return filename
    accents = "".join(
        c for c in unicodedata.normalize("NFKD", filename) if not unicodedata.combining(c)
    )
    plain = re.sub(r"[^\w .()+,=@-]", "_", accents, flags=re.ASCII)
    stem, dot, extension = plain.rpartition(".")
    if not dot:
        stem, extension = plain, ""
    if not re.search(r"[^\W_]", stem, re.ASCII):
        stem = "download"
    return f"{stem}.{extension}" if re.search(r"[^\W_]", extension, re.ASCII) else stem
