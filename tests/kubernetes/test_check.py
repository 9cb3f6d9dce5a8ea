"""Sees the check fail: each mistake that it is there for is made once, in manifests that are right otherwise.

    python -m unittest test_check      in this folder; PROGRAMS names the folder with the programs, KUBECTL the program kubectl
"""

import copy
import os
import unittest
from pathlib import Path

from check import DOCTOR, OVERLAYS, Check, Program, Programs, Repository, doctor, render


def get(resources, kind, name):
    return next(one for one in resources if one["kind"] == kind and one["metadata"]["name"].startswith(name))


def container(resources, kind, name):
    return pod(resources, kind, name)["containers"][0]


def pod(resources, kind, name):
    return get(resources, kind, name)["spec"]["template"]["spec"]


def put(where, key, value):
    """Sets a key, or takes it away if the value is None."""
    if value is None:
        del where[key]
    else:
        where[key] = value


# A mistake in `production`, and what is said of it.
MISTAKES = {
    # Shapes.
    "additional properties are not allowed ('replica'": lambda r: put(get(r, "Deployment", "web")["spec"], "replica", 2),
    "'two' is not of type": lambda r: put(get(r, "Deployment", "web")["spec"], "replicas", "two"),
    "has no such kind": lambda r: put(get(r, "Deployment", "web"), "apiVersion", "apps/v7"),
    # Pods.
    "may run as root": lambda r: put(pod(r, "Deployment", "web")["securityContext"], "runAsNonRoot", False),
    "anything of the kernel": lambda r: put(pod(r, "Deployment", "web")["securityContext"], "seccompProfile", None),
    "get a token": lambda r: put(pod(r, "Deployment", "web"), "automountServiceAccountToken", None),
    "other Services may be taken for settings": lambda r: put(pod(r, "StatefulSet", "kafka"), "enableServiceLinks", None),
    "there is no ServiceAccount webb": lambda r: put(pod(r, "Deployment", "web"), "serviceAccountName", "webb"),
    "has a token for whoever": lambda r: put(get(r, "ServiceAccount", "web"), "automountServiceAccountToken", True),
    "does not match its own pods": lambda r: put(
        get(r, "Deployment", "web")["spec"]["selector"]["matchLabels"], "app.kubernetes.io/name", "webb"
    ),
    "is killed before its pause of 6 s": lambda r: put(pod(r, "Deployment", "web"), "terminationGracePeriodSeconds", 10),
    "before its successor is ready": lambda r: put(get(r, "Deployment", "web")["spec"]["strategy"]["rollingUpdate"], "maxUnavailable", 1),
    "may write anywhere": lambda r: put(container(r, "Deployment", "web")["securityContext"], "readOnlyRootFilesystem", False),
    "has capabilities": lambda r: put(container(r, "Deployment", "web")["securityContext"], "capabilities", {"add": ["SYS_ADMIN"]}),
    "may become another user": lambda r: put(container(r, "Deployment", "web")["securityContext"], "allowPrivilegeEscalation", True),
    "has no limits of": lambda r: put(container(r, "Deployment", "web")["resources"], "limits", None),
    # Images.
    "no tag that stays": lambda r: put(container(r, "Deployment", "web"), "image", "marquee-web:latest"),
    "no target for the image": lambda r: put(container(r, "StatefulSet", "mysql"), "image", "marquee-mysql:0.1.0"),
    "is not of the release": lambda r: put(container(r, "Deployment", "web"), "image", "marquee-web:0.0.9"),
    "neither of the Dockerfile nor": lambda r: put(container(r, "StatefulSet", "mysql"), "image", "mysql:8.3"),
    # Probes, ports and settings of the programs.
    "has no livenessProbe": lambda r: put(container(r, "Deployment", "web"), "livenessProbe", None),
    "asks at the port pagess": lambda r: put(container(r, "Deployment", "web")["readinessProbe"]["httpGet"], "port", "pagess"),
    "answers 404 at 5000/ready": lambda r: put(container(r, "Deployment", "web")["readinessProbe"]["httpGet"], "path", "/ready"),
    "answers 404 at 5000/metrics": lambda r: put(
        get(r, "Deployment", "web")["spec"]["template"]["metadata"]["annotations"], "prometheus.io/port", "5000"
    ),
    "does not listen at the port 50053": lambda r: put(container(r, "Deployment", "catalog")["ports"][0], "containerPort", 50053),
    "has no setting CATALOG_HOSTS": lambda r: put(get(r, "ConfigMap", "web-")["data"], "CATALOG_HOSTS", "catalog:50052"),
    "`catalog` does not listen": lambda r: put(get(r, "ConfigMap", "catalog-")["data"], "HTTP_ADDR", "0.0.0.0"),
    # References.
    "there is no ConfigMap settings": lambda r: put(container(r, "Deployment", "web")["envFrom"][0]["configMapRef"], "name", "settings"),
    "there is no Secret passwords": lambda r: put(
        container(r, "Deployment", "web")["env"][0]["valueFrom"]["secretKeyRef"], "name", "passwords"
    ),
    "has no key KEY": lambda r: put(container(r, "Deployment", "web")["env"][0]["valueFrom"]["secretKeyRef"], "key", "KEY"),
    "there is no PersistentVolumeClaim films": lambda r: put(
        pod(r, "Deployment", "web"), "volumes", [{"name": "data", "persistentVolumeClaim": {"claimName": "films"}}]
    ),
    "two pods would have one volume": lambda r: put(
        pod(r, "Deployment", "web"), "volumes", [{"name": "data", "persistentVolumeClaim": {"claimName": "films"}}]
    ),
    "there is no volume dates": lambda r: put(container(r, "StatefulSet", "kafka")["volumeMounts"][0], "name", "dates"),
    # Selectors and ways.
    "Service web: its selector matches no pod": lambda r: put(
        get(r, "Service", "web")["spec"]["selector"], "app.kubernetes.io/name", "pages"
    ),
    "web has no port http": lambda r: put(get(r, "Service", "web")["spec"]["ports"][0], "targetPort", "http"),
    "no NetworkPolicy denies": lambda r: r.remove(get(r, "NetworkPolicy", "default-deny")),
    "NetworkPolicy mysql-clients: its selector matches no pod": lambda r: put(
        get(r, "NetworkPolicy", "mysql-clients")["spec"], "podSelector", {"matchLabels": {"app.kubernetes.io/name": "movies"}}
    ),
    "that there are none of": lambda r: put(
        get(r, "NetworkPolicy", "recommendations")["spec"]["ingress"][0]["from"][0]["podSelector"]["matchLabels"],
        "app.kubernetes.io/name",
        "pages",
    ),
    "recommendations has no port 50052": lambda r: put(
        get(r, "NetworkPolicy", "web")["spec"]["egress"][1]["ports"][0], "port", 50052
    ),
    "web may call catalog at 50052, which may not": lambda r: put(get(r, "NetworkPolicy", "catalog")["spec"], "ingress", []),
    "may be called from web at 50051, which may not": lambda r: get(r, "NetworkPolicy", "web")["spec"]["egress"].pop(1),
    "there is no Service catalogs": lambda r: put(get(r, "ConfigMap", "web-")["data"], "CATALOG_HOST", "catalogs:50052"),
    "the Service catalog hides its replicas": lambda r: put(get(r, "Service", "catalog")["spec"], "clusterIP", None),
    "the Service kafka has no port 9093": lambda r: put(get(r, "ConfigMap", "catalog-")["data"], "EVENT_BUS", "kafka://kafka:9093"),
    "no NetworkPolicy lets it to kafka at 9092": lambda r: r.remove(get(r, "NetworkPolicy", "kafka-clients")),
    "lets Prometheus to its port 8222": lambda r: get(r, "NetworkPolicy", "metrics")["spec"]["podSelector"]["matchExpressions"][0][
        "values"
    ].remove("bridge"),
    "lets anything outside to web at 5000": lambda r: r.remove(get(r, "NetworkPolicy", "ingress")),
    # What is around them.
    "there is no Deployment matchers": lambda r: put(
        get(r, "HorizontalPodAutoscaler", "recommendations")["spec"]["scaleTargetRef"], "name", "matchers"
    ),
    "each apply would undo": lambda r: put(get(r, "Deployment", "recommendations")["spec"], "replicas", 2),
    "PodDisruptionBudget web: its selector": lambda r: put(
        get(r, "PodDisruptionBudget", "web")["spec"]["selector"]["matchLabels"], "app.kubernetes.io/name", "pages"
    ),
    "has no TLS": lambda r: put(get(r, "Ingress", "web")["spec"], "tls", None),
    "there is no Service web with the port {'name': 'http'}": lambda r: put(
        get(r, "Ingress", "web")["spec"]["rules"][0]["http"]["paths"][0]["backend"]["service"]["port"], "name", "http"
    ),
    "there is no Secret certificates": lambda r: put(get(r, "Ingress", "web")["spec"]["tls"][0], "secretName", "certificates"),
    "does not refuse pods with rights": lambda r: put(
        get(r, "Namespace", "marquee")["metadata"]["labels"], "pod-security.kubernetes.io/enforce", "baseline"
    ),
    "is in the namespace default": lambda r: put(get(r, "Service", "web")["metadata"], "namespace", "default"),
    "requests.cpu: all that runs may take": lambda r: put(get(r, "ResourceQuota", "marquee")["spec"]["hard"], "requests.cpu", "2"),
    "does not limit limits.memory": lambda r: put(get(r, "ResourceQuota", "marquee")["spec"]["hard"], "limits.memory", None),
    "more cpu than the LimitRange": lambda r: put(get(r, "LimitRange", "marquee")["spec"]["limits"][0]["max"], "cpu", "1"),
}

