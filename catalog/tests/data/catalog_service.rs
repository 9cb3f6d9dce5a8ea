//! The Catalog service as its clients see it.

use std::{net::TcpListener, sync::Arc};

use catalog::{actors::movie_repository::DeleteFilm, grpc};
use prost::Message;
use proto::{
    reasons,
    recommendations::{
        CreateMovieRequest, DeleteMovieRequest, ExternalId, ExternalIds, FilmChangeKind,
        FindMovieRequest, GetMovieRequest, GetSummaryRequest, ImportMoviesRequest, ImportResult,
        ImportedMovie, ListFilmChangesRequest, ListMoviesRequest, LoadSampleRequest, Movie,
        RestoreMovieRequest, UndoFilmChangeRequest, UpdateMovieRequest, WatchMoviesRequest,
        catalog_client::CatalogClient,
    },
};
use runtime::{
    ActorRegistry, Place,
    grpc::{Calls, GrpcLimits, GrpcServer},
};
use storage::testing::databases;
use tonic::{Code, Status, transport::Channel};
use tonic_types::StatusExt;

use crate::support::{DEADLINE, World, nowhere};

type Client = CatalogClient<Channel>;

async fn serve(world: &World) -> Client {
    CatalogClient::new(connect(world).await)
}

async fn connect(world: &World) -> Channel {
    let listener = Arc::new(TcpListener::bind("127.0.0.1:0").unwrap());
    let url = format!("http://{}", listener.local_addr().unwrap());
    let service = grpc::service(
        world.films.clone(),
        world.changes.clone(),
        world.process.shutdown.clone(),
        Calls::new(GrpcLimits::default(), world.process.shutdown.clone()),
    );
    world
        .supervisor
        .group("grpc")
        .supervise("catalog-grpc", Place::Here, move |guard| {
            GrpcServer::new(
                listener.clone(),
                service.clone(),
                ActorRegistry::default(),
                guard,
            )
        });
    Channel::from_shared(url)
        .unwrap()
        .timeout(DEADLINE)
        .connect()
        .await
        .unwrap()
}

fn request(title: &str) -> CreateMovieRequest {
    CreateMovieRequest {
        title: title.into(),
        description: "A description.".into(),
        genre: "Drama".into(),
        rating: 8.1,
        release_year: "1999".into(),
        ..CreateMovieRequest::default()
    }
}

#[actix_web::test]
async fn a_movie_is_created_read_updated_listed_and_deleted() {
    for db in databases("grpc") {
        let world = World::start(&db, nowhere()).await;
        let mut client = serve(&world).await;
        let movie = client
            .create_movie(request("A"))
            .await
            .unwrap()
            .into_inner();
        assert_eq!((movie.title.as_str(), movie.rating), ("A", 8.1));
        let time = chrono::DateTime::parse_from_rfc3339(&movie.created_at).unwrap();
        assert_eq!(time.offset().local_minus_utc(), 0);
        assert_eq!(movie.created_at, movie.updated_at);

        let id = movie.id.clone();
        let got = client
            .get_movie(GetMovieRequest { id: id.clone() })
            .await
            .unwrap()
            .into_inner();
        assert_eq!(got, movie);

        let update = UpdateMovieRequest {
            id: id.clone(),
            title: "B".into(),
            ..Default::default()
        };
        let updated = client.update_movie(update).await.unwrap().into_inner();
        assert_eq!((updated.title.as_str(), updated.rating), ("B", 0.0));
        assert_eq!(updated.created_at, movie.created_at);
        assert_ne!(updated.updated_at, movie.updated_at);

        let list = client
            .list_movies(ListMoviesRequest::default())
            .await
            .unwrap()
            .into_inner();
        assert_eq!((list.total, list.page, list.page_size), (1, 1, 20));
        assert_eq!(list.movies, [updated]);

        let delete = DeleteMovieRequest { id: id.clone() };
        assert!(
            client
                .delete_movie(delete.clone())
                .await
                .unwrap()
                .into_inner()
                .success
        );
        let status = client.delete_movie(delete).await.unwrap_err();
        assert_eq!(status.code(), Code::NotFound);
    }
}

