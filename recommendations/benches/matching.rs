//! The matcher alone, on one thread: films cut into words and matched against 1,000 to 1,000,000 preferences.
//!
//! `cargo bench -p recommendations --bench matching` measures on texts that it makes up, with words as unevenly spread
//! as real ones. With `MATCH_WORKLOAD=folder` it measures on real ones: the folder holds prefs-1k.tsv, prefs-100k.tsv
//! and prefs-1m.tsv (`u1<TAB>keyword`) and films-2000.tsv (`index<TAB>title<TAB>year<TAB>text`).

#![expect(
    clippy::print_stdout,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a benchmark prints, and ends when its workload is wrong"
)]

use std::fs;
use std::hint::black_box;
use std::path::Path;
use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput};
use proto::UserId;
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use recommendations::matching::{FilmText, FilmWords, Index, Keyword};

const FILMS: usize = 2_000;
const FILM_WORDS: usize = 57;
const SIZES: [(&str, usize); 3] = [("1k", 1_000), ("100k", 100_000), ("1m", 1_000_000)];

struct Film {
    title: String,
    description: String,
}

impl Film {
    fn words(&self) -> FilmWords {
        let (title, description) = (&self.title, &self.description);
        FilmWords::of(&FilmText {
            title,
            description,
            genre: "",
            keywords: &[],
        })
    }
}

type Preferences = Vec<(i32, String)>;

struct Workload {
    films: Vec<Film>,
    preferences: Vec<(&'static str, Preferences)>,
}

fn main() {
    let workload = match std::env::var_os("MATCH_WORKLOAD") {
        Some(folder) => Workload::read(Path::new(&folder)),
        None => Workload::made_up(),
    };
    let mut criterion = Criterion::default()
        .configure_from_args()
        .sample_size(20)
        .warm_up_time(Duration::from_secs(1))
        .measurement_time(Duration::from_secs(4));
    analysis(&mut criterion, &workload.films);
    // The largest first: memory that a smaller one gave back would not be counted for it.
    for (name, preferences) in workload.preferences.iter().rev() {
        users_of_films(&mut criterion, name, preferences, &workload.films);
    }
    films_of_keywords(&mut criterion, &workload);
    criterion.final_summary();
}

fn analysis(criterion: &mut Criterion, films: &[Film]) {
    let mut group = criterion.benchmark_group("analysis");
    group.throughput(Throughput::Elements(films.len() as u64));
    group.bench_function("films", |bencher| {
        bencher.iter(|| {
            films
                .iter()
                .map(|film| film.words().words().len())
                .sum::<usize>()
        });
    });
}

/// Films in, user ids out: as the list that goes to another thread, and is read there.
fn users_of_films(
    criterion: &mut Criterion,
    name: &str,
    preferences: &Preferences,
    films: &[Film],
) {
    let index = &mut built(name, preferences);
    let mut matches = 0_u64;
    for film in films {
        matches += index.users_matching(&film.words()).len() as u64;
    }
    println!(
        "{name}: {:.0} matches a film",
        matches as f64 / films.len() as f64
    );

    let mut group = criterion.benchmark_group(format!("users of a film, {name} preferences"));
    group.throughput(Throughput::Elements(films.len() as u64));
    group.bench_function("list made and visited", |bencher| {
        bencher.iter(|| {
            let mut sum = 0_u64;
            for film in films {
                sum += index
                    .users_matching(&film.words())
                    .iter()
                    .map(|user| u64::from(user.0.unsigned_abs()))
                    .sum::<u64>();
            }
            sum
        });
    });
}

/// Builds an index and says how long that took and how much memory it holds.
fn built(name: &str, preferences: &Preferences) -> Index {
    let resident = resident_bytes();
    let (index, time) = build(preferences.iter());
    let grown = resident_bytes().saturating_sub(resident);
    // New users come last as a rule; when they come first, every list is moved for each of them.
    let (_, reversed) = build(preferences.iter().rev());
    println!(
        "{name}: {} preferences, {} keywords built in {time:.1?}, in reverse in {reversed:.1?}; \
         {:.1} MB by count, {:.1} MB more resident",
        index.preferences(),
        index.keywords(),
        index.memory_bytes() as f64 / 1e6,
        grown as f64 / 1e6,
    );
    index
}

fn build<'a>(preferences: impl Iterator<Item = &'a (i32, String)>) -> (Index, Duration) {
    let start = Instant::now();
    let mut index = Index::new();
    for (user, text) in preferences {
        index
            .follow_normal(UserId(*user), text, text)
            .expect("the workload has keywords only");
    }
    (index, start.elapsed())
}

