#!/usr/bin/env bash
# Brings the containers up for real and tries them: the main flow through port 5000, then each service killed under load;
# several matchers, of which one is killed; the relay between Kafka and the bridge, with each of the three paused and killed, and with a
# Kafka that wants SCRAM over TLS.
#
#   tests/containers.sh          over Kafka, over the bridge instead, several matchers, the relay, and the relay over TLS
#   tests/containers.sh relay    one of the five: kafka, bridge, scaled, relay or tls
#
# Needs docker with compose, curl, openssl, and the ports 5000, 5002, 5051 to 5060, 8223, 50051 and 9092. Works in a compose project of its own, with secrets of its
# own, and leaves nothing behind but the images.
#
#   SKIP_BUILD=1 tests/containers.sh    with the images that are there
#
# Where the builder needs more to reach the registries:
#
#   BUILD_OPTIONS='--network host --secret id=ca,src=/etc/ssl/certs/ca-certificates.crt' tests/containers.sh
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

readonly site=http://127.0.0.1:5000
readonly further=http://127.0.0.1:5002
readonly services='catalog web recommendations accounts bridge'
work=$(mktemp -d)
readonly work
export COMPOSE_PROJECT_NAME=marquee-trial
loader=

secret() { head -c 24 /dev/urandom | od -An -tx1 | tr -d ' \n'; }
NATS_TOKEN=$(secret)
export NATS_TOKEN
export MARQUEE_SECRETS=$work/passwords
./secrets.sh "$MARQUEE_SECRETS"

die() {
    say "FAILED: $*"
    docker compose --profile nats --profile relay --profile web logs --tail 40 2>&1 | tail -n 200
    exit 1
}
down() { docker compose --profile nats --profile relay --profile web down --volumes --timeout 10 >>"$work/compose.log" 2>&1; }
finish() {
    local status=$?
    [ -z "$loader" ] || kill "$loader" 2>/dev/null || true
    down || true
    rm -rf "$work"
    exit "$status"
}
trap finish EXIT

# shellcheck source=tests/visitor.sh
. tests/visitor.sh

# The program `web`, beside the catalog: the same films, and a cookie signed by either is good for both.
further_pages() {
    local title="The short heist of $1"
    post /movie/new /movie/new "title=$title" genre=Crime || die 'cannot add a film'
    [[ $(browser --fail --location "$further/") == *"data-title=\"$title\""* ]] || die 'the further pages lack the film'
    post "/movie/$(film_id "$title")/delete" "/movie/$(film_id "$title")" || die 'cannot delete the film'
    say 'the further pages: the same films'
}

# -- load ----------------------------------------------------------------------------------------------------------------------
# Adds films that match until it is killed; the titles of those that were acknowledged go to the file.
load() {
    local number=0 title
    trap 'exit 0' TERM
    while :; do
        number=$((number + 1))
        title="Heist $1 $number"
        if post /movie/new /movie/new "title=$title" genre=Crime 2>/dev/null; then
            echo "$title" >>"$work/acknowledged"
        else
            sleep 0.2
        fi
    done
}

kill_under_load() {
    local service=$1 before
    load "$service" &
    loader=$!
    before=$(acknowledged)
    eventually 30 'the load' more_than $((before + 10))
    docker compose kill "$service" >>"$work/compose.log" 2>&1
    sleep 4
    docker compose "${up[@]}" >>"$work/compose.log" 2>&1 || die "$service does not come back"
    before=$(acknowledged)
    eventually 60 'films to be added again' more_than $((before + 10))
    kill "$loader"
    wait "$loader" || true
    loader=
    eventually 120 'every film acknowledged to be there once, and recommended' converged
    say "$service killed and back: $(acknowledged) films acknowledged in all, each there once and recommended"
}

try() {
    local broker=$1
    case $broker in
        kafka) up=(--profile web up --no-build --wait --wait-timeout 180) ;;
        bridge) export EVENT_BUS=nats://bridge:4222; up=(--profile nats --profile web up --no-build --wait --wait-timeout 180 --scale kafka=0) ;;
        *) echo 'kafka, bridge, scaled, relay or tls?' >&2; exit 64 ;;
    esac
    down || true
    : >"$work/acknowledged"
    rm -f "$work/cookies"
    docker compose "${up[@]}" >>"$work/compose.log" 2>&1 || { tail "$work/compose.log"; die "it does not come up over $broker"; }
    say "up over $broker: $(docker compose ps --services | tr '\n' ' ')"
    main_flow "$broker"
    further_pages "$broker"
    for service in mysql "$broker" recommendations catalog; do kill_under_load "$service"; done
    down
    unset EVENT_BUS
}

