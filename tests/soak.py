#!/usr/bin/env python3
"""Runs a system for as long as you like under a mixed load, while programs and servers are killed, paused, stopped, cut off, short of room
and told wrong times; and says pass or fail, with figures.

    tests/soak.py [--seconds 3600] [--seed N] [--layout services|one] [--programs FOLDER] [--keep]

`services`: two catalogs with pages and two recommendations services over MySQL and Kafka. `one`: the program `marquee` alone, with its
databases and its broker inside. Which fault comes when follows from the seed, which is printed; how the programs get on with it is theirs.

Needs the programs in FOLDER [default: target/debug], and what `.ci/servers faults` installs; its Python runs this. As root everything runs
in namespaces of its own: nothing else on the machine is touched, and nothing outlives it. Another user has no way to cut a network or fill a
disk, and these faults are left out, which is said, and is an error where CI_REQUIRE_SERVERS is set.

It passes if, at a rest every ten minutes and at the end, all invariants hold; no client was answered what it must not be; memory, open files
and threads of the programs that were not killed stay flat; no log has an error, a panic, a dead letter or a line that is no sentence, or is
longer than it may be; and every program ends by itself on SIGTERM. If it fails, all logs, samples and faults are left in a folder.
"""

import argparse
import csv
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from faults import check, stubs
from faults.isolation import isolate
from faults.load import Load
from faults.model import Model, seeded
from faults.processes import LINE, ROOT, Process, Servers, eventually, free_ports, not_ready

# -- what is allowed ---------------------------------------------------------------------------------------------------------------
# Between two checks, at which all has to hold.
ACT_SECONDS = 600
# How long it may take after the last fault until everything has followed: consumer groups, leases and connections have their times.
CALM_SECONDS = 180
# Memory of a program that was not killed may grow by so much in the second half. docs/BENCHMARKS.md says what was measured.
GROWTH_MIB, GROWTH_SHARE = 8, 0.08
# At rest it may have so many more open files and threads than at the first rest. Connections to MySQL are opened when they are first needed, up
# to six, and each has five files: its socket and those of its event loop.
MORE_FILES, MORE_THREADS = 24, 12
# Lines in a minute of a program's log, all faults counted: each outage is two lines.
LINES_A_MINUTE = 40
STOP_SECONDS = 6
LONGEST_FAULT = 15

# What is no alarm of a program, because it says that a disk is full, which it was.
EXPECTED = ("No space left on device",)
ALARMS = ("panicked", "dead letter", "set aside", "setting aside", " ERROR ")


def say(begun, what):
    print(f"{time.monotonic() - begun:6.0f}s  {what}", flush=True)


