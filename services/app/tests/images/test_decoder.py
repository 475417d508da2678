"""What a picture may do to the program that decodes it, and to nobody else."""

import contextlib
import os
import select
import signal
import subprocess
import sys
import tempfile
import textwrap
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from support import APP
from support.samples import picture
from uploads import images
from uploads.errors import DecoderBroken, DecoderStopped, ImageRejected
from uploads.images import decoder, memory
from uploads.images import safe as asking

on_linux = pytest.mark.skipif(sys.platform != "linux", reason="Linux's limits and /proc")
pytestmark = on_linux

# What the program does with a picture that ends so; with any other it does what it should.
HARM = b"harm"


@pytest.fixture
def double(monkeypatch):
    """Put code in the place of what is done with a picture that ends in HARM: `double(code)`.

    The program, its cage and its limits are the real ones, but that it has 1 s of CPU, and 3 s.
    """
    monkeypatch.setattr(asking, "decoder", asking.Decoder())
    monkeypatch.setattr(asking, "MAKE_CPU", 1)
    monkeypatch.setattr(asking, "MAKE_TIME", 3)

    def double(code: str, before: str = "") -> None:
        body = textwrap.indent(textwrap.dedent(code), "    ")
        setup = f"""
import ctypes, os, signal, subprocess, threading, time
from uploads.images import cage, picture
honest = picture.make
def harm(source, folder):
{body}
def make(source, folder, **options):
    harmful = source.read_bytes().endswith({HARM!r})
    return harm(source, folder) if harmful else honest(source, folder, **options)
picture.make = make
{before}
"""
        monkeypatch.setattr(asking, "RUN", f"exec({setup!r}); decoder.main()")

    yield double
    asking.decoder.stop()


@pytest.fixture
def make(tmp_path):
    """Make a picture safe: an honest one, or `make(content)`."""

    def new_folder() -> Path:
        return Path(tempfile.mkdtemp(dir=tmp_path))

    def make(content: bytes = b"", folder: Path | None = None, **options):
        folder = folder or new_folder()
        source = folder / "incoming"
        source.write_bytes(content or picture())
        return images.make_safe(source, folder, max_pixels=10**6, **options)

    make.folder = new_folder
    return make


# --- Harm ---

HARMS = {
    "crashes": "ctypes.string_at(0)",
    "aborts": "os.abort()",
    "meets an illegal instruction": "os.kill(os.getpid(), signal.SIGILL)",
    "raises what nobody foresaw": "raise UnicodeDecodeError('utf-8', b'x', 0, 1, 'no such byte')",
    "calls itself": "return harm(source, folder)",
    "ends with an error": "os._exit(3)",
    "ends well and says nothing": "os._exit(0)",
    "wrote nothing": "return {'content_type': 'image/png', 'width': 1, 'height': 1}",
    "says what is no answer": "return ['image/png']",
    "says what is no size": "return {'content_type': 7, 'width': 'x', 'height': {}}",
    "says more than is listened to": "return {'content_type': 'image/png' * 10**6}",
    "loops": "while True: pass",
    "loops and heeds no signal": """
        signal.signal(signal.SIGXCPU, signal.SIG_IGN)
        while True: pass
        """,
    "sleeps": "time.sleep(60)",
    "says nothing more and sleeps": """
        os.closerange(0, 64)
        time.sleep(60)
        """,
    "takes memory": """
        held = []
        while True: held.append(bytearray(1024**2))
        """,
    "takes memory at once": "bytearray(1024**3)",
    "speaks without an end": """
        while True:
            for file in range(64):
                try: os.write(file, bytes(65536))
                except OSError: pass
        """,
    "writes without an end": """
        with open(folder / "image", "wb") as file:
            while True: file.write(bytes(1024**2))
        """,
    "opens files without an end": "held = [open(source) for _ in range(10**5)]",
    "makes a process": "os.fork()",
    "runs a program": "subprocess.run(['true'])",
    "makes threads without an end": """
        while True: threading.Thread(target=time.sleep, args=(60,)).start()
        """,
}


