#!/usr/bin/env python3
"""Holds the manifests in k8s/ against the published schemas of Kubernetes, and against the programs that they start.

    check.py --programs FOLDER [OVERLAY...]

Renders every overlay (or those that are named), and the one of the trial, with kustomize. The programs in FOLDER are asked for their settings by `--help`, and
started with the settings of the manifests, on ports of this machine, to see that ports and paths are there. Needs the Python package
kubernetes-validate, and `kubectl` (or the program that KUBECTL names). Prints what is wrong, one line each; exit code 1 if anything is.
"""

import argparse
import json
import os
import re
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

import jsonschema
import kubernetes_validate
import yaml

ROOT = Path(__file__).resolve().parents[2]
OVERLAYS = ROOT / "k8s" / "overlays"
DOCTOR = ROOT / "k8s" / "doctor.yaml"
TRIAL = ROOT / "tests" / "kubernetes" / "trial"
KUBERNETES = "1.34"
NAME = "app.kubernetes.io/name"

# What is not Kubernetes' own: the part of KEDA's definitions that the manifests use. A field that is not here is an error.
KEDA = {
    "ScaledObject": {
        "type": "object",
        "required": ["apiVersion", "kind", "metadata", "spec"],
        "properties": {
            "apiVersion": {"const": "keda.sh/v1alpha1"},
            "spec": {
                "type": "object",
                "required": ["scaleTargetRef", "triggers"],
                "additionalProperties": False,
                "properties": {
                    "scaleTargetRef": {
                        "type": "object",
                        "required": ["name"],
                        "additionalProperties": False,
                        "properties": {key: {"type": "string"} for key in ("apiVersion", "kind", "name")},
                    },
                    "minReplicaCount": {"type": "integer", "minimum": 0},
                    "maxReplicaCount": {"type": "integer", "minimum": 1},
                    "pollingInterval": {"type": "integer", "minimum": 1},
                    "cooldownPeriod": {"type": "integer", "minimum": 0},
                    "triggers": {
                        "type": "array",
                        "minItems": 1,
                        "items": {
                            "type": "object",
                            "required": ["type", "metadata"],
                            "additionalProperties": False,
                            "properties": {
                                "type": {"enum": ["cpu", "kafka", "mysql", "nats-jetstream"]},
                                "metricType": {"enum": ["AverageValue", "Value", "Utilization"]},
                                "metadata": {"type": "object", "additionalProperties": {"type": "string"}},
                                "authenticationRef": {
                                    "type": "object",
                                    "required": ["name"],
                                    "properties": {"name": {"type": "string"}},
                                },
                            },
                        },
                    },
                },
            },
        },
    },
    "TriggerAuthentication": {
        "type": "object",
        "required": ["apiVersion", "kind", "metadata", "spec"],
        "properties": {
            "apiVersion": {"const": "keda.sh/v1alpha1"},
            "spec": {
                "type": "object",
                "additionalProperties": False,
                "properties": {
                    "secretTargetRef": {
                        "type": "array",
                        "items": {
                            "type": "object",
                            "required": ["parameter", "name", "key"],
                            "additionalProperties": False,
                            "properties": {key: {"type": "string"} for key in ("parameter", "name", "key")},
                        },
                    }
                },
            },
        },
    },
}


