//! Tests of inflections: forms that one word has, and words that only look like one.

use super::*;

/// Whether a keyword of this word meets that word.
fn meets(keyword: &str, word: &str) -> bool {
    inflections(keyword).iter().any(|form| form == word)
}

#[track_caller]
fn meet(keyword: &str, words: &str) {
    for word in words.split(' ') {
        assert!(
            meets(keyword, word),
            "{keyword}: {word} of {:?}",
            inflections(keyword)
        );
    }
}

#[track_caller]
fn miss(keyword: &str, words: &str) {
    for word in words.split(' ') {
        assert!(!meets(keyword, word), "{keyword}: {word}");
    }
}

/// Words that are all forms of one word, so that each of them meets each.
#[track_caller]
fn alike(words: &str) {
    for word in words.split(' ') {
        meet(word, words);
    }
}

#[test]
fn regular_nouns_and_verbs() {
    for words in [
        "robot robots",
        "city cities",
        "spy spies spied spying",
        "witch witches",
        "monarch monarchs",
        "fox foxes",
        "hero heroes",
        "piano pianos",
        "video videos",
        "movie movies",
        "zombie zombies",
        "house houses",
        "virus viruses",
        "circus circuses",
        "princess princesses",
        "waltz waltzes",
        "crisis crises",
        "murder murders murdered murdering",
        "dance dances danced dancing",
        "kidnap kidnaps kidnapped kidnapping",
        "travel travels traveled traveling travelled travelling",
        "visit visits visited visiting",
        "plan plans planned planning",
        "hope hopes hoped hoping",
        "hop hops hopped hopping",
        "kill kills killed killing",
        "die dies died dying",
        "marry marries married marrying",
        "play plays played playing",
        "agree agrees agreed agreeing",
        "quiz quizzes",
        "speed speeds",
        "decide decides decided deciding",
        "admit admits admitted admitting",
    ] {
        alike(words);
    }
    meet("killing", "killings");
    meet("killings", "killing");
    meet("kennedy", "kennedys");
}

#[test]
fn irregular_nouns_and_verbs() {
    for words in [
        "man men",
        "woman women",
        "child children",
        "grandchild grandchildren",
        "thief thieves",
        "wolf wolves",
        "werewolf werewolves",
        "housewife housewives",
        "foot feet",
        "tooth teeth",
        "mouse mice",
        "policeman policemen",
        "criterion criteria",
        "person people",
        "fly flies flew flown flying",
        "run runs ran running",
        "write writes wrote written writing",
        "steal steals stole stolen stealing",
        "teach teaches taught teaching",
        "panic panics panicked panicking",
    ] {
        alike(words);
    }
    meet("see", "sees saw seen seeing");
    meet("human", "humans");
    meet("roman", "romans");
    meet("life", "lives");
    meet("lives", "life live");
    meet("shot", "shots shoot");
}

/// A class of plurals a line.
#[test]
fn plurals_of_other_languages_and_old_ones() {
    for words in [
        "radius radii",
        "syllabus syllabi",
        "cactus cacti",
        "hippopotamus hippopotami",
        "magus magi",
        "genus genera",
        "stratum strata",
        "spectrum spectra",
        "datum data",
        "stadium stadia",
        "millennium millennia",
        "cranium crania",
        "criterion criteria",
        "phenomenon phenomena",
        "polyhedron polyhedra",
        "automaton automata",
        "paparazzo paparazzi",
        "graffito graffiti",
        "mafioso mafiosi",
        "libretto libretti",
        "virtuoso virtuosi",
        "oasis oases",
        "crisis crises",
        "nemesis nemeses",
        "thesis theses",
        "axis axes",
        "index indices",
        "apex apices",
        "vortex vortices",
        "matrix matrices",
        "helix helices",
        "dominatrix dominatrices",
        "larva larvae",
        "supernova supernovae",
        "persona personae",
        "stigma stigmata",
        "schema schemata",
        "chateau chateaux",
        "gateau gateaux",
        "kibbutz kibbutzim",
        "cherub cherubim",
        "goy goyim",
        "staff staves staffs staffed",
        "roof rooves roofs roofing",
        "hoof hooves",
        "handkerchief handkerchieves",
        "bookshelf bookshelves",
        "meatloaf meatloaves",
        "afterlife afterlives",
        "cloverleaf cloverleaves",
        "salesperson salespeople",
        "passerby passersby",
        "brother brethren",
        "focus foci focused focusing",
    ] {
        alike(words);
    }
    // The form is more often another word.
    meet("basis", "bases");
    miss("bases", "basis");
    miss("base", "basis");
    meet("die", "dice");
    miss("dice", "die");
}