# The same in `keda`.
KEDA_MISTAKES = {
    "triggers.0: Additional properties": lambda r: put(get(r, "ScaledObject", "catalog")["spec"]["triggers"][0], "topic", "ratings"),
    "does not know the topic films": lambda r: put(get(r, "ScaledObject", "catalog")["spec"]["triggers"][0]["metadata"], "topic", "films"),
    "does not know the consumerGroup": lambda r: put(
        get(r, "ScaledObject", "catalog")["spec"]["triggers"][0]["metadata"], "consumerGroup", "catalogs"
    ),
    "nothing listens at kafka:9094": lambda r: put(
        get(r, "ScaledObject", "catalog")["spec"]["triggers"][0]["metadata"], "bootstrapServers", "kafka.marquee.svc:9094"
    ),
    "lets KEDA to kafka at 9092": lambda r: r.remove(get(r, "NetworkPolicy", "keda-to-kafka")),
    "lets KEDA to mysql at 3306": lambda r: r.remove(get(r, "NetworkPolicy", "keda-to-mysql")),
    "makes the table films_that_wait": lambda r: put(
        get(r, "ScaledObject", "recommendations")["spec"]["triggers"][0]["metadata"], "query", "SELECT COUNT(*) FROM movies.films_that_wait"
    ),
    "there is no TriggerAuthentication": lambda r: r.remove(get(r, "TriggerAuthentication", "marquee-scaler")),
    "has no key url": lambda r: put(get(r, "TriggerAuthentication", "marquee-scaler")["spec"]["secretTargetRef"][0], "key", "url"),
    "another autoscaler decides": lambda r: put(
        get(r, "ScaledObject", "recommendations")["spec"]["scaleTargetRef"], "name", "catalog"
    ),
}


