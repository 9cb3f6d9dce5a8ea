#!/usr/bin/env bash
# Runs production on a real Kubernetes cluster, under load, and says pass or fail: films and preferences come through the Service while
# a matcher is killed, every Deployment is rolled, and every pod is drained; then the matchers scale from one to three and back. No
# request may fail beyond what its client tries again, and no film may be lost.
#
#   tests/kubernetes.sh
#
# Needs kubectl, curl, and a cluster as kubectl's current context, into which the images marquee-web, marquee-catalog,
# marquee-recommendations, marquee-accounts and marquee-bridge were loaded. The cluster has a default StorageClass, the metrics that autoscalers need, and
# lets pods in namespaces of the trial kill processes. Works in the namespaces marquee-trial and marquee-trial-tools, which are deleted before
# and afterwards.
#
#   TAG=0.1.0               the tag of these images [default: latest, as `docker build --tag marquee-web` makes them]
#   REGISTRY=host/path/     where they are [default: nowhere, they were loaded]
#   MYSQL_IMAGE, KAFKA_IMAGE=…  others than the manifests have; MYSQL_IDS=uid:gid, KAFKA_IDS=uid:gid the users that they run as
#   KAFKA_BROKERS=1         one broker in place of three, for a small machine
#   SITE=http://host:port   where the Service is reached [default: the first node, at the port that the Service gets there]
#   KEEP=1                  leaves everything in the cluster, to be looked at
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

readonly namespace=marquee-trial
readonly tools=marquee-trial-tools
readonly -a deployments=(web catalog recommendations accounts relay)
work=$(mktemp -d)
readonly work
site=
loaders=()
failures=0

in_namespace() { kubectl --namespace "$namespace" "$@"; }
die() {
    say "FAILED: $*"
    in_namespace get pods,horizontalpodautoscalers --output wide 2>&1 || true
    in_namespace get events --sort-by=.lastTimestamp 2>&1 | tail -n 30 || true
    for program in "${deployments[@]}"; do in_namespace logs --selector "app.kubernetes.io/name=$program" --tail 20 --prefix 2>&1 || true; done
    exit 1
}
# wrong WHAT : the trial goes on, and fails at its end
wrong() {
    say "WRONG: $*"
    failures=$((failures + 1))
}
clean() { kubectl delete namespace "$namespace" "$tools" --ignore-not-found --timeout=5m >>"$work/log" 2>&1; }
finish() {
    local status=$?
    stop_load
    [ -n "${KEEP:-}" ] || clean || true
    rm -rf "$work"
    exit "$status"
}

# shellcheck source=tests/visitor.sh
. tests/visitor.sh
# shellcheck source=tests/kubernetes/load.sh
. tests/kubernetes/load.sh
trap finish EXIT

