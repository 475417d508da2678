"""How long and how much memory it takes to make a 48-megapixel picture safe, against Pillow.

    python benchmarks/images.py [RUNS]

Pillow does the plain thing (open, turn, save, thumbnail). Each run is a process of its own, the
two take turns, and the table shows medians; memory is the peak above the idle process (of ours, the
decoder), mapped files counted. Exits 1 where one of the limits below is missed. On Linux, with two
cores free: ours decodes in one thread and encodes in another.
"""

import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

APP = Path(__file__).resolve().parents[1] / "services" / "app"
WIDTH, HEIGHT = 8000, 6000
MEMORY_MAX = 150  # MiB above idle
TIME_MAX = {"jpg": 1.0, "png": 0.5}  # of Pillow's

PILLOW = """
import sys, time
from pathlib import Path
from PIL import Image, ImageOps

def peak():
    # Not getrusage's, which begins with the parent's.
    return int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) / 1024

source, folder = Path(sys.argv[1]), Path(sys.argv[2])
Image.init()
idle, began = peak(), time.perf_counter()
image = Image.open(source)
kind = image.format
ImageOps.exif_transpose(image, in_place=True)
image.save(folder / "image", kind)
image.thumbnail((320, 320))
image.save(folder / "thumbnail", kind)
print(time.perf_counter() - began, peak() - idle)
"""

OURS = """
import resource, sys, time
from pathlib import Path
from uploads import images
from uploads.errors import ImageRejected
from uploads.images import safe

def peak():
    # Of the program apart and each picture's process, once the program has ended.
    safe.decoder.stop()
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024

def start():
    nothing = folder / "nothing"
    nothing.write_bytes(b"GIF89a")
    try:
        images.make_safe(nothing, folder, max_pixels=1)
    except ImageRejected:
        pass

source, folder = Path(sys.argv[1]), Path(sys.argv[2])
start()
idle = peak()
start()
began = time.perf_counter()
images.make_safe(source, folder, max_pixels=100_000_000)
print(time.perf_counter() - began, peak() - idle)
"""


def take_photo(folder: Path) -> None:
    """Write the picture in both formats, as taken and held sideways: soft shapes and noise."""
    import pyvips

    def noise(size: int, sigma: float, seed: int) -> "pyvips.Image":
        width, height = WIDTH // size + 2, HEIGHT // size + 2
        grain = pyvips.Image.gaussnoise(width, height, sigma=sigma, mean=0, seed=seed)
        return grain.resize(size, kernel="cubic").crop(0, 0, WIDTH, HEIGHT)

    place = pyvips.Image.xyz(WIDTH, HEIGHT)
    light = 90 + place[0] * (60 / WIDTH) + place[1] * (40 / HEIGHT)
    shapes = light + noise(256, 25, 1) + noise(64, 14, 2) + noise(16, 8, 3) + noise(4, 4, 4)
    grain = [noise(1, 3, 5 + band) + 15 * band for band in range(3)]
    bands = [shapes + each for each in grain]
    photo = bands[0].bandjoin(bands[1:]).cast("uchar").copy(interpretation="srgb").copy_memory()
    for name, orientation in (("straight", 1), ("turned", 6)):
        photo = photo.copy()
        photo.set_type(pyvips.GValue.gint_type, "orientation", orientation)
        photo.jpegsave(str(folder / f"{name}.jpg"), Q=92, subsample_mode="on")
        photo.pngsave(str(folder / f"{name}.png"), compression=2, filter="all")


def measure(script: str, source: Path) -> tuple[float, float]:
    """Seconds and MiB of one run."""
    with tempfile.TemporaryDirectory(dir=source.parent) as folder:
        output = subprocess.run(
            [sys.executable, "-c", script, str(source), folder],
            env={**os.environ, "PYTHONPATH": str(APP)},
            check=True,
            stdout=subprocess.PIPE,
            text=True,
        ).stdout
    seconds, mib = map(float, output.split())
    return seconds, mib


def median(runs: list[tuple[float, float]]) -> tuple[float, float]:
    return tuple(map(statistics.median, zip(*runs, strict=True)))


def main(runs: int) -> int:
    missed = []
    print(f"{'':14} {'seconds':>17} {'':6} {'MiB above idle':>16}")
    print(f"{'48 megapixels':14} {'Pillow':>8} {'ours':>8} {'ratio':>6} {'Pillow':>8} {'ours':>7}")
    with tempfile.TemporaryDirectory(prefix="s3tasks-benchmark-") as folder:
        take_photo(Path(folder))
        for name in ("straight.jpg", "turned.jpg", "straight.png", "turned.png"):
            source = Path(folder, name)
            pairs = [(measure(PILLOW, source), measure(OURS, source)) for _ in range(runs)]
            pillow, ours = (median(list(side)) for side in zip(*pairs, strict=True))
            # Of each pair, which what else the machine did has slowed alike.
            ratio = statistics.median(mine[0] / theirs[0] for theirs, mine in pairs)
            print(
                f"{name:14} {pillow[0]:8.2f} {ours[0]:8.2f} {ratio:6.2f}"
                f" {pillow[1]:8.0f} {ours[1]:7.0f}"
            )
            if ratio > TIME_MAX[source.suffix[1:]]:
                missed.append(f"{name}: {ratio:.2f} of Pillow's time")
            if ours[1] > min(MEMORY_MAX, pillow[1] / 2):
                missed.append(f"{name}: {ours[1]:.0f} MiB")
    for each in missed:
        print(f"missed  {each}", file=sys.stderr)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 5))
