"""Pictures that tests upload."""

import io
import random
import struct
import zlib

from PIL import Image

CAMERA, ORIENTATION, GPS = 0x010F, 0x0112, 0x8825


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


def photo_of_a_phone() -> bytes:
    """A photo that was taken upright and says so, and where: red above, blue below."""
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    exif[CAMERA] = "secret"
    exif.get_ifd(GPS).update({1: "S", 2: (22.0, 54.0, 30.0), 3: "W", 4: (43.0, 10.0, 9.0)})
    lying = Image.new("RGB", (640, 480), "blue")
    lying.paste("red", (0, 0, 320, 480))
    file = io.BytesIO()
    lying.save(file, "JPEG", exif=exif, comment=b"secret")
    return file.getvalue()


def bomb() -> bytes:
    """A PNG of 900 megapixels in a hundred kilobytes."""
    side = 30_000
    packer = zlib.compressobj(9)
    row = bytes(1 + side // 8)
    packed = b"".join([*(packer.compress(row) for _ in range(side)), packer.flush()])
    chunks = [
        (b"IHDR", struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)),
        (b"IDAT", packed),
        (b"IEND", b""),
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        for name, data in chunks
    )


def slow_image() -> bytes:
    """A small file that takes the worker seconds: 98 megapixels, just within the limit."""
    file = io.BytesIO()
    Image.linear_gradient("L").resize((9900, 9900)).save(file, "PNG", compress_level=1)
    return file.getvalue()
