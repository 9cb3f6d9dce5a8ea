//! Tests of keywords: spellings with one normal form, and what is refused.

use super::*;

#[test]
fn a_keyword_keeps_its_text() {
    let keyword = Keyword::parse("  Science  Fiction! ").unwrap();
    assert_eq!(keyword.text(), "Science  Fiction!");
    assert_eq!(keyword.normal(), "science fiction");
}

#[track_caller]
fn one_keyword(normal: &str, texts: &[&str]) {
    for text in texts {
        let keyword = Keyword::parse(text).unwrap();
        assert_eq!(keyword.normal(), normal, "{text}");
        assert_eq!(
            keyword.phrases(),
            Keyword::parse(normal).unwrap().phrases(),
            "{text}"
        );
    }
}

#[test]
fn spellings_of_a_keyword_have_one_normal_form() {
    one_keyword(
        "heist",
        &[
            "heist",
            "HEIST",
            " Heist! ",
            "ｈｅｉｓｔ",
            "heist's",
            "(heist)",
        ],
    );
    one_keyword("heists", &["heists", "Heists'"]);
    one_keyword("amelie", &["Amélie", "amelie"]);
    one_keyword("sci fi", &["sci-fi", "Sci Fi", "sci\u{2011}fi"]);
    one_keyword("scifi", &["SciFi", "scifi"]);
    one_keyword(
        "cats and dogs",
        &["Cats & Dogs", "cats + dogs", "cats and dogs"],
    );
    one_keyword("u.s.", &["U.S.", "U. S.", "u.s.", "U.S"]);
    one_keyword("us", &["US", "us", "Us"]);
    one_keyword("p.h.d.", &["Ph.D.", "ph.d"]);
    one_keyword("phd", &["PhD", "phd"]);
    one_keyword("c++", &["C++"]);
    one_keyword("a+", &["A+", "a+", "(A+)"]);
    one_keyword("b-", &["B-"]);
    one_keyword("disney+", &["Disney+", "DISNEY+!"]);
    one_keyword(".net", &[".NET", "(.net)"]);
    one_keyword("#1", &["#1"]);
    one_keyword("100%", &["100%"]);
    one_keyword("$9 99", &["$9.99"]);
    one_keyword("action", &["#action", "*action*", "action*", "-action-"]);
    one_keyword(
        "rock n roll",
        &[
            "rock 'n' roll",
            "Rock'n'Roll",
            "rock n’ roll",
            "rock-n-roll",
        ],
    );
    one_keyword("p.h.d.", &["Ph. D.", "PH. D."]);
    one_keyword("3 d", &["3-D", "3 D"]);
    one_keyword("\"u.s.\"", &["\"US\"", "\"U.S.\""]);
    one_keyword("\"us\"", &["\"us\"", "\"Us\""]);
    one_keyword("\"a+\"", &["\"A+\""]);
    one_keyword("1990s", &["1990s", "1990's"]);
    one_keyword(
        "\"heist\"",
        &["\"Heist\"", "“heist”", "\"heist!\"", "\" heist \""],
    );
    one_keyword(
        "\"star wars\" film",
        &["\"Star Wars\" film", "\"star\" \"wars\" film"],
    );
    one_keyword("the \"heist\"", &["the \"heist\""]);
    one_keyword("heist", &["heist\"", "\"heist"]);
    one_keyword("мой", &["МОЙ"]);
    one_keyword("мои", &["Мои"]);
}

#[test]
fn what_is_no_keyword_is_refused_with_the_reason() {
    let cases = [
        ("", KeywordError::NoWord),
        (" \u{A0}\t", KeywordError::NoWord),
        ("?!...", KeywordError::NoWord),
        ("🎬", KeywordError::NoWord),
        ("&", KeywordError::NoWord),
        ("\"\"", KeywordError::NoWord),
        ("\u{200B}", KeywordError::NoWord),
        ("a\nb", KeywordError::ControlCharacter),
        ("a\0", KeywordError::ControlCharacter),
        ("a\u{9F}b", KeywordError::ControlCharacter),
    ];
    for (text, error) in cases {
        assert_eq!(Keyword::parse(text), Err(error), "{text:?}");
    }
    assert_eq!(Keyword::parse(&"é".repeat(256)), Err(KeywordError::TooLong));
    assert!(Keyword::parse(&format!(" {} ", "é".repeat(255))).is_ok());
    // Each of them is eighteen letters.
    assert_eq!(Keyword::parse(&"ﷺ".repeat(255)), Err(KeywordError::TooLong));
}