# -- the cluster -----------------------------------------------------------------------------------------------------------------
# The overlay of the trial with the images of this run, as a folder.
make_overlay() {
    local target kind ids
    mkdir "$work/overlay"
    {
        printf 'apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\n'
        printf 'resources: [%s]\n' "$(realpath --relative-to="$work/overlay" tests/kubernetes/trial)"
        printf 'images:\n'
        for target in web catalog recommendations accounts bridge; do
            printf '  - { name: marquee-%s, newName: %smarquee-%s, newTag: "%s" }\n' "$target" "${REGISTRY:-}" "$target" "${TAG:-latest}"
        done
        [ -z "${MYSQL_IMAGE:-}" ] || image mysql "$MYSQL_IMAGE"
        [ -z "${KAFKA_IMAGE:-}" ] || image apache/kafka "$KAFKA_IMAGE"
        printf 'patches:\n'
        for kind in MYSQL KAFKA; do
            ids=${kind}_IDS
            [ -z "${!ids:-}" ] || user "${kind,,}" "${!ids%:*}" "${!ids#*:}"
        done
        [ "${KAFKA_BROKERS:-3}" != 1 ] || one_broker
    } >"$work/overlay/kustomization.yaml"
}
image() { printf '  - { name: %s, newName: "%s", newTag: "%s" }\n' "$1" "${2%:*}" "${2##*:}"; }
user() {
    cat <<PATCH
  - target: { kind: StatefulSet, name: $1 }
    patch: |
      - { op: replace, path: /spec/template/spec/securityContext/runAsUser, value: $2 }
      - { op: replace, path: /spec/template/spec/securityContext/runAsGroup, value: $3 }
      - { op: replace, path: /spec/template/spec/securityContext/fsGroup, value: $3 }
PATCH
}
one_broker() {
    cat <<GENERATOR
  - target: { kind: StatefulSet, name: kafka }
    patch: |
      - { op: replace, path: /spec/replicas, value: 1 }
configMapGenerator:
  - name: kafka
    namespace: $namespace
    behavior: merge
    literals:
      - KAFKA_CONTROLLER_QUORUM_VOTERS=0@kafka-0.kafka-brokers:9093
      - KAFKA_DEFAULT_REPLICATION_FACTOR=1
      - KAFKA_MIN_INSYNC_REPLICAS=1
      - KAFKA_OFFSETS_TOPIC_REPLICATION_FACTOR=1
      - KAFKA_TRANSACTION_STATE_LOG_REPLICATION_FACTOR=1
      - KAFKA_TRANSACTION_STATE_LOG_MIN_ISR=1
      - KAFKA_SHARE_COORDINATOR_STATE_TOPIC_REPLICATION_FACTOR=1
      - KAFKA_SHARE_COORDINATOR_STATE_TOPIC_MIN_ISR=1
GENERATOR
}

all_rolled_out() {
    local workload
    for workload in statefulset/mysql statefulset/kafka statefulset/bridge "${deployments[@]/#/deployment/}"; do
        in_namespace rollout status "$workload" --timeout "${1:-5m}" >>"$work/log" 2>&1 || die "$workload does not come up"
    done
}

bring_up() {
    clean || die 'what an earlier trial has left cannot be deleted'
    kubectl create namespace "$namespace" --save-config >>"$work/log"
    NAMESPACE=$namespace k8s/secrets.sh >>"$work/log"
    make_overlay
    kubectl apply -k "$work/overlay" >>"$work/log" 2>&1 || { tail "$work/log"; die 'the cluster does not take the manifests'; }
    all_rolled_out 8m
    site=${SITE:-$(address_of_service)}
    eventually 60 "the pages at $site" shows_pages
    say "up at $site: $(in_namespace get pods --no-headers | wc -l) pods"
}

shows_pages() { page /sign-in >/dev/null; }

address_of_service() {
    local node port
    node=$(kubectl get nodes --output jsonpath='{.items[0].status.addresses[?(@.type=="InternalIP")].address}')
    port=$(in_namespace get service web --output jsonpath='{.spec.ports[0].nodePort}')
    printf 'http://%s:%s' "${node%% *}" "$port"
}

pods_of() { in_namespace get pods --selector "app.kubernetes.io/name=$1" --field-selector status.phase=Running --output name; }
# ready PROGRAM COUNT : so many of its pods are ready, and no other is there
ready() {
    [ "$(in_namespace get deployment "$1" --output jsonpath='{.status.readyReplicas} {.status.replicas}')" = "$2 $2" ] &&
        [ "$(pods_of "$1" | wc -l)" = "$2" ]
}
matchers() { in_namespace get deployment recommendations --output jsonpath='{.spec.replicas}'; }
# all_ready PROGRAM : as many of its pods as are wanted at the moment, which an autoscaler may change
all_ready() { ready "$1" "$(in_namespace get deployment "$1" --output jsonpath='{.spec.replicas}')"; }
several_matchers() { (($(matchers) >= 2)) && all_ready recommendations; }
there_are_matchers() { [ "$(matchers)" = "$1" ] && ready recommendations "$1"; }
at_least() { in_namespace patch horizontalpodautoscaler recommendations --patch "{\"spec\":{\"minReplicas\":$1}}" >>"$work/log"; }

