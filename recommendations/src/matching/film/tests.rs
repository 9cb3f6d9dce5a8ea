//! Tests of whole films: phrases, fields, and the keywords that old catalogs send.

use super::*;

fn film(title: &str, description: &str, genre: &str, keywords: &[&str]) -> FilmWords {
    let keywords: Vec<String> = keywords.iter().map(ToString::to_string).collect();
    FilmWords::of(&FilmText {
        title,
        description,
        genre,
        keywords: &keywords,
    })
}

fn met(film: &FilmWords, keyword: &str) -> bool {
    matches(film, &Keyword::parse(keyword).unwrap())
}

#[test]
fn a_phrase_is_its_words_in_a_row() {
    let film = film(
        "Alien",
        "A science-fiction horror film about a fiction of science.",
        "Horror",
        &[],
    );
    for keyword in [
        "science fiction",
        "Science-Fiction",
        "horror films",
        "fiction",
        "alien",
        "about a fiction of",
    ] {
        assert!(met(&film, keyword), "{keyword}");
    }
    for keyword in [
        "science horror",
        "fiction science",
        "science fiction science",
        "horror alien",
        "aliens ate",
    ] {
        assert!(!met(&film, keyword), "{keyword}");
    }
}

#[test]
fn no_phrase_reaches_over_a_field() {
    let film = film(
        "Blue",
        "Velvet night",
        "Drama",
        &["crime", "story, told", "noir"],
    );
    for keyword in [
        "blue",
        "velvet night",
        "drama",
        "crime",
        "story told",
        "noir",
    ] {
        assert!(met(&film, keyword), "{keyword}");
    }
    for keyword in [
        "blue velvet",
        "night drama",
        "drama crime",
        "crime story",
        "told noir",
    ] {
        assert!(!met(&film, keyword), "{keyword}");
    }
}

#[test]
fn dirty_keywords_of_old_catalogs_are_cleaned() {
    let film = film(
        "",
        "",
        "",
        &["action,", "(robots)", "--", "heist.", "ocean's"],
    );
    for keyword in ["action", "robot", "heist", "heists", "Ocean"] {
        assert!(met(&film, keyword), "{keyword}");
    }
    assert!(!met(&film, "action robot"));
}

#[test]
fn an_empty_film_meets_nothing() {
    assert!(!met(&film("", " ", "…", &[]), "a"));
    assert!(!met(&FilmWords::default(), "a b"));
}

/// What each keyword meets, and what it does not, in descriptions.
#[track_caller]
fn check(keyword: &str, met_by: &[&str], not_met_by: &[&str]) {
    for text in met_by {
        assert!(
            met(&film("Title", text, "", &[]), keyword),
            "{keyword}: {text}"
        );
    }
    for text in not_met_by {
        assert!(
            !met(&film("Title", text, "", &[]), keyword),
            "{keyword}: {text}"
        );
    }
}

#[test]
fn a_keyword_meets_inflections_and_nothing_else() {
    check(
        "angel",
        &["Two angels.", "An angel's face."],
        &["An actor moves to Los Angeles.", "Angelic."],
    );
    check(
        "universe",
        &["Parallel universes."],
        &["Universal Pictures.", "A university."],
    );
    check("intern", &["The interns."], &["An international hit."]);
    check(
        "heroin",
        &["A heroin addict."],
        &["The heroine.", "She is a hero in town."],
    );
    check("thief", &["Two thieves."], &[]);
    check("child", &["Children."], &["A childhood."]);
    check("Harris", &["Richard Harris."], &["Harry."]);
    check("harry", &["Dirty Harry's gun."], &["Harris."]);
    check("hell", &["To hell!"], &["He'll come."]);
    check(
        "bank robbery",
        &["Bank robberies.", "A bank's robbery"],
        &["He robbed a bank."],
    );
}

