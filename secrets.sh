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

# write FILE VALUE
write() {
    rm -f "$folder/$1"
    printf '%s' "$2" >"$folder/$1"
    chmod 444 "$folder/$1"
}

# make NAME VALUE
make() {
    is_there "$1" && return
    # Whole or not at all.
    write ".$1" "$2"
    mv "$folder/.$1" "$folder/$1"
}

# A text as it is in a URL, and between the quotes of a statement.
in_url() {
    local LC_ALL=C text=$1 place
    for ((place = 0; place < ${#text}; place++)); do
        case ${text:place:1} in
            [A-Za-z0-9._~-]) printf %s "${text:place:1}" ;;
            *) printf '%%%02X' "'${text:place:1}" ;;
        esac
    done
}
in_sql() { printf %s "$1" | sed -e 's/\\/\\\\/g' -e "s/'/''/g"; }

make secret_key "${SECRET_KEY:-$(random)}"
make service_key "${SERVICE_KEY:-$(random)}"
make nats_token "${NATS_TOKEN:-$(random)}"
make grafana_password "$(random)"

# The password of the accounts' database is in two places, too. The statements come first: without the URL they are made again.
if ! is_there accounts_database_url; then
    accounts=${ACCOUNTS_DB_PASSWORD:-$(random)}
    write accounts.sql "CREATE DATABASE IF NOT EXISTS accounts CHARACTER SET utf8mb4;
CREATE USER IF NOT EXISTS 'accounts'@'%' IDENTIFIED BY '$(in_sql "$accounts")';
GRANT ALL ON accounts.* TO 'accounts'@'%';
"
    make accounts_database_url "mysql://accounts:$(in_url "$accounts")@mysql:3306/accounts"
fi

# The passwords are in two places, the statements that make the users and the URLs that use them, so these files are made together or
# not at all: they get their names when all of them are in the folder `.made`, which an interrupted run leaves to the next one.
databases=(catalog_database_url recommendations_database_url databases.sql)
there=()
for name in "${databases[@]}"; do
    if is_there "$name" || is_there ".made/$name"; then there+=("$name"); fi
done
if [ ${#there[@]} = 0 ]; then
    catalog=${CATALOG_DB_PASSWORD:-$(random)} recommendations=${RECOMMENDATIONS_DB_PASSWORD:-$(random)}
    make mysql_root_password "${MYSQL_ROOT_PASSWORD:-$(random)}"
    rm -rf "$folder/.making" "$folder/.made"
    mkdir "$folder/.making"
    write .making/catalog_database_url "mysql://catalog:$(in_url "$catalog")@mysql:3306/movies"
    write .making/recommendations_database_url "mysql://recommendations:$(in_url "$recommendations")@mysql:3306/recommendations"
    write .making/databases.sql "CREATE DATABASE IF NOT EXISTS movies CHARACTER SET utf8mb4;
CREATE DATABASE IF NOT EXISTS recommendations CHARACTER SET utf8mb4;
CREATE USER IF NOT EXISTS 'catalog'@'%' IDENTIFIED BY '$(in_sql "$catalog")';
CREATE USER IF NOT EXISTS 'recommendations'@'%' IDENTIFIED BY '$(in_sql "$recommendations")';
GRANT ALL ON movies.* TO 'catalog'@'%';
GRANT ALL ON recommendations.* TO 'recommendations'@'%';
"
    mv "$folder/.making" "$folder/.made"
elif [ ${#there[@]} != ${#databases[@]} ]; then
    echo "secrets.sh: of ${databases[*]} the folder \`$folder\` has only ${there[*]}, which have one password in two places:" \
        "put the others back, or remove these if no database was made with them" >&2
    exit 1
fi
if [ -d "$folder/.made" ]; then
    for name in "${databases[@]}"; do
        if is_there ".made/$name"; then mv "$folder/.made/$name" "$folder/$name"; fi
    done
    rmdir "$folder/.made"
fi
