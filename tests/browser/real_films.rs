//! Tens of thousands of real films, whose titles nobody made up to fit. `LOAD_FILMS` names a folder with files of them, as
//! for the benches. It takes minutes, and is run only when it is asked for.

use std::{env, fs, path::Path};

use futures::{StreamExt, stream};
use proto::recommendations::CreateMovieRequest;
use serde_json::{Value, json};

use crate::{
    gallery::picture,
    lists::{BROKEN, DOTS},
    support::{System, eventually},
    visitor::Visitor,
};

/// Every so many pages one is looked at.
const PAGES_APART: usize = 25;
const WIDTHS: [u32; 6] = [320, 360, 580, 768, 1024, 1440];

fn read(folder: &Path) -> Vec<CreateMovieRequest> {
    let files = fs::read_dir(folder)
        .unwrap()
        .map(|file| file.unwrap().path());
    let mut files: Vec<_> = files
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "json")
        })
        .collect();
    files.sort();
    let text = |value: &Value, longest: usize| -> String {
        value
            .as_str()
            .unwrap_or_default()
            .chars()
            .take(longest)
            .collect()
    };
    let film = |film: &Value| {
        let genres = film["genres"].as_array().into_iter().flatten();
        let genres: Vec<_> = genres.map(|genre| text(genre, 100)).collect();
        CreateMovieRequest {
            title: text(&film["title"], 255),
            description: text(&film["extract"], 10_000),
            genre: genres.join(", ").chars().take(100).collect(),
            release_year: film["year"]
                .as_i64()
                .map(|year| year.to_string())
                .unwrap_or_default(),
            ..CreateMovieRequest::default()
        }
    };
    let all = files.iter().flat_map(|file| {
        let films: Vec<Value> = serde_json::from_slice(&fs::read(file).unwrap()).unwrap();
        films.iter().map(film).collect::<Vec<_>>()
    });
    all.collect()
}

#[tokio::test]
#[ignore = "needs real films: see LOAD_FILMS"]
async fn real_films_fit_into_the_pages_of_every_width() {
    let folder = env::var_os("LOAD_FILMS").expect("LOAD_FILMS names a folder with films");
    let mut system = System::plain().await;
    let Some(visitor) = Visitor::come(&system).await else {
        return;
    };
    for keyword in ["heist", "\"time travel\"", "philanthropist", "war"] {
        system.follow(1, keyword).await;
    }
    let films = read(Path::new(&folder));
    let catalog = system.catalog().await;
    let count = films.len();
    stream::iter(films)
        .for_each_concurrent(64, async |film| {
            let title = film.title.clone();
            let created = catalog.clone().create_movie(film).await;
            created.unwrap_or_else(|status| panic!("{title}: {status}"));
        })
        .await;
    eventually("the films to be recommended", async || {
        let recommended = system.recommended_to(1).await?.len();
        (recommended == 1_000)
            .then_some(())
            .ok_or(recommended.to_string())
    })
    .await;

    let pages = (1..=count.div_ceil(24)).step_by(PAGES_APART);
    let mut problems = Vec::new();
    for page in pages {
        visitor.open(&format!("/?page={page}")).await;
        for width in [320, 360, 1025] {
            visitor.resize((width, 800)).await;
            for look in [BROKEN, DOTS] {
                let found = visitor.ask(look).await;
                if found != json!([]) {
                    problems.push(format!("page {page}, {width} pixels: {found}"));
                }
            }
            let reach = visitor
                .ask("return document.scrollingElement.scrollWidth")
                .await;
            if reach != json!(width) {
                problems.push(format!(
                    "page {page}, {width} pixels: it reaches to {reach}"
                ));
            }
        }
    }
    for (path, name) in [
        ("/", "films"),
        ("/?keyword=heist", "keyword"),
        ("/?genre=Science%20Fiction&year=1984", "genre-and-year"),
        ("/recommendations", "for-you"),
        ("/preferences?keyword=robot,love", "following"),
        ("/movie/new", "new"),
        ("/no", "error"),
    ] {
        for colours in ["light", "dark"] {
            visitor.prefer(colours).await;
            for width in WIDTHS {
                visitor.resize((width, 800)).await;
                visitor.open(path).await;
                picture(
                    &visitor,
                    (width, 800),
                    &format!("real-{name}-{width}-{colours}"),
                )
                .await;
            }
        }
    }
    assert!(problems.is_empty(), "{problems:#?}");
    system.stop().await;
}
