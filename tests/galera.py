#!/usr/bin/env python3
"""Runs replicas over a Galera cluster of three MariaDB nodes, each replica at a node of its own, and takes the nodes away one after the other
under load; and says pass or fail, with figures.

    tests/galera.py [--seed N] [--programs FOLDER] [--keep]

Three recommendations services and two catalogs write to different nodes. One node is killed and comes back with what it had (IST), another one
is killed and comes back with nothing (SST), the third one is cut off from the others, and one is paused. Before that, what one replica has
acknowledged is asked of another replica whose node is behind.

It passes if all invariants hold afterwards, all nodes have the same rows, transactions did conflict at commit and were run again, and no client
was answered what it must not be. Needs the programs in FOLDER [default: target/debug], root, and what `.ci/servers faults` installs; its Python
runs this. Everything runs in namespaces of its own.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from faults import check, stubs
from faults.isolation import isolate
from faults.load import Load
from faults.model import Model
from faults.processes import LINE, ROOT, Process, Servers, eventually, free_ports, not_ready

NODES = (1, 2, 3)
PROVIDER = "/usr/lib/galera/libgalera_smm.so"
ALARMS = ("panicked", "dead letter", "set aside", "setting aside", " ERROR ")
# How long a node may take to come back, with the whole of its data at the longest, and replicas to connect again.
COME_BACK = 120
# How long the other node is behind, when what was acknowledged is asked of it. A read waits for longer.
BEHIND_SECONDS = 1.5
ROUNDS_BEHIND = 5


class Node:
    """One MariaDB of the cluster."""

    def __init__(self, number, folder, ports, others, user):
        self.name, self.folder = f"node-{number}", folder / f"node-{number}"
        self.user = user
        self.port, self.group, self.ist, self.sst = ports
        self.members = ",".join(f"127.0.0.1:{group}" for group in others)
        self.process = Process(self.name, [], folder / f"{self.name}.log")

    def settings(self):
        provider = f"gmcast.listen_addr=tcp://127.0.0.1:{self.group};ist.recv_addr=127.0.0.1:{self.ist}"
        return [
            "mariadbd",
            "--no-defaults",
            f"--user={self.user}",
            f"--datadir={self.folder}",
            f"--socket={self.folder}/socket",
            f"--pid-file={self.folder}/pid",
            "--bind-address=127.0.0.1",
            f"--port={self.port}",
            "--skip-name-resolve",
            "--max-connections=500",
            # What Galera asks for.
            "--binlog-format=ROW",
            "--default-storage-engine=InnoDB",
            "--innodb-autoinc-lock-mode=2",
            "--wsrep-on=ON",
            f"--wsrep-provider={PROVIDER}",
            f"--wsrep-provider-options={provider}",
            "--wsrep-cluster-name=marquee",
            f"--wsrep-cluster-address=gcomm://{self.members}",
            f"--wsrep-node-name={self.name}",
            f"--wsrep-node-address=127.0.0.1:{self.group}",
            f"--wsrep-sst-receive-address=127.0.0.1:{self.sst}",
            "--wsrep-sst-method=rsync",
            "--wsrep-slave-threads=4",
        ]

    def install(self):
        self.make_folder()
        command = ["mariadb-install-db", "--no-defaults", f"--datadir={self.folder}", f"--user={self.user}", "--skip-test-db"]
        subprocess.run([*command, "--auth-root-authentication-method=normal"], capture_output=True, check=True)

    def start(self, *more):
        self.process.command = [*self.settings(), *more]
        self.process.start()

    def come_back(self):
        """Starts with the place in the order of transactions up to which it has everything, so that it is given the rest alone."""
        done = subprocess.run([*self.settings(), "--wsrep-recover"], capture_output=True, text=True, check=False, timeout=120)
        found = re.findall(r"Recovered position: *([0-9a-f-]+:-?\d+)", done.stdout + done.stderr)
        self.start(*([f"--wsrep-start-position={found[-1]}"] if found else []))

    def make_folder(self):
        self.folder.mkdir()
        shutil.chown(self.folder, self.user)

    def lose_everything(self):
        shutil.rmtree(self.folder)
        self.make_folder()

    def connection(self):
        return ["mariadb", "--no-defaults", f"--socket={self.folder}/socket", "--user=root", "--batch", "--skip-column-names"]

    def sql(self, statement):
        done = subprocess.run([*self.connection(), "--execute", statement], capture_output=True, text=True, timeout=60)
        if done.returncode != 0:
            raise RuntimeError(f"{self.name}: {done.stderr}")
        return done.stdout.strip()

    def status(self, name):
        return self.sql(f"SHOW GLOBAL STATUS LIKE '{name}'").split("\t")[-1]

    def unsynced(self):
        """Why it is not a member that serves; nothing if it is."""
        if not self.process.is_alive():
            return f"{self.name} has ended"
        try:
            state = self.status("wsrep_local_state_comment")
        except (RuntimeError, subprocess.TimeoutExpired) as error:
            return str(error)
        return None if state == "Synced" else f"{self.name} is {state}"

    def transfers(self):
        """How often it was given everything, and how often only what it lacked."""
        text = self.process.log.read_text(errors="replace")
        return len(re.findall(r"SST received|SST complete", text)), len(re.findall(r"IST received|Receiving IST\.\.\.100", text))


class Trial:
    def __init__(self, options, work):
        self.options, self.work = options, work
        self.begun = time.monotonic()
        self.model = Model()
        self.programs = {}
        self.nodes = []
        self.servers = None
        self.load = None

    def say(self, what):
        print(f"{time.monotonic() - self.begun:6.0f}s  {what}", flush=True)

    # -- the system -----------------------------------------------------------------------------------------------------------
    def bring_up(self):
        ports = free_ports(4 * len(NODES))
        each = [ports[4 * at : 4 * at + 4] for at in range(len(NODES))]
        groups = [group for _, group, _, _ in each]
        # The one that is cut off runs as another user, by which its packets are known.
        users = ("mysql", "mysql", "nobody")
        self.nodes = [Node(number, self.work, ports, groups, user) for number, ports, user in zip(NODES, each, users, strict=True)]
        self.nodes[0].install()
        self.nodes[0].start("--wsrep-new-cluster")
        eventually(60, "the first node", self.nodes[0].unsynced)
        self.nodes[0].sql("CREATE USER marquee@'127.0.0.1' IDENTIFIED BY 'marquee'; GRANT ALL ON *.* TO marquee@'127.0.0.1'; CREATE DATABASE movies; CREATE DATABASE recommendations")
        for node in self.nodes[1:]:
            node.make_folder()
            node.start()
            eventually(COME_BACK, node.name, node.unsynced)
        self.say(f"a cluster of {self.nodes[0].status('wsrep_cluster_size')} nodes")
        self.servers = Servers(self.work / "servers")
        (self.work / "servers").mkdir()
        self.servers.start(["kafka"])
        kafka = self.servers.exports["TEST_KAFKA_BROKERS"]
        url = lambda node, database: f"mysql://marquee:marquee@127.0.0.1:{node.port}/{database}"
        self.recommenders, self.catalogs, self.pages, self.ready = [], [], [], {}
        for number, node in zip(NODES, self.nodes, strict=True):
            grpc, http = free_ports(2)
            self.recommenders.append(f"127.0.0.1:{grpc}")
            settings = {"DATABASE_URL": url(node, "recommendations"), "GRPC_ADDR": self.recommenders[-1], "HTTP_ADDR": f"127.0.0.1:{http}"}
            self.add_program(f"recommendations-{number}", "recommendations", http, {**settings, "KAFKA_BROKER": kafka})
        # A catalog asks a replica whose node is another one.
        for number, (node, asked) in enumerate(((self.nodes[0], 1), (self.nodes[1], 2)), start=1):
            http, ops, grpc = free_ports(3)
            self.pages.append(f"127.0.0.1:{http}")
            self.catalogs.append(f"127.0.0.1:{grpc}")
            settings = {"DATABASE_URL": url(node, "movies"), "HTTP_ADDR": self.pages[-1], "OPS_ADDR": f"127.0.0.1:{ops}", "CATALOG_GRPC_ADDR": self.catalogs[-1]}
            settings |= {"RECOMMENDATIONS_HOST": self.recommenders[asked], "KAFKA_BROKER": kafka, "SECRET_KEY": "a secret of the trial"}
            self.add_program(f"catalog-{number}", "catalog", ops, settings)
        # At once, on a database that none of them has migrated.
        for program in self.programs.values():
            program.start()
        eventually(180, "the programs to be ready", self.not_ready)
        for node in self.nodes:
            without = node.sql(
                "SELECT CONCAT(t.table_schema, '.', t.table_name) FROM information_schema.tables t LEFT JOIN information_schema.table_constraints c "
                "ON c.table_schema = t.table_schema AND c.table_name = t.table_name AND c.constraint_type = 'PRIMARY KEY' "
                "WHERE t.table_schema IN ('movies', 'recommendations') AND c.table_name IS NULL"
            )
            if without:
                self.model.say_wrong(f"tables without a primary key, which Galera needs: {without}")
        self.say("all programs are ready")

    def add_program(self, name, program, ready, settings):
        env = {key: str(value) for key, value in settings.items()} | {"RUST_BACKTRACE": "1", "DATA_DIR": str(self.work / "data" / name)}
        env["LOG"] = "info,storage=debug"
        self.programs[name] = Process(name, [str(Path(self.options.programs) / program)], self.work / f"{name}.log", env, self.work)
        self.ready[name] = ready

    def not_ready(self):
        return not_ready(self.programs, self.ready)

    # -- what one replica acknowledged, another one has to meet ---------------------------------------------------------------------
    def behind(self, node):
        """Keeps a node from applying what the others have committed, for a moment."""
        statements = f"FLUSH TABLES WITH READ LOCK; SELECT SLEEP({BEHIND_SECONDS}); UNLOCK TABLES"
        lock = subprocess.Popen([*node.connection(), "--execute", statements], stdout=subprocess.DEVNULL)
        sleeping = "SELECT COUNT(*) FROM information_schema.processlist WHERE state = 'User sleep'"
        eventually(10, f"{node.name} to be held up", lambda: node.sql(sleeping) == "1" or "it is not")
        return lock

    @staticmethod
    def insist(call, request):
        """The answer, at the latest a minute after the first try: a node that is held up may be silent for some seconds longer, and a replica
        that says that it cannot answer shows nothing old."""
        until = time.monotonic() + 60
        while True:
            try:
                return call(request, timeout=20)
            except stubs.grpc.RpcError as error:
                if error.code() not in (stubs.grpc.StatusCode.UNAVAILABLE, stubs.grpc.StatusCode.DEADLINE_EXCEEDED) or time.monotonic() > until:
                    raise
            time.sleep(0.5)

    def causal(self):
        catalogs = [stubs.catalog(address) for address in self.catalogs]
        recommenders = [stubs.recommendations(address) for address in self.recommenders]
        user, stale, slowest = 900, [], 0.0
        for number in range(ROUNDS_BEHIND):
            holding = self.behind(self.nodes[1])
            created = catalogs[0].CreateMovie(stubs.pb.CreateMovieRequest(title=f"Causal {number}"), timeout=20)
            keyword = f"causal{number}"
            recommenders[0].CreatePreference(stubs.pb.CreatePreferenceRequest(user_id=user, keyword=keyword), timeout=20)
            began = time.monotonic()
            try:
                self.insist(catalogs[1].GetMovie, stubs.pb.GetMovieRequest(id=created.id))
            except stubs.grpc.RpcError as error:
                stale.append(f"film {error.code().name}")
            answer = self.insist(recommenders[1].GetPreferences, stubs.pb.GetPreferencesRequest(user_id=user))
            if keyword not in {preference.keyword for preference in answer.preferences}:
                stale.append("preference")
            slowest = max(slowest, time.monotonic() - began)
            holding.wait(60)
            catalogs[0].DeleteMovie(stubs.pb.DeleteMovieRequest(id=created.id), timeout=20)
        for number in range(ROUNDS_BEHIND):
            recommenders[2].DeletePreference(stubs.pb.DeletePreferenceRequest(user_id=user, keyword=f"causal{number}"), timeout=20)
        self.say(f"{ROUNDS_BEHIND} films and preferences asked of replicas whose node is {BEHIND_SECONDS} s behind: {len(stale)} not met, the slowest answer took {slowest:.2f} s")
        if stale:
            self.model.say_wrong(f"what one replica acknowledged, another one did not know: {stale}")

    # -- faults ---------------------------------------------------------------------------------------------------------------
    def during(self, what, fault):
        before, began = (self.model.acknowledged, self.model.unanswered), time.monotonic()
        fault()
        took = time.monotonic() - began
        eventually(COME_BACK, "the programs to be ready again", self.not_ready)
        self.say(f"{what}: {took:.1f} s, {self.model.acknowledged - before[0]} writes acknowledged meanwhile, {self.model.unanswered - before[1]} not")

    def kill_and_come_back(self, node, with_nothing):
        before = node.transfers()
        node.process.kill()
        time.sleep(8)
        if with_nothing:
            node.lose_everything()
            node.start()
        else:
            node.come_back()
        eventually(COME_BACK, f"{node.name} to be back", node.unsynced)
        after = node.transfers()
        # The log has a line of a transfer of everything, too, when that was passed over for what is missing.
        given = "IST" if after[1] > before[1] and not with_nothing else "SST" if after[0] > before[0] else "itself"
        self.say(f"{node.name} is back by {given}")
        if given != ("SST" if with_nothing else "IST"):
            self.model.say_wrong(f"{node.name} came back by {given}")

    def cut_off(self, node):
        nft = lambda rules: subprocess.run(["nft", "-f", "-"], input=rules, text=True, check=True)
        nft("add table inet trial\nadd chain inet trial lost { type filter hook output priority 0; }\n")
        others = ", ".join(str(other.group) for other in self.nodes if other is not node)
        nft(
            f"add rule inet trial lost tcp dport {node.group} drop\nadd rule inet trial lost tcp sport {node.group} drop\n"
            f"add rule inet trial lost meta skuid {node.user} tcp dport {{ {others} }} drop\n"
        )
        time.sleep(25)
        state = node.status("wsrep_cluster_status")
        self.say(f"{node.name}, cut off, is {state}")
        if state == "Primary":
            self.model.say_wrong(f"{node.name} was not cut off")
        nft("delete table inet trial\n")
        eventually(COME_BACK, f"{node.name} to be back", node.unsynced)

    def pause(self, node):
        node.process.pause()
        time.sleep(12)
        node.process.go_on()
        eventually(COME_BACK, f"{node.name} to be back", node.unsynced)

    # -- the trial ------------------------------------------------------------------------------------------------------------
    def run(self):
        self.say(f"seed {self.options.seed}, in {self.work}")
        self.bring_up()
        self.causal()
        self.load = Load(self.model, self.options.seed, self.catalogs, self.recommenders, self.pages, 6, 200, self.options.pause)
        self.load.start()
        self.during("no fault", lambda: time.sleep(self.options.calm))
        first, second, third = self.nodes
        self.during("node-1 killed and back", lambda: self.kill_and_come_back(first, with_nothing=False))
        self.during("node-2 killed, emptied and back", lambda: self.kill_and_come_back(second, with_nothing=True))
        self.during("node-3 cut off and back", lambda: self.cut_off(third))
        self.during("node-2 paused and back", lambda: self.pause(second))
        self.during("no fault", lambda: time.sleep(self.options.calm))
        self.load.stop()
        self.compare()
        self.causal()
        self.judge()

    def compare(self):
        doubted = [film.state.doubt_until for film in self.model.films.values()]
        doubted += [register.doubt_until for registers in self.model.follows.values() for register in registers.values()]
        time.sleep(max(0.0, max(doubted, default=0.0) - time.monotonic()))
        began = time.monotonic()
        texts, follows = check.settle(self.model, self.load.catalogs, self.load.recommenders)
        eventually(180, "everything to follow", lambda: check.difference(self.model, texts, follows, self.load.catalogs, self.load.recommenders))
        eventually(60, "no work to be left", self.work_left)
        self.say(
            f"{len(texts)} films and {sum(map(len, follows.values()))} preferences are as they were acknowledged, and everything followed after "
            f"{time.monotonic() - began:.1f} s; {self.model.acknowledged} writes acknowledged, {self.model.unanswered} not"
        )
        for database in ("movies", "recommendations"):
            for table in self.nodes[0].sql(f"SHOW TABLES FROM {database}").split():
                if table == "leases":
                    continue
                eventually(30, f"the nodes to agree on {database}.{table}", lambda table=f"{database}.{table}": self.disagreement(table))

    def disagreement(self, table):
        sums = {node.sql(f"SET SESSION wsrep_sync_wait = 15; CHECKSUM TABLE {table} EXTENDED") for node in self.nodes}
        return None if len(sums) == 1 else str(sums)

    def work_left(self):
        tables = ("movies.movie_outbox", "recommendations.outbox", "recommendations.backlog")
        counts = {table: int(self.nodes[0].sql(f"SELECT COUNT(*) FROM {table}")) for table in tables}
        return None if not any(counts.values()) else str(counts)

    def judge(self):
        failures = sum(int(node.status("wsrep_local_cert_failures")) for node in self.nodes)
        aborts = sum(int(node.status("wsrep_local_bf_aborts")) for node in self.nodes)
        again, silent = 0, 0
        for program in self.programs.values():
            status = program.stop(6)
            if status != 0:
                self.model.say_wrong(f"{program.name} was told to stop and ended with {status}")
            lines = program.log.read_text(errors="replace").splitlines()
            again += sum("is run again after a conflict" in line for line in lines)
            silent += sum("rolled the transaction back without a word" in line for line in lines)
            for line in lines:
                if not LINE.match(line) or any(alarm in line for alarm in ALARMS):
                    self.model.say_wrong(f"{program.name} said: {line[:400]}")
        self.say(f"since the last starts of the nodes {failures} transactions failed at certification and {aborts} were aborted by others; in all {again} were run again, {silent} of them rolled back without a word")
        if again == 0:
            self.model.say_wrong("no transaction met a conflict, so that nothing was tried")
        self.say(f"answers: {dict(sorted(self.load.answers.items()))}; the slowest took {self.load.slowest:.1f} s")

    def end(self):
        if self.load:
            self.load.over.set()
        for program in self.programs.values():
            if program.is_alive():
                program.kill()
        if self.servers:
            self.servers.stop()
        for node in self.nodes:
            if node.process.is_alive():
                node.process.go_on()
                node.process.kill()


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--seed", type=int, default=int.from_bytes(os.urandom(4), "big"))
    parser.add_argument("--programs", default=os.environ.get("PROGRAMS", str(ROOT / "target" / "debug")), help="where the programs are [default: %(default)s]")
    parser.add_argument("--pause", type=float, default=0.2, help="seconds between two writes of a client [default: %(default)s]")
    parser.add_argument("--calm", type=float, default=15, help="seconds without a fault, before and after [default: %(default)s]")
    parser.add_argument("--keep", action="store_true", help="keep the folder of a trial that passes, too")
    options = parser.parse_args()
    if not isolate(sys.argv):
        sys.exit("this needs root, unshare and nft: .ci/servers faults")
    work = Path(tempfile.mkdtemp(prefix="marquee-galera."))
    work.chmod(0o755)
    trial = Trial(options, work)
    try:
        trial.run()
    except (TimeoutError, RuntimeError, SystemExit, subprocess.SubprocessError, stubs.grpc.RpcError) as error:
        trial.model.say_wrong(f"{type(error).__name__}: {error}")
    finally:
        trial.end()
    for wrong in trial.model.wrong[:40]:
        print(f"WRONG: {wrong}")
    if trial.model.wrong or options.keep:
        print(f"left to look at: {work}")
    else:
        shutil.rmtree(work, ignore_errors=True)
    print(f"{'FAILED' if trial.model.wrong else 'passed'}: seed {options.seed}")
    return 1 if trial.model.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
