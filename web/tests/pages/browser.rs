//! A browser, as far as tests need one: it keeps cookies and sends forms from the pages it shows.

use std::sync::Arc;

use reqwest::{Client, RequestBuilder, Response, cookie::Jar, header::HeaderMap, redirect::Policy};

/// A visitor's browser.
pub(crate) struct Browser {
    url: String,
    client: Client,
    cookies: Arc<Jar>,
}

/// What was answered.
pub(crate) struct Page {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

impl Browser {
    pub(crate) fn new(url: &str) -> Self {
        // Redirects are what tests look at.
        let cookies = Arc::new(Jar::default());
        let client = Client::builder()
            .cookie_provider(cookies.clone())
            .redirect(Policy::none())
            .no_proxy()
            .build()
            .unwrap();
        Self {
            url: url.to_owned(),
            client,
            cookies,
        }
    }

    /// Gives the browser the cookie of a session that has begun elsewhere.
    pub(crate) fn sign_in(&self, session: &str) {
        let cookie = format!("marquee_session={session}; Path=/");
        self.cookies
            .add_cookie_str(&cookie, &self.url.parse().unwrap());
    }

    pub(crate) async fn get(&self, path: &str) -> Page {
        self.try_get(path).await.unwrap()
    }

    pub(crate) async fn try_get(&self, path: &str) -> Option<Page> {
        let response = self
            .request(|client, url| client.get(url), path)
            .send()
            .await
            .ok()?;
        Some(Page::of(response).await)
    }

    /// Sends a form from the page of `place`, as a person would: with the page's token.
    pub(crate) async fn submit(&self, place: &str, action: &str, fields: &[(&str, &str)]) -> Page {
        let token = self.get(place).await.token();
        let mut fields = fields.to_vec();
        fields.push(("csrf", &token));
        Page::of(
            self.request(|client, url| client.post(url), action)
                .form(&fields)
                .send()
                .await
                .unwrap(),
        )
        .await
    }

    /// Adds a film and answers the address of its page.
    pub(crate) async fn add_film(
        &self,
        title: &str,
        year: &str,
        genre: &str,
        description: &str,
    ) -> String {
        let fields = [
            ("title", title),
            ("release_year", year),
            ("genre", genre),
            ("description", description),
            ("rating", "8.1"),
        ];
        let answer = self.submit("/movie/new", "/movie/new", &fields).await;
        assert_eq!(answer.status, 303, "{}", answer.body);
        let film = answer.location();
        let page = self.get(film).await;
        let told = page.flash().unwrap_or_default();
        assert!(told.ends_with(" was added."), "{film}: {told}");
        film.to_owned()
    }

    /// A request that a test completes. The path goes out as it is written, without being normalised.
    pub(crate) fn request(
        &self,
        method: impl FnOnce(&Client, String) -> RequestBuilder,
        path: &str,
    ) -> RequestBuilder {
        method(&self.client, format!("{}{path}", self.url))
    }
}

impl Page {
    pub(crate) async fn of(response: Response) -> Self {
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        Self {
            status,
            headers,
            body: response.text().await.unwrap(),
        }
    }

    pub(crate) fn location(&self) -> &str {
        self.header("location")
    }

    /// A header's value, empty if it is absent.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map(|value| value.to_str().unwrap())
            .unwrap_or_default()
    }

    /// The token of the page's forms.
    pub(crate) fn token(&self) -> String {
        let (_, rest) = self
            .body
            .split_once(r#"name="csrf" value=""#)
            .expect("the page has a form");
        rest.split_once('"').unwrap().0.to_owned()
    }

    /// What can be read in the page's main part, one line for each block.
    pub(crate) fn text(&self) -> String {
        let main = self
            .body
            .split_once("<main")
            .map_or(self.body.as_str(), |(_, rest)| {
                rest.split_once('>').unwrap().1
            });
        let main = main.split_once("</main>").map_or(main, |(main, _)| main);
        let mut text = String::new();
        for part in main.split('<') {
            let (tag, words) = part.split_once('>').unwrap_or(("", part));
            let is_inline = ["span", "em", "strong", "bdi", "a", "img"]
                .iter()
                .any(|inline| {
                    tag.trim_start_matches('/').split([' ', '\n']).next() == Some(inline)
                });
            if !is_inline {
                text.push('\n');
            }
            text.push_str(words);
        }
        let lines = text
            .lines()
            .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "));
        lines
            .filter(|line| !line.is_empty())
            .collect::<Vec<_>>()
            .join("\n")
    }

    /// What was just done, as the page tells it.
    pub(crate) fn flash(&self) -> Option<&str> {
        let (_, rest) = self.body.split_once(r#"<p class="flash" role="status">"#)?;
        Some(rest.split_once("</p>")?.0)
    }
}
