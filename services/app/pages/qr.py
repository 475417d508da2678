"""A link as a picture that a telephone's camera reads."""

import io

import segno


def svg(link: str) -> bytes:
    """The code as SVG, black on white in any colours of the page, with the margin readers need."""
    file = io.BytesIO()
    code = segno.make(link, error="m", micro=False)
    code.save(file, kind="svg", scale=8, border=4, light="#fff", omitsize=True)
    return file.getvalue()
