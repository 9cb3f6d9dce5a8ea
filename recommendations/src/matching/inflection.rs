//! The inflections of an English word: what a keyword meets besides the word itself.
//!
//! Forms are made from a word, not cut off it, so that a form that looks like that of another word ("Angeles",
//! "universal", "heroine") never meets it. A word that is given in an inflected form is first led back to the words
//! that have this form; a base that is no English word costs nothing, because no text has its forms.

mod korean;

use std::collections::HashMap;
use std::sync::LazyLock;

use foldhash::fast::RandomState;

use super::word::Word;

/// Longer words are not English.
const LONGEST: usize = 32;

/// Where a capital makes a word a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Name {
    /// Everywhere: Browning.
    Always,
    /// Inside a sentence, because at its start and in a title other words have one as well: Fox, Woods.
    Inside,
}

/// Whether a folded word is a name where it is written with a capital. A film has it as [`as_name`] then, so that it
/// is a form of no other word.
pub(super) fn name(word: &Word) -> Option<Name> {
    TABLE.names.get(word).copied()
}

/// A name, which no folded word is equal to, because it has a capital.
pub(super) fn as_name(word: &str) -> Option<Word> {
    let (first, rest) = word.split_at_checked(1)?;
    name(&Word::of(word)).map(|_| Word::of(&(first.to_ascii_uppercase() + rest)))
}

fn is_name(word: &str) -> bool {
    name(&Word::of(word)) == Some(Name::Always)
}

/// All forms of a folded word, itself first, each once.
pub(super) fn inflections(word: &str) -> Vec<String> {
    let mut forms = vec![word.to_owned()];
    let plain = word.bytes().all(|byte| byte.is_ascii_lowercase());
    if !plain || word.len() > LONGEST || word.len() < 2 {
        return korean::with_particles(forms);
    }
    if is_name(word) {
        return forms;
    }
    if let Some(only) = TABLE.only.get(word) {
        add(&mut forms, only.iter().map(ToString::to_string));
        return forms;
    }
    let bases = bases(word);
    for base in &bases {
        add(&mut forms, forms_of(base));
    }
    let may_be_a_base = ["us", "is", "as", "os", "eed"]
        .iter()
        .any(|end| word.ends_with(end));
    if bases.is_empty() || may_be_a_base {
        add(&mut forms, forms_of(word));
    } else if !["s", "ed", "ing"].iter().any(|end| word.ends_with(end))
        && !bases.iter().any(|base| base == word)
    {
        // Shots, thoughts: the form is a noun of its own.
        add(&mut forms, [format!("{word}s")]);
    }
    forms
}

fn add(forms: &mut Vec<String>, more: impl IntoIterator<Item = String>) {
    for form in more {
        if !forms.contains(&form) {
            forms.push(form);
        }
    }
}

/// The words of which `word` is a form.
fn bases(word: &str) -> Vec<String> {
    let mut bases: Vec<String> = Vec::new();
    let irregular = TABLE.lemmas.get(word).into_iter().flatten();
    add(&mut bases, irregular.map(ToString::to_string));
    if TABLE.irregular.contains_key(word) {
        add(&mut bases, [word.to_owned()]);
    }
    let candidates = candidates(word).into_iter().filter(|base| {
        base.len() >= 2
            && !is_name(base)
            && !TABLE.only.contains_key(base.as_str())
            && forms_of(base).iter().any(|form| form == word)
    });
    let candidates: Vec<String> = candidates.collect();
    add(&mut bases, candidates);
    bases
}

/// What `word` may be a regular form of.
fn candidates(word: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut without = |end: &str, with: &str| {
        if let Some(stem) = word.strip_suffix(end) {
            found.push(format!("{stem}{with}"));
        }
    };
    without("ves", "f");
    without("ves", "fe");
    without("ies", "y");
    without("es", "is");
    if word.len() > 4 {
        without("es", "");
        without("men", "man");
        without("children", "child");
        without("people", "person");
        without("feet", "foot");
        without("teeth", "tooth");
        without("mice", "mouse");
    }
    let is_gerund = word.strip_suffix("ings").is_some_and(has_vowel);
    if word.len() > 3 && !word.ends_with("ss") && !is_gerund {
        without("s", "");
    }
    without("ied", "y");
    without("ying", "ie");
    for end in ["ed", "ing", "ings"] {
        // The "thing" is not of "the".
        if let Some(stem) = word.strip_suffix(end).filter(|stem| has_vowel(stem)) {
            found.push(stem.to_owned());
            if may_end_in_e(stem) {
                found.push(format!("{stem}e"));
            }
            if let [.., one, two] = stem.as_bytes()
                && one == two
            {
                found.push(stem.get(..stem.len() - 1).unwrap_or_default().to_owned());
            }
        }
    }
    found
}

