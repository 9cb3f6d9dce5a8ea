#!/usr/bin/env bash
# Makes the secrets that the overlays other than `local` refer to, with random values, in the cluster of kubectl's current context.
# A secret that is there is left as it is: run it as often as you like.
#
#   k8s/secrets.sh              in the namespace marquee, which is made if it is not there
#   NAMESPACE=… k8s/secrets.sh  in another one
#
# Those for the Ingress come from elsewhere: see README.md beside this file.
set -euo pipefail

namespace=${NAMESPACE:-marquee}

random() { head -c 24 /dev/urandom | od -An -tx1 | tr -d ' \n'; }
in_namespace() { kubectl --namespace "$namespace" "$@"; }
is_there() { in_namespace get secret "$1" >/dev/null 2>&1; }

# make NAME KEY=VALUE… : values reach kubectl as files, for arguments can be read by others on the machine.
make() {
    local name=$1 pair folder arguments=()
    shift
    is_there "$name" && return
    folder=$(mktemp -d)
    for pair; do
        printf '%s' "${pair#*=}" >"$folder/${pair%%=*}"
        arguments+=("--from-file=$folder/${pair%%=*}")
    done
    in_namespace create secret generic "$name" "${arguments[@]}"
    rm -rf "$folder"
}

kubectl get namespace "$namespace" >/dev/null 2>&1 || kubectl create namespace "$namespace" --save-config

make marquee-pages "SECRET_KEY=$(random)"
make marquee-calls "SERVICE_KEY=$(random)"
make marquee-bus "NATS_TOKEN=$(random)"

# A cluster of an older release has the other databases already: this one is made by hand there, with these statements.
if ! is_there marquee-accounts; then
    accounts=$(random)
    make marquee-accounts "DATABASE_URL=mysql://accounts:$accounts@mysql:3306/accounts" "accounts.sql=
CREATE DATABASE IF NOT EXISTS accounts CHARACTER SET utf8mb4;
CREATE USER IF NOT EXISTS 'accounts'@'%' IDENTIFIED BY '$accounts';
GRANT ALL ON accounts.* TO 'accounts'@'%';
"
fi

# The passwords are in two places, the statements that make the users and the URLs that use them, so these are made together or not
# at all: who has URLs of a server elsewhere made them by hand.
any_is_there() { local name; for name; do is_there "$name" && return; done; return 1; }
if ! any_is_there marquee-mysql marquee-catalog marquee-recommendations marquee-scaler; then
    catalog=$(random) recommendations=$(random) scaler=$(random)
    make marquee-catalog "DATABASE_URL=mysql://catalog:$catalog@mysql:3306/movies"
    make marquee-recommendations "DATABASE_URL=mysql://recommendations:$recommendations@mysql:3306/recommendations"
    make marquee-scaler "connectionString=scaler:$scaler@tcp(mysql.$namespace.svc:3306)/movies"
    make marquee-mysql "root-password=$(random)" "databases.sql=
CREATE DATABASE IF NOT EXISTS movies CHARACTER SET utf8mb4;
CREATE DATABASE IF NOT EXISTS recommendations CHARACTER SET utf8mb4;
CREATE USER IF NOT EXISTS 'catalog'@'%' IDENTIFIED BY '$catalog';
CREATE USER IF NOT EXISTS 'recommendations'@'%' IDENTIFIED BY '$recommendations';
CREATE USER IF NOT EXISTS 'scaler'@'%' IDENTIFIED BY '$scaler';
GRANT ALL ON movies.* TO 'catalog'@'%';
GRANT ALL ON recommendations.* TO 'recommendations'@'%';
GRANT SELECT ON movies.* TO 'scaler'@'%';
GRANT SELECT ON recommendations.* TO 'scaler'@'%';
"
fi