@pytest.mark.parametrize("harm", HARMS)
def test_a_picture_with_which_the_program_does_harm_is_rejected_and_the_next_one_is_not(
    make, double, harm
):
    double(HARMS[harm])
    began = time.monotonic()

    with pytest.raises(ImageRejected) as rejected:
        make(picture() + HARM)

    assert time.monotonic() - began < 40
    assert str(rejected.value) in asking.REASONS
    program = asking.decoder.process
    assert make().width == 64
    assert program is asking.decoder.process


@pytest.mark.parametrize("held", [memory.SMALL_BYTES, memory.LARGE_BYTES])
def test_a_picture_gets_no_more_memory_than_was_counted_for_it(make, double, held, monkeypatch):
    """And what it is ended for is what it uses: libraries ask for much that they never touch."""
    monkeypatch.setattr(asking, "most_bytes", lambda _: memory.most_bytes(held))
    monkeypatch.setattr(asking, "most_reserved", lambda _: memory.most_reserved(held))
    double(
        """
        held = [bytearray(1024**2)]
        while True:
            held.append(bytearray(b"x" * 1024**2))
            with (folder / "taken").open("a") as taken: taken.write("x")
        """
    )

    folder = make.folder()
    with pytest.raises(ImageRejected, match="time or memory"):
        make(picture() + HARM, folder=folder)

    taken = (folder / "safe" / "taken").stat().st_size * 1024**2
    assert held < taken < held + 2 * memory.OWN_BYTES


def test_a_child_that_the_program_leaves_ends_with_it_even_where_it_may_make_one(make, double):
    double(
        """
        child = os.fork()
        if not child: time.sleep(600)
        return {"content_type": "image/png", "width": child, "height": 1}
        """,
        before="cage.shut_calls = lambda libc: False",
    )

    with pytest.raises(ImageRejected):
        make(picture() + HARM)

    program = asking.decoder.process.pid
    assert session_of(program) == {program}


def session_of(program: int) -> set[int]:
    """The processes that descend from the program, and it."""
    parents = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            number, _, rest = (folder / "stat").read_text().partition(" ")
            state, parent = rest.rpartition(")")[2].split()[:2]
            if state != "Z":
                parents[int(number)] = int(parent)
    found = {program}
    while more := {each for each, parent in parents.items() if parent in found} - found:
        found |= more
    return found


def test_nothing_of_the_program_stays_when_its_worker_is_killed(double, make, tmp_path):
    """In the middle of a picture."""
    source = tmp_path / "incoming"
    source.write_bytes(picture())
    code = f"""
import os, pathlib
from uploads import images
from uploads.images import safe
safe.RUN = "from uploads.images import picture; import time; picture.make = lambda *a, **k: time.sleep(600); decoder.main()"
print("go", flush=True)
source = pathlib.Path({str(source)!r})
images.make_safe(source, source.parent, max_pixels=10**6, begin=lambda: print(safe.decoder.process.pid, flush=True))
"""  # noqa: E501
    worker = subprocess.Popen(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(APP)},
        stdout=subprocess.PIPE,
        text=True,
    )
    with worker:
        worker.stdout.readline()
        program = int(worker.stdout.readline() or 0)
        wait_until(lambda: len(session_of(program)) == 2)
        left = session_of(program)
        worker.kill()
    wait_until(lambda: not any(Path(f"/proc/{each}").exists() for each in left))


def wait_until(done, seconds=20.0):
    deadline = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < deadline
        time.sleep(0.01)


# --- From elsewhere ---


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_picture_whose_process_is_killed_from_elsewhere_is_not_rejected(make, double, number):
    double(
        f"signal.signal(15, signal.SIG_DFL); os.kill(os.getpid(), {int(number)}); signal.pause()"
    )

    with pytest.raises(DecoderStopped):
        make(picture() + HARM)

    assert make().width == 64