/// The forms of a base, itself first.
fn forms_of(base: &str) -> Vec<String> {
    let mut forms = vec![base.to_owned()];
    if let Some(only) = TABLE.only.get(base) {
        add(&mut forms, only.iter().map(ToString::to_string));
        return forms;
    }
    match TABLE.irregular.get(base) {
        Some((Kind::Noun, irregular)) => {
            add(&mut forms, irregular.iter().map(ToString::to_string));
        }
        Some((Kind::Verb, irregular)) => {
            add(&mut forms, irregular.iter().map(ToString::to_string));
            plurals(base, &mut forms);
            gerunds(base, &mut forms);
        }
        None => {
            regular(base, &mut forms);
            // A lens is not several "len", and who feeds takes no fee.
            forms.retain(|form| form == base || !TABLE.irregular.contains_key(form.as_str()));
        }
    }
    forms
}

fn regular(base: &str, forms: &mut Vec<String>) {
    let compound = COMPOUND_PLURALS.iter().find_map(|(singular, plural)| {
        let first = base.strip_suffix(singular)?;
        (first.len() >= 2).then(|| format!("{first}{plural}"))
    });
    if let Some(plural) = compound {
        forms.push(plural);
        if base.ends_with("man") || base.ends_with("person") {
            // Human, Roman, shaman; salespersons.
            forms.push(format!("{base}s"));
        }
        return;
    }
    plurals(base, forms);
    if !may_be_a_verb(base) {
        return;
    }
    let past = if let Some(stem) = base.strip_suffix('y')
        && ends_in_consonant(stem)
    {
        vec![format!("{stem}ied")]
    } else if base.ends_with('e') {
        vec![format!("{base}d")]
    } else {
        let stems = participles(base).into_iter();
        stems.map(|stem| stem + "ed").collect()
    };
    add(forms, past);
    gerunds(base, forms);
}

/// Whether a word may have forms in -ed and -ing. Those that have none would meet other words: carrying is not of
/// "Carrie", manning not of "Mann".
fn may_be_a_verb(base: &str) -> bool {
    let is_noun = NOUN_ENDINGS.iter().any(|end| base.ends_with(end))
        || base.ends_with("ie") && !VERBS_IN_IE.contains(&base)
        || base.ends_with("nn")
        || base.len() < 3;
    !is_noun && has_vowel(base)
}

/// The form in -ing, and its plural: killings.
fn gerunds(base: &str, forms: &mut Vec<String>) {
    for stem in participles(base) {
        add(forms, [format!("{stem}ing")]);
        let plural = format!("{stem}ings");
        // Buildings are not of "build".
        if !TABLE.only.contains_key(plural.as_str()) {
            add(forms, [plural]);
        }
    }
}

/// The form in -s, which is that of nouns and of verbs.
fn plurals(base: &str, forms: &mut Vec<String>) {
    let sibilant = ["s", "x", "z", "ch", "sh"];
    if let Some(stem) = base.strip_suffix("sis") {
        add(forms, [format!("{stem}ses")]);
    } else if let Some(stem) = base.strip_suffix('y')
        && (ends_in_consonant(stem) || stem.ends_with("qu"))
    {
        // Ladies, but the Kennedys.
        add(forms, [format!("{stem}ies"), format!("{base}s")]);
    } else if sibilant.iter().any(|end| base.ends_with(end)) {
        add(forms, [format!("{base}es")]);
        if base.ends_with("ch") {
            // Monarchs, stomachs.
            add(forms, [format!("{base}s")]);
        }
    } else {
        add(forms, [format!("{base}s")]);
        if base.len() > 3 && base.strip_suffix('o').is_some_and(ends_in_consonant) {
            // Heroes, but pianos.
            add(forms, [format!("{base}es")]);
        }
    }
}

/// What stands before -ing, and before -ed where there is no final e.
fn participles(base: &str) -> Vec<String> {
    if let Some(stem) = base.strip_suffix("ie") {
        return vec![format!("{stem}y")];
    }
    if let Some(stem) = base.strip_suffix('e')
        && !["e", "o", "y"].iter().any(|end| stem.ends_with(end))
        && has_vowel(stem)
        // Singeing is not singing.
        && !(stem.ends_with("ng") && TABLE.irregular.contains_key(stem))
    {
        return vec![stem.to_owned()];
    }
    if base.ends_with("ic") {
        return vec![format!("{base}k")];
    }
    let doubled = match base.as_bytes() {
        [before @ .., vowel, last]
            if is_vowel(*vowel)
                && !is_vowel(*last)
                && !b"hwxy".contains(last)
                && before
                    .last()
                    .is_none_or(|&byte| !is_vowel(byte) || before.ends_with(b"qu")) =>
        {
            base.get(base.len() - 1..)
                .map(|last| format!("{base}{last}"))
        }
        _ => None,
    };
    match doubled {
        None => vec![base.to_owned()],
        Some(doubled) if syllables(base) == 1 => vec![doubled],
        Some(doubled) if DOUBLED.iter().any(|end| base.ends_with(end)) => {
            vec![base.to_owned(), doubled]
        }
        Some(_) => vec![base.to_owned()],
    }
}

