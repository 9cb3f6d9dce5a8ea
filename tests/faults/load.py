"""The load: clients that write by gRPC and note what they were told, visitors that read pages, and live streams."""

import http.client
import html
import re
import threading
import time
import urllib.parse

import grpc

from . import stubs
from .model import KEYWORDS, Text, seeded

# How long a client waits. The services answer within ten seconds, or say that they cannot.
DEADLINE = 20

# What a service may answer while something that it needs is unavailable, or it is.
EXCUSED = {
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
    grpc.StatusCode.CANCELLED,
}
EXCUSED_PAGES = {503, 504, 507}


class Load:
    """Everything that is asked of a system, until it is stopped."""

    def __init__(self, model, seed, catalogs, recommenders, pages, clients, films, pause):
        self.model, self.seed = model, seed
        self.catalogs = [stubs.catalog(address) for address in catalogs]
        self.recommenders = [stubs.recommendations(address) for address in recommenders]
        self.pages = pages
        self.films, self.pause = films // clients, pause
        self.users = list(range(2, 2 + clients))
        self.over = threading.Event()
        self.threads = []
        self.answers = {}
        self.slowest = 0.0
        self.live_events = 0
        self.owned = {user: [] for user in self.users}
        self.round = 0

    def start(self):
        self.over.clear()
        self.round += 1
        parts = [(self.client, user) for user in self.users]
        parts += [(self.reader, address) for address in self.pages]
        parts += [(self.live, address) for address in self.pages]
        parts += [(self.watcher, recommender) for recommender in self.recommenders]
        self.threads = [threading.Thread(target=self.run, args=part, daemon=True) for part in parts]
        for thread in self.threads:
            thread.start()

    def stop(self):
        self.over.set()
        for thread in self.threads:
            thread.join(60)
            if thread.is_alive():
                self.model.say_wrong("a client waits for an answer for more than a minute")

    def run(self, part, of):
        try:
            part(of)
        except Exception as error:  # noqa: BLE001 - whatever it is, the trial has to say so
            self.model.say_wrong(f"a client ended: {type(error).__name__}: {error}")

    def note(self, kind, took):
        with self.model.lock:
            self.answers[kind] = self.answers.get(kind, 0) + 1
            self.slowest = max(self.slowest, took)

    # -- writes ---------------------------------------------------------------------------------------------------------------
    def call(self, name, stub, request):
        """The answer, or the code of the error."""
        begun = time.monotonic()
        try:
            answer, code = getattr(stub, name)(request, timeout=DEADLINE), None
        except grpc.RpcError as error:
            answer, code = None, error.code()
            if code not in EXCUSED and code != grpc.StatusCode.NOT_FOUND:
                self.model.say_wrong(f"{name} was answered {code.name}: {error.details()}")
        self.note(f"{name} {code.name if code else 'OK'}", time.monotonic() - begun)
        return answer, code

    def client(self, user):
        rng = seeded(self.seed, f"client {user} {self.round}")
        films, follows = self.owned[user], self.model.followed(user)
        while not self.over.wait(self.pause * rng.uniform(0.5, 1.5)):
            catalog, recommender = rng.choice(self.catalogs), rng.choice(self.recommenders)
            for film in films:
                if film.state.may_be_read():
                    self.look(catalog, film)
            if any(register.may_be_read() for register in follows.values()):
                self.look_at_preferences(recommender, user, follows)
            there = [film for film in films if film.state.may_be_written() and film.state.possible != [None]]
            films[:] = [film for film in films if film.state.possible != [None]]
            add = 0.9 if len(there) < self.films // 2 else 0.1 if len(there) > self.films else 0.35
            chance = rng.random()
            if chance < 0.25:
                self.follow(recommender, user, rng.choice(KEYWORDS), follows)
            elif chance < 0.4:
                self.stop_following(recommender, user, rng.choice(KEYWORDS), follows)
            elif rng.random() < add:
                self.add(catalog, rng, films)
            elif there and rng.random() < 0.6:
                self.edit(catalog, rng, rng.choice(there))
            elif there:
                self.delete(catalog, rng.choice(there))

    def draw(self, rng, film):
        return Text.draw(rng, film.name, self.model.next_number())

    def add(self, catalog, rng, films):
        film = self.model.new_film(rng)
        text = self.draw(rng, film)
        films.append(film)
        request = stubs.pb.CreateMovieRequest(title=text.title, description=text.description, genre=text.genre, id=film.id)
        self.written(film, text, *self.call("CreateMovie", catalog, request))

    def edit(self, catalog, rng, film):
        text = self.draw(rng, film)
        request = stubs.pb.UpdateMovieRequest(id=film.id, title=text.title, description=text.description, genre=text.genre)
        self.written(film, text, *self.call("UpdateMovie", catalog, request))

    def delete(self, catalog, film):
        self.written(film, None, *self.call("DeleteMovie", catalog, stubs.pb.DeleteMovieRequest(id=film.id)))

    def written(self, film, state, _answer, code):
        self.model.count(code is None)
        if code is None:
            film.state.acknowledged(state)
        elif code == grpc.StatusCode.NOT_FOUND:
            self.model.say_wrong(f"the film {film.name} was acknowledged and is not found: {film.state.possible}")
        else:
            film.state.in_doubt(state)

    def look(self, catalog, film):
        answer, code = self.call("GetMovie", catalog, stubs.pb.GetMovieRequest(id=film.id))
        if answer is None and code != grpc.StatusCode.NOT_FOUND:
            return
        state = Text(answer.title, answer.description, answer.genre) if answer else None
        if not film.state.found(state):
            self.model.say_wrong(f"the film {film.name} is {state}, and may be {film.state.possible}")
            film.state.acknowledged(state)

    def follow(self, recommender, user, keyword, follows):
        if follows[keyword].may_be_written():
            request = stubs.pb.CreatePreferenceRequest(user_id=user, keyword=keyword)
            self.told(follows[keyword], True, recommender, *self.call("CreatePreference", recommender, request))

    def stop_following(self, recommender, user, keyword, follows):
        if follows[keyword].may_be_written():
            request = stubs.pb.DeletePreferenceRequest(user_id=user, keyword=keyword)
            self.told(follows[keyword], False, recommender, *self.call("DeletePreference", recommender, request))

    def told(self, register, state, recommender, answer, code):
        self.model.count(code is None)
        number = self.recommenders.index(recommender)
        register.note(f"{state} by replica {number}: {code.name if code else str(answer).split()}")
        if code is None:
            register.acknowledged(state)
        else:
            register.in_doubt(state)

    def look_at_preferences(self, recommender, user, follows):
        # Those that are in doubt for long enough before the call; another may be written meanwhile by nobody.
        doubted = [keyword for keyword, register in follows.items() if register.may_be_read()]
        answer, _ = self.call("GetPreferences", recommender, stubs.pb.GetPreferencesRequest(user_id=user))
        if answer is None:
            return
        found = {preference.keyword for preference in answer.preferences}
        for keyword in doubted:
            if not follows[keyword].found(keyword in found):
                self.model.say_wrong(f"user {user} follows {keyword}: {keyword in found}, which must not be")
                follows[keyword].acknowledged(keyword in found)

    # -- pages ----------------------------------------------------------------------------------------------------------------
    def reader(self, address):
        """A visitor, who looks at pages and adds a film by the form now and then."""
        rng = seeded(self.seed, f"reader {address} {self.round}")
        films = self.owned.setdefault(address, [])
        while not self.over.wait(self.pause * rng.uniform(1, 3)):
            chance = rng.random()
            if chance < 0.15 and len(films) < 10:
                self.add_by_form(address, rng, films)
            elif chance < 0.3 and films and films[0].state.may_be_written():
                self.delete(rng.choice(self.catalogs), films.pop(0))
            else:
                path = rng.choice(("/", "/", "/recommendations", "/preferences", "/?keyword=" + rng.choice(WORDS_OF_PAGES), "/?page=2"))
                self.page(address, path)

    def page(self, address, path, fields=None, cookie=None):
        """Status, text and cookie; nothing if there was no answer."""
        begun = time.monotonic()
        connection = http.client.HTTPConnection(address, timeout=30)
        try:
            headers = {"Cookie": cookie} if cookie else {}
            body = None
            if fields is not None:
                body = urllib.parse.urlencode(fields)
                headers["Content-Type"] = "application/x-www-form-urlencoded"
            connection.request("POST" if fields is not None else "GET", path, body, headers)
            answer = connection.getresponse()
            text = answer.read().decode()
            status = answer.status
            cookie = (answer.getheader("Set-Cookie") or cookie or "").split(";")[0]
        except (OSError, http.client.HTTPException):
            self.note("page unreachable", time.monotonic() - begun)
            return None
        finally:
            connection.close()
        self.note(f"page {status}", time.monotonic() - begun)
        if status >= 400 and status not in EXCUSED_PAGES:
            self.model.say_wrong(f"the page {path} was answered {status}")
        return status, text, cookie

    def add_by_form(self, address, rng, films):
        form = self.page(address, "/movie/new")
        if form is None or form[0] != 200:
            return
        found = re.search(r'<form[^>]*action="[^"]*/movie/new".*?</form>', form[1], re.DOTALL)
        if found is None:
            self.model.say_wrong("the page /movie/new has no form")
            return
        hidden = re.findall(r'<input[^>]*type="hidden"[^>]*name="([^"]*)"[^>]*value="([^"]*)"', found[0])
        fields = {name: html.unescape(value) for name, value in hidden}
        film = self.model.new_film(rng)
        text = self.draw(rng, film)
        if "id" in fields:
            with self.model.lock:
                del self.model.films[film.id]
                film.id = fields["id"]
                self.model.films[film.id] = film
        fields |= {"title": text.title, "description": text.description, "genre": text.genre}
        answer = self.page(address, "/movie/new", fields, form[2])
        if answer is not None and answer[0] == 303:
            self.model.count(True)
            film.state.acknowledged(text)
            films.append(film)
        else:
            self.model.count(False)
            film.state.in_doubt(text)

    # -- live streams ---------------------------------------------------------------------------------------------------------
    def live(self, address):
        """A page that is left open: its stream, again whenever it ends."""
        while not self.over.wait(1):
            connection = http.client.HTTPConnection(address, timeout=5)
            try:
                connection.request("GET", "/recommendations/events", headers={"Accept": "text/event-stream"})
                answer = connection.getresponse()
                self.note(f"live {answer.status}", 0)
                while not self.over.is_set():
                    try:
                        line = answer.readline()
                    except TimeoutError:
                        break
                    if not line:
                        break
                    if line.startswith(b"data"):
                        self.live_events += 1
            except (OSError, http.client.HTTPException):
                pass
            finally:
                connection.close()

    def watcher(self, recommender):
        """A client of `WatchRecommendations`, for each user in turn."""
        turn = 0
        while not self.over.wait(1):
            turn += 1
            request = stubs.pb.WatchRecommendationsRequest(user_id=self.users[turn % len(self.users)])
            watch = recommender.WatchRecommendations(request, timeout=20)
            try:
                for _ in watch:
                    self.live_events += 1
                    if self.over.is_set():
                        watch.cancel()
            except grpc.RpcError as error:
                if error.code() not in EXCUSED:
                    self.model.say_wrong(f"WatchRecommendations was answered {error.code().name}: {error.details()}")


WORDS_OF_PAGES = ("heist", "robot", "winter%20castle")
