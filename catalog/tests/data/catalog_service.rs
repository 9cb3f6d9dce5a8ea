//! The Catalog service as its clients see it.

use std::{net::TcpListener, sync::Arc};

use catalog::{actors::movie_repository::DeleteMovie, grpc};
use proto::recommendations::{
    CreateMovieRequest, DeleteMovieRequest, GetMovieRequest, ListMoviesRequest, UpdateMovieRequest,
    catalog_client::CatalogClient,
};
use runtime::{ActorRegistry, Place, grpc::GrpcServer};
use storage::testing::databases;
use tonic::{Code, transport::Channel};

use crate::support::{DEADLINE, World, nowhere};

type Client = CatalogClient<Channel>;

async fn serve(world: &World) -> Client {
    CatalogClient::new(connect(world).await)
}

async fn connect(world: &World) -> Channel {
    let listener = Arc::new(TcpListener::bind("127.0.0.1:0").unwrap());
    let url = format!("http://{}", listener.local_addr().unwrap());
    let service = grpc::service(world.movies.clone());
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
        let westerns = list(1, 0, "WEST").await.unwrap();
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
        description: "x".repeat(1 << 20),
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
            .movies
            .ask(DeleteMovie(id), DEADLINE)
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