class Trial:
    def __init__(self, options, work):
        self.options, self.work = options, work
        self.begun = time.monotonic()
        self.seed = options.seed
        self.model = Model()
        self.rng = seeded(self.seed, "faults")
        self.programs, self.servers = {}, None
        self.samples = []
        self.faults = []
        self.longest_recovery = 0.0
        self.is_isolated = options.is_isolated
        self.clocks = {}
        self.rests = []

    def say(self, what):
        say(self.begun, what)

    # -- the system -----------------------------------------------------------------------------------------------------------
    def add_program(self, name, program, settings):
        env = {key: str(value) for key, value in settings.items()}
        env |= {"RUST_BACKTRACE": "1", "DATA_DIR": str(self.work / "data" / name)}
        library = os.environ.get("TEST_FAKETIME")
        if library:
            clock = self.work / f"{name}.clock"
            clock.write_text("+0")
            self.clocks[name] = clock
            env |= {
                "LD_PRELOAD": library,
                "FAKETIME_TIMESTAMP_FILE": str(clock),
                "FAKETIME_CACHE_DURATION": "1",
                "FAKETIME_DONT_FAKE_MONOTONIC": "1",
                "DONT_FAKE_MONOTONIC": "1",
                "NO_FAKE_STAT": "1",
            }
        if name == "marquee":
            env["DATA_DIR"] = str(self.disk)
        command = [str(Path(self.options.programs) / program)]
        self.programs[name] = Process(name, command, self.work / f"{name}.log", env, self.work)

    def small_disk(self, name, size):
        """A disk of its own for what is to run out of room."""
        folder = self.work / name
        folder.mkdir()
        folder.chmod(0o755)
        if self.is_isolated:
            subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size},mode=755", "marquee-soak", folder], check=True)
        return folder

    def services(self):
        self.disk = self.small_disk("servers", "900m")
        self.servers = Servers(self.disk)
        self.servers.start(["mariadb", "kafka"])
        url = self.servers.exports["TEST_MYSQL_URL"]
        kafka = self.servers.exports["TEST_KAFKA_BROKERS"]
        self.ports = {"mariadb": int(url.rsplit(":", 1)[1]), "kafka": int(kafka.rsplit(":", 1)[1])}
        self.sql("CREATE DATABASE movies; CREATE DATABASE recommendations")
        ports = iter(free_ports(10))
        self.catalogs, self.recommenders, self.pages, self.ready = [], [], [], {}
        for number in (1, 2):
            grpc, http = next(ports), next(ports)
            self.recommenders.append(f"127.0.0.1:{grpc}")
            self.ports[f"recommendations-{number}"] = grpc
            self.ready[f"recommendations-{number}"] = http
            settings = {"DATABASE_URL": f"{url}/recommendations", "KAFKA_BROKER": kafka}
            settings |= {"GRPC_ADDR": f"127.0.0.1:{grpc}", "HTTP_ADDR": f"127.0.0.1:{http}"}
            self.add_program(f"recommendations-{number}", "recommendations", settings)
        for number in (1, 2):
            http, ops, grpc = next(ports), next(ports), next(ports)
            self.catalogs.append(f"127.0.0.1:{grpc}")
            self.pages.append(f"127.0.0.1:{http}")
            self.ready[f"catalog-{number}"] = ops
            settings = {"DATABASE_URL": f"{url}/movies", "KAFKA_BROKER": kafka, "RECOMMENDATIONS_HOST": self.recommenders[number - 1]}
            settings |= {"HTTP_ADDR": f"127.0.0.1:{http}", "OPS_ADDR": f"127.0.0.1:{ops}", "CATALOG_GRPC_ADDR": f"127.0.0.1:{grpc}"}
            settings["SECRET_KEY"] = "a secret of the soak"
            self.add_program(f"catalog-{number}", "catalog", settings)
        # One of each is never killed: memory and files of a program that was started again say nothing.
        self.mortal = ["recommendations-1", "catalog-1"]

    def one(self):
        self.disk = self.small_disk("disk", "160m")
        self.ports = {}
        http, ops, grpc, catalog, nats = free_ports(5)
        self.catalogs, self.recommenders, self.pages = [f"127.0.0.1:{catalog}"], [f"127.0.0.1:{grpc}"], [f"127.0.0.1:{http}"]
        self.ready = {"marquee": ops}
        settings = {"HTTP_ADDR": self.pages[0], "OPS_ADDR": f"127.0.0.1:{ops}", "GRPC_ADDR": self.recommenders[0]}
        settings |= {"CATALOG_GRPC_ADDR": self.catalogs[0], "NATS_ADDR": f"127.0.0.1:{nats}"}
        self.add_program("marquee", "marquee", settings)
        # Its memory is looked at in the second half, in which it is not killed.
        self.mortal = ["marquee"]

    def sql(self, statement):
        command = ["mariadb", "--no-defaults", f"--socket={self.disk}/mariadb/socket", "--user=root", "--batch", "--skip-column-names"]
        done = subprocess.run([*command, "--execute", statement], capture_output=True, text=True, timeout=60)
        if done.returncode != 0:
            raise RuntimeError(done.stderr)
        return done.stdout.split()

    def not_ready(self):
        return not_ready(self.programs, self.ready)

    # -- faults ---------------------------------------------------------------------------------------------------------------
    def kinds(self):
        """The kinds of faults that this machine and this layout can have; each begins, lasts, and is ended."""
        kinds = {}
        for name in self.mortal:
            kinds[f"kill {name}"] = lambda name=name: self.kill(self.programs[name])
        for name in self.programs:
            kinds[f"pause {name}"] = lambda name=name: self.pause(self.programs[name])
        if self.clocks:
            kinds["clock of one"] = lambda: self.step_clocks([self.rng.choice(list(self.clocks))])
            kinds["clock of all"] = lambda: self.step_clocks(list(self.clocks))
        if self.servers:
            for name, server in self.servers.processes.items():
                kinds[f"kill {name}"] = lambda server=server: self.kill(server)
                kinds[f"stop {name}"] = lambda server=server: self.stop(server)
                kinds[f"pause {name}"] = lambda server=server: self.pause(server)
        if self.is_isolated:
            for name in self.ports:
                kinds[f"cut {name}"] = lambda name=name: self.cut(name)
            kinds["full disk"] = self.fill_disk
        return kinds

    def kill(self, process):
        process.kill()
        return lambda: self.start_again(process)

    def stop(self, server):
        server.go_on()
        server.stop(60)
        return lambda: self.start_again(server)

    def start_again(self, process):
        if not process.is_alive():
            process.start()

    def pause(self, process):
        process.pause()
        return process.go_on

    def step_clocks(self, names):
        step = self.rng.choice(("-3600", "-60", "-2", "+2", "+60", "+3600"))
        for name in names:
            self.clocks[name].write_text(step)
        self.faults[-1]["what"] += f" by {step} s"

        def end():
            for name in names:
                self.clocks[name].write_text("+0")

        return end

    def cut(self, name):
        """Packets of that port are lost, both ways."""
        port = self.ports[name]
        rules = f"add rule inet soak lost tcp dport {port} drop\nadd rule inet soak lost tcp sport {port} drop\n"
        self.nft(rules)
        return lambda: self.nft("flush chain inet soak lost\n")

    def nft(self, rules):
        subprocess.run(["nft", "-f", "-"], input=rules, text=True, check=True)

    def fill_disk(self):
        ballast = self.disk / "ballast"

        def end():
            ballast.unlink(missing_ok=True)
            for server in (self.servers.processes if self.servers else {}).values():
                # Kafka ends when it cannot write its log.
                self.start_again(server)

        with open(ballast, "ab", buffering=0) as file:
            for size in (1 << 20, 1 << 12, 1):
                try:
                    while file.write(b"x" * size) == size:
                        pass
                except OSError:
                    pass
        return end

    def strike(self, kinds, longest):
        """Faults that begin and end at the same moments."""
        lasts = self.rng.choice((0.0, self.rng.uniform(0.1, 3), self.rng.uniform(3, longest)))
        ends = []
        for name, begin in kinds:
            self.faults.append({"at": round(time.monotonic() - self.begun, 1), "what": name, "lasts": round(lasts, 1)})
            ends.append(begin())
        told = " and ".join(fault["what"] for fault in self.faults[-len(ends) :])
        self.say(f"{told}, for {lasts:.1f} s")
        self.wait(lasts)
        for end in ends:
            end()

    def wait(self, seconds):
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            time.sleep(min(left, 1.0))
            self.sample()

    def sample(self):
        """Memory, files and threads of each program, every five seconds."""
        now = time.monotonic() - self.begun
        if self.samples and now - self.samples[-1][0] < 5:
            return
        for name, program in self.programs.items():
            resources = program.resources() if program.is_alive() else None
            if resources:
                self.samples.append((now, name, program.starts, *resources))

    # -- the trial ------------------------------------------------------------------------------------------------------------
    def run(self):
        self.say(f"seed {self.seed}, {self.options.layout}, {self.options.seconds} s, in {self.work}")
        self.services() if self.options.layout == "services" else self.one()
        if self.is_isolated:
            self.nft("add table inet soak\nadd chain inet soak lost { type filter hook output priority 0; }\n")
        else:
            self.say("LEFT OUT, for want of root: the network cut, the disk full")
            if os.environ.get("CI_REQUIRE_SERVERS"):
                self.model.say_wrong("faults were left out although servers are required")
        if not self.clocks:
            self.say("LEFT OUT, for want of TEST_FAKETIME: steps of the clock")
        for program in self.programs.values():
            program.start()
        eventually(120, "the programs to be ready", self.not_ready)
        clients = 5 if self.servers else 4
        self.load = Load(self.model, self.seed, self.catalogs, self.recommenders, self.pages, clients, 200, self.options.pause)
        self.say("all programs are ready")
        # A little without faults, and a rest, as a measure for the others.
        self.load.start()
        self.wait(min(30, self.options.seconds / 6))
        self.rest()
        last = self.begun_faults = time.monotonic()
        until = last + self.options.seconds
        plan = []
        while (left := until - time.monotonic()) > 0:
            self.load.start()
            act = time.monotonic() + (left if left < ACT_SECONDS * 1.5 else ACT_SECONDS)
            while time.monotonic() < act:
                kinds = self.kinds()
                is_late = time.monotonic() - last > self.options.seconds / 2
                together = {}
                # Now and then two at once.
                for _ in range(2 if self.rng.random() < 0.25 else 1):
                    if not plan:
                        plan = sorted(kinds)
                        self.rng.shuffle(plan)
                    name = plan.pop()
                    if not (self.options.layout == "one" and is_late and name.startswith("kill")):
                        together[name] = kinds[name]
                if not together:
                    continue
                # Longer outages than most deadlines, but shorter than a write may be in doubt.
                self.strike(together.items(), LONGEST_FAULT)
                self.wait(self.rng.uniform(1, 6))
            self.rest()
        self.judge()

    def rest(self):
        """No load and no fault: everything has to follow."""
        began = time.monotonic()
        # A Kafka whose disk was full for a moment ends some time after that.
        self.wait(2)
        for server in (self.servers.processes if self.servers else {}).values():
            self.start_again(server)
        eventually(CALM_SECONDS, "all programs to be ready", self.not_ready)
        ready = time.monotonic()
        self.load.stop()
        catalogs, recommenders = self.load.catalogs, self.load.recommenders
        # What was in doubt has happened by now, or never will.
        doubted = [film.state.doubt_until for film in self.model.films.values()]
        doubted += [register.doubt_until for registers in self.model.follows.values() for register in registers.values()]
        self.wait(max(0.0, max(doubted, default=0.0) - time.monotonic()))
        texts, follows = [], {}

        def settled():
            nonlocal texts, follows
            try:
                texts, follows = check.settle(self.model, catalogs, recommenders)
            except stubs.grpc.RpcError as error:
                return f"{error.code().name}: {error.details()}"
            return None

        eventually(60, "films and preferences to be told", settled)
        compared = time.monotonic()
        try:
            eventually(CALM_SECONDS, "everything to follow", lambda: check.difference(self.model, texts, follows, catalogs, recommenders))
            if self.servers:
                eventually(60, "no work to be left", self.work_left)
        except TimeoutError as error:
            # What comes later may be wrong as well, or may come right by itself: both is good to know.
            self.model.say_wrong(str(error))
            self.leave_data()
        took = time.monotonic() - compared
        self.longest_recovery = max(self.longest_recovery, ready - began, took)
        self.wait(11)
        self.rests.append({name: (program.starts, *program.resources()) for name, program in self.programs.items()})
        following = sum(len(keywords) for keywords in follows.values())
        self.say(
            f"at rest: {len(texts)} films and {following} preferences are as they were acknowledged; "
            f"ready after {ready - began:.1f} s, everything followed after {took:.1f} s more; {self.model.acknowledged} writes acknowledged, "
            f"{self.model.unanswered} not, {len(self.model.wrong)} things wrong"
        )

    def work_left(self):
        counts = {table: int(self.sql(f"SELECT COUNT(*) FROM {table}")[0]) for table in ("movies.movie_outbox", "recommendations.outbox", "recommendations.backlog")}
        return None if not any(counts.values()) else str(counts)

    # -- the verdict ----------------------------------------------------------------------------------------------------------
    def judge(self):
        self.judge_resources()
        for program in self.programs.values():
            began = time.monotonic()
            status = program.stop(STOP_SECONDS)
            took = time.monotonic() - began
            if status != 0:
                self.model.say_wrong(f"{program.name} was told to stop and ended with {status} after {took:.1f} s")
            self.say(f"{program.name} stopped after {took:.1f} s")
        self.judge_logs()
        self.say(f"answers: {json.dumps(dict(sorted(self.load.answers.items())))}; the slowest took {self.load.slowest:.1f} s")
        self.say(f"{len(self.faults)} faults; {self.load.live_events} live events; the longest wait for calm was {self.longest_recovery:.1f} s")

    def judge_resources(self):
        half = (self.samples[-1][0] + self.begun_faults - self.begun) / 2
        for name, program in self.programs.items():
            of = [sample for sample in self.samples if sample[1] == name and sample[2] == program.starts]
            late = [sample for sample in of if sample[0] >= half]
            first = next((rest[name] for rest in self.rests if rest[name][0] == program.starts), None)
            last = self.rests[-1][name]
            line = f"{name}: {last[1]:.1f} MiB, {last[2]} files, {last[3]} threads at rest"
            if len(late) >= 8 and of[0][0] <= half:
                quarter = len(late) // 4
                early_median = statistics.median(sample[3] for sample in late[: 2 * quarter])
                late_median = statistics.median(sample[3] for sample in late[-2 * quarter :])
                slope = statistics.linear_regression([sample[0] for sample in late], [sample[3] for sample in late]).slope
                growth = slope * (late[-1][0] - late[0][0])
                line += f"; in the second half {slope * 3600:+.2f} MiB an hour, {growth:+.2f} MiB in all (medians {early_median:.1f}, {late_median:.1f})"
                if growth > max(GROWTH_MIB, GROWTH_SHARE * early_median):
                    self.model.say_wrong(f"the memory of {name} grew by {growth:.1f} MiB in the second half")
            if first and first is not last:
                line += f"; {last[2] - first[2]:+d} files and {last[3] - first[3]:+d} threads since the first rest"
                if last[2] - first[2] > MORE_FILES:
                    self.model.say_wrong(f"{name} has {last[2]} open files at rest, {last[2] - first[2]} more than at first")
                if last[3] - first[3] > MORE_THREADS:
                    self.model.say_wrong(f"{name} has {last[3]} threads at rest, {last[3] - first[3]} more than at first")
            self.say(line)

    def judge_logs(self):
        minutes = max(1.0, (time.monotonic() - self.begun) / 60)
        for name, program in self.programs.items():
            text = program.log.read_text(errors="replace")
            lines = text.splitlines()
            strange = [line for line in lines if not LINE.match(line)]
            alarms = [line for line in lines if any(alarm in line for alarm in ALARMS) and not any(words in line for words in EXPECTED)]
            longest = max(map(len, lines), default=0)
            self.say(f"{name}: {len(lines)} lines of log, {len(text) >> 10} KiB, {len(lines) / minutes:.1f} a minute, the longest {longest} characters")
            for kind, found in (("is no sentence of the log", strange), ("raises an alarm", alarms)):
                for line in found[:5]:
                    self.model.say_wrong(f"a line of {name} {kind}: {line[:400]}")
            if len(lines) > LINES_A_MINUTE * minutes:
                self.model.say_wrong(f"{name} wrote {len(lines)} lines in {minutes:.1f} minutes")

    def leave(self):
        """What is there to look at afterwards."""
        (self.work / "wrong.txt").write_text("\n".join(self.model.wrong) + "\n")
        (self.work / "faults.json").write_text(json.dumps(self.faults, indent=1))
        with open(self.work / "samples.csv", "w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(("seconds", "program", "start", "mib", "files", "threads"))
            writer.writerows(self.samples)

    def leave_data(self):
        """The databases and the topics as they are, for those who want to know why they are so."""
        if not self.servers:
            shutil.copytree(self.disk, self.work / f"data-{len(self.faults)}", dirs_exist_ok=True)
            return
        folder = self.work / f"data-{len(self.faults)}"
        folder.mkdir(exist_ok=True)
        for database in ("movies", "recommendations"):
            command = ["mariadb-dump", "--no-defaults", f"--socket={self.disk}/mariadb/socket", "--user=root", "--single-transaction", database]
            with open(folder / f"{database}.sql", "w") as file:
                subprocess.run(command, stdout=file, stderr=subprocess.DEVNULL, timeout=120, check=False)
        classes = next(self.servers.processes["kafka"].command[at + 1] for at, word in enumerate(self.servers.processes["kafka"].command) if word == b"-cp")
        for log in sorted(self.disk.glob("kafka/film_recommendation_status_updates*/*.log")):
            with open(folder / f"{log.parent.name}-{log.name}.txt", "w") as file:
                command = ["java", "-cp", classes, "kafka.tools.DumpLogSegments", "--print-data-log", "--files", str(log)]
                subprocess.run(command, stdout=file, stderr=subprocess.DEVNULL, timeout=120, check=False)

    def end(self):
        if hasattr(self, "load"):
            self.load.over.set()
        for program in self.programs.values():
            program.go_on()
            if program.is_alive():
                program.kill()
        if self.servers:
            self.servers.stop()


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--seconds", type=int, default=3600, help="how long faults are injected [default: %(default)s]")
    parser.add_argument("--seed", type=int, default=int.from_bytes(os.urandom(4), "big"))
    parser.add_argument("--layout", choices=("services", "one"), default="services")
    parser.add_argument("--programs", default=os.environ.get("PROGRAMS", str(ROOT / "target" / "debug")), help="where the programs are [default: %(default)s]")
    parser.add_argument("--pause", type=float, default=0.3, help="seconds between two writes of a client [default: %(default)s]")
    parser.add_argument("--output", default=os.environ.get("MARQUEE_CI_OUTPUT"), help="where the folder of a trial that fails is moved to")
    parser.add_argument("--keep", action="store_true", help="keep the folder of a trial that passes, too")
    options = parser.parse_args()
    options.is_isolated = isolate(sys.argv)
    work = Path(tempfile.mkdtemp(prefix="marquee-soak."))
    work.chmod(0o755)
    trial = Trial(options, work)
    try:
        trial.run()
    except (TimeoutError, RuntimeError, SystemExit, stubs.grpc.RpcError) as error:
        trial.model.say_wrong(str(error))
    finally:
        trial.end()
    trial.leave()
    for wrong in trial.model.wrong[:40]:
        print(f"WRONG: {wrong}")
    if trial.model.wrong or options.keep:
        if trial.is_isolated and trial.servers:
            for log in trial.disk.glob("*.log"):
                shutil.copy(log, work)
        print(f"left to look at: {work}")
        if options.output:
            target = Path(options.output) / work.name
            shutil.copytree(work, target, ignore=shutil.ignore_patterns("servers", "disk", "ballast"), dirs_exist_ok=True)
            print(f"and in {target}")
    else:
        shutil.rmtree(work, ignore_errors=True)
    print(f"{'FAILED' if trial.model.wrong else 'passed'}: {options.layout}, seed {options.seed}, {options.seconds} s, {len(trial.faults)} faults")
    return 1 if trial.model.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