def test_a_platform_that_ends_every_process_lets_a_picture_be_finished(make, double):
    """Heroku sends SIGTERM to all; the worker then has 25 s to finish what it has in hand."""
    double("os.kill(os.getpid(), signal.SIGTERM); return honest(source, folder, max_bytes=10**6)")

    assert make(picture() + HARM).width == 64
    asking.decoder.process.send_signal(signal.SIGTERM)
    assert make().width == 64


def test_a_program_that_was_killed_is_started_again(make, double):
    double("pass")
    make()
    asking.decoder.process.kill()

    with pytest.raises(DecoderStopped):
        make()

    assert make().width == 64


def test_a_program_that_does_not_start_is_nobodys_fault(make, double, monkeypatch):
    double("pass")
    monkeypatch.setattr(asking, "RUN", "raise SystemExit(1)")

    with pytest.raises(DecoderBroken):
        make()


def test_a_library_that_is_not_there_is_not_the_pictures_fault(make, double):
    double("import no_such_library")

    with pytest.raises(DecoderBroken):
        make(picture() + HARM)


def test_a_program_that_was_not_asked_for_long_is_not_asked_again(make, double, monkeypatch):
    """It ends by itself, so memory goes back where no pictures come."""
    double("pass", before="decoder.IDLE_SECONDS = 0.2")
    monkeypatch.setattr(asking, "IDLE_TIME", 0)
    make()
    program = asking.decoder.process
    assert program.wait(60) == 0

    assert make().width == 64
    assert asking.decoder.process is not program


# --- The cage ---


def inside(code: str) -> str:
    """Code that says what `code` raised, by the name of its errno."""
    body = textwrap.indent(textwrap.dedent(code), "    ")
    return f"""
import errno, socket
try:
{body}
except OSError as error:
    said = errno.errorcode[error.errno]
else:
    said = "done"
return {{"content_type": said, "width": 1, "height": 1}}
"""


@pytest.fixture
def caged(make, double, monkeypatch):
    """What code is told inside the cage: `caged(code)`."""
    said = []
    monkeypatch.setattr(asking, "checked", lambda folder, done: said.append(done["content_type"]))

    def caged(code: str, **options) -> str:
        double(inside(code), **options)
        make(picture() + HARM)
        return said[-1]

    return caged


def has_landlock() -> bool:
    import ctypes

    return ctypes.CDLL(None).syscall(444, None, ctypes.c_size_t(0), 1) > 0


with_landlock = pytest.mark.skipif(
    sys.platform == "linux" and not has_landlock(), reason="the kernel has no Landlock"
)

SECRETS = {
    "this process's environment": f"/proc/{os.getpid()}/environ",
    "the first process's environment": "/proc/1/environ",
    "its own environment": "/proc/self/environ",
    "a process's memory": f"/proc/{os.getpid()}/mem",
    "the settings": str(APP / "s3tasks" / "settings" / "base.py"),
    "the accounts": "/etc/passwd",
}


@with_landlock
@pytest.mark.parametrize("secret", SECRETS)
def test_the_program_cannot_read(caged, secret):
    assert caged(f"open({SECRETS[secret]!r}).read(1)") == "EACCES"


@with_landlock
def test_the_program_cannot_read_another_picture_or_write_beside_its_own(caged, tmp_path):
    other = tmp_path / "other"
    other.write_bytes(picture())

    assert caged(f"open({str(other)!r})") == "EACCES"
    assert caged("open(source.parent / 'x', 'w')") == "EACCES"
    assert caged("open(source, 'a')") == "EACCES"
    assert caged("os.symlink('/etc/passwd', folder / 'image')") == "EACCES"
    assert caged("os.link(source, folder / 'image')") in {"EXDEV", "EACCES"}
    assert caged("os.mkdir(folder / 'x')") == "EACCES"


