//! How a system begins and ends when it is asked to.

use std::time::Duration;

use crate::support::{System, eventually};

#[tokio::test]
async fn it_stops_within_five_seconds_with_streams_and_connections_open() {
    for signal in ["TERM", "INT"] {
        let mut system = System::plain().await;
        let mut events = system.browser().stream("/recommendations/events").await;
        assert!(events.status().is_success(), "{events:?}");
        let _grpc = (system.recommendations().await, system.catalog().await);
        let program = system.program("marquee");
        program.signal(signal);
        let status = program.end_within(Duration::from_secs(5)).await;
        assert_eq!(status.code(), Some(0), "after SIG{signal}");
        let rest = async { while let Ok(Some(_)) = events.chunk().await {} };
        tokio::time::timeout(Duration::from_secs(5), rest)
            .await
            .expect("the stream ends with its server");
    }
}

#[tokio::test]
async fn it_says_where_to_go() {
    let mut system = System::plain().await;
    let address = format!("http://{}", system.http);
    let program = system.program("marquee");
    eventually("the address of the pages to be printed", async || {
        let printed = program.stdout() + &program.stderr();
        printed.contains(&address).then_some(()).ok_or(printed)
    })
    .await;
}
