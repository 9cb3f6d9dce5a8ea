//! Tests of how a text becomes words.

use proptest::prelude::*;

use super::*;
use crate::matching::folding::unified;

/// The folded words of a text.
fn words(text: &str) -> Vec<String> {
    cut(text)
        .spelled()
        .into_iter()
        .flatten()
        .map(|word| word.folded)
        .collect()
}

fn cut(text: &str) -> Words {
    let mut words = Words::with_texts();
    words.append_field(text, Field::Keyword);
    words
}

fn shown(text: &str) -> String {
    words(text).join(" ")
}

/// The second readings of the words of a text, each with its place.
fn variants(text: &str) -> Vec<String> {
    let cut = cut(text);
    let texts = cut.texts.unwrap_or_default().variants;
    let shown = cut.variants.iter().zip(texts).map(|(variant, text)| {
        let end = variant.start + variant.length;
        format!("{}..{end} {:?} {text}", variant.start, variant.kind)
    });
    shown.collect()
}

/// Texts that must become the same words, first as those words are.
#[track_caller]
fn same(expected: &str, texts: &[&str]) {
    for text in texts {
        assert_eq!(shown(text), expected, "{text:?}");
    }
}

#[test]
fn case_and_punctuation_do_not_count() {
    same(
        "action",
        &[
            "action",
            "Action",
            "ACTION",
            "action,",
            "(action)",
            "\"action\"",
            "…action!?",
            "—action—",
            "#action",
        ],
    );
    same(
        "sci fi",
        &[
            "sci-fi", "Sci-Fi", "sci fi", "sci/fi", "sci–fi", "sci_fi", "sci:fi", "sci‑fi",
        ],
    );
    same("wall e", &["WALL-E", "WALL·E", "wall e"]);
    same("m a s h", &["M*A*S*H"]);
    same(
        "drama comedy",
        &[
            "drama.Comedy",
            "drama,comedy",
            "drama\tcomedy",
            "drama\u{A0}comedy",
            "drama\u{3000}comedy",
        ],
    );
    same(
        "",
        &[
            "",
            " ",
            "...",
            "-",
            "'",
            "’",
            "🎬",
            "🎬 🍿",
            "\u{301}",
            "_",
            "¿?",
        ],
    );
}

#[test]
fn possessives_and_apostrophes_are_dropped() {
    same(
        "ocean eleven",
        &[
            "Ocean's Eleven",
            "Ocean’s Eleven",
            "OCEAN'S ELEVEN",
            "ocean＇s eleven",
        ],
    );
    same("obrien", &["O'Brien", "O’Brien", "OBrien", "o'brien's"]);
    same("dont", &["don't", "don’t", "dont"]);
    same("he she we", &["he'll she'd we're"]);
    same("hawaii", &["Hawaiʻi", "Hawai'i", "Hawaii"]);
    same("rock n roll", &["rock 'n' roll", "rock ’n’ roll"]);
    same("robots", &["robots'", "'robots'"]);
    same("ssa", &["ß.A.'s", "SS.A.'S", "ß.a's", "SS.A'S"]);
    same("1990s", &["1990's", "1990s", "1990’s"]);
    same("1990", &["'1990'"]);
    assert_eq!(variants("Angel's"), ["0..1 Exact angel's"]);
}

#[test]
fn an_elided_article_is_a_word() {
    same(
        "l avventura",
        &["L'Avventura", "L’Avventura", "l'avventura's"],
    );
    same("d artagnan", &["d'Artagnan"]);
    same("nell anno", &["nell'anno"]);
    assert_eq!(variants("L'Avventura"), ["0..2 Joined lavventura"]);
}

#[test]
fn ampersand_and_plus_are_and() {
    same(
        "cats and dogs",
        &[
            "Cats & Dogs",
            "Cats&Dogs",
            "cats ＆ dogs",
            "cats + dogs",
            "Cats+Dogs",
            "Cats and Dogs",
        ],
    );
    same("r and b", &["R&B", "R & B"]);
    same("romeo and juliet", &["Romeo + Juliet"]);
    same("cats", &["& cats", "cats &", "+ cats", "cats+"]);
    same("lgbtq people", &["LGBTQ+ people"]);
    same("", &["&", "+", "& +"]);
}