# sql STATEMENT : what the database says
# shellcheck disable=SC2016 # the password is in the container
sql() { in_namespace exec mysql-0 -- sh -c 'MYSQL_PWD="$MYSQL_ROOT_PASSWORD" exec mysql --batch --skip-column-names --user=root --execute "$0"' "$1"; }

# The first account, which needs the code that the log of the accounts service shows.
sign_up() {
    local code
    code=$(in_namespace logs --selector app.kubernetes.io/name=accounts --tail=-1 | grep -o 'with the code [A-Za-z0-9_-]*' | head -n 1)
    post /sign-up /sign-up username=owner email=owner@films.example "password=$(head -c 12 /dev/urandom | od -An -tx1 | tr -d ' \n')" "setup_code=${code##* }" ||
        die 'nobody can sign up'
    page /recommendations >/dev/null || die 'who has signed up is not signed in'
}

# -- what happens to them --------------------------------------------------------------------------------------------------------
now_ms() { date +%s%3N; }
seconds() { printf '%d.%03d s' $(($1 / 1000)) $(($1 % 1000)); }

# during WHAT COMMAND… : under load, which goes on a little before and afterwards
during() {
    local what=$1 before tried
    shift
    before=$(acknowledged) tried=$(tried_again)
    eventually 60 'films to be added' more_than $((before + 5))
    "$@"
    eventually 60 "films to be added after $what" more_than $(($(acknowledged) + 5))
    say "$what: $(($(acknowledged) - before)) films added meanwhile, $(($(tried_again) - tried)) requests tried again, $(failed) failed"
}

kill_a_matcher() {
    local pod
    pod=$(pods_of recommendations | head -n 1)
    in_namespace delete "$pod" --grace-period=0 --force --wait=false >>"$work/log" 2>&1
    eventually 90 'a matcher in its place' all_ready recommendations
}

roll() {
    local program
    for program in "${deployments[@]}"; do
        in_namespace rollout restart "deployment/$program" >>"$work/log"
        in_namespace rollout status "deployment/$program" --timeout 5m >>"$work/log" || die "$program does not roll"
    done
}

