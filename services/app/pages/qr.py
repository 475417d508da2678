"""A link as a QR code."""

import io

import segno


def svg(link: str) -> bytes:
    """The QR code as SVG, black on white whatever the page's colours are, with the margin that
    readers need."""
    file = io.BytesIO()
    code = segno.make(link, error="m", micro=False)
    code.save(file, kind="svg", scale=8, border=4, light="#fff", omitsize=True)
    return file.getvalue()