def render(overlay):
    """The resources of an overlay, as they would be applied."""
    kubectl = os.environ.get("KUBECTL", "kubectl")
    done = subprocess.run([kubectl, "kustomize", str(overlay)], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit(f"{overlay}: {done.stderr.strip()}")
    return [resource for resource in yaml.safe_load_all(done.stdout) if resource]


# -- the programs ----------------------------------------------------------------------------------------------------------------


class Program:
    """A program of ours with its subcommand: the settings that it knows, by the names of their variables."""

    def __init__(self, folder, name, subcommand=None):
        self.command = [str(folder / name)] + ([subcommand] if subcommand else [])
        self.name = " ".join([name] + ([subcommand] if subcommand else []))
        done = subprocess.run(self.command + ["--help"], capture_output=True, text=True, env={}, check=True)
        # Of a secret no value is shown, so there is no sign behind its name; and it may come from a file.
        found = re.findall(r"\[env: ([A-Z_]+)(=?)[^\]]*\]", done.stdout)
        self.settings = {name for name, _ in found}
        self.settings |= {f"{name}_FILE" for name, shown in found if not shown}


class Programs:
    """The programs by the image that has them, and what is seen of them when they run."""

    def __init__(self, folder):
        self.folder = folder
        self.known = {}
        self.seen = {}

    def of(self, container):
        """The program that a container of ours runs; none if the image is not ours, or one that is not built."""
        image = container["image"].split(":")[0].split("/")[-1]
        if not image.startswith("marquee-") or not (self.folder / image.removeprefix("marquee-")).exists():
            return None
        subcommand = next(iter(container.get("args", [])), None)
        key = (image.removeprefix("marquee-"), subcommand)
        if key not in self.known:
            self.known[key] = Program(self.folder, *key)
        return self.known[key]

    def answers(self, program, environment, args, files, ports, paths):
        """Starts a program with settings of a manifest, moved to free ports of this machine. Returns which of `ports` it does
        not listen at, and of `paths` (port and path) the status."""
        key = (program.name, tuple(sorted(environment.items())), tuple(args), tuple(sorted(ports)), tuple(sorted(paths)))
        if key not in self.seen:
            self.seen[key] = self._try(program, environment, args, files, ports, paths)
        return self.seen[key]

    def _try(self, program, environment, args, files, ports, paths):
        moved = dict(zip(sorted(ports), free_ports(len(ports))))

        def move(text):
            for port, free in moved.items():
                text = re.sub(rf"\b0\.0\.0\.0:{port}\b", f"127.0.0.1:{free}", text)
            return text

        with tempfile.TemporaryDirectory() as folder:
            settings = {name: move(value) for name, value in environment.items()}
            if "DATA_DIR" in program.settings:
                settings["DATA_DIR"] = f"{folder}/data"
            given = list(args)
            for path, text in files.items():
                place = Path(folder) / Path(path).name
                place.write_text(move(text).replace("store_dir: /data", f"store_dir: {folder}/data"))
                given = [str(place) if arg == path else arg for arg in given]
            with open(f"{folder}/log", "w+b") as log:
                running = subprocess.Popen(
                    [program.command[0]] + given, env=settings, stdout=log, stderr=log, cwd=folder
                )
                try:
                    missing = {port for port, free in moved.items() if not listens(free, running)}
                    statuses = {
                        (port, path): status(moved[port], path) if port in moved and port not in missing else 0
                        for port, path in paths
                    }
                    log.seek(0)
                    said = log.read().decode(errors="replace") if running.poll() is not None else ""
                finally:
                    running.kill()
                    running.wait()
        return missing, statuses, said.strip().splitlines()[-1:] or [""]


def free_ports(count):
    held = [socket.socket() for _ in range(count)]
    for one in held:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in held]
    for one in held:
        one.close()
    return ports


def listens(port, running, patience=5):
    until = time.monotonic() + patience
    while time.monotonic() < until and running.poll() is None:
        with socket.socket() as trial:
            trial.settimeout(1)
            if trial.connect_ex(("127.0.0.1", port)) == 0:
                return True
        time.sleep(0.05)
    return False


def status(port, path):
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return 0


# -- what the repository says ----------------------------------------------------------------------------------------------------


class Repository:
    """What the manifests have to agree with, read from where it is said."""

    def __init__(self, root=ROOT):
        self.root = root
        self.targets = set(re.findall(r"(?m)^FROM \S+ AS (\S+)", (root / "Dockerfile").read_text()))
        self.version = re.search(r'(?m)^version = "(.+)"', (root / "Cargo.toml").read_text()).group(1)
        compose = yaml.safe_load((root / "docker-compose.yaml").read_text())
        self.images = {service["image"] for service in compose["services"].values()}
        stop = re.search(r"STOP_DEADLINE: Duration = Duration::from_millis\(([\d_]+)\)", (root / "runtime/src/process.rs").read_text())
        self.drain = int(stop.group(1).replace("_", "")) / 1000
        # Rows of the table of secrets: | `name` | `key`, `key` | what for |
        readme = (root / "k8s/README.md").read_text()
        self.secrets = {
            row.group(1): set(re.findall(r"`([^`]+)`", row.group(2)))
            for row in re.finditer(r"(?m)^\| `([a-z-]+)` \| (`[^|]+) \|", readme)
        }
        events = (root / "proto/src/events.rs").read_text()
        self.topics = set(re.findall(r'pub const \w+_TOPIC: &str = "([^"]+)"', events))
        self.groups = set(re.findall(r'pub const \w+_GROUP: &str = "([^"]+)"', events))

    def has_table(self, database, table):
        steps = (self.root / "migrations" / database / "mysql").glob("*/up.sql")
        return any(re.search(rf"CREATE TABLE IF NOT EXISTS {table}\b", step.read_text()) for step in steps)


