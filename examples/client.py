#!/usr/bin/env python3
# SPDX-FileCopyrightText: 2026 The muontrap authors
# SPDX-License-Identifier: Apache-2.0
"""client.py SECONDS PROGRAM [ARG]...

Runs a program under muontrap for at most SECONDS. Passes its output on, and
exits with its status, or with 124 if the time was up.
"""
import asyncio
import sys
from asyncio.subprocess import PIPE


def acks(n):
    """The bytes that acknowledge n bytes of output: 0 stands for 1, 255 for 256."""
    return b"\xff" * (n // 256) + (bytes([n % 256 - 1]) if n % 256 else b"")


async def relay(muontrap):
    while data := await muontrap.stdout.read(65536):
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
        muontrap.stdin.write(acks(len(data)))


async def run(seconds, command):
    muontrap = await asyncio.create_subprocess_exec(
        "muontrap", "--capture-output", "--", *command, stdin=PIPE, stdout=PIPE)
    try:
        await asyncio.wait_for(relay(muontrap), seconds)
        status = await muontrap.wait()
        return status if status >= 0 else 128 - status
    except asyncio.TimeoutError:
        muontrap.stdin.close()  # that stops the program
        sys.stdout.buffer.write(await muontrap.stdout.read())  # its last words
        await muontrap.wait()
        return 124


if __name__ == "__main__":
    sys.exit(asyncio.run(run(float(sys.argv[1]), sys.argv[2:])))
