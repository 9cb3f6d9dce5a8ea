"""Holds what a system shows at rest against the model: nothing acknowledged is missing, and all that follows from it is there."""

import grpc

from . import stubs
from .model import Text


def settle(model, catalogs, recommenders):
    """What the films and preferences are, which every replica has to agree on. Says what must not be in `model.wrong`."""
    listed = [_list(stub) for stub in catalogs]
    for other in listed[1:]:
        if {id: _text(movie) for id, movie in other.items()} != {id: _text(movie) for id, movie in listed[0].items()}:
            model.say_wrong("the catalogs do not show the same films")
    texts = {id: _text(movie) for id, movie in listed[0].items()}
    for film in list(model.films.values()):
        found = texts.get(film.id)
        if not film.state.found(found):
            model.say_wrong(f"the film {film.name} is {found}, and may be {film.state.possible}")
            film.state.acknowledged(found)
        if film.state.possible == [None]:
            del model.films[film.id]
    for id in texts.keys() - model.films.keys():
        model.say_wrong(f"no client added the film {id}: {texts[id]}")
    follows = {}
    for user, registers in model.follows.items():
        for stub in recommenders:
            answer = stub.GetPreferences(stubs.pb.GetPreferencesRequest(user_id=user), timeout=20)
            keywords = [preference.keyword for preference in answer.preferences]
            if len(keywords) != len(set(keywords)):
                model.say_wrong(f"user {user} follows a keyword twice: {keywords}")
            for keyword, register in registers.items():
                if not register.found(keyword in keywords):
                    model.say_wrong(
                        f"that user {user} follows {keyword} is {keyword in keywords} at replica {recommenders.index(stub)}, and may be "
                        f"{register.possible}: {register.last}"
                    )
                    register.acknowledged(keyword in keywords)
            follows[user] = set(keywords)
    return texts, follows


def difference(model, texts, follows, catalogs, recommenders):
    """What is not yet as it has to be; nothing if all is."""
    recommended_to_any = set()
    try:
        for user, keywords in follows.items():
            expected = model.recommended(texts, keywords)
            recommended_to_any |= expected.keys()
            for number, stub in enumerate(recommenders):
                shown = _recommended(stub, user)
                if len(shown) != len({movie.id for movie in shown}):
                    return f"user {user} is recommended a film twice"
                found = {movie.id: set(movie.matched_keywords) for movie in shown}
                if found != expected:
                    missing, others = expected.keys() - found.keys(), found.keys() - expected.keys()
                    reasons = [id for id in expected.keys() & found.keys() if expected[id] != found[id]]
                    return (
                        f"replica {number} recommends to user {user} {len(found)} films, not {len(expected)}: lacks "
                        f"{sorted(missing)[:3]}, has {sorted(others)[:3]}, other reasons {reasons[:3]}"
                    )
                if any(texts.get(movie.id) != _text(movie) for movie in shown):
                    return f"replica {number} recommends to user {user} a film as it was"
        for number, stub in enumerate(catalogs):
            for id, movie in _list(stub).items():
                if movie.is_recommended != (id in recommended_to_any):
                    return f"catalog {number} says of the film {id} {movie.is_recommended}, which is wrong"
    except grpc.RpcError as error:
        return f"{error.code().name}: {error.details()}"
    return None


def _text(movie):
    return Text(movie.title, movie.description, movie.genre)


def _list(stub):
    movies, page = {}, 1
    while True:
        answer = stub.ListMovies(stubs.pb.ListMoviesRequest(page=page, page_size=100), timeout=20)
        movies |= {movie.id: movie for movie in answer.movies}
        if not answer.movies:
            return movies
        page += 1


def _recommended(stub, user):
    found = []
    while True:
        request = stubs.pb.RecommendationsRequest(user_id=str(user), max_results=1000, offset=len(found))
        answer = stub.GetRecommendations(request, timeout=20)
        found += answer.recommendations
        if not answer.recommendations or len(found) >= answer.total:
            return found