#[test]
fn languages_keep_their_signs() {
    same("c++", &["C++", "c++,", "(C++)"]);
    same("c#", &["C#"]);
    same("c", &["C", "C."]);
    same("c+", &["C+", "c+,"]);
    same("a*", &["A*"]);
    same("vitamin c and zinc", &["Vitamin C + zinc"]);
}

#[test]
fn a_sign_is_a_reading_of_its_own() {
    same("disney film", &["Disney+ film"]);
    assert_eq!(variants("Disney+ film"), ["0..1 Exact disney+"]);
    assert_eq!(
        variants(".NET, 18+, #1"),
        ["0..1 Exact .net", "1..2 Exact 18+", "2..3 Exact #1"]
    );
    assert_eq!(
        variants("100% of $9.99"),
        ["0..1 Exact 100%", "2..3 Exact $9"]
    );
    assert_eq!(variants("a B- film"), ["1..2 Exact b-"]);
    for text in [
        "B-movie",
        "...and",
        "robot*",
        "#action",
        "cats+dogs",
        "1 + 1",
        "Mr. T",
        "-",
        "a -b",
    ] {
        assert!(
            !variants(text)
                .iter()
                .any(|variant| variant.contains("Exact")),
            "{text}"
        );
    }
}

#[test]
fn the_n_between_words_is_also_and() {
    assert_eq!(variants("rock 'n' roll"), ["1..2 And and"]);
    same(
        "rock n roll",
        &[
            "rock'n'roll",
            "Rock 'N' Roll",
            "rock n' roll",
            "rock'n roll",
            "rock n'roll",
        ],
    );
    same("don t", &["don t"]);
}

#[test]
fn sentences_have_a_gap_between_them() {
    let gaps = |text: &str| {
        let mut words = Words::default();
        words.append_field(text, Field::Prose);
        words
            .words
            .iter()
            .filter(|&&word| word == Word::GAP)
            .count()
    };
    for (text, expected) in [
        ("One. Two. Three.", 3),
        ("One! “Two?” (Three.) Four", 4),
        ("In 1990. It", 2),
        ("... One. — Two", 2),
        ("Dr. Strange, Mr. T. and J. R. R. Tolkien vs. St. Louis", 1),
        (
            "The U.S. Army in Washington, D.C. by a Ph. D. Student etc. Smith",
            1,
        ),
        ("Yahoo! is one. and so on", 1),
        ("", 0),
    ] {
        assert_eq!(gaps(text), expected, "{text}");
    }
}

#[test]
fn an_acronym_is_a_reading_of_its_own() {
    assert_eq!(variants("U.S."), ["0..1 Exact u.s."]);
    assert_eq!(variants("the U. S. Army"), ["1..2 Exact u.s."]);
    assert_eq!(variants("J. R. R. Tolkien"), ["0..1 Exact j.r.r."]);
    assert_eq!(
        variants("a Ph.D. and a PhD"),
        ["1..2 Exact p.h.d.", "4..5 Capitals p.h.d."]
    );
    assert_eq!(
        variants("the US and DC"),
        ["1..2 Capitals u.s.", "3..4 Capitals d.c."]
    );
    assert_eq!(
        variants("the FBI's agent"),
        ["1..2 Capitals f.b.i.", "1..2 Exact fbi's"]
    );
    assert!(variants("It came for us. Us!").is_empty());
    assert!(
        variants("IT CAME FOR US").is_empty(),
        "where all is capital, capitals say nothing"
    );
    assert_eq!(variants("AI"), ["0..1 Capitals a.i."]);
    assert!(variants("Rocky I. A man").is_empty());
}

#[test]
fn hyphens_join() {
    same("spider man", &["Spider-Man"]);
    assert_eq!(
        variants("Spider-Man's"),
        ["1..2 Exact man's", "0..2 Joined spiderman"]
    );
    assert_eq!(variants("a sci-fi"), ["1..3 Joined scifi"]);
    assert_eq!(variants("WALL·E"), ["0..2 Joined walle"]);
    assert_eq!(
        variants("M*A*S*H"),
        [
            "0..4 Joined mash",
            "0..2 Joined ma",
            "1..3 Joined as",
            "2..4 Joined sh"
        ]
    );
    assert!(variants("1939-1945").is_empty());
    assert!(variants("good - bad").is_empty());
    assert!(variants("good–bad").is_empty());
}

