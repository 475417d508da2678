"""The cage around a picture's process: limits on what it takes, and no way to the network, to other
files or to other processes.

A part that the kernel doesn't support is left out, so that pictures are made safe on any system;
`shut` returns the parts in force. The process can't undo any of them, nor can a child of it.

* Landlock, Linux 5.13: https://docs.kernel.org/userspace-api/landlock.html
* seccomp: https://docs.kernel.org/userspace-api/seccomp_filter.html
"""

import ctypes
import errno
import os
import platform
import resource
import signal
import struct
import sys
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

OPEN_FILES = 64

PR_SET_PDEATHSIG, PR_SET_SECCOMP, PR_SET_NO_NEW_PRIVS = 1, 22, 38

# From linux/landlock.h; its system calls have the same numbers on all machines.
CREATE_RULESET, ADD_RULE, RESTRICT_SELF = 444, 445, 446
READ_FILE, READ_DIR = 1 << 2, 1 << 3
WRITE_FILE, REMOVE_FILE, MAKE_REG, TRUNCATE = 1 << 1, 1 << 5, 1 << 8, 1 << 14
READ = READ_FILE | READ_DIR
WRITE = READ | WRITE_FILE | REMOVE_FILE | MAKE_REG | TRUNCATE
ON_A_FILE = READ_FILE | WRITE_FILE | TRUNCATE
# What Landlock can forbid: files; from version 4 on also TCP; from version 6 on also abstract
# sockets and signals.
FILES = {1: (1 << 13) - 1, 2: (1 << 14) - 1, 3: (1 << 15) - 1, 4: (1 << 15) - 1, 5: (1 << 16) - 1}
TCP, SCOPES = 0b11, 0b11

# By machine: seccomp's name for it, and the numbers of the forbidden calls, from asm/unistd.h.
# Landlock can't replace this list: it forbids neither UDP nor sockets with a path.
MACHINES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
FORBIDDEN = {
    "socket": (41, 198),
    "socketpair": (53, 199),
    "connect": (42, 203),
    "fork": (57, None),
    "vfork": (58, None),
    "execve": (59, 221),
    "execveat": (322, 281),
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "tkill": (200, 130),
    "rt_sigqueueinfo": (129, 138),
    "pidfd_send_signal": (424, 424),
    "io_uring_setup": (425, 425),
    "pidfd_open": (434, 434),
    "pidfd_getfd": (438, 438),
}
CLONE, CLONE3 = (56, 220), (435, 435)
ONLY_ITSELF = {"kill": (62, 129), "tgkill": (234, 131), "prlimit64": (302, 261)}
CLONE_THREAD = 0x10000


def limit(*, data_bytes: int, file_bytes: int, cpu_seconds: int) -> None:
    """Set the kernel's limits on this process's memory, disk and time.

    There is no limit on the number of processes, because the kernel counts all processes and
    threads of the user, also in other containers. `shut` forbids new processes anyway.
    """
    for kind, most in [
        (resource.RLIMIT_DATA, data_bytes),
        (resource.RLIMIT_FSIZE, file_bytes),
        (resource.RLIMIT_NOFILE, OPEN_FILES),
        (resource.RLIMIT_CORE, 0),
    ]:
        hard = resource.getrlimit(kind)[1]
        allowed = most if hard == resource.RLIM_INFINITY else min(most, hard)
        with suppress(OSError, ValueError):  # macOS has no limit on memory
            resource.setrlimit(kind, (allowed, allowed))
    # At the first limit the kernel sends SIGXCPU, which shows the reason; at the second it kills
    # the process even if it ignored that.
    resource.setrlimit(resource.RLIMIT_CPU, (cpu_seconds, cpu_seconds + 1))


def shut(*, read: Iterable[Path], write: Iterable[Path]) -> list[str]:
    """From here on, open only these files, and files in these folders; returns the parts in
    force."""
    if sys.platform != "linux":
        return []
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0):
        return []
    return [
        name
        for name, holds in [
            ("landlock", shut_files(libc, read, write)),
            ("seccomp", shut_calls(libc)),
        ]
        if holds
    ]


def shut_files(libc: ctypes.CDLL, read: Iterable[Path], write: Iterable[Path]) -> bool:
    """Shut off files with Landlock; whether the kernel has it."""
    version = libc.syscall(CREATE_RULESET, None, ctypes.c_size_t(0), 1)
    if version < 1:
        return False
    handled = FILES[min(version, max(FILES))]
    attributes = struct.pack(
        "=QQQ", handled, TCP if version >= 4 else 0, SCOPES if version >= 6 else 0
    )
    rules = libc.syscall(CREATE_RULESET, attributes, ctypes.c_size_t(len(attributes)), 0)
    if rules < 0:
        return False
    for paths, rights in ((read, READ), (write, WRITE)):
        for path in paths:
            with suppress(FileNotFoundError):
                file = os.open(path, getattr(os, "O_PATH", 0) | os.O_CLOEXEC)
                may = rights & handled & (-1 if path.is_dir() else ON_A_FILE)
                libc.syscall(ADD_RULE, rules, 1, struct.pack("=Qi", may, file), 0)
                os.close(file)
    held = int(libc.syscall(RESTRICT_SELF, rules, 0)) == 0
    os.close(rules)
    return held


def shut_calls(libc: ctypes.CDLL) -> bool:
    """Forbid network, programs and new processes with seccomp; whether the kernel has it."""
    machine = platform.machine()
    if machine not in MACHINES:
        return False
    column = list(MACHINES).index(machine)
    load, equal, ending = 0x20, 0x15, 0x06  # BPF_LD|W|ABS, BPF_JMP|JEQ|K, BPF_RET
    number, architecture, argument = 0, 4, 16  # where struct seccomp_data has them
    allow, refuse = 0x7FFF0000, 0x00050000

    def step(code: int, value: int, yes: int = 0, no: int = 0) -> bytes:
        return struct.pack("=HBBI", code, yes, no, value)

    steps = [
        step(load, architecture),
        step(equal, MACHINES[machine], 1, 0),
        step(ending, refuse | errno.EPERM),  # a call with another machine's numbers
        step(load, number),
    ]
    for numbers in FORBIDDEN.values():
        if (call := numbers[column]) is not None:
            steps += [step(equal, call, 0, 1), step(ending, refuse | errno.EPERM)]
    # Without the newer call, a library makes a thread by the older one, whose flags this filter can
    # check.
    steps += [step(equal, CLONE3[column], 0, 1), step(ending, refuse | errno.ENOSYS)]
    steps += [
        step(equal, CLONE[column], 0, 4),
        step(load, argument),
        step(0x45, CLONE_THREAD, 1, 0),  # BPF_JMP|JSET|K
        step(ending, refuse | errno.EPERM),
        step(ending, allow),
    ]
    for numbers in ONLY_ITSELF.values():
        steps += [
            step(equal, numbers[column], 0, 5),
            step(load, argument),
            step(equal, os.getpid(), 2, 0),
            step(equal, 0, 1, 0),  # signals only to itself, or to its own group
            step(ending, refuse | errno.EPERM),
            step(ending, allow),
        ]
    steps.append(step(ending, allow))
    code = ctypes.create_string_buffer(b"".join(steps))
    program = struct.pack("@HP", len(steps), ctypes.addressof(code))
    return int(libc.prctl(PR_SET_SECCOMP, 2, program, 0, 0)) == 0