#[test]
fn quotes_mean_the_exact_words() {
    check(
        "\"angel\"",
        &["An Angel.", "ANGEL"],
        &["Two angels.", "An angel's face."],
    );
    check("“angels”", &["Two Angels."], &["An angel."]);
    check("\"angel's\"", &["An angel’s face."], &["An angel."]);
    check("\"résumé\"", &["His Résumé."], &["They resume."]);
    check("\"resume\"", &["They resume."], &["His résumé."]);
    check("resume", &["His résumés.", "resumes"], &[]);
    check(
        "\"star wars\" films",
        &["The Star Wars film."],
        &["A star war film.", "Stars wars film."],
    );
    check("\"spiderman\"", &["Spiderman."], &["Spider-Man."]);
    check("\"U.S.\"", &["The U.S. Army."], &["It came for us."]);
    check("\"us\"", &["It came for us."], &["The U.S. Army."]);
    check(
        "\"cats & dogs\"",
        &["Cats and dogs.", "Cats & Dogs"],
        &["A cat and a dog."],
    );
    check("5\" gun", &["A 5\" gun."], &[]);
}

#[test]
fn signs_and_acronyms() {
    check(
        "Cats & Dogs",
        &["cats and dogs", "A cat and dog.", "Cats + dogs"],
        &["Cats, dogs."],
    );
    check("cats and dogs", &["Cats & Dogs"], &[]);
    check(
        "U.S.",
        &["The U.S. Army.", "The U. S. Army.", "The US Army."],
        &["It came for us.", "Us."],
    );
    check(
        "U. S. Army",
        &["The US Army.", "The U.S. Army."],
        &["It came for us army."],
    );
    check("us", &["It came for us."], &["Use it."]);
    check(
        "DC",
        &["A DC comic.", "Washington, D.C.", "Washington, D. C."],
        &["AC"],
    );
    check("PhD", &["A Ph.D. student.", "A PhD."], &["A philosopher."]);
    check(
        "Ph.D.",
        &["A Ph.D. student.", "A PhD."],
        &["A philosopher."],
    );
    check(
        "S.H.I.E.L.D.",
        &["Agents of S.H.I.E.L.D.", "Agents of SHIELD"],
        &["A shield."],
    );
    check("ufo", &["UFOs land.", "A U.F.O. lands."], &[]);
    check("C++", &["Written in C++."], &["Vitamin C.", "C"]);
    check("C#", &["Written in C#."], &["Vitamin C."]);
    check(
        "1990s",
        &["A 1990's thriller.", "The 1990s."],
        &["In 1990."],
    );
    check("avventura", &["L'Avventura"], &[]);
    check("l'avventura", &["L’Avventura"], &["Avventura"]);
}

#[test]
fn compounds_meet_however_they_are_written() {
    for keyword in ["scifi", "sci-fi", "sci fi", "Sci-Fi"] {
        check(
            keyword,
            &["A sci-fi film.", "A scifi film.", "A sci fi film."],
            &["A science film."],
        );
    }
    for keyword in ["spiderman", "Spider-Man", "spider man"] {
        check(
            keyword,
            &[
                "Spider-Man returns.",
                "Spiderman.",
                "Spider man.",
                "Spider-Men",
            ],
            &["A spider, a man."],
        );
    }
    check(
        "spiderman returns",
        &["Spider-Man returns."],
        &["Spider-Man never returns."],
    );
    check("the spiderman", &["The Spider-Man."], &["Spider-Man."]);
    check("spider", &["Spider-Man"], &[]);
    check(
        "superhero",
        &["Super heroes.", "Superheroes.", "Super-heroes"],
        &["A super film about heroes."],
    );
    check("e-mail", &["An email.", "An e-mail."], &[]);
    check("therapist", &["A therapist."], &["The rapist."]);
    check("the rapist", &["The rapist."], &["A therapist."]);
    check("mash", &["M*A*S*H"], &[]);
    check("walle", &["WALL·E", "WALL-E"], &[]);
}

#[test]
fn a_letter_is_not_another_letter_with_a_mark() {
    check("мой", &["Мой друг."], &["Мои друзья."]);
    check("мои", &["Мои друзья."], &["Мой друг."]);
    check("café", &["The cafe.", "Cafés."], &[]);
    check("かき", &["かき"], &["がき"]);
}