# What a drain does with each pod, without a second machine: an eviction, which the PodDisruptionBudget has to allow.
evict() {
    local name=${1#pod/}
    kubectl create --raw "/api/v1/namespaces/$namespace/pods/$name/eviction" --filename - >>"$work/log" 2>&1 <<EVICTION
{"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "$name", "namespace": "$namespace"}}
EVICTION
}
drain() {
    local program pod
    for program in "${deployments[@]}"; do
        for pod in $(pods_of "$program"); do
            eventually 60 "the eviction of $pod to be allowed" evict "$pod"
            eventually 120 "a pod in place of $pod" all_ready "$program"
        done
    done
}

# A pod that may end processes of its node, for `kill -9` as a machine does it: from outside, at once, and without a word.
prepare_to_kill() {
    local node image
    node=$(in_namespace get pods --selector app.kubernetes.io/name=recommendations --output jsonpath='{.items[*].spec.nodeName}' | tr ' ' '\n' | sort -u)
    [ "$(wc -l <<<"$node")" = 1 ] || say 'the matchers are on several nodes; those on the first one are killed'
    image=$(in_namespace get statefulset kafka --output jsonpath='{.spec.template.spec.containers[0].image}')
    kubectl apply --filename - >>"$work/log" <<POD
apiVersion: v1
kind: Namespace
metadata:
  name: $tools
  labels: { pod-security.kubernetes.io/enforce: privileged }
---
apiVersion: v1
kind: Pod
metadata: { name: killer, namespace: $tools }
spec:
  hostPID: true
  nodeName: $(head -n 1 <<<"$node")
  terminationGracePeriodSeconds: 0
  automountServiceAccountToken: false
  containers:
    - name: killer
      image: $image
      imagePullPolicy: IfNotPresent
      command: [bash, -c, "while :; do sleep 60; done"]
      securityContext: { privileged: true, runAsUser: 0 }
POD
    kubectl --namespace "$tools" wait --for=condition=Ready pod/killer --timeout=2m >>"$work/log"
}
# kill_9 POD : true if its program was found
kill_9() {
    local uid
    uid=$(in_namespace get "$1" --output jsonpath='{.metadata.uid}')
    # The name of a pod's control group has its id, with one sign or the other.
    # shellcheck disable=SC2016 # the variables are the other shell's
    kubectl --namespace "$tools" exec killer -- bash -c '
        for process in /proc/[0-9]*; do
            [ "$(cat "$process/comm" 2>/dev/null)" = recommendations ] || continue
            grep -qsE "pod${0//-/[-_]}" "$process/cgroup" && kill -9 "${process#/proc/}" && exit 0
        done
        exit 1' "$uid"
}

is_flagged() { [ "$(sql "SELECT COUNT(*) FROM movies.movies WHERE title = '$1' AND is_recommended")" = 1 ]; }
all_flagged() { [ "$(sql 'SELECT COUNT(*) FROM movies.movies WHERE NOT is_recommended')" = 0 ]; }
holder() { sql "SELECT holder FROM recommendations.leases WHERE name = 'background'"; }

# Kills matchers until the one is hit that has the lease; a film that is added at once afterwards is flagged when another one has it.
lose_the_lease() {
    local pod before begun title took number=0
    for pod in $(pods_of recommendations); do
        number=$((number + 1))
        title="Heist after the kill $number"
        before=$(holder)
        kill_9 "$pod" || { say "$pod is on another node"; continue; }
        begun=$(now_ms)
        add_film "$title" || wrong 'a film was not taken after the kill'
        until is_flagged "$title"; do
            (($(now_ms) - begun < 60000)) || die 'no film is flagged after the kill'
        done
        took=$(($(now_ms) - begun))
        if [ "$(holder)" != "$before" ]; then
            say "kill -9 of the matcher with the lease: the next film was flagged after $(seconds "$took")"
            ((took < 6000)) || wrong 'that is more than 6 s'
            return
        fi
        say "kill -9 of a matcher without the lease: the next film was flagged after $(seconds "$took")"
        eventually 90 'the matcher to be back' all_ready recommendations
    done
    wrong 'no matcher with the lease could be killed'
}

scale() {
    local begun=$SECONDS
    eventually 300 'one matcher while nothing is asked' there_are_matchers 1
    say "one matcher, $((SECONDS - begun)) s after the load"
    begun=$SECONDS
    start_asking 2
    eventually 300 'three matchers under load' there_are_matchers 3
    say "three matchers, $((SECONDS - begun)) s after the load began"
    stop_load
    begun=$SECONDS
    eventually 600 'one matcher again' there_are_matchers 1
    say "one matcher again, $((SECONDS - begun)) s after the load ended"
}

# -- the trial -------------------------------------------------------------------------------------------------------------------
bring_up
sign_up
main_flow kubernetes
at_least 2
eventually 120 'several matchers' several_matchers
prepare_to_kill
start_adding 2
start_reading 1
during 'a matcher deleted at once' kill_a_matcher
during 'the matcher with the lease killed' lose_the_lease
eventually 90 'all matchers' all_ready recommendations
during 'all Deployments rolled' roll
during 'all pods drained' drain
stop_load
eventually 180 'every film acknowledged to be there once, and recommended' converged
eventually 60 'every film to be flagged' all_flagged
say "$(acknowledged) films acknowledged, $(sql 'SELECT COUNT(*) FROM movies.movies') stored, each of them flagged; 0 lost"
at_least 1
scale
say "$(requests) requests, $(tried_again) tried again, $(failed) failed"
(($(failed) == 0)) || wrong "$(failed) requests failed"
((failures == 0)) || die "$failures things are wrong"
say 'passed'
