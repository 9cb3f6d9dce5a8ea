"""The programs and the servers of a trial, as processes: started, killed, paused, and looked at in /proc."""

import os
import re
import signal
import socket
import subprocess
import time
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

# A line of the log: when, how bad, and a sentence.
LINE = re.compile(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z +(TRACE|DEBUG|INFO|WARN|ERROR) \S")


def free_ports(count):
    """Ports below the ephemeral range, so that no outgoing connection takes one before its server does."""
    held = []
    while len(held) < count:
        probe = socket.socket()
        try:
            probe.bind(("127.0.0.1", 10_000 + int.from_bytes(os.urandom(2), "big") % 20_000))
            held.append(probe)
        except OSError:
            probe.close()
    ports = [probe.getsockname()[1] for probe in held]
    for probe in held:
        probe.close()
    return ports


class Process:
    """A process that is started again and again, with one log for all of its lives."""

    def __init__(self, name, command, log, env=None, cwd=None):
        self.name, self.command, self.log, self.env, self.cwd = name, command, Path(log), env, cwd
        self.child = None
        self.starts = 0

    def start(self):
        self.starts += 1
        with open(self.log, "ab") as log:
            self.child = subprocess.Popen(
                self.command, env=self.env, cwd=self.cwd, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )

    @property
    def pid(self):
        return self.child.pid

    def is_alive(self):
        return self.child is not None and self.child.poll() is None

    def signal(self, what):
        if self.is_alive():
            self.child.send_signal(what)

    def kill(self):
        self.signal(signal.SIGKILL)
        self.child.wait(timeout=30)

    def stop(self, seconds):
        """SIGTERM; its exit code, or nothing if it still ran after so long, and was killed."""
        self.signal(signal.SIGTERM)
        try:
            return self.child.wait(timeout=seconds)
        except subprocess.TimeoutExpired:
            self.kill()
            return None

    def pause(self):
        self.signal(signal.SIGSTOP)

    def go_on(self):
        self.signal(signal.SIGCONT)

    def resources(self):
        """Resident memory in MiB, open files, threads; nothing if it does not run."""
        folder = Path(f"/proc/{self.pid}")
        try:
            status = (folder / "status").read_text()
            number = lambda key: int(re.search(rf"^{key}:\s+(\d+)", status, re.MULTILINE)[1])
            return number("VmRSS") / 1024, len(os.listdir(folder / "fd")), number("Threads")
        except (OSError, TypeError):
            return None


class Servers:
    """The real servers of `.ci/servers`, a set of this trial alone; each may be killed and started again with its data."""

    def __init__(self, folder):
        self.folder = Path(folder)
        self.env = {**os.environ, "MARQUEE_CI_RUN": str(folder)}
        self.exports = {}
        self.processes = {}

    def start(self, names):
        done = subprocess.run([ROOT / ".ci" / "servers", "start"], env=self.env, capture_output=True, text=True, timeout=600)
        if done.returncode != 0:
            raise SystemExit(f"the servers do not start:\n{done.stderr}")
        self.exports = dict(re.findall(r"^export (\w+)='(.*)'$", done.stdout, re.MULTILINE))
        for name in ("mariadb", "nats", "kafka"):
            pid = int((self.folder / f"{name}.pid").read_text())
            if name in names:
                self.processes[name] = _Adopted(name, pid, self.folder)
            else:
                os.kill(pid, signal.SIGTERM)

    def stop(self):
        for process in self.processes.values():
            process.go_on()
            process.stop(30)
        # It waits for each until it is gone, and does not see that one is gone whose parent is this process.
        command = ["timeout", "60", ROOT / ".ci" / "servers", "stop"]
        subprocess.run(command, env=self.env, capture_output=True, check=False)


class _Adopted(Process):
    """A server that `.ci/servers` has started; its command is the one that it was started with."""

    def __init__(self, name, pid, folder):
        command = Path(f"/proc/{pid}/cmdline").read_bytes().rstrip(b"\0").split(b"\0")
        super().__init__(name, command, folder / f"{name}.log")
        self.adopted = pid
        self.file = folder / f"{name}.pid"

    @property
    def pid(self):
        return self.adopted or self.child.pid

    def start(self):
        self.adopted = None
        super().start()
        self.file.write_text(str(self.pid))

    def is_alive(self):
        if self.adopted is None:
            return super().is_alive()
        try:
            # In a namespace of its own this process is the parent of all whose parents have ended.
            os.waitpid(self.adopted, os.WNOHANG)
        except ChildProcessError:
            pass
        try:
            return Path(f"/proc/{self.adopted}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
        except OSError:
            return False

    def signal(self, what):
        if self.adopted is None:
            super().signal(what)
        elif self.is_alive():
            os.kill(self.adopted, what)

    def kill(self):
        self.stop_by(signal.SIGKILL, 30)

    def stop(self, seconds):
        return self.stop_by(signal.SIGTERM, seconds)

    def stop_by(self, what, seconds):
        self.signal(what)
        until = time.monotonic() + seconds
        while self.is_alive():
            if time.monotonic() > until:
                self.signal(signal.SIGKILL)
                until += 30
            if self.adopted is None:
                self.child.poll()
            time.sleep(0.05)
        return self.child.returncode if self.adopted is None else 0


def answers(port):
    """Whether somebody listens there."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def not_ready(programs, ports):
    """Why one of the programs is not ready, each asked at its port of `ports`; nothing if all are."""
    for name, port in ports.items():
        if not programs[name].is_alive():
            return f"{name} ended by itself: {programs[name].log.read_text(errors='replace')[-600:]}"
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=5) as answer:
                answer.read()
        except OSError as error:
            return f"{name}: {error} {error.read().decode() if hasattr(error, 'read') else ''}"
    return None


def eventually(seconds, what, condition):
    """Waits until it holds; what it says of itself otherwise is the error."""
    until = time.monotonic() + seconds
    while True:
        said = condition()
        if said is None or said is True:
            return
        if time.monotonic() > until:
            raise TimeoutError(f"waited {seconds} s in vain for {what}: {said}")
        time.sleep(0.25)
