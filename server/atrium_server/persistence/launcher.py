"""Run by itself, as a script: becomes another program that does not outlive the one who started it.

    python -I -S launcher.py PARENT UID GID PROGRAM [ARGUMENT ...]

It gives up the rights of root (unless UID is negative), asks the system for SIGINT when the thread
that started it ends (for Postgres: a fast and clean shutdown), and becomes PROGRAM. The request
survives that, but not a change of user, hence the order. If PARENT has ended before the request was
made, nothing is started.

A script, because what `preexec_fn` does in a process with several threads may never return: the
copy of the process has only one of them, and the locks that the others held. Starting Python for
it costs some 20 ms. It imports nothing of ours, so that it starts before anything is installed,
and it begins as root, so that the user it becomes need not be able to read it.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def main(arguments: list[str]) -> None:
    """Become the program."""
    parent, uid, gid = (int(number) for number in arguments[:3])
    command = arguments[3:]
    if uid >= 0:
        os.setgroups([])
        os.setgid(gid)
        os.setuid(uid)
    if sys.platform == "linux":  # elsewhere nothing ends it but its owner's orderly end
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGINT)
    if os.getppid() != parent:
        sys.exit(1)
    for number in (signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(number, signal.SIG_DFL)  # Python ignores them, and that would be inherited
    os.umask(0o077)
    os.execv(command[0], command)


if __name__ == "__main__":
    main(sys.argv[1:])
