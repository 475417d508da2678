#!/usr/bin/env python3
"""Chromium that hears nothing of the machine's network.

Whenever a container comes or goes, so does a network, and Chromium then ends whatever it loads
(net::ERR_NETWORK_CHANGED): now and then a page lacks a script. Without a netlink socket it takes
the network as it is: net/base/address_tracker_linux.cc of its sources.
"""

import ctypes
import errno
import os
import platform
import shutil
import socket
import struct
import sys

PR_SET_SECCOMP, PR_SET_NO_NEW_PRIVS = 22, 38
SOCKET = {"x86_64": 41, "aarch64": 198}  # its number as a system call
LOAD, EQUAL, ENDING = 0x20, 0x15, 0x06  # BPF_LD|W|ABS, BPF_JMP|JEQ|K, BPF_RET
NUMBER, ARGUMENT = 0, 16  # where struct seccomp_data has them
ALLOW, REFUSE = 0x7FFF0000, 0x00050000


def chromium_path() -> str | None:
    """Debian's Chromium, or another that is installed."""
    return next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)


def refuse_netlink() -> None:
    """No such socket for this process and whatever it becomes; where it is no Linux, nothing."""
    number = SOCKET.get(platform.machine())
    if number is None or sys.platform != "linux":
        return
    steps = [
        (LOAD, 0, 0, NUMBER),
        (EQUAL, 0, 3, number),
        (LOAD, 0, 0, ARGUMENT),
        (EQUAL, 0, 1, socket.AF_NETLINK),
        (ENDING, 0, 0, REFUSE | errno.EAFNOSUPPORT),
        (ENDING, 0, 0, ALLOW),
    ]
    code = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *step) for step in steps))
    program = struct.pack("@HP", len(steps), ctypes.addressof(code))
    libc = ctypes.CDLL(None)
    libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    libc.prctl(PR_SET_SECCOMP, 2, program, 0, 0)


if __name__ == "__main__":
    refuse_netlink()
    path = chromium_path()
    assert path, "chromium is not installed"
    os.execv(path, [path, *sys.argv[1:]])  # noqa: S606