#[actix_web::test]
async fn pages_have_bounds_and_filters() {
    for db in databases("grpc-list") {
        let world = World::start(&db, nowhere()).await;
        let mut client = serve(&world).await;
        for i in 0..3 {
            let genre = if i == 1 { "Western" } else { "Drama" }.into();
            client
                .create_movie(CreateMovieRequest {
                    genre,
                    ..request(&i.to_string())
                })
                .await
                .unwrap();
        }
        let mut list = async |page, page_size, genre: &str| {
            let request = ListMoviesRequest {
                page,
                page_size,
                genre: genre.into(),
                ..ListMoviesRequest::default()
            };
            client
                .list_movies(request)
                .await
                .map(tonic::Response::into_inner)
        };
        let titles = |movies: &[proto::recommendations::Movie]| -> String {
            movies.iter().map(|movie| movie.title.as_str()).collect()
        };
        let second = list(2, 2, "").await.unwrap();
        assert_eq!((titles(&second.movies).as_str(), second.total), ("0", 3));
        let westerns = list(1, 0, "WESTern").await.unwrap();
        assert_eq!(
            (titles(&westerns.movies).as_str(), westerns.total),
            ("1", 1)
        );
        let beyond = list(i32::MAX, i32::MAX, "").await.unwrap();
        assert_eq!((beyond.movies.len(), beyond.page_size), (0, 100));
        for (page, page_size) in [(-1, 0), (0, -1), (i32::MIN, i32::MIN)] {
            assert_eq!(
                list(page, page_size, "").await.unwrap_err().code(),
                Code::InvalidArgument
            );
        }
    }
}

#[actix_web::test]
async fn bad_requests_are_told_what_is_accepted() {
    let db = storage::testing::TestDatabase::sqlite("grpc-bad");
    let world = World::start(&db, nowhere()).await;
    let mut client = serve(&world).await;
    let bad = [
        (request(" "), "title: Give the film a title."),
        (
            CreateMovieRequest {
                rating: f64::NAN,
                ..request("A")
            },
            "0 to 10",
        ),
        (
            CreateMovieRequest {
                rating: f64::INFINITY,
                ..request("A")
            },
            "0 to 10",
        ),
        (
            CreateMovieRequest {
                rating: -1.0,
                ..request("A")
            },
            "0 to 10",
        ),
        (
            CreateMovieRequest {
                rating: 10.5,
                ..request("A")
            },
            "0 to 10",
        ),
        (
            CreateMovieRequest {
                rating: 1e-30,
                ..request("A")
            },
            "0 to 10",
        ),
        (
            CreateMovieRequest {
                release_year: "soon".into(),
                ..request("A")
            },
            "four digits",
        ),
        (request(&"x".repeat(256)), "255 characters"),
        (
            CreateMovieRequest {
                genre: "x".repeat(101),
                ..request("A")
            },
            "100 characters",
        ),
        (
            CreateMovieRequest {
                description: "x".repeat(60_001),
                ..request("A")
            },
            "60000 bytes",
        ),
    ];
    for (request, accepted) in bad {
        let status = client.create_movie(request).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument, "{accepted}");
        assert!(status.message().contains(accepted), "{}", status.message());
    }
    for id in ["", "a b", &"x".repeat(37), "\0"] {
        let status = client
            .get_movie(GetMovieRequest { id: id.into() })
            .await
            .unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument, "{id}");
    }
    let unknown = "6f9619ff-8b86-d011-b42d-00c04fc964ff".to_owned();
    let status = client
        .get_movie(GetMovieRequest {
            id: unknown.clone(),
        })
        .await
        .unwrap_err();
    assert_eq!(status.code(), Code::NotFound);
    let update = UpdateMovieRequest {
        id: unknown,
        title: "A".into(),
        ..Default::default()
    };
    assert_eq!(
        client.update_movie(update).await.unwrap_err().code(),
        Code::NotFound
    );
    let huge = CreateMovieRequest {
        description: "x".repeat(3 << 20),
        ..request("A")
    };
    assert_eq!(
        client.create_movie(huge).await.unwrap_err().code(),
        Code::OutOfRange
    );
    let list = client
        .list_movies(ListMoviesRequest::default())
        .await
        .unwrap()
        .into_inner();
    assert_eq!(list.total, 0);
}

