"""Which picture stands beside a file: by its extension, as nothing decodes it."""

from mimetypes import guess_type
from pathlib import PurePosixPath

SYMBOLS = {"audio", "image", "text", "video"}  # of icons.svg, and main types
DOCUMENTS = {".pdf", ".doc", ".docx", ".odt", ".rtf", ".epub", ".json", ".md", ".tex"}
ARCHIVES = {".zip", ".gz", ".tgz", ".tar", ".bz2", ".xz", ".zst", ".7z", ".rar", ".iso", ".dmg"}


def icon(filename: str) -> str:
    """The id of the symbol in icons.svg."""
    extension = PurePosixPath(filename).suffix.lower()
    if extension in ARCHIVES:
        return "archive"
    if extension in DOCUMENTS:
        return "text"
    main_type = (guess_type(f"a{extension}")[0] or "").partition("/")[0]
    return main_type if main_type in SYMBOLS else "file"
