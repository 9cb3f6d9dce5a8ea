# The visitors of tests/kubernetes.sh. A client tries a request again for up to 20 seconds; what it does not get then has failed. To be
# read after tests/visitor.sh by a script that has an array `loaders`.
# shellcheck shell=bash
# shellcheck disable=SC2034,SC2154 # cookies; site and work

readonly patience_seconds=20
: >"$work/acknowledged"
: >"$work/requests"
: >"$work/tried_again"
: >"$work/failed"
requests() { wc -l <"$work/requests"; }
tried_again() { wc -l <"$work/tried_again"; }
failed() { wc -l <"$work/failed"; }

# insist WANTED ARGUMENT… : a request of curl's, again until it has the wanted status. What is no answer of the pages, or one that says
# that they cannot at the moment, is tried again; anything else has failed.
insist() {
    local wanted=$1 status until=$((SECONDS + patience_seconds))
    shift
    echo "$*" >>"$work/requests"
    while :; do
        status=$(browser --output "$body" --write-out '%{http_code}' "$@") || status=000
        [ "$status" != "$wanted" ] || return 0
        if [[ $status != 000 && $status != 5* ]] || ((SECONDS >= until)); then
            echo "$status $*" >>"$work/failed"
            return 1
        fi
        echo "$(date +%T) $status ${*: -1}" >>"$work/tried_again"
        sleep 0.3
    done
}

# submit ACTION PAGE FIELD=VALUE… : by the form on the page. A form for a film has its id, so that one that is sent again adds no second film.
submit() {
    local action=$1 page=$2 fields field body=$work/form.$BASHPID
    shift 2
    insist 200 "$site$page" || return 1
    mapfile -t fields < <(fields_of "$action" <"$body")
    for field; do fields+=(--data-urlencode "$field"); done
    insist 303 "${fields[@]}" "$site$action"
}
add_film() { submit /movie/new /movie/new "title=$1" genre=Crime && echo "$1" >>"$work/acknowledged"; }
follow() { submit /preferences/add /preferences "keyword=$1"; }

# A browser of its own, in which the owner has signed in, too.
own_cookies() { cp "$cookies" "$1" && cookies=$1; }

# adds, reads, asks NAME : without end; each is a visitor with cookies of its own
adds() {
    local number=0 cookies=$cookies
    own_cookies "$work/cookies.$1"
    trap 'exit 0' TERM
    while :; do
        number=$((number + 1))
        add_film "Heist $1 $number" || true
        # Now and then a preference.
        ((number % 20)) || follow "keyword$1x$number" || true
    done
}
reads() {
    local body=/dev/null cookies=$cookies
    own_cookies "$work/cookies.$1"
    trap 'exit 0' TERM
    while :; do
        insist 200 "$site/" || true
        insist 200 "$site/recommendations" || true
    done
}
# Films of keywords that nobody has asked for before: the pages have no answer in memory, and a matcher has to find one. Four at once,
# on connections that are kept.
asks() {
    local number=0
    trap 'exit 0' TERM
    while :; do
        number=$((number + 1))
        curl --silent --cookie "$cookies" --max-time 60 --output /dev/null --parallel --parallel-max 4 "$site/?keyword=heist$1x${number}x[1-200]" 2>/dev/null || true
    done
}

start_adding() { start adds "$1"; }
start_reading() { start reads "$1"; }
start_asking() { start asks "$1"; }
start() {
    local number
    for ((number = 1; number <= $2; number++)); do
        "$1" "$1$number" &
        loaders+=($!)
    done
}
stop_load() {
    ((${#loaders[@]})) || return 0
    kill "${loaders[@]}" 2>/dev/null || true
    wait "${loaders[@]}" 2>/dev/null || true
    loaders=()
}