#[actix_web::test]
async fn refused_fields_are_told_one_by_one() {
    let db = storage::testing::TestDatabase::sqlite("grpc-fields");
    let world = World::start(&db, nowhere()).await;
    let mut client = serve(&world).await;
    let bad = CreateMovieRequest {
        exact_rating: Some(f64::NAN),
        release_year: "soon".into(),
        ..request(" ")
    };
    let status = client.create_movie(bad).await.unwrap_err();
    let details = status.get_error_details();
    let violations = &details.bad_request().unwrap().field_violations;
    let fields: Vec<_> = violations.iter().map(|bad| bad.field.as_str()).collect();
    assert_eq!(fields, ["title", "rating", "release_year"]);
    assert_eq!(violations[0].description, "Give the film a title.");
}

#[actix_web::test]
async fn a_rating_of_0_is_kept_and_none_stays_none() {
    for db in databases("grpc-rating") {
        let world = World::start(&db, nowhere()).await;
        let mut client = serve(&world).await;
        for (rating, exact_rating, expected) in [
            (0.0, None, None),
            (0.0, Some(0.0), Some(0.0)),
            (8.1, None, Some(8.1)),
            (3.0, Some(8.7), Some(8.7)),
        ] {
            let create = CreateMovieRequest {
                rating,
                exact_rating,
                ..request("A")
            };
            let movie = client.create_movie(create).await.unwrap().into_inner();
            assert_eq!(movie.exact_rating, expected);
            assert_eq!(movie.rating, expected.unwrap_or_default());
            let update = UpdateMovieRequest {
                id: movie.id,
                title: "A".into(),
                rating,
                exact_rating,
                ..UpdateMovieRequest::default()
            };
            let movie = client.update_movie(update).await.unwrap().into_inner();
            assert_eq!(movie.exact_rating, expected);
        }
    }
}

#[actix_web::test]
async fn an_edit_of_another_version_changes_nothing() {
    for db in databases("grpc-version") {
        let world = World::start(&db, nowhere()).await;
        let mut client = serve(&world).await;
        let movie = client
            .create_movie(request("A"))
            .await
            .unwrap()
            .into_inner();
        let edit = |title: &str, expected_version| UpdateMovieRequest {
            id: movie.id.clone(),
            title: title.into(),
            expected_version,
            ..UpdateMovieRequest::default()
        };
        let first = client.update_movie(edit("B", movie.version)).await;
        let first = first.unwrap().into_inner();
        assert!(first.version > movie.version);
        let status = client
            .update_movie(edit("C", movie.version))
            .await
            .unwrap_err();
        assert_eq!(status.code(), Code::FailedPrecondition);
        let details = status.get_error_details();
        assert_eq!(
            details.error_info().unwrap().reason,
            reasons::VERSION_DIFFERS
        );
        let get = GetMovieRequest {
            id: movie.id.clone(),
        };
        let now = client.get_movie(get).await.unwrap().into_inner();
        assert_eq!(now, first);
        let whatever = client.update_movie(edit("D", None)).await.unwrap();
        assert_eq!(whatever.into_inner().title, "D");
        let unknown = UpdateMovieRequest {
            id: "unknown".into(),
            ..edit("E", Some(1))
        };
        let status = client.update_movie(unknown).await.unwrap_err();
        assert_eq!(status.code(), Code::NotFound);
    }
}

/// The code of a refusal, and its reason in the status details.
fn reason(status: &Status) -> (Code, String) {
    let info = status.get_error_details().error_info().cloned();
    (
        status.code(),
        info.map(|info| info.reason).unwrap_or_default(),
    )
}

