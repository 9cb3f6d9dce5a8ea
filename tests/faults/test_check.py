"""Whether the check after a trial sees each kind of mistake that it is there for. Run by `.ci/run faults`."""

import types
import unittest

from faults import check, stubs
from faults.model import EVERYWHERE, Film, Model, Register, Text

HEIST = Text("The heist no1", "A film: The, cut 1.", "The")
STORM = Text("The storm no2", "A film: The, cut 2.", "The")


class System:
    """A catalog and a recommendations service that answer what they are told to; everything is right at first."""

    def __init__(self):
        self.films = {"1": HEIST, "2": STORM}
        self.flags = {"1": True, "2": False}
        self.follows = ["heist"]
        self.recommended = [("1", HEIST, ["heist"])]

    def ListMovies(self, request, timeout):  # noqa: N802 - the name of the call
        movies = [stubs.pb.Movie(id=id, **vars(text), is_recommended=self.flags[id]) for id, text in self.films.items()]
        return stubs.pb.ListMoviesResponse(movies=movies if request.page == 1 else [])

    def GetPreferences(self, request, timeout):  # noqa: N802
        return stubs.pb.GetPreferencesResponse(preferences=[stubs.pb.Preference(user_id=request.user_id, keyword=keyword) for keyword in self.follows])

    def GetRecommendations(self, request, timeout):  # noqa: N802
        movies = [stubs.pb.MovieRecommendation(id=id, **vars(text), matched_keywords=reasons) for id, text, reasons in self.recommended]
        return types.SimpleNamespace(recommendations=movies[request.offset :], total=len(movies))


class Check(unittest.TestCase):
    def setUp(self):
        self.system = System()
        self.model = Model()
        self.model.films = {"1": Film("1", "no1", Register([HEIST])), "2": Film("2", "no2", Register([STORM]))}
        follows = self.model.followed(2)
        follows["heist"].acknowledged(True)

    def wrong(self):
        texts, follows = check.settle(self.model, [self.system], [self.system])
        return self.model.wrong, check.difference(self.model, texts, follows, [self.system], [self.system])

    def test_what_is_right_passes(self):
        self.assertEqual(self.wrong(), ([], None))

    def test_a_film_that_is_lost(self):
        del self.system.films["2"]
        self.assertIn("the film no2 is None", self.wrong()[0][0])

    def test_a_film_as_it_was_before_an_edit(self):
        self.model.films["2"].state.acknowledged(Text("Another no2", "", ""))
        self.assertIn("the film no2 is", self.wrong()[0][0])

    def test_a_film_that_was_deleted(self):
        self.model.films["2"].state.acknowledged(None)
        self.assertIn("and may be [None]", self.wrong()[0][0])

    def test_a_film_that_nobody_added(self):
        del self.model.films["2"]
        self.assertIn("no client added the film 2", self.wrong()[0][0])

    def test_a_write_in_doubt_may_have_been_done_or_not(self):
        self.model.films["2"].state.in_doubt(None)
        self.assertEqual(self.wrong(), ([], None))
        del self.system.films["2"]
        self.assertIn("and may be", self.wrong()[0][0])

    def test_a_preference_that_is_lost_is_there_twice_or_was_stopped(self):
        self.system.follows = []
        self.assertIn("follows heist is False", self.wrong()[0][0])
        self.setUp()
        self.system.follows = ["heist", "heist"]
        self.assertIn("follows a keyword twice", self.wrong()[0][0])
        self.setUp()
        self.system.follows = ["heist", EVERYWHERE]
        self.assertIn("follows film is True", self.wrong()[0][0])

    def test_recommendations_that_are_missing_or_too_many_or_for_another_reason_or_of_an_old_film(self):
        for recommended, told in (
            ([], "lacks ['1']"),
            ([*self.system.recommended, ("2", STORM, ["heist"])], "has ['2']"),
            (self.system.recommended * 2, "a film twice"),
            ([("1", HEIST, ["storm"])], "other reasons ['1']"),
            ([("1", STORM, ["heist"])], "a film as it was"),
        ):
            self.system.recommended = recommended
            self.assertIn(told, self.wrong()[1])

    def test_flags(self):
        self.system.flags["1"] = False
        self.assertIn("catalog 0 says of the film 1 False", self.wrong()[1])
        self.system.flags = {"1": True, "2": True}
        self.assertIn("catalog 0 says of the film 2 True", self.wrong()[1])


if __name__ == "__main__":
    unittest.main()
