//! The ids that films have elsewhere, over every database there is.

use catalog::{
    Error,
    actors::movie_repository::{
        CreateFilm, DeleteFilm, FindFilm, GetFilm, ListChanges, RestoreFilm, UndoChange, UpdateFilm,
    },
    films::{ExternalId, Film, FilmDraft, FilmFields, FilmId, history::Wanted},
};
use storage::testing::databases;

use crate::support::{DEADLINE, World, draft, execute, fields, nowhere};

pub(crate) fn with_ids(title: &str, ids: &[(&str, &str)]) -> FilmDraft {
    let ids = ids
        .iter()
        .map(|(source, value)| ((*source).to_owned(), (*value).to_owned()));
    let fields = FilmFields {
        external_ids: Some(ids.collect()),
        ..fields(title)
    };
    FilmDraft::parse(&fields).unwrap()
}

pub(crate) fn told(film: &Film) -> Vec<String> {
    film.external_ids.iter().map(ToString::to_string).collect()
}

async fn create(world: &World, draft: FilmDraft) -> Result<Film, Error> {
    let create = CreateFilm::new(draft);
    world.films.ask(create, DEADLINE).await.unwrap()
}

async fn update(world: &World, id: &FilmId, draft: FilmDraft) -> Result<Film, Error> {
    let update = UpdateFilm::new(id.clone(), draft);
    world.films.ask(update, DEADLINE).await.unwrap()
}

async fn find(world: &World, source: &str, value: &str) -> Result<FilmId, Error> {
    let wanted = FindFilm(ExternalId::parse(source, value).unwrap());
    let found = world.films.ask(wanted, DEADLINE).await.unwrap();
    found.map(|film| film.id)
}

fn is_taken_by(refused: &Result<Film, Error>, by: &FilmId) -> bool {
    matches!(refused, Err(Error::ExternalIdInUse(_, film)) if film == by)
}

#[actix_web::test]
async fn a_film_is_found_by_its_ids_until_it_has_them_no_more() {
    for db in databases("external-ids") {
        let world = World::start(&db, nowhere()).await;
        let ids = [("tmdb", "1091"), ("imdb", "84787")];
        let film = create(&world, with_ids("The Thing", &ids)).await.unwrap();
        assert_eq!(told(&film), ["imdb tt0084787", "tmdb 1091"]);
        let id = film.id.clone();
        let read = world.films.ask(GetFilm(id.clone()), DEADLINE).await;
        assert_eq!(read.unwrap().unwrap(), film);
        assert_eq!(find(&world, "imdb", "tt0084787").await.unwrap(), id);
        assert!(matches!(
            find(&world, "movielens", "1091").await,
            Err(Error::NotFound)
        ));

        // An edit by a program that does not know them leaves them.
        let edited = update(&world, &id, draft("Thing")).await.unwrap();
        assert_eq!(edited.external_ids, film.external_ids);
        let edited = update(&world, &id, with_ids("Thing", &[("wikidata", "Q210756")]));
        assert_eq!(told(&edited.await.unwrap()), ["wikidata Q210756"]);
        assert!(find(&world, "tmdb", "1091").await.is_err());
        let none = update(&world, &id, with_ids("Thing", &[])).await.unwrap();
        assert_eq!(told(&none), [] as [&str; 0]);
    }
}

#[actix_web::test]
async fn no_two_films_have_the_same_id() {
    for db in databases("external-ids-taken") {
        let world = World::start(&db, nowhere()).await;
        let first = with_ids("A", &[("tmdb", "1"), ("imdb", "1")]);
        let first = create(&world, first).await.unwrap();
        let other = create(&world, with_ids("B", &[("tmdb", "2")]))
            .await
            .unwrap();
        let taken = with_ids("C", &[("tmdb", "3"), ("imdb", "1")]);
        assert!(is_taken_by(&create(&world, taken.clone()).await, &first.id));
        assert!(is_taken_by(
            &update(&world, &other.id, taken).await,
            &first.id
        ));
        assert_eq!(find(&world, "tmdb", "2").await.unwrap(), other.id);
        assert!(find(&world, "tmdb", "3").await.is_err());
        // The same number elsewhere is another id.
        let same = with_ids("D", &[("movielens", "1")]);
        create(&world, same).await.unwrap();
    }
}

#[actix_web::test]
async fn ids_go_and_come_back_with_their_film() {
    for db in databases("external-ids-deleted") {
        let world = World::start(&db, nowhere()).await;
        let film = with_ids("A", &[("tmdb", "1"), ("imdb", "1")]);
        let film = create(&world, film).await.unwrap();
        let delete = DeleteFilm::new(film.id.clone());
        world.films.ask(delete, DEADLINE).await.unwrap().unwrap();
        assert!(find(&world, "tmdb", "1").await.is_err());
        let other = with_ids("B", &[("tmdb", "1")]);
        let other = create(&world, other).await.unwrap();
        let restore = RestoreFilm {
            id: film.id.clone(),
            refuse_same: false,
            by: None,
        };
        let restored = world.films.ask(restore, DEADLINE).await.unwrap().unwrap();
        // The other film has got one of them meanwhile.
        assert_eq!(told(&restored), ["imdb tt0000001"]);
        assert_eq!(find(&world, "tmdb", "1").await.unwrap(), other.id);

        // A program of an older release deletes without knowing of them.
        execute(&db, "DELETE FROM movies");
        let rows = "SELECT COUNT(*) AS count FROM film_external_ids";
        assert_eq!(world.count(rows).await, 0);
    }
}

#[actix_web::test]
async fn an_edit_of_ids_is_undone_unless_another_film_has_them() {
    for db in databases("external-ids-undo") {
        let world = World::start(&db, nowhere()).await;
        let film = create(&world, with_ids("A", &[("tmdb", "1")]))
            .await
            .unwrap();
        let number = async || {
            let list = ListChanges {
                wanted: Wanted::default(),
                limit: 1,
            };
            let page = world.films.ask(list, DEADLINE).await.unwrap().unwrap();
            page.changes[0].0.number
        };
        update(&world, &film.id, with_ids("A", &[("tmdb", "2")]))
            .await
            .unwrap();
        let edit = number().await;
        let undo = UndoChange {
            number: edit,
            by: None,
        };
        let undone = world.films.ask(undo, DEADLINE).await.unwrap().unwrap();
        assert_eq!(told(&undone.unwrap()), ["tmdb 1"]);
        let redo = UndoChange {
            number: number().await,
            by: None,
        };
        let other = create(&world, with_ids("B", &[("tmdb", "2")]))
            .await
            .unwrap();
        let refused = world.films.ask(redo, DEADLINE).await.unwrap();
        assert!(matches!(
            refused,
            Err(Error::ExternalIdInUse(_, film)) if film == other.id
        ));
    }
}
