//! Korean words with the particles that are written as a part of them: 서울의 is "of Seoul".
//!
//! Particles are added to a word, as endings are to an English one, so that 서울 does not meet 서울역. Which form of a
//! particle follows depends on whether the last syllable ends in a consonant.

/// Adds the forms of a Korean word to itself.
pub(super) fn with_particles(mut forms: Vec<String>) -> Vec<String> {
    let Some(word) = forms.first().cloned() else {
        return forms;
    };
    let Some(last) = word.chars().last().filter(|_| word.chars().all(is_hangul)) else {
        return forms;
    };
    let coda = (last as u32 - FIRST_SYLLABLE) % CODAS;
    let after = match coda {
        0 => &AFTER_VOWEL[..],
        RIEUL => &AFTER_RIEUL[..],
        _ => &AFTER_CONSONANT[..],
    };
    for particle in after.iter().chain(&ALWAYS) {
        forms.push(format!("{word}{particle}"));
    }
    forms
}

fn is_hangul(c: char) -> bool {
    ('가'..='힣').contains(&c)
}

/// Syllables are numbered by their letters, the final consonant last.
const FIRST_SYLLABLE: u32 = '가' as u32;
const CODAS: u32 = 28;
/// The number of the final consonant ㄹ.
const RIEUL: u32 = 8;

const AFTER_VOWEL: [&str; 9] = ["는", "가", "를", "와", "로", "로서", "로써", "라는", "랑"];
const AFTER_RIEUL: [&str; 9] = [
    "은",
    "이",
    "을",
    "과",
    "로",
    "로서",
    "로써",
    "이라는",
    "이랑",
];
const AFTER_CONSONANT: [&str; 9] = [
    "은",
    "이",
    "을",
    "과",
    "으로",
    "으로서",
    "으로써",
    "이라는",
    "이랑",
];
const ALWAYS: [&str; 22] = [
    "의",
    "에",
    "에서",
    "에게",
    "에게서",
    "한테",
    "께",
    "께서",
    "도",
    "만",
    "까지",
    "부터",
    "마저",
    "조차",
    "보다",
    "처럼",
    "마다",
    "밖에",
    "들",
    "들은",
    "들이",
    "들의",
];