#[actix_web::test]
async fn a_second_movie_of_a_title_and_year_is_refused_where_that_is_asked() {
    for db in databases("grpc-same") {
        let world = World::start(&db, nowhere()).await;
        let mut client = serve(&world).await;
        let named = |title: &str, year: &str| CreateMovieRequest {
            release_year: year.into(),
            refuse_same_title_and_year: true,
            ..request(title)
        };
        let mut add = async |title: &str, year: &str| {
            let movie = client.create_movie(named(title, year)).await;
            movie.map(tonic::Response::into_inner)
        };
        let amelie = add("Amélie", "2001").await.unwrap();
        let refused = |answer: Result<Movie, Status>| {
            assert_eq!(
                reason(&answer.unwrap_err()),
                (Code::AlreadyExists, reasons::SAME_TITLE_AND_YEAR.to_owned())
            );
        };
        for (title, year) in [("AMELIE", "2001"), ("amelie!", ""), ("Amélie", " 2001 ")] {
            refused(add(title, year).await);
        }
        // Of another year it is another movie; one without a year may be any of them.
        let later = add("Amélie", "2002").await.unwrap();
        add("Fast & Furious", "").await.unwrap();
        refused(add("Fast and Furious", "2009").await);

        let update = |title: &str, year: &str, refuse_same_title_and_year| UpdateMovieRequest {
            id: later.id.clone(),
            title: title.into(),
            release_year: year.into(),
            refuse_same_title_and_year,
            ..UpdateMovieRequest::default()
        };
        let mut edit = async |request| {
            let movie = client.update_movie(request).await;
            movie.map(tonic::Response::into_inner)
        };
        refused(edit(update("Amelie", "2001", true)).await);
        refused(edit(update("Amélie", "", true)).await);
        edit(update("Amélie", "2002", true)).await.unwrap();
        edit(update("Amelie", "2001", false)).await.unwrap();
        // It says so already.
        edit(update("Amelie", "2001", true)).await.unwrap();

        let delete = DeleteMovieRequest {
            id: amelie.id.clone(),
        };
        client.delete_movie(delete).await.unwrap();
        let restore = |refuse_same_title_and_year| RestoreMovieRequest {
            id: amelie.id.clone(),
            refuse_same_title_and_year,
        };
        let refusal = client.restore_movie(restore(true)).await;
        refused(refusal.map(tonic::Response::into_inner));
        client.restore_movie(restore(false)).await.unwrap();

        // One without a year may be of any.
        let movie = client.create_movie(named("Heat", "")).await.unwrap();
        let id = movie.into_inner().id;
        let delete = DeleteMovieRequest { id: id.clone() };
        client.delete_movie(delete).await.unwrap();
        client.create_movie(named("Heat", "1995")).await.unwrap();
        let restore = RestoreMovieRequest {
            id,
            refuse_same_title_and_year: true,
        };
        let refusal = client.restore_movie(restore).await;
        assert_eq!(refusal.unwrap_err().code(), Code::AlreadyExists);
    }
}

#[actix_web::test]
async fn a_movie_that_is_sent_twice_is_one_movie_and_its_id_is_no_other_ones() {
    for db in databases("grpc-twice") {
        let world = World::start(&db, nowhere()).await;
        let mut client = serve(&world).await;
        let id = "6f9619ff-8b86-d011-b42d-00c04fc964ff".to_owned();
        let create = CreateMovieRequest {
            id: Some(id.clone()),
            ..request("A")
        };
        let first = client
            .create_movie(create.clone())
            .await
            .unwrap()
            .into_inner();
        assert_eq!(first.id, id);
        let again = client.create_movie(create.clone()).await.unwrap();
        assert_eq!(again.into_inner(), first);
        let other = CreateMovieRequest {
            title: "B".into(),
            ..create.clone()
        };
        let status = client.create_movie(other).await.unwrap_err();
        assert_eq!(
            reason(&status),
            (Code::AlreadyExists, reasons::ID_IN_USE.to_owned())
        );
        let delete = DeleteMovieRequest { id: id.clone() };
        client.delete_movie(delete).await.unwrap();
        // Not even what was deleted comes back unasked.
        let status = client.create_movie(create).await.unwrap_err();
        assert_eq!(
            reason(&status),
            (Code::AlreadyExists, reasons::ID_IN_USE.to_owned())
        );
        let restore = RestoreMovieRequest {
            id: id.clone(),
            ..RestoreMovieRequest::default()
        };
        let back = client
            .restore_movie(restore.clone())
            .await
            .unwrap()
            .into_inner();
        assert!(back.version > first.version);
        let undone = Movie {
            version: first.version,
            ..back.clone()
        };
        assert_eq!(undone, first);
        let again = client.restore_movie(restore).await.unwrap().into_inner();
        assert_eq!(again, back);
        let unknown = RestoreMovieRequest {
            id: "unknown".into(),
            ..RestoreMovieRequest::default()
        };
        let status = client.restore_movie(unknown).await.unwrap_err();
        assert_eq!(status.code(), Code::NotFound);
        let not_a_uuid = CreateMovieRequest {
            id: Some("x".into()),
            ..request("A")
        };
        let status = client.create_movie(not_a_uuid).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument);
    }
}

