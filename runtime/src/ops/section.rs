//! What a part of a program shows to operators besides its actors and its [metrics](crate::metrics): a table for `/system`, and
//! what is stuck, which turns `/healthz` and `/readyz` red.

use std::fmt;

/// A part of a program that shows more than its actors do.
pub trait Section: fmt::Debug + Send + Sync {
    /// Its figures for a person.
    fn table(&self) -> Table;

    /// What has stopped and does not go on by itself, or not soon.
    fn stuck(&self) -> Vec<Stuck>;
}

/// Figures for a person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    /// What they are about.
    pub heading: &'static str,
    /// The names of the columns. The first names what a row is about.
    pub columns: &'static [&'static str],
    /// The rows, as wide as there are columns.
    pub rows: Vec<Row>,
}

/// A row of figures.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// The figures.
    pub cells: Vec<String>,
    /// Whether it is about something that is in trouble.
    pub is_bad: bool,
}

/// What is stuck, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stuck {
    /// What it is, such as `relay/films`.
    pub what: String,
    /// Why it does not go on.
    pub reason: String,
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    };

    use actix_web::{App, test};

    use super::*;
    use crate::{ops::configure, supervision::ActorRegistry};

    #[derive(Debug, Default)]
    struct Pump {
        is_stuck: AtomicBool,
    }

    impl Section for Pump {
        fn table(&self) -> Table {
            let row = |cells: [&str; 2]| Row {
                cells: cells.map(str::to_owned).to_vec(),
                is_bad: false,
            };
            Table {
                heading: "Pump",
                columns: &["Part", "Strokes"],
                rows: vec![row(["<valve>", "7"])],
            }
        }

        fn stuck(&self) -> Vec<Stuck> {
            let stuck = Stuck {
                what: "pump/valve".into(),
                reason: "rust".into(),
            };
            let is_stuck = self.is_stuck.load(Ordering::Relaxed);
            is_stuck.then_some(stuck).into_iter().collect()
        }
    }

    #[actix_rt::test]
    async fn what_is_stuck_turns_health_red_until_it_moves() {
        let (registry, pump) = (ActorRegistry::default(), Arc::new(Pump::default()));
        registry.show(pump.clone());
        registry.add("service", "group", "actor").has_begun();
        let app = App::new().configure(|cfg| configure(cfg, registry.clone()));
        let app = test::init_service(app).await;
        let get = async |path: &str| {
            let request = test::TestRequest::get().uri(path).to_request();
            let response = test::call_service(&app, request).await;
            let status = response.status().as_u16();
            let body = test::read_body(response).await;
            (status, String::from_utf8_lossy(&body).into_owned())
        };
        assert_eq!(get("/healthz").await, (200, "alive\n".into()));
        assert_eq!(get("/readyz").await.0, 200);
        pump.is_stuck.store(true, Ordering::Relaxed);
        let red = (503, "pump/valve is stuck: rust\n".to_owned());
        assert_eq!(get("/healthz").await, red);
        let (status, body) = get("/readyz").await;
        assert_eq!(status, 503);
        assert!(
            body.contains(r#"{"actor":"pump/valve","reason":"rust"}"#),
            "{body}"
        );
        let (_, page) = get("/system").await;
        assert!(page.contains("pump/valve is stuck: rust"), "{page}");
        assert!(
            page.contains("&lt;valve&gt;</th><td data-name=\"Strokes\">7</td>"),
            "{page}"
        );
        assert!(get("/metrics").await.1.contains("\nmarquee_ready 0\n"));
        pump.is_stuck.store(false, Ordering::Relaxed);
        assert_eq!(get("/healthz").await.0, 200);
    }
}