# -- the checks ------------------------------------------------------------------------------------------------------------------


class Check:
    """Looks at the resources of one overlay and notes what is wrong."""

    def __init__(self, overlay, resources, repository, programs):
        self.overlay = overlay
        self.resources = resources
        self.repository = repository
        self.programs = programs
        self.problems = []

    def wrong(self, resource, what):
        self.problems.append(f"{self.overlay}: {resource['kind']} {resource['metadata']['name']}: {what}")

    def all(self, *kinds):
        return [resource for resource in self.resources if resource["kind"] in kinds]

    def named(self, kind, name):
        return next((one for one in self.all(kind) if one["metadata"]["name"] == name), None)

    def workloads(self):
        return self.all("Deployment", "StatefulSet", "DaemonSet", "Job")

    def run(self):
        for resource in self.resources:
            self.schema(resource)
        if self.problems:
            # What has not the shape that it should have cannot be looked into.
            return self.problems
        for workload in self.workloads():
            self.pod(workload)
            self.replacement(workload)
            for container in containers(workload):
                self.container(workload, container)
                self.image(workload, container)
                self.probes(workload, container)
                self.references(workload, container)
                self.program(workload, container)
        for service in self.all("Service"):
            self.service(service)
        self.network()
        self.settings_lead_somewhere()
        self.scraping()
        self.scaling()
        for budget in self.all("PodDisruptionBudget"):
            if not self.selected(budget["spec"]["selector"]):
                self.wrong(budget, "its selector matches no pod")
        for ingress in self.all("Ingress"):
            self.ingress(ingress)
        self.namespace()
        self.quota()
        return self.problems

    # A resource by itself.

    def schema(self, resource):
        for error in errors_of(resource):
            self.wrong(resource, error)

    def pod(self, workload):
        pod = workload["spec"]["template"]["spec"]
        context = pod.get("securityContext", {})
        if not context.get("runAsNonRoot"):
            self.wrong(workload, "may run as root: runAsNonRoot")
        if context.get("seccompProfile", {}).get("type") != "RuntimeDefault":
            self.wrong(workload, "may call anything of the kernel: seccompProfile")
        if pod.get("automountServiceAccountToken") is not False:
            self.wrong(workload, "its pods get a token of the cluster's API")
        if pod.get("enableServiceLinks") is not False:
            self.wrong(workload, "variables of other Services may be taken for settings: enableServiceLinks")
        account = self.named("ServiceAccount", pod.get("serviceAccountName"))
        if account is None:
            self.wrong(workload, f"there is no ServiceAccount {pod.get('serviceAccountName')}")
        elif account.get("automountServiceAccountToken") is not False:
            self.wrong(account, "has a token for whoever uses it")
        if not matches(workload["spec"]["selector"], workload["spec"]["template"]["metadata"]["labels"]):
            self.wrong(workload, "its selector does not match its own pods")
        pause = sum(
            container.get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0) for container in containers(workload)
        )
        if pod.get("terminationGracePeriodSeconds", 30) <= pause + self.repository.drain:
            self.wrong(workload, f"is killed before its pause of {pause} s and its drain of {self.repository.drain} s are over")

    def replacement(self, workload):
        if workload["kind"] != "Deployment":
            return
        claims = [volume for volume in workload["spec"]["template"]["spec"].get("volumes", []) if "persistentVolumeClaim" in volume]
        strategy = workload["spec"].get("strategy", {})
        if claims and strategy.get("type") != "Recreate":
            self.wrong(workload, "two pods would have one volume while it rolls: strategy Recreate")
        if not claims and strategy.get("rollingUpdate", {}).get("maxUnavailable") != 0:
            self.wrong(workload, "takes a pod away before its successor is ready: maxUnavailable 0")

    def container(self, workload, container):
        context = container.get("securityContext", {})
        if not context.get("readOnlyRootFilesystem"):
            self.wrong(workload, "may write anywhere: readOnlyRootFilesystem")
        if context.get("capabilities", {}).get("drop") != ["ALL"] or "add" in context.get("capabilities", {}):
            self.wrong(workload, "has capabilities")
        if context.get("allowPrivilegeEscalation") is not False:
            self.wrong(workload, "may become another user: allowPrivilegeEscalation")
        for which in ("requests", "limits"):
            if set(container.get("resources", {}).get(which, {})) != {"cpu", "memory"}:
                self.wrong(workload, f"has no {which} of cpu and memory")

    def image(self, workload, container):
        image = container["image"]
        name, _, tag = image.rpartition(":")
        if not name or "/" in tag or tag == "latest":
            self.wrong(workload, f"the image {image} has no tag that stays what it is")
            return
        short = name.split("/")[-1]
        if short.startswith("marquee-"):
            if short.removeprefix("marquee-") not in self.repository.targets:
                self.wrong(workload, f"the Dockerfile has no target for the image {image}")
            if tag != self.repository.version:
                self.wrong(workload, f"the image {image} is not of the release {self.repository.version}")
        elif image not in self.repository.images:
            self.wrong(workload, f"the image {image} is neither of the Dockerfile nor in docker-compose.yaml")

    def probes(self, workload, container):
        names = {port.get("name"): port["containerPort"] for port in container.get("ports", [])}
        for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
            asked = container.get(probe)
            if asked is None:
                self.wrong(workload, f"has no {probe}")
                continue
            port = (asked.get("httpGet") or asked.get("tcpSocket") or asked.get("grpc") or {}).get("port")
            if port is not None and port not in names and port not in names.values():
                self.wrong(workload, f"{probe} asks at the port {port}, which the container does not have")

    def references(self, workload, container):
        for source in container.get("envFrom", []):
            self.config_map(workload, source.get("configMapRef"))
            self.secret(workload, source.get("secretRef"))
        for variable in container.get("env", []):
            source = variable.get("valueFrom", {})
            self.config_map(workload, source.get("configMapKeyRef"))
            self.secret(workload, source.get("secretKeyRef"))
        volumes = workload["spec"]["template"]["spec"].get("volumes", [])
        for volume in volumes:
            self.config_map(workload, volume.get("configMap"))
            if "secret" in volume:
                for item in volume["secret"].get("items", [{}]):
                    self.secret(workload, {"name": volume["secret"]["secretName"], **item})
            claim = volume.get("persistentVolumeClaim", {}).get("claimName")
            if claim and self.named("PersistentVolumeClaim", claim) is None:
                self.wrong(workload, f"there is no PersistentVolumeClaim {claim}")
        known = {volume["name"] for volume in volumes}
        known |= {claim["metadata"]["name"] for claim in workload["spec"].get("volumeClaimTemplates", [])}
        for mount in container.get("volumeMounts", []):
            if mount["name"] not in known:
                self.wrong(workload, f"there is no volume {mount['name']}")

    def config_map(self, user, reference):
        if reference is None:
            return
        found = self.named("ConfigMap", reference["name"])
        if found is None:
            self.wrong(user, f"there is no ConfigMap {reference['name']}")
        elif reference.get("key", next(iter(found["data"]))) not in found["data"]:
            self.wrong(user, f"the ConfigMap {reference['name']} has no key {reference['key']}")

    def secret(self, user, reference):
        """A secret is in the overlay, or k8s/README.md says that the operator makes it."""
        if reference is None:
            return
        name, key = reference["name"], reference.get("key")
        found = self.named("Secret", name)
        keys = set(found.get("data", {})) if found else self.repository.secrets.get(name)
        if keys is None:
            self.wrong(user, f"there is no Secret {name}, and k8s/README.md does not say that the operator makes it")
        elif key is not None and key not in keys:
            self.wrong(user, f"the Secret {name} has no key {key}")

    # A container and its program.

    def environment(self, container):
        """The variables of a container: those of its ConfigMaps, those with a value, and some value for secrets."""
        values = {}
        for source in container.get("envFrom", []):
            found = self.named("ConfigMap", source.get("configMapRef", {}).get("name"))
            values.update(found["data"] if found else {})
        for variable in container.get("env", []):
            example = {"DATABASE_URL": "mysql://user:password@127.0.0.1:1/nothing"}
            values[variable["name"]] = variable.get("value", example.get(variable["name"], "a-secret-of-twenty-four-b"))
        return values

    def program(self, workload, container):
        program = self.programs.of(container)
        if program is None:
            return
        environment = self.environment(container)
        args = container.get("args", [])
        is_broker = args[:1] == ["broker"]
        for name in sorted(set(environment) - program.settings):
            # The broker of nats-server's settings has no variables; its file refers to them.
            if not (is_broker and f"${name}" in "".join(self.files(workload).values())):
                self.wrong(workload, f"`{program.name}` has no setting {name}")
        ports = {port["containerPort"] for port in container.get("ports", [])}
        names = {port["name"]: port["containerPort"] for port in container.get("ports", [])}
        paths = set()
        for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
            asked = container.get(probe, {}).get("httpGet")
            if asked and (asked["port"] in names or asked["port"] in ports):
                paths.add((names.get(asked["port"], asked["port"]), asked["path"]))
        annotations = workload["spec"]["template"]["metadata"].get("annotations", {})
        scraped = None
        if "prometheus.io/port" in annotations:
            scraped = (int(annotations["prometheus.io/port"]), annotations.get("prometheus.io/path", "/metrics"))
            paths.add(scraped)
        # A bus on this machine that is not there: services wait for theirs.
        for name in ("EVENT_BUS", "NATS_URL", "KAFKA_BROKER"):
            if name in environment:
                environment[name] = re.sub(r"[\w.-]+:\d+", "127.0.0.1:1", environment[name])
        known = {name: value for name, value in environment.items() if is_broker or name in program.settings}
        missing, statuses, said = self.programs.answers(program, known, args, self.files(workload), ports, paths)
        for port in sorted(missing):
            self.wrong(workload, f"`{program.name}` does not listen at the port {port} {said[0]}".rstrip())
        for (port, path), code in sorted(statuses.items()):
            # Not ready is what it should be: there is nothing that it needs.
            accepted = (200,) if (port, path) == scraped else (200, 503)
            if code not in accepted and port not in missing:
                self.wrong(workload, f"`{program.name}` answers {code or 'nothing'} at {port}{path}")

    def files(self, workload):
        """The files that a pod's ConfigMaps have, by their place in the container."""
        files = {}
        pod = workload["spec"]["template"]["spec"]
        for volume in pod.get("volumes", []):
            found = self.named("ConfigMap", volume.get("configMap", {}).get("name"))
            for mount in containers(workload)[0].get("volumeMounts", []):
                if found and mount["name"] == volume["name"]:
                    files.update({f"{mount['mountPath']}/{name}": text for name, text in found["data"].items()})
        return files

    # Resources together.

    def selected(self, selector):
        return [one for one in self.workloads() if matches(selector, one["spec"]["template"]["metadata"]["labels"])]

    def service(self, service):
        pods = self.selected({"matchLabels": service["spec"]["selector"]})
        if not pods:
            self.wrong(service, "its selector matches no pod")
        for pod in pods:
            for port in service["spec"]["ports"]:
                if port_of(pod, port.get("targetPort", port["port"])) is None:
                    self.wrong(service, f"{pod['metadata']['name']} has no port {port.get('targetPort', port['port'])}")

    def network(self):
        policies = self.all("NetworkPolicy")
        denies = [one for one in policies if one["spec"]["podSelector"] == {} and not one["spec"].get("ingress") and not one["spec"].get("egress")]
        if not any(set(one["spec"]["policyTypes"]) == {"Ingress", "Egress"} for one in denies):
            self.problems.append(f"{self.overlay}: no NetworkPolicy denies what is not allowed")
        inward, outward, self.from_outside = set(), set(), set()
        for policy in policies:
            chosen = self.selected(policy["spec"]["podSelector"])
            if not chosen:
                self.wrong(policy, "its selector matches no pod")
            for rule in policy["spec"].get("ingress", []):
                self.rule(policy, rule, "from", chosen, inward)
            for rule in policy["spec"].get("egress", []):
                self.rule(policy, rule, "to", chosen, outward)
        for source, target, port in sorted(outward - inward):
            self.problems.append(f"{self.overlay}: {source} may call {target} at {port}, which may not be called from there")
        for source, target, port in sorted(inward - outward):
            self.problems.append(f"{self.overlay}: {target} may be called from {source} at {port}, which may not call it")
        self.ways = inward & outward

    def rule(self, policy, rule, side, chosen, ways):
        for peer in rule.get(side, []):
            if "namespaceSelector" in peer or "ipBlock" in peer:
                # Who that is, the manifests cannot tell.
                if side == "from":
                    space = peer.get("namespaceSelector", {}).get("matchLabels", {}).get("kubernetes.io/metadata.name")
                    for port in rule.get("ports", []):
                        self.from_outside |= {(space, pod["metadata"]["name"], port_of(pod, port["port"])) for pod in chosen}
                targets = chosen if side == "from" else []
                others = []
            else:
                others = self.selected(peer["podSelector"])
                if not others:
                    self.wrong(policy, f"lets pods {'in' if side == 'from' else 'out to'} that there are none of: {peer['podSelector']}")
                targets = chosen if side == "from" else others
            for port in rule.get("ports", []):
                for target in targets:
                    number = port_of(target, port["port"])
                    if number is None:
                        self.wrong(policy, f"{target['metadata']['name']} has no port {port['port']}")
                        continue
                    for source in others if side == "from" else chosen:
                        ways.add((source["metadata"]["name"], target["metadata"]["name"], number))

    def settings_lead_somewhere(self):
        """What a setting names as host:port is a Service with that port, and the network lets the program there."""
        for workload in self.workloads():
            for container in containers(workload):
                for name, value in self.environment(container).items():
                    for host, port in re.findall(r"(?:^|[/@,])([a-z][\w.-]*):(\d+)\b", value):
                        self.leads(workload, name, host, int(port))

    def leads(self, workload, name, host, port):
        service = next((self.named("Service", part) for part in host.split(".") if self.named("Service", part)), None)
        if service is None:
            self.wrong(workload, f"{name}: there is no Service {host}")
            return
        known = {one["port"]: one.get("targetPort", one["port"]) for one in service["spec"]["ports"]}
        if port not in known:
            self.wrong(workload, f"{name}: the Service {host} has no port {port}")
            return
        # One address in front of all would keep a client's calls, which share a connection, at one replica.
        if name.endswith("_HOST") and service["spec"].get("clusterIP") != "None":
            self.wrong(workload, f"{name}: the Service {host} hides its replicas: clients of gRPC balance over them (clusterIP: None)")
        for target in self.selected({"matchLabels": service["spec"]["selector"]}):
            way = (workload["metadata"]["name"], target["metadata"]["name"], port_of(target, known[port]))
            if way not in self.ways:
                self.wrong(workload, f"{name}: no NetworkPolicy lets it to {way[1]} at {way[2]}")

    def scraping(self):
        for workload in self.workloads():
            port = workload["spec"]["template"]["metadata"].get("annotations", {}).get("prometheus.io/port")
            if port and ("monitoring", workload["metadata"]["name"], int(port)) not in self.from_outside:
                self.wrong(workload, f"no NetworkPolicy lets Prometheus to its port {port}")

    def scaling(self):
        taken = set()
        for scaler in self.all("HorizontalPodAutoscaler", "ScaledObject"):
            name = scaler["spec"]["scaleTargetRef"]["name"]
            target = self.named("Deployment", name)
            if target is None:
                self.wrong(scaler, f"there is no Deployment {name}")
                continue
            if "replicas" in target["spec"]:
                self.wrong(target, "each apply would undo what its autoscaler has decided: replicas")
            if name in taken:
                self.wrong(scaler, f"another autoscaler decides about {name} too")
            taken.add(name)
            for trigger in scaler["spec"].get("triggers", []):
                self.trigger(scaler, trigger)

    def trigger(self, scaler, trigger):
        metadata = trigger["metadata"]
        for key, known in (("topic", "topics"), ("stream", "topics"), ("consumerGroup", "groups"), ("consumer", "groups")):
            if key in metadata and metadata[key] not in getattr(self.repository, known):
                self.wrong(scaler, f"proto/src/events.rs does not know the {key} {metadata[key]}")
        for key in ("bootstrapServers", "natsServerMonitoringEndpoint"):
            for host, port in re.findall(r"([\w.-]+):(\d+)", metadata.get(key, "")):
                self.reaches(scaler, host.split(".")[0], int(port))
        if trigger["type"] == "mysql":
            self.reaches(scaler, "mysql", 3306)
        for database, table in re.findall(r"FROM (\w+)\.(\w+)", metadata.get("query", "")):
            if not self.repository.has_table(database, table):
                self.wrong(scaler, f"no migration of {database} makes the table {table}")
        reference = trigger.get("authenticationRef")
        if reference:
            found = self.named("TriggerAuthentication", reference["name"])
            if found is None:
                self.wrong(scaler, f"there is no TriggerAuthentication {reference['name']}")
            for secret in (found or {"spec": {}})["spec"].get("secretTargetRef", []):
                self.secret(found, secret)

    def reaches(self, scaler, name, port):
        """KEDA's operator, which is in another namespace, asks a Service, or the pods behind one without an address."""
        service = self.named("Service", name)
        pods = self.selected({"matchLabels": service["spec"]["selector"]}) if service else []
        if not any(port_of(pod, port) for pod in pods):
            self.wrong(scaler, f"nothing listens at {name}:{port}")
        for pod in pods:
            if ("keda", pod["metadata"]["name"], port) not in self.from_outside:
                self.wrong(scaler, f"no NetworkPolicy lets KEDA to {pod['metadata']['name']} at {port}")

    def ingress(self, ingress):
        for tls in ingress["spec"].get("tls", []):
            self.secret(ingress, {"name": tls["secretName"], "key": "tls.crt"})
        if not ingress["spec"].get("tls"):
            self.wrong(ingress, "has no TLS")
        for key, value in ingress["metadata"].get("annotations", {}).items():
            if key.endswith("/auth-secret"):
                self.secret(ingress, {"name": value, "key": "auth"})
        for rule in ingress["spec"]["rules"]:
            for path in rule["http"]["paths"]:
                backend = path["backend"]["service"]
                service = self.named("Service", backend["name"])
                ports = service["spec"]["ports"] if service else []
                wanted = backend["port"]
                found = [one for one in ports if wanted.get("name") == one.get("name") or wanted.get("number") == one["port"]]
                if not found:
                    self.wrong(ingress, f"there is no Service {backend['name']} with the port {wanted}")
                    continue
                for pod in self.selected({"matchLabels": service["spec"]["selector"]}):
                    port = port_of(pod, found[0].get("targetPort", found[0]["port"]))
                    if not any((name, number) == (pod["metadata"]["name"], port) for _, name, number in self.from_outside):
                        self.wrong(ingress, f"no NetworkPolicy lets anything outside to {pod['metadata']['name']} at {port}")

    def namespace(self):
        for namespace in self.all("Namespace"):
            if namespace["metadata"].get("labels", {}).get("pod-security.kubernetes.io/enforce") != "restricted":
                self.wrong(namespace, "does not refuse pods with rights: pod-security.kubernetes.io/enforce")
        spaces = {namespace["metadata"]["name"] for namespace in self.all("Namespace")}
        for resource in self.resources:
            if resource["kind"] != "Namespace" and resource["metadata"].get("namespace") not in spaces:
                self.wrong(resource, f"is in the namespace {resource['metadata'].get('namespace')}, which is not there")

    def most(self, workload):
        """How many pods a workload has at its most, while it rolls."""
        name, count = workload["metadata"]["name"], workload["spec"].get("replicas", 1)
        for scaler in self.all("HorizontalPodAutoscaler", "ScaledObject"):
            if scaler["spec"]["scaleTargetRef"]["name"] == name:
                count = scaler["spec"].get("maxReplicas", scaler["spec"].get("maxReplicaCount"))
        rolling = workload["spec"].get("strategy", {}).get("rollingUpdate", {})
        return count + rolling.get("maxSurge", 0)

    def quota(self):
        for limits in self.all("LimitRange"):
            for limit in limits["spec"]["limits"]:
                for workload in self.workloads():
                    for container in containers(workload):
                        for what, most in limit.get("max", {}).items():
                            if quantity(container.get("resources", {}).get("limits", {}).get(what, 0)) > quantity(most):
                                self.wrong(workload, f"may take more {what} than the LimitRange lets a container")
        for quota in self.all("ResourceQuota"):
            hard = quota["spec"]["hard"]
            taken = {"pods": 0, "persistentvolumeclaims": 0, "requests.storage": 0}
            for workload in self.workloads():
                most = self.most(workload)
                taken["pods"] += most
                for claim in workload["spec"].get("volumeClaimTemplates", []):
                    taken["persistentvolumeclaims"] += most
                    taken["requests.storage"] += most * quantity(claim["spec"]["resources"]["requests"]["storage"])
                for container in containers(workload):
                    for which in ("requests", "limits"):
                        for what, amount in container.get("resources", {}).get(which, {}).items():
                            key = f"{which}.{what}"
                            taken[key] = taken.get(key, 0) + most * quantity(amount)
            for what, amount in taken.items():
                if what not in hard:
                    self.wrong(quota, f"does not limit {what}")
                elif amount > quantity(hard[what]):
                    self.wrong(quota, f"{what}: all that runs may take {amount:g}, and {hard[what]} is what there is")