#[actix_web::test]
async fn a_second_movie_of_the_same_title_and_year_is_refused_if_that_is_asked() {
    for db in databases("grpc-same") {
        let world = World::start(&db, nowhere()).await;
        let mut client = serve(&world).await;
        let first = client
            .create_movie(request("Élan"))
            .await
            .unwrap()
            .into_inner();
        let refuse = |title: &str, year: &str| CreateMovieRequest {
            release_year: year.into(),
            refuse_same_title_and_year: true,
            ..request(title)
        };
        let status = client
            .create_movie(refuse(" éLAN ", "1999"))
            .await
            .unwrap_err();
        assert_eq!(status.code(), Code::AlreadyExists);
        let details = status.get_error_details();
        let info = details.error_info().unwrap();
        assert_eq!(info.reason, reasons::SAME_TITLE_AND_YEAR);
        assert_eq!(info.metadata[reasons::FILM_ID], first.id);
        for other in [
            refuse("Élan", "2000"),
            refuse("Elan 2", "1999"),
            request("Élan"),
        ] {
            client.create_movie(other).await.unwrap();
        }
    }
}

#[actix_web::test]
async fn a_list_is_never_larger_than_clients_take() {
    let db = storage::testing::TestDatabase::sqlite("grpc-large");
    let world = World::start(&db, nowhere()).await;
    let mut client = serve(&world).await;
    let long = CreateMovieRequest {
        description: "é".repeat(30_000),
        ..request("long")
    };
    for _ in 0..99 {
        client.create_movie(long.clone()).await.unwrap();
    }
    client.create_movie(request("short")).await.unwrap();
    let all = ListMoviesRequest {
        page_size: 100,
        ..ListMoviesRequest::default()
    };
    // A client refuses more than 4 MiB by default.
    let list = client.list_movies(all.clone()).await.unwrap().into_inner();
    assert_eq!(
        (list.movies.len(), list.total, list.page_size),
        (100, 100, 100)
    );
    assert!(list.encoded_len() > 3 << 20, "{}", list.encoded_len());
    for movie in &list.movies {
        let is_long = movie.title == "long";
        assert_eq!(movie.description_is_cut, is_long.then_some(true));
        assert!(is_long || movie.description == "A description.");
    }
    let get = GetMovieRequest {
        id: list.movies[1].id.clone(),
    };
    let whole = client.get_movie(get).await.unwrap().into_inner();
    assert_eq!(
        (whole.description.len(), whole.description_is_cut),
        (60_000, None)
    );
    let without = ListMoviesRequest {
        without_descriptions: true,
        ..all
    };
    let list = client.list_movies(without).await.unwrap().into_inner();
    assert!(list.movies.iter().all(|movie| movie.description.is_empty()));
}

#[actix_web::test]
async fn who_changed_a_movie_is_told_and_a_change_is_undone() {
    for db in databases("grpc-history") {
        let world = World::start(&db, nowhere()).await;
        let mut client = serve(&world).await;
        let mut create = tonic::Request::new(request("A"));
        let user = create.metadata_mut();
        user.insert("marquee-user", "7".parse().unwrap());
        let created = client.create_movie(create).await.unwrap();
        let id = created.into_inner().id;
        // An old peer names no user.
        let update = UpdateMovieRequest {
            id: id.clone(),
            title: "B".into(),
            ..UpdateMovieRequest::default()
        };
        client.update_movie(update).await.unwrap();
        let list = ListFilmChangesRequest {
            film_id: Some(id.clone()),
            ..ListFilmChangesRequest::default()
        };
        let listed = client.list_film_changes(list.clone()).await.unwrap();
        let [edit, creation] = listed.into_inner().changes.try_into().unwrap();
        assert_eq!((edit.kind(), edit.user_id), (FilmChangeKind::Edited, 0));
        assert_eq!(creation.kind(), FilmChangeKind::Created);
        assert_eq!((creation.user_id, creation.title.as_str()), (7, "A"));
        assert!(creation.request_id.is_some() && creation.before.is_none());
        assert!(edit.can_be_undone && !creation.can_be_undone);
        assert_eq!(edit.before, creation.after);
        let before = edit.before.unwrap();
        assert_eq!((before.rating, before.genre.as_str()), (Some(8.1), "Drama"));
        assert_eq!(edit.after.unwrap().rating, None);

        let undo = |number| UndoFilmChangeRequest { number };
        let refused = client.undo_film_change(undo(creation.number)).await;
        let refused = refused.unwrap_err();
        assert_eq!(refused.code(), Code::FailedPrecondition);
        let info = refused.get_details_error_info().unwrap();
        assert_eq!(info.reason, reasons::FILM_CHANGED_SINCE);
        let undone = client.undo_film_change(undo(edit.number)).await.unwrap();
        assert_eq!(undone.into_inner().movie.unwrap().title, "A");
        let deleted = client
            .undo_film_change(undo(creation.number))
            .await
            .unwrap();
        assert_eq!(deleted.into_inner().movie, None);
        let unknown = client.undo_film_change(undo(i64::MAX)).await.unwrap_err();
        assert_eq!(unknown.code(), Code::NotFound);

        for bad in [
            ListFilmChangesRequest {
                limit: 101,
                ..list.clone()
            },
            ListFilmChangesRequest {
                limit: -1,
                ..list.clone()
            },
            ListFilmChangesRequest {
                before: -1,
                ..list.clone()
            },
            ListFilmChangesRequest {
                film_id: Some(String::new()),
                ..list.clone()
            },
        ] {
            let refused = client.list_film_changes(bad).await.unwrap_err();
            assert_eq!(refused.code(), Code::InvalidArgument);
        }
        let page = ListFilmChangesRequest { limit: 1, ..list };
        let page = client.list_film_changes(page).await.unwrap().into_inner();
        assert!(page.has_more && page.changes[0].kind() == FilmChangeKind::Undone);
    }
}