/// A new preference: how many films it matches, and which.
fn films_of_keywords(criterion: &mut Criterion, workload: &Workload) {
    let start = Instant::now();
    let mut index = Index::new();
    // As many films as a large catalogue has.
    for copy in 0..18 {
        for (number, film) in workload.films.iter().enumerate() {
            index.put_film(&format!("{copy}-{number:032}"), &film.words());
        }
    }
    println!(
        "{} films put in {:.1?}; {:.1} MB by count",
        index.films(),
        start.elapsed(),
        index.memory_bytes() as f64 / 1e6
    );

    let keywords: Vec<Keyword> = workload
        .preferences
        .first()
        .into_iter()
        .flat_map(|(_, preferences)| preferences)
        .filter_map(|(_, text)| Keyword::parse(text).ok())
        .collect();
    let mut group = criterion.benchmark_group("films of a keyword");
    group.throughput(Throughput::Elements(keywords.len() as u64));
    group.bench_function("count", |bencher| {
        bencher.iter(|| {
            keywords
                .iter()
                .map(|keyword| index.count_films(keyword))
                .sum::<usize>()
        });
    });
    group.bench_function("ids", |bencher| {
        bencher.iter(|| {
            keywords
                .iter()
                .map(|keyword| black_box(index.films_matching(keyword)).len())
                .sum::<usize>()
        });
    });
    group.finish();
    let film = workload.films.first().map(Film::words).unwrap_or_default();
    criterion.bench_function("a film edited", |bencher| {
        bencher.iter(|| index.put_film("0-0", &film))
    });
}

/// What the system says this process holds in memory; 0 where it does not say.
fn resident_bytes() -> usize {
    let pages = fs::read_to_string("/proc/self/statm")
        .ok()
        .and_then(|statm| {
            statm
                .split(' ')
                .nth(1)
                .and_then(|pages| pages.parse::<usize>().ok())
        });
    pages.unwrap_or(0) * 4096
}

impl Workload {
    fn read(folder: &Path) -> Workload {
        let read = |name: &str| {
            let path = folder.join(name);
            fs::read_to_string(&path)
                .unwrap_or_else(|error| panic!("cannot read `{}`: {error}", path.display()))
        };
        let films = read("films-2000.tsv")
            .lines()
            .filter_map(|line| {
                let mut columns = line.split('\t').skip(1);
                let title = columns.next()?.to_owned();
                // The text begins with the title.
                let description = columns.nth(1)?.strip_prefix(&title)?.to_owned();
                Some(Film { title, description })
            })
            .collect();
        let preferences = SIZES.map(|(name, _)| {
            let preferences = read(&format!("prefs-{name}.tsv"))
                .lines()
                .filter_map(|line| {
                    let (user, text) = line.split_once('\t')?;
                    Some((user.strip_prefix('u')?.parse().ok()?, text.to_owned()))
                })
                .collect();
            (name, preferences)
        });
        Workload {
            films,
            preferences: preferences.into(),
        }
    }

    /// The commoner a word, the more films have it and the more users follow it, though less so.
    fn made_up() -> Workload {
        let random = &mut SmallRng::seed_from_u64(42);
        let words: Vec<String> = (0..30_000).map(|_| made_up_word(random)).collect();
        let in_films = Spread::new(words.len(), 1.0);
        let in_keywords = Spread::new(words.len(), 0.5);
        let films: Vec<Film> = (0..FILMS)
            .map(|_| {
                let text: Vec<&str> = (0..FILM_WORDS)
                    .map(|_| words[in_films.draw(random)].as_str())
                    .collect();
                let (title, description) = text.split_at(3);
                Film {
                    title: title.join(" "),
                    description: description.join(" ") + ".",
                }
            })
            .collect();
        let preferences = SIZES.map(|(name, users)| {
            let preference = |user| {
                let text = if random.random_ratio(1, 10) {
                    let description: Vec<&str> = films[random.random_range(0..FILMS)]
                        .description
                        .split(' ')
                        .collect();
                    let start = random.random_range(0..description.len() - 1);
                    description[start..start + 2].join(" ")
                } else {
                    words[in_keywords.draw(random)].clone()
                };
                (user as i32, text)
            };
            (name, (1..=users).map(preference).collect())
        });
        Workload {
            films,
            preferences: preferences.into(),
        }
    }
}

fn made_up_word(random: &mut SmallRng) -> String {
    let length = random.random_range(3..10);
    (0..length).map(|place| if place % 2 == 0 { b"bcdfglmnprst" } else { b"aeiouaeiouae" }[random.random_range(0..12)] as char).collect()
}

/// Draws numbers of which the n-th comes with a chance of n to the power of minus `slope`.
struct Spread(Vec<f64>);

impl Spread {
    fn new(numbers: usize, slope: f64) -> Spread {
        let sums = (1..=numbers).scan(0.0, |sum, rank| {
            *sum += (rank as f64).powf(-slope);
            Some(*sum)
        });
        Spread(sums.collect())
    }

    fn draw(&self, random: &mut SmallRng) -> usize {
        let point = random.random_range(0.0..self.0[self.0.len() - 1]);
        self.0.partition_point(|&sum| sum <= point)
    }
}