/// Whether what stands before -ed or -ing may be a word without its final e, as "danc" is and "direct" is not.
fn may_end_in_e(stem: &str) -> bool {
    let double_vowel = match stem.as_bytes() {
        [.., one, two, last] => is_vowel(*one) && is_vowel(*two) && b"dklmnpt".contains(last),
        _ => false,
    };
    !double_vowel && !WHOLE_STEMS.iter().any(|end| stem.ends_with(end)) || stem.ends_with("creat")
}

fn syllables(word: &str) -> usize {
    let plain = word.replace("qu", "q");
    let bytes = plain.as_bytes();
    let starts = bytes.iter().enumerate().filter(|&(place, &byte)| {
        is_vowel(byte)
            && place
                .checked_sub(1)
                .and_then(|before| bytes.get(before))
                .is_none_or(|&before| !is_vowel(before))
    });
    starts.count()
}

fn has_vowel(word: &str) -> bool {
    word.bytes().any(is_vowel)
}

fn is_vowel(byte: u8) -> bool {
    b"aeiouy".contains(&byte)
}

fn ends_in_consonant(stem: &str) -> bool {
    stem.bytes()
        .last()
        .is_some_and(|byte| !b"aeiou".contains(&byte))
}

/// Words of several syllables that double their last letter, or may.
const DOUBLED: [&str; 13] = [
    "mit", "fer", "cur", "gin", "get", "nap", "quip", "gram", "l", "hop", "ssip", "bus", "bet",
];

/// Words with these ends have no final e.
const WHOLE_STEMS: [&str; 28] = [
    "ck", "ct", "ff", "ft", "ld", "lk", "ll", "lm", "lt", "mp", "nd", "nk", "nt", "pt", "rd", "rk",
    "rl", "rm", "rn", "rt", "sh", "sk", "ss", "tch", "w", "wl", "x", "y",
];

/// Words with these ends are nouns or adjectives.
const NOUN_ENDINGS: [&str; 9] = [
    "ness", "ity", "ism", "ist", "ology", "hood", "ous", "ful", "less",
];

/// The verbs in -ie; other words with this end are nouns and names.
const VERBS_IN_IE: [&str; 7] = ["die", "lie", "tie", "vie", "belie", "untie", "underlie"];

const COMPOUND_PLURALS: [(&str, &str); 17] = [
    ("woman", "women"),
    ("man", "men"),
    ("child", "children"),
    ("wife", "wives"),
    ("wolf", "wolves"),
    ("thief", "thieves"),
    ("foot", "feet"),
    ("tooth", "teeth"),
    ("mouse", "mice"),
    ("self", "selves"),
    ("shelf", "shelves"),
    ("loaf", "loaves"),
    ("leaf", "leaves"),
    ("life", "lives"),
    ("knife", "knives"),
    ("person", "people"),
    ("half", "halves"),
];

#[derive(Clone, Copy)]
enum Kind {
    Noun,
    Verb,
}

/// What words.txt says.
struct Table {
    /// A word and each of its forms, to all of them.
    only: HashMap<&'static str, Vec<&'static str>>,
    /// An irregular word to its irregular forms.
    irregular: HashMap<&'static str, (Kind, Vec<&'static str>)>,
    /// An irregular form to the words that it is of.
    lemmas: HashMap<&'static str, Vec<&'static str>>,
    names: HashMap<Word, Name, RandomState>,
}

static TABLE: LazyLock<Table> = LazyLock::new(|| Table::read(include_str!("inflection/words.txt")));

impl Table {
    fn read(text: &'static str) -> Table {
        let mut table = Table {
            only: HashMap::new(),
            irregular: HashMap::new(),
            lemmas: HashMap::new(),
            names: HashMap::default(),
        };
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let mut words = line.split_ascii_whitespace();
            let kind = words.next();
            let words: Vec<&str> = words.collect();
            match kind {
                Some("noun") => table.add(Kind::Noun, &words),
                Some("verb") => table.add(Kind::Verb, &words),
                Some("name") => table.add_names(Name::Always, &words),
                Some("both") => table.add_names(Name::Inside, &words),
                _ => {
                    if let Some(&first) = words.first() {
                        table.only.insert(first, words.clone());
                    }
                    for &form in words.iter().skip(1) {
                        table.only.entry(form).or_insert_with(|| words.clone());
                    }
                }
            }
        }
        table
    }

    fn add_names(&mut self, name: Name, words: &[&str]) {
        self.names
            .extend(words.iter().map(|word| (Word::of(word), name)));
    }

    fn add(&mut self, kind: Kind, words: &[&'static str]) {
        let Some((&lemma, forms)) = words.split_first() else {
            return;
        };
        self.irregular.insert(lemma, (kind, forms.to_vec()));
        for &form in forms {
            self.lemmas.entry(form).or_default().push(lemma);
        }
    }
}

#[cfg(test)]
mod tests;