class Mistakes(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.repository = Repository()
        cls.programs = Programs(Path(os.environ["PROGRAMS"]).resolve())
        cls.rendered = {name: render(OVERLAYS / name) for name in ("production", "keda")}

    def found(self, overlay, make):
        resources = copy.deepcopy(self.rendered[overlay])
        make(resources)
        return Check(overlay, resources, self.repository, self.programs).run()

    def test_each_mistake_is_found(self):
        for overlay, mistakes in (("production", MISTAKES), ("keda", KEDA_MISTAKES)):
            for said, make in mistakes.items():
                with self.subTest(said):
                    found = "\n".join(self.found(overlay, make))
                    self.assertIn(said.lower(), found.lower())

    def test_each_mistake_in_what_the_doctor_is_given_is_found(self):
        program, text = Program(self.programs.folder, "marquee"), DOCTOR.read_text()
        for said, right, wrong in (
            ("additional properties are not allowed ('environment'", "env:", "environment: []\nenv:"),
            ("has no setting EVENT_BUSES", "name: EVENT_BUS,", "name: EVENT_BUSES,"),
            ("it lacks EVENT_BUS", "name: EVENT_BUS,", "name: EVENT_BUSES,"),
            ("no secret marquee-films with DATABASE_URL", "marquee-catalog", "marquee-films"),
            ("EVENT_BUS is kafka://kafka:9093", "kafka:9092", "kafka:9093"),
        ):
            with self.subTest(said):
                self.assertIn(right, text)
                found = doctor(text.replace(right, wrong), self.repository, program, self.rendered["production"])
                self.assertIn(said.lower(), "\n".join(found).lower())

    def test_what_ships_is_right(self):
        for overlay in self.rendered:
            self.assertEqual(self.found(overlay, lambda _: None), [])


if __name__ == "__main__":
    unittest.main()