#[test]
fn a_phrase_does_not_reach_over_the_end_of_a_sentence() {
    check(
        "bank robbery",
        &["A bank robbery."],
        &[
            "He leaves the bank. Robbery is his trade.",
            "Which bank? Robbery!",
            "To the bank! Robbery!",
            "(He leaves the bank.) Robbery.",
            "He leaves “the bank.” Robbery.",
        ],
    );
    // A point of another kind.
    check("dr strange", &["Dr. Strange returns."], &[]);
    check("mr smith", &["Mr. Smith goes."], &[]);
    check("mr and mrs smith", &["Mr. & Mrs. Smith."], &[]);
    check("st louis", &["Meet me in St. Louis."], &[]);
    check("godzilla vs kong", &["Godzilla vs. Kong"], &[]);
    check("u.s. army", &["The U.S. Army."], &[]);
    check("john f kennedy", &["John F. Kennedy"], &[]);
    check("yahoo is", &["Yahoo! is a firm."], &[]);
    check("wait then", &["Wait... Then"], &[]);
    // A title is not two sentences.
    let tora = film("Tora! Tora! Tora!", "A film.", "", &[]);
    assert!(met(&tora, "tora tora tora"));
    // Without white space between sentences.
    check("映画東", &["映画東京"], &["映画。東京", "映画！東京"]);
}

#[test]
fn a_name_is_no_form_of_a_word() {
    check(
        "wood",
        &["Natalie Wood.", "In the woods.", "Woods are dark."],
        &["It stars James Woods."],
    );
    check(
        "woods",
        &["It stars James Woods.", "In the woods."],
        &["It stars Natalie Wood."],
    );
    check(
        "\"woods\"",
        &["It stars James Woods.", "In the woods."],
        &["A wood."],
    );
    check("\"wells\"", &["Orson Wells"], &["A well."]);
    check(
        "brown",
        &["Brown", "BROWNING"],
        &["Tod Browning's film.", "Browning tells it."],
    );
    check("james woods", &["It stars James Woods."], &["James would."]);
    let woods = film("Into the Woods", "", "", &[]);
    assert!(
        met(&woods, "wood"),
        "each word of a title may have a capital"
    );
    assert!(!met(&film("The Browning Version", "", "", &[]), "brown"));
}

#[test]
fn keywords_that_repeat_the_texts_add_nothing() {
    let film = |keywords: &[&str]| {
        film(
            "The Browning Version",
            "Tod Browning, H. Élan tod",
            "Drama",
            keywords,
        )
    };
    let once = [
        "the",
        "browning",
        "version",
        "tod",
        "browning,",
        "h.",
        "élan",
        "drama",
    ];
    let as_often = [
        "the",
        "browning",
        "version",
        "tod",
        "browning,",
        "h.",
        "élan",
        "tod",
        "drama",
    ];
    let mut reversed = as_often;
    reversed.reverse();
    for keywords in [&once[..], &as_often, &reversed] {
        assert_eq!(film(keywords), film(&[]), "{keywords:?}");
        assert!(!met(&film(keywords), "brown"));
    }
    let more = film(&["the", "brown", "browning"]);
    assert!(met(&more, "brown") && met(&more, "browning"));
}

#[test]
fn a_sign_that_belongs_to_the_keyword_has_to_be_in_the_film() {
    check("C++", &["C++", "C++11", "C++/C#"], &["C", "C+", "C#"]);
    check("$9", &["It costs $9.99."], &["It costs 9.", "€9"]);
    check("+1", &["a +1"], &["1 + 1", "1"]);
    check("\"A+\"", &["An A+."], &["An A."]);
    check("\"Disney+\"", &["On Disney+."], &["On Disney."]);
    check("\"disney\"", &["On Disney."], &["On Disney+."]);
    check("lgbtq", &["LGBTQ+ people"], &[]);
    check("and", &["..and so on"], &[]);
    check("b movie", &["A B-movie."], &["A B."]);
}

#[test]
fn a_phrase_whose_words_can_be_read_in_two_ways_is_looked_for_once_at_each_place() {
    // By trying each combination of readings these would take longer than the age of the universe.
    for (text, part, end) in [("x", " n", " y"), ("x", " D.C.", " y"), ("x ", "의-", "y")] {
        let title = format!("{text}{}{}", part.repeat(60), end.replace('y', "z"));
        let phrase = format!("{text}{}{end}", part.repeat(40));
        let whole = format!("{text}{}{end}", part.repeat(40));
        check(&phrase, &[&whole], &[&title]);
    }
}