#[test]
fn no_form_of_a_word_is_another_word() {
    miss("singe", "singing sing");
    meet("singe", "singed singeing");
    meet("cringe", "cringing");
    miss("len", "lens");
    miss("lens", "len");
    miss("fee", "feed");
    miss("the", "thing");
    miss("re", "red");
    miss("be", "bing");
    miss("carrie", "carrying carried");
    miss("movie", "moving movied");
    meet("tie", "tying tied");
    miss("loses", "los");
}

#[test]
fn other_words_are_not_forms() {
    miss("angel", "angeles angela angelic");
    miss("angeles", "angel angels");
    miss("universe", "universal university");
    miss("universal", "universe");
    miss("intern", "international internal");
    miss("heroin", "heroine heroines hero");
    miss("heroine", "heroin");
    miss("organ", "organization organized");
    miss("general", "generation generally");
    miss("animal", "animated animate");
    miss("policy", "police policed");
    miss("hop", "hope hoping hoped");
    miss("car", "care cared caring");
    miss("plane", "plan planned planning");
    miss("star", "stare starring staring");
    miss("base", "based basis");
    miss("new", "news");
    miss("thing", "the");
    miss("toes", "to");
    miss("king", "k ke");
    miss("evening", "even");
    miss("viking", "vik");
    miss("herring", "her");
    miss("boxing", "box");
    miss("princes", "princess");
    miss("princess", "prince princes");
    miss("needs", "ne");
    miss("rose", "rise");
}

#[test]
fn names_are_kept_apart() {
    miss("harry", "harris harrys");
    miss("harris", "harry");
    miss("robert", "roberts");
    miss("roberts", "robert");
    miss("williams", "william");
    miss("jones", "jon jons");
    miss("mars", "mar marred");
    miss("james", "jam jams");
    miss("jeans", "jean");
    for name in
        "browning manning harding wells davies brooks pitts jones athens starr penn".split(' ')
    {
        assert_eq!(inflections(name), [name]);
        assert!(as_name(name).is_some());
    }
    assert_eq!(name(&Word::of("wells")), Some(Name::Always));
    assert_eq!(name(&Word::of("woods")), Some(Name::Inside));
    assert_eq!(name(&Word::of("robots")), None);
    assert_eq!(as_name("robots"), None);
}

#[test]
fn what_is_not_english_has_no_forms() {
    for word in ["1990s", "007", "c++", "u.s.", "й", "fiancé", "q", "ab1"] {
        assert_eq!(inflections(word), [word]);
    }
    assert_eq!(inflections(&"a".repeat(100)).len(), 1);
}

/// A base leads to its forms, and each form back to the base.
#[test]
fn the_table_agrees_with_itself() {
    for (lemma, (_, forms)) in &TABLE.irregular {
        if TABLE.only.contains_key(lemma) {
            continue;
        }
        for form in forms.iter().filter(|form| !TABLE.only.contains_key(**form)) {
            assert!(meets(lemma, form), "{lemma}: {form}");
            assert!(meets(form, lemma), "{form}: {lemma}");
        }
    }
    for (word, forms) in &TABLE.only {
        assert!(forms.contains(word), "{word}");
    }
}
