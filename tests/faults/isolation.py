"""Namespaces of its own for a trial: another network, in which packets may be lost, and disks and processes of which nothing is left."""

import os
import shutil
import signal
import subprocess
import sys

_MARK = "MARQUEE_TRIAL_ISOLATED"


def isolate(arguments):
    """Begins again in namespaces of its own, and does not return from there; true in there, false where that is not possible."""
    # The first process of a namespace is ended by no signal that it does not handle.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("told to stop"))
    if os.environ.get(_MARK):
        return True
    if os.geteuid() != 0 or not all(map(shutil.which, ("unshare", "ip", "nft"))):
        return False
    command = ["unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]
    inner = 'ip link set lo up && exec "$0" "$@"'
    sys.stdout.flush()
    child = subprocess.Popen([*command, "sh", "-c", inner, sys.executable, *arguments], env={**os.environ, _MARK: "1"})
    try:
        sys.exit(child.wait())
    finally:
        # With it goes the namespace, and all that is in it.
        child.kill()
