"""Why an image is rejected: one sentence each, translated for whoever reads it."""


def gettext_noop(sentence: str) -> str:
    """The sentence, marked for translation; Django's would bring Django along."""
    return sentence


NOT_AN_IMAGE = gettext_noop("This is not a JPEG, PNG, GIF, WebP, AVIF or HEIC image.")
DAMAGED = gettext_noop("The image is damaged or incomplete.")
TOO_MANY_PIXELS = gettext_noop(
    "The image has more than %(megapixels)s million pixels, all frames counted."
)
TOO_MUCH_AT_ONCE = gettext_noop(
    "The image has too many pixels for a GIF, a WebP, an AVIF, a HEIC or an interlaced picture;"
    " a plain JPEG or PNG may have more."
)
