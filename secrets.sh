#!/usr/bin/env bash
# Makes the secrets that docker-compose.yaml refers to, as files with random values. A file that is there is left as it is: run it as
# often as you like.
#
#   ./secrets.sh           in the folder `secrets`
#   ./secrets.sh FOLDER    in another one, which MARQUEE_SECRETS names to docker compose
#
# Only you can enter the folder. The files in it can be read by all, because the programs in the containers are other users.
# Passwords that databases have already, from a file .env of an older release, are taken from the environment:
#
#   (set -a; . ./.env; ./secrets.sh)
set -euo pipefail

folder=${1:-secrets}
mkdir -p "$folder"
chmod 700 "$folder"

random() { head -c 24 /dev/urandom | od -An -tx1 | tr -d ' \n'; }
is_there() { [ -e "$folder/$1" ]; }

# make NAME VALUE
make() {
    is_there "$1" && return
    # Whole or not at all.
    printf '%s' "$2" >"$folder/.$1"
    chmod 444 "$folder/.$1"
    mv "$folder/.$1" "$folder/$1"
}

make secret_key "${SECRET_KEY:-$(random)}"
make nats_token "${NATS_TOKEN:-$(random)}"
make grafana_password "$(random)"

# The passwords are in two places, the statements that make the users and the URLs that use them, so these are made together or not
# at all.
if ! is_there catalog_database_url && ! is_there recommendations_database_url && ! is_there databases.sql; then
    catalog=${CATALOG_DB_PASSWORD:-$(random)} recommendations=${RECOMMENDATIONS_DB_PASSWORD:-$(random)}
    make mysql_root_password "${MYSQL_ROOT_PASSWORD:-$(random)}"
    make catalog_database_url "mysql://catalog:$catalog@mysql:3306/movies"
    make recommendations_database_url "mysql://recommendations:$recommendations@mysql:3306/recommendations"
    make databases.sql "CREATE DATABASE IF NOT EXISTS movies CHARACTER SET utf8mb4;
CREATE DATABASE IF NOT EXISTS recommendations CHARACTER SET utf8mb4;
CREATE USER IF NOT EXISTS 'catalog'@'%' IDENTIFIED BY '$catalog';
CREATE USER IF NOT EXISTS 'recommendations'@'%' IDENTIFIED BY '$recommendations';
GRANT ALL ON movies.* TO 'catalog'@'%';
GRANT ALL ON recommendations.* TO 'recommendations'@'%';
"
fi