CALLS = {
    "the network": "socket.socket(socket.AF_INET)",
    "a datagram": "socket.socket(socket.AF_INET, socket.SOCK_DGRAM)",
    "a socket of this machine": "socket.socket(socket.AF_UNIX)",
    "a pair of sockets": "socket.socketpair()",
    "a process of its own": "os.fork()",
    "another program": "os.execv('/bin/true', ['true'])",
    "to end the worker": f"os.kill({os.getpid()}, 0)",
    "to look into the worker": f"os.pidfd_open({os.getpid()})",
    "to change the worker's limits": (
        f"import resource; resource.prlimit({os.getpid()}, resource.RLIMIT_CORE)"
    ),
    "more than its limits": (
        "import resource; resource.setrlimit(resource.RLIMIT_DATA, (2**40, 2**40))"
    ),
}


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("landlock", ["with Landlock", "without"])
def test_the_program_cannot_have(caged, call, landlock):
    before = "cage.shut_files = lambda *a: False" if landlock == "without" else ""
    if call == "more than its limits" and os.getuid() == 0:
        pytest.skip("root may")

    assert caged(CALLS[call], before=before) in {"EPERM", "EACCES"}


def test_pictures_are_made_safe_where_the_kernel_has_no_cage(make, double):
    double("pass", before="cage.shut = lambda **options: []")

    assert make().width == 64


def test_the_program_has_no_environment_and_no_file_but_its_own(caged):
    """But where it says what came of it."""
    assert (
        caged(
            """
            names = set(os.environ) - {"MALLOC_ARENA_MAX", "MALLOC_MMAP_THRESHOLD_", "LC_CTYPE"}
            assert not names
            files = []
            for file in range(3, 64):
                try: os.fstat(file)
                except OSError: pass
                else: files.append(file)
            assert len(files) == 1, files
            """
        )
        == "done"
    )


# --- What it wrote ---


@pytest.mark.parametrize(
    "code",
    [
        "os.symlink({secret!r}, folder / 'image')",
        "os.link({secret!r}, folder / 'image')",
        "os.mkfifo(folder / 'image')",
        "os.mkdir(folder / 'image')",
        "(folder / 'image').write_bytes(b'<html>')",
        "(folder / 'thumbnail').unlink(); os.symlink({secret!r}, folder / 'thumbnail')",
    ],
)  # fmt: skip
def test_what_is_no_picture_of_the_programs_own_is_not_taken_from_it(make, double, tmp_path, code):
    """Were it broken into where the kernel has no Landlock."""
    secret = tmp_path / "secret.png"
    secret.write_bytes(picture())
    double(
        f"""
        done = honest(source, folder, max_bytes=10**6)
        os.rename(folder / "image", folder / "image.png")
        if "thumbnail" in {code!r}: os.rename(folder / "image.png", folder / "image")
        {code.format(secret=str(secret))}
        return done
        """,
        before="cage.shut = lambda **options: []",
    )

    with pytest.raises(ImageRejected):
        make(picture() + HARM)


def test_a_worker_never_loads_libvips(tmp_path):
    source = tmp_path / "incoming"
    source.write_bytes(picture())
    code = f"""
import pathlib
from uploads import images
source = pathlib.Path({str(source)!r})
images.make_safe(source, source.parent, max_pixels=10**6)
assert "vips" not in pathlib.Path("/proc/self/maps").read_text()
"""
    subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(APP)},
        check=True,
    )


def test_what_a_picture_says_just_before_it_ends_is_heard(monkeypatch):
    reader, writer = os.pipe()
    code = "import os; os.write(1, b'the answer')"
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=writer, start_new_session=True
    ) as child:
        os.close(writer)
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        looks = [[]]  # at first nothing is there yet; then it writes and ends at once

        class Poll:
            def __init__(self):
                self.real = select.poll()

            def register(self, *arguments):
                self.real.register(*arguments)

            def unregister(self, file):
                self.real.unregister(file)

            def poll(self, timeout):
                return looks.pop() if looks else self.real.poll(timeout)

        late = SimpleNamespace(poll=Poll, POLLIN=select.POLLIN, POLLHUP=select.POLLHUP)
        monkeypatch.setattr(decoder, "select", late)
        said = decoder.watch(child.pid, reader, {"seconds": 5, "memory_bytes": 2**40})
    os.close(reader)
    assert said == (b"the answer", False)
