#!/usr/bin/env python3
"""Holds the REST API of the running program `marquee` against its document, and uses it by a client that was generated from the document.

    tests/rest.py [--programs FOLDER] [--examples 12] [--seed N] [--keep]

Once with accounts: a client that openapi-python-client made registers, signs in, follows a keyword, is recommended a film, refreshes and signs
out; then schemathesis sends what the document allows, and what it does not, with all its checks. Once without accounts: schemathesis alone.

Needs the program in FOLDER [default: target/debug], and what `.ci/servers rest` installs; its Python runs this. Everything is on loopback, on
free ports and in a folder that is deleted afterwards, unless something failed.
"""

import argparse
import importlib
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

from faults.processes import Process, free_ports

HERE = Path(__file__).resolve().parent
PASSWORD = "a long sentence of mine"
# How long the program may take to be ready, and a change to be seen.
LIMIT_SECONDS = 60
# What would end what the tests are signed in with; it is tried apart, by a token of its own.
ENDS_TOKENS = ["delete_token"]


class Marquee:
    """The program, alone with its data."""

    def __init__(self, options, work, mode):
        self.work = work / mode
        self.work.mkdir()
        http, ops, grpc, catalog, accounts, nats = free_ports(6)
        self.url, self.ops = f"http://127.0.0.1:{http}", f"http://127.0.0.1:{ops}"
        settings = {"HTTP_ADDR": f"127.0.0.1:{http}", "OPS_ADDR": f"127.0.0.1:{ops}", "GRPC_ADDR": f"127.0.0.1:{grpc}"}
        settings |= {"CATALOG_GRPC_ADDR": f"127.0.0.1:{catalog}", "ACCOUNTS_GRPC_ADDR": f"127.0.0.1:{accounts}"}
        settings |= {"NATS_ADDR": f"127.0.0.1:{nats}", "DATA_DIR": str(self.work / "data"), "ACCOUNTS": mode, "REGISTRATION": "open"}
        # What is tried here is more than one client may ask for.
        settings |= {f"{name}_PER_MINUTE": "0" for name in ("SIGN_INS", "WRITES", "READS", "EXPORTS")}
        settings |= {"CLIENT_RATE": "0", "RUST_BACKTRACE": "1"}
        self.process = Process("marquee", [str(Path(options.programs) / "marquee")], self.work / "marquee.log", settings, self.work)

    def __enter__(self):
        self.process.start()
        until(f"{self.ops}/readyz answers", self.is_ready)
        return self

    def is_ready(self):
        if not self.process.is_alive():
            raise SystemExit(f"marquee has ended:\n{self.process.log.read_text()}")
        try:
            return urllib.request.urlopen(f"{self.ops}/readyz", timeout=5).status == 200
        except (urllib.error.URLError, OSError):
            return False

    def __exit__(self, *_):
        if self.process.is_alive() and self.process.stop(10) != 0:
            print("marquee did not end by itself", file=sys.stderr)

    def request(self, method, path, body=None, token=None):
        """The answer as JSON."""
        headers = {"content-type": "application/json"} | ({"authorization": f"Bearer {token}"} if token else {})
        body = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, body, headers, method=method)
        return json.loads(urllib.request.urlopen(request, timeout=30).read() or "null")

    def alarms(self):
        """What its log has that it must not have."""
        lines = self.process.log.read_text().splitlines()
        return [line for line in lines if "panicked" in line or " ERROR " in line]


def until(what, is_so):
    deadline = time.monotonic() + LIMIT_SECONDS
    while not is_so():
        if time.monotonic() > deadline:
            raise SystemExit(f"waited too long until {what}")
        time.sleep(0.2)


def generated_client(marquee, work):
    """Generates a client from the document, and imports it. A part of the document that no client is made of is an error."""
    document = work / "openapi.json"
    document.write_text(json.dumps(marquee.request("GET", "/api/openapi.json")))
    command = [sys.executable, "-m", "openapi_python_client", "generate", "--path", document, "--meta", "none"]
    command += ["--output-path", work / "marquee_client", "--config", HERE / "rest" / "client.json"]
    env = os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=120)
    said = done.stdout + done.stderr
    if done.returncode != 0 or "WARNING" in said or "ERROR" in said:
        raise SystemExit(f"no client can be made of the document:\n{said}")
    sys.path.insert(0, str(work))


