"""Why an image is rejected: one sentence each, translated for whoever reads it."""


def gettext_noop(sentence: str) -> str:
    """The sentence, marked for translation; Django's would bring Django along."""
    return sentence


NOT_AN_IMAGE = gettext_noop("This is not a JPEG, PNG, GIF, WebP, AVIF or HEIC image.")
DAMAGED = gettext_noop("The image is damaged or incomplete.")
TOO_MANY_PIXELS = gettext_noop(
    "The image has more than %(megapixels)s million pixels, counting all frames."
)
TOO_LONG = gettext_noop("The image is wider or taller than 65,535 pixels.")
TOO_MANY_FRAMES = gettext_noop("The image has more than 4,000 frames.")
TOO_MUCH_AT_ONCE = gettext_noop(
    "The image has too many pixels for a GIF, WebP, AVIF, HEIC or interlaced image. A plain JPEG or"
    " PNG may have more."
)
TOO_MUCH = gettext_noop("Making this image safe takes too much time or memory.")
GREW = gettext_noop("Once unpacked and made safe, the image takes up too much space.")

REASONS = {
    NOT_AN_IMAGE,
    DAMAGED,
    TOO_MANY_PIXELS,
    TOO_LONG,
    TOO_MANY_FRAMES,
    TOO_MUCH_AT_ONCE,
    TOO_MUCH,
    GREW,
}