# -- several matchers ------------------------------------------------------------------------------------------------------------
readonly matchers=3

# films_taken CONTAINER : how many films a matcher was sent. Kafka's image has a shell; the matcher's has none.
films_taken() {
    local address
    address=$(docker inspect --format '{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}' "$1")
    docker compose exec -T kafka timeout 5 bash -c "exec 3<>/dev/tcp/$address/8051; printf 'GET /metrics HTTP/1.0\r\n\r\n' >&3; cat <&3" |
        sed -nE 's/^marquee_grpc_calls_total\{code="Ok",method="[^"]*\/ProcessFilmUpdate"\} ([0-9]+).*/\1/p'
}

each_has_taken_films() {
    local matcher taken
    for matcher in $(docker compose ps --quiet recommendations); do
        taken=$(films_taken "$matcher")
        ((${taken:-0} > 0)) || return 1
    done
}

try_scaled() {
    export GRPC_PORTS=5051-5060
    up=(up --no-build --wait --wait-timeout 180 --scale "recommendations=$matchers")
    down || true
    : >"$work/acknowledged"
    rm -f "$work/cookies"
    docker compose "${up[@]}" >>"$work/compose.log" 2>&1 || { tail "$work/compose.log"; die 'several matchers do not come up'; }
    local containers
    mapfile -t containers < <(docker compose ps --quiet recommendations)
    ((${#containers[@]} == matchers)) || die "there are ${#containers[@]} matchers"
    main_flow scaled
    load scaled &
    loader=$!
    eventually 120 'calls to reach every matcher' each_has_taken_films
    local before
    before=$(acknowledged)
    docker kill "${containers[0]}" >>"$work/compose.log" 2>&1
    eventually 60 'films to be added without one of the matchers' more_than $((before + 10))
    kill "$loader"
    wait "$loader" || true
    loader=
    eventually 120 'every film acknowledged to be there once, and recommended' converged
    say "$matchers matchers: calls reached each of them; one killed: $(acknowledged) films acknowledged, each there once and recommended"
    down
    unset GRPC_PORTS
}

# -- the relay -------------------------------------------------------------------------------------------------------------------
readonly topic=ratings
readonly -a relay_up=(--profile relay up --no-build --wait --wait-timeout 180 kafka bridge relay)

# kafka_tool NAME ARGUMENT… : one of Kafka's own tools, in its container
kafka_tool() { docker compose exec -T kafka "/opt/kafka/bin/$1" --bootstrap-server localhost:9092 --topic "$topic" "${@:2}"; }

# nats SECONDS : what the broker answers to the protocol on standard input, for so long. Kafka's image has a shell; its
# container may be paused.
nats() {
    { printf 'CONNECT {"verbose":false,"headers":true,"auth_token":"%s"}\r\n' "$NATS_TOKEN" && cat; } |
        docker compose run --rm --no-TTY --no-deps --entrypoint timeout kafka "$1" \
            bash -c 'exec 3<>/dev/tcp/bridge/4222; cat >&3; cat <&3' 2>>"$work/compose.log" | tr -d '\r' || true
}

# put_in_kafka FROM TO : records with numbers
put_in_kafka() { seq -f 'kafka-%g' "$1" "$2" | kafka_tool kafka-console-producer.sh || die 'Kafka takes no record'; }

# put_in_bridge FROM TO : messages with numbers, each confirmed
put_in_bridge() {
    local number confirmed
    confirmed=$({
        printf 'SUB _INBOX.trial 1\r\n'
        for number in $(seq -f 'nats-%g' "$1" "$2"); do
            printf 'PUB %s _INBOX.trial %d\r\n%s\r\n' "$topic" "${#number}" "$number"
        done
    } | nats 3 | grep -c '"seq"') || true
    ((confirmed == $2 - $1 + 1)) || die "NATS confirmed $confirmed messages"
}

put_in() { put_in_kafka "$@"; put_in_bridge "$@"; }

numbers() { grep -oE '^(kafka|nats)-[0-9]+' | sort; }
# at_kafka OPTION… : a consumer joins a group, which takes long on a busy machine
at_kafka() { kafka_tool kafka-console-consumer.sh --from-beginning --timeout-ms 20000 "$@" 2>/dev/null | numbers; }
at_nats() {
    local config='{"stream_name":"'$topic'","config":{"deliver_subject":"_INBOX.trial","ack_policy":"none","deliver_policy":"all"}}'
    printf 'SUB _INBOX.trial 1\r\nPUB $JS.API.CONSUMER.CREATE.%s _INBOX.trial %d\r\n%s\r\n' "$topic" "${#config}" "$config" | nats 6 | numbers
}

put_in_so_far() { seq -f 'kafka-%g' "$1"; seq -f 'nats-%g' "$1"; }
# both_have COUNT : so many records of either side, each once among as many as there should be
both_have() {
    local expected
    expected=$(put_in_so_far "$1" | sort)
    [ "$(at_kafka --max-messages $((2 * $1)))" = "$expected" ] && [ "$(at_nats)" = "$expected" ]
}

relay_is_ready() { curl --silent --fail --max-time 5 --output /dev/null http://127.0.0.1:8223/readyz; }
relay_is_stuck() { local page; page=$(curl --silent --max-time 5 http://127.0.0.1:8223/healthz) && [[ $page == *' is stuck: '* ]]; }

bring_up_relay() {
    docker compose "${relay_up[@]}" >>"$work/compose.log" 2>&1 || { tail "$work/compose.log"; die 'the relay does not come up'; }
    eventually 30 'the relay to be ready' relay_is_ready
}

try_relay() {
    down || true
    bring_up_relay
    say "up with the relay: $(docker compose ps --services | tr '\n' ' ')"
    put_in 1 20
    eventually 60 'the records of either side at both' both_have 20
    say 'the relay: what is put in at one side comes out at the other'
    docker compose stop relay >>"$work/compose.log" 2>&1
    put_in 21 40
    docker compose --profile relay stop >>"$work/compose.log" 2>&1
    bring_up_relay
    docker compose kill relay >>"$work/compose.log" 2>&1
    put_in 41 60
    bring_up_relay
    eventually 60 'the records of either side at both, once' both_have 60
    say 'stopped, started again, and killed: each record is there once'
    local side other last=60 service
    for side in kafka bridge; do
        [ "$side" = kafka ] && other=bridge || other=kafka
        docker compose pause "$side" >>"$work/compose.log" 2>&1
        "put_in_$other" $((last + 1)) $((last + 20))
        eventually 60 'the relay to be stuck' relay_is_stuck
        docker compose unpause "$side" >>"$work/compose.log" 2>&1
        "put_in_$side" $((last + 1)) $((last + 20))
        last=$((last + 20))
        eventually 90 'the records of either side at both, once' both_have "$last"
        say "$side paused: $(curl --silent http://127.0.0.1:8223/healthz), and each record is there once"
    done
    for service in kafka bridge relay; do
        put_in $((last + 1)) $((last + 20))
        docker compose kill "$service" >>"$work/compose.log" 2>&1
        bring_up_relay
        put_in $((last + 21)) $((last + 40))
        last=$((last + 40))
        eventually 90 'the records of either side at both, once' both_have "$last"
        say "$service killed: each record is there once"
    done
    [ "$(at_kafka)" = "$(put_in_so_far "$last" | sort)" ] || die 'there are more records than were put in'
    down
}

# A Kafka that wants SCRAM over TLS, with an authority of its own.
try_tls() {
    down || true
    mkdir "$work/secrets"
    (
        cd "$work/secrets"
        openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=trial -keyout ca.key -out ca.pem
        openssl req -newkey rsa:2048 -nodes -subj /CN=kafka -keyout kafka.key -out kafka.csr
        openssl x509 -req -in kafka.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -out kafka.pem \
            -extfile <(echo 'subjectAltName=DNS:kafka')
        cat kafka.key kafka.pem >kafka.both
        secret >password
        # The users in the containers are others.
        chmod 644 ./*
        chmod 755 . ..
    ) >>"$work/compose.log" 2>&1
    cat >"$work/tls.yaml" <<COMPOSE
services:
  kafka:
    environment:
      KAFKA_LISTENERS: PLAINTEXT://:9092,HOST://:29092,CONTROLLER://:9093,TRIAL://:9094
      KAFKA_ADVERTISED_LISTENERS: PLAINTEXT://kafka:9092,HOST://localhost:9092,TRIAL://kafka:9094
      KAFKA_LISTENER_SECURITY_PROTOCOL_MAP: PLAINTEXT:PLAINTEXT,HOST:PLAINTEXT,CONTROLLER:PLAINTEXT,TRIAL:SASL_SSL
      KAFKA_SASL_ENABLED_MECHANISMS: SCRAM-SHA-512
      KAFKA_LISTENER_NAME_TRIAL_SCRAM___SHA___512_SASL_JAAS_CONFIG: org.apache.kafka.common.security.scram.ScramLoginModule required;
      KAFKA_SSL_KEYSTORE_TYPE: PEM
      KAFKA_SSL_KEYSTORE_LOCATION: /secrets/kafka.both
    volumes: ["$work/secrets:/secrets:ro"]
  relay:
    environment:
      KAFKA_BROKER: kafka:9094
      KAFKA_SECURITY_PROTOCOL: sasl_ssl
      KAFKA_SASL_MECHANISM: SCRAM-SHA-512
      KAFKA_USER: relay
      KAFKA_PASSWORD_FILE: /secrets/password
      KAFKA_CA_FILE: /secrets/ca.pem
    volumes: ["$work/secrets:/secrets:ro"]
COMPOSE
    export COMPOSE_FILE=docker-compose.yaml:$work/tls.yaml
    docker compose --profile relay up --no-build --wait --wait-timeout 180 kafka bridge >>"$work/compose.log" 2>&1 ||
        die 'Kafka does not come up'
    docker compose exec -T kafka /opt/kafka/bin/kafka-configs.sh --bootstrap-server localhost:9092 --alter --entity-type users \
        --entity-name relay --add-config "SCRAM-SHA-512=[password=$(<"$work/secrets/password")]" >>"$work/compose.log" 2>&1
    bring_up_relay
    put_in 1 20
    eventually 60 'the records of either side at both' both_have 20
    say 'the relay, by SCRAM over TLS: each record is there once'
    down
    unset COMPOSE_FILE
}

for target in $services; do
    [ -z "${SKIP_BUILD:-}" ] || break
    # shellcheck disable=SC2086 # several options
    docker build --quiet ${BUILD_OPTIONS:-} --target "$target" --tag "marquee-$target" . >/dev/null
    say "image marquee-$target: $(docker image inspect --format '{{.Size}} bytes, user {{.Config.User}}' "marquee-$target")"
done
# There is no stand-in for the images of others: they are only read.
docker compose --profile observability config --quiet
# The file that adds TLS, as it is in the documentation: each file that a program is told of is one that it is given.
sed -n '/^```yaml$/,/^```$/p' docs/OPERATIONS.md | sed '/^```/d' >"$work/tls.yaml"
docker compose --file docker-compose.yaml --file "$work/tls.yaml" --profile '*' config --format json >"$work/tls.json" ||
    die 'docs/OPERATIONS.md has no file that adds TLS to the compose file'
python3 - "$work/tls.json" <<'END' || die 'the file in docs/OPERATIONS.md that adds TLS is wrong'
import json, sys

services = json.load(open(sys.argv[1]))["services"]
for name, files in {"recommendations": 3, "catalog": 5, "web": 5, "doctor": 5}.items():
    given = {secret["target"] for secret in services[name]["secrets"]}
    told = {value for key, value in services[name]["environment"].items() if key.startswith(("GRPC_", "HTTP_")) and key.endswith("_FILE")}
    assert len(told) == files and told <= given, (name, sorted(told - given))
END
for what in ${1:-kafka bridge scaled relay tls}; do
    case $what in
        scaled) try_scaled ;;
        relay) try_relay ;;
        tls) try_tls ;;
        *) try "$what" ;;
    esac
done
say 'nothing was lost'