#[actix_web::test]
async fn a_page_of_the_history_is_never_larger_than_clients_take() {
    let db = storage::testing::TestDatabase::sqlite("grpc-history-large");
    let world = World::start(&db, nowhere()).await;
    let mut client = serve(&world).await;
    let created = client.create_movie(request("A")).await.unwrap();
    let id = created.into_inner().id;
    for edit in 0..60 {
        let update = UpdateMovieRequest {
            id: id.clone(),
            title: edit.to_string(),
            description: "é".repeat(30_000),
            ..UpdateMovieRequest::default()
        };
        client.update_movie(update).await.unwrap();
    }
    let list = ListFilmChangesRequest {
        limit: 100,
        ..ListFilmChangesRequest::default()
    };
    // A client refuses more than 4 MiB by default.
    let list = client.list_film_changes(list).await.unwrap().into_inner();
    assert_eq!(list.changes.len(), 61);
    assert!(list.encoded_len() > 2 << 20, "{}", list.encoded_len());
    let newest = list.changes[0].after.as_ref().unwrap();
    assert!(newest.description_is_cut && newest.description.len() < 60_000);
    let oldest = list.changes[60].after.as_ref().unwrap();
    assert!(!oldest.description_is_cut && oldest.description == "A description.");
}

#[actix_web::test]
async fn movies_are_imported_and_found_by_their_ids() {
    for db in databases("grpc-import") {
        let world = World::start(&db, nowhere()).await;
        let mut client = serve(&world).await;
        let id = |source: &str, value: &str| ExternalId {
            source: source.into(),
            value: value.into(),
        };
        let movie = |title: &str, ids: &[ExternalId]| ImportedMovie {
            title: title.into(),
            rating: Some(0.0),
            external_ids: ids.to_vec(),
            ..ImportedMovie::default()
        };
        let import = ImportMoviesRequest {
            movies: vec![
                movie("A", &[id("tmdb", "1")]),
                movie("", &[id("tmdb", "x")]),
                movie("A", &[id("TMDB", " 1 ")]),
            ],
            match_title_and_year: false,
        };
        let imported = client.import_movies(import).await.unwrap().into_inner();
        let results: Vec<_> = imported.outcomes.iter().map(|o| o.result()).collect();
        assert_eq!(
            results,
            [
                ImportResult::Created,
                ImportResult::Refused,
                ImportResult::Unchanged
            ]
        );
        let fields: Vec<_> = imported.outcomes[1]
            .errors
            .iter()
            .map(|e| e.field.as_str())
            .collect();
        assert_eq!(fields, ["title", "external_ids"]);
        let find = |id: ExternalId| FindMovieRequest {
            external_id: Some(id),
        };
        let found = client
            .find_movie(find(id("tmdb", "1")))
            .await
            .unwrap()
            .into_inner();
        assert_eq!(
            (found.id.as_str(), found.exact_rating),
            (imported.outcomes[0].id.as_str(), Some(0.0))
        );
        assert_eq!(found.external_ids, [id("tmdb", "1")]);
        let unknown = client.find_movie(find(id("imdb", "1"))).await.unwrap_err();
        assert_eq!(unknown.code(), Code::NotFound);
        for bad in [
            find(id("netflix", "1")),
            find(id("imdb", "x")),
            FindMovieRequest::default(),
        ] {
            let refused = client.find_movie(bad).await.unwrap_err();
            assert_eq!(refused.code(), Code::InvalidArgument);
        }
        let too_many = ImportMoviesRequest {
            movies: vec![ImportedMovie::default(); 501],
            match_title_and_year: false,
        };
        let refused = client.import_movies(too_many).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument);

        // An old client does not send ids, and its edit leaves them.
        let update = UpdateMovieRequest {
            id: found.id.clone(),
            title: "B".into(),
            ..UpdateMovieRequest::default()
        };
        let edited = client
            .update_movie(update.clone())
            .await
            .unwrap()
            .into_inner();
        assert_eq!(edited.external_ids, found.external_ids);
        let cleared = UpdateMovieRequest {
            external_ids: Some(ExternalIds::default()),
            ..update
        };
        let cleared = client.update_movie(cleared).await.unwrap().into_inner();
        assert_eq!(cleared.external_ids, []);
        let other = CreateMovieRequest {
            external_ids: vec![id("imdb", "tt0000001")],
            ..request("C")
        };
        let created = client
            .create_movie(other.clone())
            .await
            .unwrap()
            .into_inner();
        let refused = client.create_movie(other).await.unwrap_err();
        assert_eq!(refused.code(), Code::AlreadyExists);
        let info = refused.get_details_error_info().unwrap();
        assert_eq!(info.reason, reasons::EXTERNAL_ID_IN_USE);
        assert_eq!(info.metadata[reasons::FILM_ID], created.id);
    }
}

