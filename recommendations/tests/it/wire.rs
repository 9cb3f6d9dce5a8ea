//! The whole service over a socket: calls, health, reflection, and an orderly stop.

use std::{net::TcpListener, time::Duration};

use bus::BusUrl;
use proto::{
    UserId,
    recommendations::{
        CreatePreferenceRequest, DeletePreferenceRequest, GetPreferencesRequest, MarkFilmsRequest,
        MarkSeenRequest, RecommendationsRequest, WatchRecommendationsRequest,
        recommendations_client::RecommendationsClient,
    },
};
use recommendations::{Config, Listeners};
use runtime::{
    Process,
    grpc::{Person, acting_as},
};
use storage::testing::TestDatabase;
use tonic::{
    Code, Request,
    transport::{Channel, Endpoint},
};
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};
use tonic_reflection::pb::v1::{
    ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
    server_reflection_request::MessageRequest, server_reflection_response::MessageResponse,
};

use crate::support::{film, on_every_database, until};

/// A broker that is never there.
const NO_BROKER: &str = "nats://127.0.0.1:1";

fn config(database: &TestDatabase, folder: &tempfile::TempDir) -> (Config, Listeners) {
    let grpc = TcpListener::bind("127.0.0.1:0").unwrap();
    let config = Config {
        grpc_addr: grpc.local_addr().unwrap(),
        http_addr: grpc.local_addr().unwrap(),
        data_dir: folder.path().into(),
        database_url: Some(database.url().clone()),
        bus: NO_BROKER.parse::<BusUrl>().unwrap().into(),
        database_setting: "DATABASE_URL".into(),
        sole_replica: None,
    };
    (config, Listeners { grpc, claim: None })
}

async fn is_serving(channel: &Channel) -> bool {
    let request = HealthCheckRequest {
        service: "recommendations.Recommendations".into(),
    };
    let answer = HealthClient::new(channel.clone()).check(request).await;
    answer.is_ok_and(|answer| answer.into_inner().status == 1)
}

async fn services(channel: Channel) -> Vec<String> {
    let request = ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::ListServices(String::new())),
    };
    let mut client = ServerReflectionClient::new(channel);
    let requests = tokio_stream::iter([request]);
    let mut answers = client
        .server_reflection_info(requests)
        .await
        .unwrap()
        .into_inner();
    match answers
        .message()
        .await
        .unwrap()
        .unwrap()
        .message_response
        .unwrap()
    {
        MessageResponse::ListServicesResponse(list) => list
            .service
            .into_iter()
            .map(|service| service.name)
            .collect(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_service_answers_over_a_socket_and_stops_in_order() {
    on_every_database("wire", async |database| {
        let folder = tempfile::tempdir().unwrap();
        let (config, listeners) = config(&database, &folder);
        let endpoint = Endpoint::from_shared(format!("http://{}", config.grpc_addr)).unwrap();
        let process = Process::new();
        let running = actix::spawn(recommendations::run(config, listeners, process.clone()));
        let channel = endpoint.connect_lazy();
        until("the service is healthy", async || {
            is_serving(&channel).await
        })
        .await;
        let served = services(channel.clone()).await;
        assert!(
            served.contains(&"recommendations.Recommendations".into()),
            "{served:?}"
        );

        let mut client = RecommendationsClient::new(channel);
        let keyword = "train".to_owned();
        let request = CreatePreferenceRequest {
            user_id: 1,
            keyword,
        };
        client.create_preference(request).await.unwrap();
        client
            .process_film_update(film("f1", "Night Train", 1))
            .await
            .unwrap();
        let preferences = client
            .get_preferences(GetPreferencesRequest { user_id: 1 })
            .await;
        assert_eq!(preferences.unwrap().into_inner().preferences.len(), 1);

        let watch = WatchRecommendationsRequest { user_id: 1 };
        let mut changes = client
            .watch_recommendations(watch)
            .await
            .unwrap()
            .into_inner();
        assert_eq!(changes.message().await.unwrap().unwrap().total, 1);

        process.shutdown.begin();
        let stopped = tokio::time::timeout(Duration::from_secs(5), running).await;
        stopped.expect("stops in time").unwrap().unwrap();
        assert!(matches!(changes.message().await, Ok(None) | Err(_)));
    });
}

#[test]
fn a_call_on_behalf_of_a_user_is_about_that_user_alone() {
    on_every_database("wire_acting", async |database| {
        let folder = tempfile::tempdir().unwrap();
        let (config, listeners) = config(&database, &folder);
        let endpoint = Endpoint::from_shared(format!("http://{}", config.grpc_addr)).unwrap();
        let process = Process::new();
        let running = actix::spawn(recommendations::run(config, listeners, process.clone()));
        let channel = endpoint.connect_lazy();
        until("the service is healthy", async || {
            is_serving(&channel).await
        })
        .await;
        let mut client = RecommendationsClient::new(channel);
        let (user_id, keyword) = (7, "heist".to_owned());
        let text = "7".to_owned();
        // What every call about a user answers, made as another user, as that user, and as an old peer.
        for (acting, expected) in [
            (Some(UserId(8)), Code::PermissionDenied),
            (Some(UserId(7)), Code::Ok),
            (None, Code::Ok),
        ] {
            macro_rules! code_of {
                ($call:ident, $message:expr) => {{
                    let request = Request::new($message);
                    let request = match acting {
                        Some(user) => acting_as(request, Person::unlimited(user)),
                        None => request,
                    };
                    let answer = client.$call(request).await;
                    (
                        stringify!($call),
                        answer.err().map_or(Code::Ok, |status| status.code()),
                    )
                }};
            }
            let codes = [
                code_of!(
                    create_preference,
                    CreatePreferenceRequest {
                        user_id,
                        keyword: keyword.clone()
                    }
                ),
                code_of!(get_preferences, GetPreferencesRequest { user_id }),
                code_of!(mark_seen, MarkSeenRequest { user_id }),
                code_of!(
                    get_recommendations,
                    RecommendationsRequest {
                        user_id: text.clone(),
                        ..RecommendationsRequest::default()
                    }
                ),
                code_of!(
                    mark_films,
                    MarkFilmsRequest {
                        user_id,
                        film_ids: vec!["f1".into()],
                        keyword: String::new(),
                    }
                ),
                code_of!(
                    watch_recommendations,
                    WatchRecommendationsRequest { user_id }
                ),
                code_of!(
                    delete_preference,
                    DeletePreferenceRequest {
                        user_id,
                        keyword: keyword.clone()
                    }
                ),
            ];
            for (call, code) in codes {
                assert_eq!(code, expected, "{call} as {acting:?}");
            }
        }
        process.shutdown.begin();
        running.await.unwrap().unwrap();
    });
}
