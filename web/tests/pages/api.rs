//! The REST API as a program sees it.

mod auth;
mod document;
mod guarding;
mod imports;
mod movies;
mod own;
mod profiles;

use reqwest::{Client, Method, Response, header::HeaderMap};
use serde_json::{Value, json};

use proto::accounts::Role;
use testkit::FakeAccounts;
use web::VisitorSource;

use crate::site::{Setup, Site};

/// The password of everybody.
pub(crate) const PASSWORD: &str = "a long sentence of mine";

/// Pages where people sign in: `olga`, who is user 1 and the owner, and `mia`, user 2, a member.
async fn site_with_accounts() -> Site {
    let accounts = FakeAccounts::start();
    accounts.add("olga", PASSWORD, Role::Admin);
    accounts.add("mia", PASSWORD, Role::Member);
    Site::start_with(Setup {
        visitors: VisitorSource::Accounts {
            is_catalog_public: false,
        },
        accounts,
        ..Setup::default()
    })
    .await
}

/// A program that calls the API: it has no cookies.
pub(crate) struct Program {
    pub(crate) url: String,
    pub(crate) client: Client,
}

/// What was answered.
pub(crate) struct Answer {
    pub(crate) status: u16,
    headers: HeaderMap,
    /// Null where the answer is no JSON.
    pub(crate) json: Value,
    pub(crate) text: String,
}

impl Program {
    pub(crate) fn of(site: &Site) -> Self {
        let client = Client::builder().no_proxy();
        let client = client.redirect(reqwest::redirect::Policy::none());
        Self {
            url: site.url.clone(),
            client: client.build().unwrap(),
        }
    }

    /// Sends a request; a body that is not null is sent as JSON.
    async fn send(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Value,
    ) -> Answer {
        let mut request = self.client.request(method, format!("{}{path}", self.url));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if !body.is_null() {
            request = request.header("content-type", "application/json");
            request = request.body(body.to_string());
        }
        Answer::of(request.send().await.unwrap()).await
    }

    /// Sends a request with a token.
    pub(crate) async fn send_as(
        &self,
        token: &str,
        method: Method,
        path: &str,
        body: Value,
    ) -> Answer {
        let header = format!("Bearer {token}");
        let headers = [("authorization", header.as_str())];
        self.send(method, path, &headers, body).await
    }

    async fn get(&self, path: &str) -> Answer {
        self.send(Method::GET, path, &[], Value::Null).await
    }

    async fn post(&self, path: &str, body: Value) -> Answer {
        self.send(Method::POST, path, &[], body).await
    }

    /// Adds a film, and returns where it is.
    async fn add(&self, title: &str) -> String {
        let answer = self.post("/api/v1/movies", json!({"title": title})).await;
        assert_eq!(answer.status, 201, "{}", answer.text);
        answer.header("location").to_owned()
    }
}

impl Answer {
    pub(crate) async fn of(response: Response) -> Self {
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let text = response.text().await.unwrap();
        let json = serde_json::from_str(&text).unwrap_or_default();
        Self {
            status,
            headers,
            json,
            text,
        }
    }

    /// A header's value, empty if it is absent.
    fn header(&self, name: &str) -> &str {
        let value = self.headers.get(name);
        value
            .map(|value| value.to_str().unwrap())
            .unwrap_or_default()
    }

    /// Checks that it is a problem of this status and code.
    #[track_caller]
    fn is_problem(&self, status: u16, code: &str) {
        assert_eq!(self.status, status, "{}", self.text);
        assert_eq!(self.header("content-type"), "application/problem+json");
        assert_eq!(self.json["status"], status, "{}", self.text);
        assert_eq!(self.json["code"], code, "{}", self.text);
        assert_eq!(self.json["type"], "about:blank");
        assert_eq!(self.json["request_id"], self.header("x-request-id"));
        for text in ["title", "detail"] {
            assert!(!self.json[text].as_str().unwrap().is_empty(), "{text}");
        }
    }

    /// The fields at fault.
    fn fields(&self) -> Vec<&str> {
        let errors = self.json["errors"].as_array();
        let errors = errors.into_iter().flatten();
        errors
            .map(|error| error["field"].as_str().unwrap())
            .collect()
    }
}
