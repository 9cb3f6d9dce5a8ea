//! The films that a catalog is filled with.

use std::path::Path;

use proto::recommendations::{CreateMovieRequest, FilmUpdate};
use rand::{RngExt, SeedableRng, rngs::SmallRng};
use recommendations::matching::{FilmText, FilmWords};
use serde::Deserialize;

/// As many as the real data has.
const COUNT: usize = 36_273;
/// Words of a made-up description, as many as a real one has.
const WORDS: usize = 50;
/// Made-up films are of one to three of these, a few of them rare.
const GENRES: [&str; 12] = [
    "Drama",
    "Comedy",
    "Action",
    "Crime",
    "Western",
    "Romance",
    "Thriller",
    "Horror",
    "Musical",
    "Documentary",
    "War",
    "Noir",
];

pub(crate) struct Film {
    pub(crate) title: String,
    pub(crate) description: String,
    genre: String,
    year: String,
}

impl Film {
    /// Its words, as the matcher sees them.
    pub(crate) fn words(&self) -> FilmWords {
        FilmWords::of(&FilmText {
            title: &self.title,
            description: &self.description,
            genre: &self.genre,
            keywords: &[],
        })
    }

    /// The request that adds it to a catalog.
    pub(crate) fn movie(&self) -> CreateMovieRequest {
        CreateMovieRequest {
            title: self.title.clone(),
            description: self.description.clone(),
            genre: self.genre.clone(),
            rating: 7.5,
            release_year: self.year.clone(),
            ..CreateMovieRequest::default()
        }
    }

    /// What a catalog sends of it, under a new id.
    pub(crate) fn update(&self) -> FilmUpdate {
        let text = format!("{} {} {}", self.title, self.description, self.genre).to_lowercase();
        FilmUpdate {
            film_id: uuid::Uuid::new_v4().to_string(),
            title: self.title.clone(),
            description: self.description.clone(),
            genre: self.genre.clone(),
            keywords: text.split_whitespace().map(str::to_owned).collect(),
            rating: 7.5,
            release_year: self.year.clone(),
            version: Some(1),
            exact_rating: Some(7.5),
        }
    }
}

/// A name for the films, and the films.
pub(crate) fn films() -> (&'static str, Vec<Film>) {
    match std::env::var_os("LOAD_FILMS") {
        Some(folder) => ("real", read(Path::new(&folder))),
        None => ("made-up", make_up()),
    }
}

#[derive(Deserialize)]
struct Real {
    title: String,
    year: Option<i32>,
    #[serde(default)]
    genres: Vec<String>,
    extract: Option<String>,
}

fn read(folder: &Path) -> Vec<Film> {
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|file| file.unwrap().path())
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "json")
        })
        .collect();
    files.sort();
    let real = files.iter().flat_map(|path| {
        let films: Vec<Real> = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
        films
    });
    real.map(|film| Film {
        title: film.title.chars().take(255).collect(),
        description: film.extract.unwrap_or_default(),
        genre: film.genres.join(", ").chars().take(100).collect(),
        year: film.year.map(|year| year.to_string()).unwrap_or_default(),
    })
    .collect()
}

/// Films of made-up words, the commoner ones in more films, as it is in real texts.
fn make_up() -> Vec<Film> {
    let random = &mut SmallRng::seed_from_u64(42);
    let words: Vec<String> = (0..30_000).map(|_| word(random)).collect();
    let film = |_| {
        let mut text = |count: usize| {
            let mut drawn = Vec::with_capacity(count);
            for _ in 0..count {
                let rank = (words.len() as f64).powf(random.random::<f64>());
                drawn.push(words[rank as usize - 1].as_str());
            }
            drawn.join(" ")
        };
        let (title, description) = (text(3), text(WORDS));
        let mut genres: Vec<&str> = (0..random.random_range(1..=3))
            .map(|_| GENRES[(13_f64.powf(random.random::<f64>())) as usize - 1])
            .collect();
        genres.dedup();
        Film {
            title,
            description: description + ".",
            genre: genres.join(", "),
            year: random.random_range(1900..2025).to_string(),
        }
    };
    (0..COUNT).map(film).collect()
}

fn word(random: &mut SmallRng) -> String {
    let length = random.random_range(3..10);
    let letter = |place: usize| {
        let letters = if place.is_multiple_of(2) {
            b"bcdfglmnprst"
        } else {
            b"aeiouaeiouae"
        };
        char::from(letters[random.random_range(0..letters.len())])
    };
    (0..length).map(letter).collect()
}