def session(url):
    """A small session by the generated client."""
    client = importlib.import_module("marquee_client")
    models = importlib.import_module("marquee_client.models")
    call = lambda tag, name: importlib.import_module(f"marquee_client.api.{tag}.{name}")
    anyone = client.Client(base_url=url)

    def done(answer, status):
        if answer.status_code != status:
            raise SystemExit(f"{answer.status_code} instead of {status}: {answer.content.decode()}")
        return answer.parsed

    body = models.Registration(email="olga@example.org", username="olga", password=PASSWORD)
    registered = done(call("auth", "register").sync_detailed(client=anyone, body=body), 201)
    assert registered.id == 1, registered
    tokens = done(call("auth", "login").sync_detailed(client=anyone, body=models.Login(email="olga", password=PASSWORD)), 200)
    user = client.AuthenticatedClient(base_url=url, token=tokens.access_token)
    film = models.MovieBody(title="Heat", genre="Crime", release_year="1995", rating=8.3)
    film = done(call("movies", "create_movie").sync_detailed(client=user, body=film), 201)
    done(call("preferences", "create_preference").sync_detailed(client=user, body=models.PreferenceBody(keyword="heat")), 201)

    def is_recommended():
        body = models.RecommendationsBody(user_id=tokens.user_id)
        found = done(call("recommendations", "find_recommendations").sync_detailed(client=user, body=body), 200)
        return [(item.movie_id, item.reasons) for item in found.items] == [(film.id, ["heat"])]

    until("the film is recommended", is_recommended)
    refresh = models.Refresh(refresh_token=tokens.refresh_token)
    tokens = done(call("auth", "refresh").sync_detailed(client=anyone, body=refresh), 200)
    again = call("auth", "refresh").sync_detailed(client=anyone, body=refresh)
    problem = done(again, 401)
    assert problem.code == "token_reused", problem
    tokens = done(call("auth", "login").sync_detailed(client=anyone, body=models.Login(email="olga", password=PASSWORD)), 200)
    user = client.AuthenticatedClient(base_url=url, token=tokens.access_token)
    done(call("auth", "logout").sync_detailed(client=user), 204)
    problem = done(call("profiles", "get_own_profile").sync_detailed(client=user), 401)
    assert problem.code == "wrong_token", problem
    return done(call("auth", "login").sync_detailed(client=anyone, body=models.Login(email="olga", password=PASSWORD)), 200).access_token


def personal_token(marquee, access_token):
    """A token that may do everything, and that no call ends that ends sessions."""
    body = {"name": "the tests", "scopes": ["read", "write", "edit", "manage"]}
    return marquee.request("POST", "/api/v1/profiles/me/tokens", body, access_token)["secret"]


def schemathesis(marquee, options, token, more):
    """Sends what the document allows, and what it does not; says whether all was answered as it says."""
    command = [sys.executable, "-m", "schemathesis.cli", "--config-file", HERE / "rest" / "schemathesis.toml"]
    command += ["run", f"{marquee.url}/api/openapi.json", "--checks", "all", "--max-examples", str(options.examples)]
    command += ["--seed", str(options.seed), "--request-timeout", "20", "--workers", "2", *more]
    if token:
        command += ["--header", f"Authorization: Bearer {token}"]
    env = os.environ | {"SCHEMATHESIS_HOOKS": "rest.hooks", "PYTHONPATH": str(HERE), "NO_COLOR": "1"}
    return subprocess.run(command, env=env, cwd=marquee.work, timeout=600).returncode == 0


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--programs", default=os.environ.get("PROGRAMS", "target/debug"))
    options.add_argument("--examples", type=int, default=12, help="of each kind for an operation")
    options.add_argument("--seed", type=int, default=random.randrange(1 << 32))
    options.add_argument("--keep", action="store_true")
    options = options.parse_args()
    options.programs = Path(options.programs).resolve()
    work = Path(tempfile.mkdtemp(prefix="marquee-rest."))
    print(f"seed {options.seed}, logs in {work}", flush=True)
    passed = []
    with Marquee(options, work, "required") as marquee:
        generated_client(marquee, work)
        access_token = session(marquee.url)
        print("the generated client has done its session", flush=True)
        # Both before anything is tried: afterwards there were too many tries to sign in.
        tokens = [personal_token(marquee, access_token) for _ in range(2)]
        apart = [part for name in ENDS_TOKENS for part in ("--exclude-operation-id", name)]
        passed.append(schemathesis(marquee, options, tokens[0], apart))
        alone = [part for name in ENDS_TOKENS for part in ("--include-operation-id", name)]
        passed.append(schemathesis(marquee, options, tokens[1], alone))
    with Marquee(options, work, "open") as open_one:
        passed.append(schemathesis(open_one, options, None, []))
    alarms = marquee.alarms() + open_one.alarms()
    for line in alarms:
        print(f"in the log: {line}", file=sys.stderr)
    if all(passed) and not alarms and not options.keep:
        shutil.rmtree(work)
    sys.exit(0 if all(passed) and not alarms else 1)


if __name__ == "__main__":
    main()
