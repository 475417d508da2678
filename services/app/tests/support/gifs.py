"""GIFs made of their blocks: what no encoder of ours writes."""

import struct

from PIL import Image

# No two alike.
PALETTE = bytes(value for at in range(256) for value in (at * 7 % 251, at * 13 % 251, 255 - at))


def codes(picture: Image.Image) -> bytes:
    """The pixels, each as a code of nine bits: the table is cleared before it would grow."""
    numbers: list[int] = []
    for at, pixel in enumerate(picture.tobytes()):
        numbers += [256, pixel] if at % 250 == 0 else [pixel]
    bits = int("".join(f"{number:09b}" for number in reversed([*numbers, 257])), 2)
    packed = bits.to_bytes((len(numbers) + 1) * 9 // 8 + 1, "little")
    blocks = [packed[at : at + 255] for at in range(0, len(packed), 255)]
    return b"\x08" + b"".join(bytes([len(block)]) + block for block in blocks) + b"\0"


def frame(
    colour: int, size, left=0, top=0, *, then=0, transparent=None, delay=10, own_palette=False
) -> bytes:
    """A frame of this colour with a line of another; the delay in hundredths of a second."""
    picture = Image.new("P", size, colour)
    for at in range(min(size)):
        picture.putpixel((at, at), (colour + 9) % 256)
    flags = then << 2 | (transparent is not None)
    control = b"!\xf9\4" + struct.pack("<BHBB", flags, delay, transparent or 0, 0)
    place = b"," + struct.pack("<4HB", left, top, *size, 0x87 if own_palette else 0)
    return control + place + (PALETTE if own_palette else b"") + codes(picture)


def gif(size, *frames: bytes, background=0, repeats: int | None = 0, has_palette=True) -> bytes:
    """A GIF that is shown so often after the first time: 0 is for ever, None is never."""
    head = b"GIF89a" + struct.pack("<HHBBB", *size, 0xF7 if has_palette else 0x70, background, 0)
    loop = (
        b""
        if repeats is None
        else struct.pack("<3s11sBBHB", b"!\xff\x0b", b"NETSCAPE2.0", 3, 1, repeats, 0)
    )
    return head + (PALETTE if has_palette else b"") + loop + b"".join(frames) + b";"
