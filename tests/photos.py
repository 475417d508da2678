"""Pictures that tests upload."""

import io
import random

from PIL import Image


def photo(width: int, height: int, image_format: str = "JPEG") -> bytes:
    """An image that is no two times the same, and that does not compress to nothing."""
    noise = Image.frombytes(
        "RGB", (width // 8, height // 8), random.randbytes((width // 8) * (height // 8) * 3)
    )
    file = io.BytesIO()
    noise.resize((width, height)).save(file, image_format)
    return file.getvalue()


def damaged(image: bytes) -> bytes:
    """The image without its second half."""
    return image[: len(image) // 2]


def slow_image() -> bytes:
    """A small file that takes the worker seconds: 98 megapixels, just within the limit."""
    file = io.BytesIO()
    Image.linear_gradient("L").resize((9900, 9900)).save(file, "PNG", compress_level=1)
    return file.getvalue()