# What was looked at: the overlays have much in common.
LOOKED_AT = {}


def errors_of(resource):
    """Where a resource has not the shape that its kind has."""
    key = json.dumps(resource, sort_keys=True)
    if key not in LOOKED_AT:
        LOOKED_AT[key] = list(find_errors(resource))
    return LOOKED_AT[key]


def find_errors(resource):
    if resource["kind"] in KEDA and resource.get("apiVersion", "").startswith("keda.sh/"):
        for error in jsonschema.Draft202012Validator(KEDA[resource["kind"]]).iter_errors(resource):
            yield f"{'.'.join(map(str, error.path))}: {error.message}"
        return
    try:
        kubernetes_validate.validate(resource, KUBERNETES, strict=True)
    except kubernetes_validate.ValidationError as error:
        yield f"{'.'.join(map(str, error.path))}: {error.message}"
    except (kubernetes_validate.SchemaNotFoundError, kubernetes_validate.InvalidSchemaError) as error:
        yield f"Kubernetes {KUBERNETES} has no such kind: {error}"


def containers(workload):
    pod = workload["spec"]["template"]["spec"]
    return pod["containers"] + pod.get("initContainers", [])


def port_of(workload, port):
    """The number of a port of a pod, given by its name or number; none if the pod has no such port."""
    for container in containers(workload):
        for known in container.get("ports", []):
            if port in (known.get("name"), known["containerPort"]):
                return known["containerPort"]
    return None


