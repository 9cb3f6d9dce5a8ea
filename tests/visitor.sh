# What the trials of a running Marquee have in common: a visitor with a browser, and what the pages say afterwards. To be read by a script
# that has set `site`, where the pages are, and `work`, a folder of its own, and that has a function `die`.
# shellcheck shell=bash
# shellcheck disable=SC2154 # site and work

say() { printf '%4ds  %s\n' "$SECONDS" "$*"; }

# eventually SECONDS WHAT COMMAND…
eventually() {
    local limit=$((SECONDS + $1)) what=$2
    shift 2
    until "$@"; do
        ((SECONDS < limit)) || die "waited in vain for $what"
        sleep 0.5
    done
}

# -- a visitor with a browser -----------------------------------------------------------------------------------------------------
# Visitors that come at once keep their cookies apart.
cookies=$work/cookies
browser() { curl --silent --max-time 20 --cookie "$cookies" --cookie-jar "$cookies" "$@"; }
page() { browser --fail --location "$site$1"; }

# fields_of ACTION : the hidden fields of the form that posts there, on the page on standard input, as arguments for curl
fields_of() {
    tr '\n' ' ' | sed 's/<form/\n<form/g; s/<\/form>/<\/form>\n/g' | grep -F "action=\"$1\"" | head -n 1 |
        grep -o '<input[^>]*type="hidden"[^>]*>' | sed -E 's/.*name="([^"]*)".*value="([^"]*)".*/--data-urlencode\n\1=\2/'
}

# post ACTION PAGE FIELD=VALUE… : true if the form was taken
post() {
    local action=$1 page=$2 hidden field
    shift 2
    mapfile -t hidden < <(page "$page" | fields_of "$action")
    for field; do hidden+=(--data-urlencode "$field"); done
    [ "$(browser --output /dev/null --write-out '%{http_code}' "${hidden[@]}" "$site$action")" = 303 ]
}

# recommended ID, not_recommended ID : as the page says, if it comes
recommended() { local html; html=$(page /recommendations) && [[ $html == *"data-film=\"$1\""* ]]; }
not_recommended() { local html; html=$(page /recommendations) && [[ $html != *"data-film=\"$1\""* ]]; }
film_id() { page / | tr '\n' ' ' | sed 's/<li /\n<li /g' | grep -F "data-title=\"$1\"" | grep -oE 'data-film="[^"]*"' | head -n 1 | cut -d'"' -f2; }

main_flow() {
    local id title="The long heist of $1"
    post /preferences/add /preferences keyword=heist || die 'cannot follow a keyword'
    post /movie/new /movie/new "title=$title" description='A crew plans one last job.' genre=Crime rating=8.1 release_year=1995 ||
        die 'cannot add a film'
    id=$(film_id "$title") || die 'the film is not listed'
    eventually 30 'the film to be recommended' recommended "$id"
    post "/movie/$id/edit" "/movie/$id/edit" 'title=The long walk' description=None genre=Drama rating= release_year=1995 ||
        die 'cannot edit the film'
    eventually 30 'the film to be recommended no more' not_recommended "$id"
    post "/movie/$id/delete" "/movie/$id" || die 'cannot delete the film'
    say 'the main flow: followed, added, recommended, edited out, deleted'
}

acknowledged() { wc -l <"$work/acknowledged"; }
more_than() { (($(acknowledged) > $1)); }

# The titles of all films, one line each time they are listed; a mark in front of those that are recommended.
films() {
    local number=1 html
    while :; do
        html=$(page "/?page=$number" | tr '\n' ' ') || return 1
        grep -F 'data-title="' <<<"${html//<li /$'\n'<li }" |
            sed -E 's/.*data-title="([^"]*)".*class="(because|marked)".*/* \1/; t; s/.*data-title="([^"]*)".*/- \1/'
        grep -qF 'rel="next"' <<<"$html" || return 0
        number=$((number + 1))
    done
}

converged() {
    films >"$work/films" || return 1
    ! grep -q '^- ' "$work/films" && ! cut -c3- "$work/films" | sort | uniq -d | grep -q . &&
        ! sort "$work/acknowledged" | comm -23 - <(cut -c3- "$work/films" | sort) | grep -q .
}
