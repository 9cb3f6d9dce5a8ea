use proptest::prelude::*;

use super::*;

fn shown(text: &str) -> String {
    words(text)
        .iter()
        .map(|word| format!("{word:?}"))
        .collect::<Vec<_>>()
        .join(" ")
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
        "drama comedi",
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
fn words_are_stemmed() {
    same("robot", &["robot", "robots", "Robots'", "robot's"]);
    same("run", &["run", "running", "runs"]);
    same("happi", &["happy", "happiness"]);
    same("detect", &["detective", "detectives"]);
}

#[test]
fn possessives_and_apostrophes_are_dropped() {
    same(
        "ocean eleven",
        &[
            "Ocean's Eleven",
            "Ocean’s Eleven",
            "OCEAN'S ELEVEN",
            "oceans eleven",
            "ocean＇s eleven",
        ],
    );
    same("obrien", &["O'Brien", "O’Brien", "OBrien", "o'brien's"]);
    same("dont", &["don't", "don’t", "dont"]);
    same("hawaii", &["Hawaiʻi", "Hawai'i", "Hawaii"]);
    same("rock n roll", &["rock 'n' roll", "rock ’n’ roll"]);
    same("1990", &["1990's", "'1990'"]);
}

#[test]
fn points_and_commas_count_only_where_they_belong_to_the_word() {
    same("fbi", &["F.B.I.", "FBI", "f.b.i", "FBI's", "F.B.I.'s"]);
    same("fbi agent", &["F.B.I. agents", "F.B.I.-agents"]);
    same("et", &["E.T.", "ET"]);
    same("j r r tolkien", &["J.R.R.Tolkien"]);
    same("jrr tolkien", &["J.R.R. Tolkien"]);
    same("10000 bc", &["10,000 BC", "10000 B.C."]);
    same("2 0", &["2.0"]);
    same("2 fast 2 furious", &["2 Fast 2 Furious"]);
    same("8 1 2", &["8½", "8 1/2", "8 ½"]);
}

#[test]
fn diacritics_do_not_count() {
    same("ameli", &["Amélie", "Ame\u{301}lie", "AMÉLIE"]);
    same("facad", &["façade", "facade"]);
    same("strass", &["Straße", "STRASSE", "STRAẞE", "strasse"]);
    same("bjorn", &["Bjørn", "Björn", "bjorn"]);
    same("lodz", &["Łódź", "lodz"]);
    same("caesar", &["Cæsar", "caesar"]);
    same("istanbul", &["İstanbul", "Istanbul", "ıstanbul"]);
    same("full film", &["ｆｕｌｌ ﬁlm", "full film"]);
    same(
        "superman",
        &["super\u{AD}man", "super\u{200D}man", "\u{FEFF}superman"],
    );
}

#[test]
fn other_scripts_keep_their_words() {
    same("сталкер", &["Сталкер", "СТАЛКЕР", "«сталкер»"]);
    same("ежик", &["ёжик", "Ежик"]);
    same("οδοσ", &["Οδός", "ΟΔΟΣ", "οδος"]);
    same("七 人 の 侍", &["七人の侍"]);
    same("ハウル", &["ハウル", "ﾊｳﾙ"]);
    same("שלום", &["שָׁלוֹם", "שלום"]);
    same("محمد", &["مُحَمَّد", "محمد"]);
    assert_ne!(
        words("か"),
        words("が"),
        "a different letter, not a diacritic"
    );
    assert_ne!(words("हिन्दी"), words("हनद"), "vowel signs are letters");
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
    fn plain_pieces_are_cut_as_any_other(piece in "[aAsSx0-9'.,:;_\\-\"/a-z]{0,12}") {
        let stems = &mut Stems::new();
        let (mut plain, mut any) = (Vec::new(), Vec::new());
        if append_plain(piece.as_bytes(), stems, &mut plain).is_some() {
            append_any(&piece, stems, &mut any);
            prop_assert_eq!(plain, any);
        }
    }

    /// A text is the words of its parts.
    #[test]
    fn white_space_always_separates(one in any::<String>(), other in any::<String>()) {
        let mut parts = words(&one);
        parts.extend(words(&other));
        prop_assert_eq!(words(&format!("{one} {other}")), parts);
    }

    #[test]
    fn case_never_counts(text in "[a-zA-Zäéßœ0-9 '.,-]{0,40}") {
        prop_assert_eq!(words(&text.to_uppercase()), words(&text));
        prop_assert_eq!(words(&text.to_lowercase()), words(&text));
    }
}