def matches(selector, labels):
    for key, value in selector.get("matchLabels", {}).items():
        if labels.get(key) != value:
            return False
    for term in selector.get("matchExpressions", []):
        is_in = labels.get(term["key"]) in term.get("values", [])
        if {"In": is_in, "NotIn": not is_in, "Exists": term["key"] in labels, "DoesNotExist": term["key"] not in labels}[term["operator"]]:
            continue
        return False
    return True


def quantity(text):
    """A quantity of Kubernetes as a number."""
    units = {"m": 1e-3, "k": 1e3, "M": 1e6, "G": 1e9, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40, "": 1}
    number, unit = re.fullmatch(r"([\d.]+)([A-Za-z]*)", str(text)).groups()
    return float(number) * units[unit]


def doctor(text, repository, program, resources):
    """What is wrong with k8s/doctor.yaml, which gives the doctor what the catalog of production has."""
    given, problems = yaml.safe_load(text), []
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "doctor"},
        "spec": {"containers": [{"name": "catalog"}], "ephemeralContainers": [{"name": "doctor", **given}]},
    }
    problems += errors_of(pod)
    maps = [one for one in resources if one["kind"] == "ConfigMap" and one["metadata"]["name"].startswith("catalog-")]
    catalog = maps[0]["data"] if len(maps) == 1 else {}
    for variable in given.get("env", []):
        name, source = variable["name"], variable.get("valueFrom", {}).get("secretKeyRef")
        # Its subcommand has these.
        if name not in program.settings | {"CATALOG_HOST", "ACCOUNTS_HOST"}:
            problems.append(f"`marquee` has no setting {name}")
        if source and source["key"] not in repository.secrets.get(source["name"], ()):
            problems.append(f"k8s/README.md has no secret {source['name']} with {source['key']}")
        if not source and name in catalog and variable["value"] != catalog[name]:
            problems.append(f"{name} is {variable['value']}, and {catalog[name]} in production")
    missing = {name for name in catalog if name.endswith(("_ADDR", "_HOST", "_BUS"))} - {one["name"] for one in given["env"]}
    problems += [f"it lacks {name}, which production has" for name in sorted(missing)]
    return [f"doctor.yaml: {problem}" for problem in problems]


def main():
    arguments = argparse.ArgumentParser(description="Checks the manifests in k8s/.")
    arguments.add_argument("--programs", type=Path, required=True, help="the folder with the programs, built")
    arguments.add_argument("overlays", nargs="*", help="only these [default: all]")
    given = arguments.parse_args()
    repository, programs = Repository(), Programs(given.programs.resolve())
    absent = [name for name in ("web", "catalog", "recommendations", "accounts", "bridge", "marquee") if not (programs.folder / name).exists()]
    if absent:
        sys.exit(f"{programs.folder} has no {', '.join(absent)}: cargo build --workspace --bins")
    folders = [*sorted(OVERLAYS.iterdir()), TRIAL]
    folders = [folder for folder in folders if not given.overlays or folder.name in given.overlays]
    problems = []
    for folder in folders:
        name, resources = folder.name, render(folder)
        found = Check(name, resources, repository, programs).run()
        problems += found
        print(f"{name}: {len(resources)} resources, {len(found)} problems")
        if name == "production":
            problems += doctor(DOCTOR.read_text(), repository, Program(programs.folder, "marquee"), resources)
    print("\n".join(problems))
    sys.exit(1 if problems else 0)


if __name__ == "__main__":
    main()