#[test]
fn accents_are_an_exact_reading() {
    assert_eq!(variants("Amélie"), ["0..1 Exact amélie"]);
    assert_eq!(variants("ёжик"), ["0..1 Exact ёжик"]);
    assert!(variants("мой").is_empty());
}

#[test]
fn points_and_commas_count_only_where_they_belong_to_the_word() {
    same("fbi", &["F.B.I.", "FBI", "f.b.i", "FBI's", "F.B.I.'s"]);
    same("fbi agents", &["F.B.I. agents", "F.B.I.-agents"]);
    same("et", &["E.T.", "ET"]);
    same("phd", &["Ph.D.", "PhD", "Ph.D", "ph.d."]);
    same("us", &["U.S.", "U. S.", "u.s.", "us"]);
    same("j r r tolkien", &["J.R.R.Tolkien"]);
    same("jrr tolkien", &["J.R.R. Tolkien"]);
    same("10000 bc", &["10,000 BC", "10000 B.C."]);
    same("2 0", &["2.0"]);
    same("2 fast 2 furious", &["2 Fast 2 Furious"]);
    same("8 1 2", &["8½", "8 1/2", "8 ½"]);
}

#[test]
fn other_scripts_keep_their_words() {
    same("сталкер", &["Сталкер", "СТАЛКЕР", "«сталкер»"]);
    same("ежик", &["ёжик", "Ежик"]);
    same("七 人 の 侍", &["七人の侍"]);
    same("ハウル", &["ハウル", "ﾊｳﾙ"]);
    same("שלום", &["שָׁלוֹם", "שלום"]);
    same("محمد", &["مُحَمَّد", "محمد"]);
    assert_eq!(words("हिन्दी").len(), 1);
    assert_eq!(words("기생충").len(), 1);
}

#[test]
fn digits_and_emoji() {
    same("2001", &["2001", "(2001)", "２００１", "²⁰⁰¹"]);
    same("007", &["007", "007’s"]);
    same("3d", &["3D"]);
    same("1", &["1️⃣", "①"]);
    same("love", &["love❤️", "❤love", "#love"]);
}

#[test]
fn long_words_are_words() {
    assert_eq!(
        words("Supercalifragilisticexpialidocious!"),
        words("supercalifragilisticexpialidocious")
    );
    assert_eq!(words(&"a".repeat(100_000)).len(), 1);
    assert_eq!(words(&"a'".repeat(50_000)).len(), 1);
    assert_eq!(words(&"é\u{301}".repeat(50_000)).len(), 1);
    assert_eq!(words(&"a.".repeat(50_000)).len(), 1);
}

proptest! {
    /// The quick way through ASCII is only a quick way.
    #[test]
    fn plain_pieces_are_cut_as_any_other(piece in "[aAsSx0-9'.,:;!_\\-\"(/a-z]{0,12}") {
        let (mut plain, mut any) = (Words::with_texts(), Words::with_texts());
        if Cutter::new("lower", Field::Prose, &mut plain).plain(piece.as_bytes()).is_some() {
            Cutter::new("lower", Field::Prose, &mut any).piece(&piece);
            prop_assert_eq!(plain, any);
        }
    }

    /// A text is the words of its parts, unless signs or initials reach from one to the other.
    #[test]
    fn white_space_separates(one in any::<String>(), other in any::<String>()) {
        prop_assume!(!unified(&one).contains(['&', '+', '.']) && !unified(&other).contains(['&', '+', '.']));
        let mut parts = words(&one);
        parts.extend(words(&other));
        prop_assert_eq!(words(&format!("{one} {other}")), parts);
    }

    #[test]
    fn nothing_is_out_of_place(text in any::<String>()) {
        let cut = cut(&text);
        for variant in &cut.variants {
            prop_assert!(variant.length > 0);
            prop_assert!(((variant.start + variant.length) as usize) < cut.words.len());
        }
        prop_assert!(!cut.spelled().iter().flatten().any(|word| word.folded.is_empty()));
    }

    #[test]
    fn case_never_counts(text in "[a-zA-Zäéßœ0-9 '.,-]{0,40}") {
        prop_assert_eq!(words(&text.to_uppercase()), words(&text));
        prop_assert_eq!(words(&text.to_lowercase()), words(&text));
    }
}