#[actix_web::test]
async fn figures_are_told_the_sample_is_loaded_once_and_changes_are_announced() {
    let db = storage::testing::TestDatabase::sqlite("grpc-figures");
    let world = World::start(&db, nowhere()).await;
    let mut client = serve(&world).await;
    let mut changes = client
        .watch_movies(WatchMoviesRequest {})
        .await
        .unwrap()
        .into_inner();
    assert!(changes.message().await.unwrap().is_some(), "the beginning");
    let before = client
        .get_summary(GetSummaryRequest {})
        .await
        .unwrap()
        .into_inner();
    assert_eq!((before.total, before.genres.len()), (0, 0));
    assert!(before.sample_size > 200);
    let load = async |client: &mut Client| {
        let loaded = client.load_sample(LoadSampleRequest {}).await.unwrap();
        loaded.into_inner().added
    };
    assert_eq!(load(&mut client).await, before.sample_size);
    assert!(changes.message().await.unwrap().is_some(), "a change");
    assert_eq!(load(&mut client).await, 0);
    let after = client
        .get_summary(GetSummaryRequest {})
        .await
        .unwrap()
        .into_inner();
    assert_eq!(after.total, i64::from(before.sample_size));
    assert!(
        after
            .genres
            .iter()
            .any(|count| count.genre == "Drama" && count.movies > 9)
    );
    world.process.shutdown.begin();
    let ended = async { while changes.message().await.unwrap().is_some() {} };
    tokio::time::timeout(DEADLINE, ended)
        .await
        .expect("the watch ends");
}

#[actix_web::test]
async fn what_goes_wrong_inside_is_not_shown() {
    let db = storage::testing::TestDatabase::sqlite("grpc-inside");
    let world = World::start(&db, nowhere()).await;
    let mut client = serve(&world).await;
    crate::support::execute(&db, "ALTER TABLE movies RENAME TO elsewhere");
    let status = client.create_movie(request("A")).await.unwrap_err();
    assert_eq!(
        (status.code(), status.message()),
        (Code::Internal, "the database failed")
    );
    let id = "6f9619ff-8b86-d011-b42d-00c04fc964ff".parse().unwrap();
    assert!(
        world
            .films
            .ask(DeleteFilm::new(id), DEADLINE)
            .await
            .unwrap()
            .is_err()
    );
}

#[actix_web::test]
async fn health_is_told() {
    use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};
    let db = storage::testing::TestDatabase::sqlite("grpc-health");
    let world = World::start(&db, nowhere()).await;
    let mut health = HealthClient::new(connect(&world).await);
    for service in ["", "recommendations.Catalog"] {
        let answer = health
            .check(HealthCheckRequest {
                service: service.into(),
            })
            .await
            .unwrap();
        assert_eq!(answer.into_inner().status, 1, "`{service}` is serving");
    }
}
