"""What the load has been told, and so what may be found: the films and the preferences, each with the states that are possible.

A write that was acknowledged leaves one possible state. A write without an answer leaves two, and its object is left alone until no
program can still be at it; then the object is read, and has to be in one of them.
"""

import random
import re
import threading
import time
import uuid
from dataclasses import dataclass, field

# No two of these are alike by stem, case or accents, so that comparing words is all there is to a match.
WORDS = ("heist", "robot", "paris", "train", "storm", "winter", "castle", "diamond", "jungle", "pirate")
PHRASES = ("robot heist", "winter castle", "pirate storm", "jungle train paris")
# Every film has it: who follows it is recommended every film.
EVERYWHERE = "film"
KEYWORDS = (*WORDS, *PHRASES, EVERYWHERE)

# How long a write may go on after its caller was given no answer: a program is paused for less, and a server's pause ends connections.
DOUBT_SECONDS = 45


@dataclass(frozen=True)
class Text:
    """What is said of a film. No two states of a film and no two films are alike."""

    title: str
    description: str
    genre: str

    @staticmethod
    def draw(rng, name, number):
        def some(most):
            chosen = (rng.choice(PHRASES if rng.random() < 0.2 else WORDS) for _ in range(rng.randint(0, most)))
            return " ".join(["The", *(f"and {word}" if rng.random() < 0.3 else word for word in chosen)])

        return Text(f"{some(2)} {name}", f"A {EVERYWHERE}: {some(4)}, cut {number}.", some(1))

    def matches(self, keyword):
        sought = keyword.split(" ")
        for text in (self.title, self.description, self.genre):
            words = re.split(r"[ ,.:]", text)
            if any(words[at : at + len(sought)] == sought for at in range(len(words))):
                return True
        return False


@dataclass
class Register:
    """The states in which something may be; one, unless a write was not answered."""

    possible: list
    doubt_until: float = 0.0
    # What was last done, and how that was answered, for whom it may concern that something is wrong.
    last: list = field(default_factory=list)

    def note(self, what):
        self.last = [*self.last[-5:], f"{time.strftime('%H:%M:%S')} {what}"]

    def acknowledged(self, state):
        self.possible = [state]
        self.doubt_until = 0.0

    def in_doubt(self, state):
        if state not in self.possible:
            self.possible.append(state)
        self.doubt_until = time.monotonic() + DOUBT_SECONDS

    def is_in_doubt(self):
        return self.doubt_until > 0

    def may_be_written(self):
        return not self.is_in_doubt()

    def may_be_read(self):
        return self.is_in_doubt() and time.monotonic() > self.doubt_until

    def found(self, state):
        """Notes the state in which it was found; false if it must not be."""
        if state not in self.possible:
            return False
        self.acknowledged(state)
        return True


@dataclass
class Film:
    id: str
    name: str
    state: Register


@dataclass
class Model:
    """All that the load did. Each client has films and a user of its own, so that its writes of a thing follow each other."""

    films: dict = field(default_factory=dict)
    follows: dict = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)
    numbers: int = 0
    acknowledged: int = 0
    unanswered: int = 0
    wrong: list = field(default_factory=list)
    begun: float = field(default_factory=time.monotonic)

    def next_number(self):
        with self.lock:
            self.numbers += 1
            return self.numbers

    def new_film(self, rng):
        number = self.next_number()
        film = Film(str(uuid.UUID(int=rng.getrandbits(128), version=4)), f"no{number}", Register([None]))
        with self.lock:
            self.films[film.id] = film
        return film

    def followed(self, user):
        with self.lock:
            return self.follows.setdefault(user, {keyword: Register([False]) for keyword in KEYWORDS})

    def say_wrong(self, what):
        with self.lock:
            self.wrong.append(f"{time.monotonic() - self.begun:8.1f} s: {what}")

    def count(self, acknowledged):
        with self.lock:
            if acknowledged:
                self.acknowledged += 1
            else:
                self.unanswered += 1

    def recommended(self, texts, keywords):
        """The films that match, each with the keywords that it matches. `texts` is what each film is, by its id."""
        reasons = {id: {keyword for keyword in keywords if text.matches(keyword)} for id, text in texts.items()}
        return {id: matched for id, matched in reasons.items() if matched}


def seeded(seed, what):
    """A random number generator of one part of a trial."""
    return random.Random(f"{seed} {what}")
