//! A browser without JavaScript: follows redirects, keeps cookies, fills in the forms that the pages show.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use reqwest::{Client, ClientBuilder, RequestBuilder, StatusCode, cookie::Jar, redirect};

/// A visitor with a browser.
pub(crate) struct Browser {
    client: Client,
    cookies: Arc<Jar>,
    base: String,
}

/// A page as it came.
#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) status: StatusCode,
    pub(crate) path: String,
    pub(crate) html: String,
}

/// What is typed into the form of a film.
#[derive(Clone, Copy, Default)]
pub(crate) struct Film<'a> {
    pub(crate) title: &'a str,
    pub(crate) description: &'a str,
    pub(crate) genre: &'a str,
    pub(crate) rating: &'a str,
    pub(crate) release_year: &'a str,
}

impl Browser {
    pub(crate) fn new(address: SocketAddr) -> Self {
        let cookies = Arc::<Jar>::default();
        Self {
            client: client(&cookies).build().unwrap(),
            cookies,
            base: format!("http://{address}"),
        }
    }

    /// The same browser at another address of the site: its cookies do not tell ports apart.
    pub(crate) fn at(&self, address: SocketAddr) -> Self {
        Self {
            client: self.client.clone(),
            cookies: self.cookies.clone(),
            base: format!("http://{address}"),
        }
    }

    /// Opens a page; an error is why no page came at all.
    pub(crate) async fn try_open(&self, path: &str) -> Result<Page, String> {
        read(self.client.get(format!("{}{path}", self.base))).await
    }

    pub(crate) async fn open(&self, path: &str) -> Page {
        self.try_open(path).await.unwrap()
    }

    /// A response that is still coming in: an event stream.
    pub(crate) async fn stream(&self, path: &str) -> reqwest::Response {
        self.client
            .get(format!("{}{path}", self.base))
            .send()
            .await
            .unwrap()
    }

    /// Fills in and submits the form on `page` whose action is `action`, hidden fields included.
    pub(crate) async fn submit(&self, page: &Page, action: &str, typed: &[(&str, &str)]) -> Page {
        self.post(&self.client, page, action, typed).await
    }

    /// Like [`Self::submit`], without opening the page to which the answer sends the browser.
    pub(crate) async fn submit_only(&self, page: &Page, action: &str, typed: &[(&str, &str)]) {
        let client = client(&self.cookies).redirect(redirect::Policy::none());
        let client = client.build().unwrap();
        let answer = self.post(&client, page, action, typed).await;
        assert!(answer.status.is_redirection(), "{answer:?}");
    }

    async fn post(
        &self,
        client: &Client,
        page: &Page,
        action: &str,
        typed: &[(&str, &str)],
    ) -> Page {
        let hidden = page.hidden_fields(action);
        let mut fields: Vec<(&str, &str)> = hidden
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        fields.extend_from_slice(typed);
        read(client.post(format!("{}{action}", self.base)).form(&fields))
            .await
            .unwrap()
    }

    pub(crate) async fn follow(&self, keyword: &str) {
        let page = self
            .submit(
                &self.open("/preferences").await,
                "/preferences/add",
                &[("keyword", keyword), ("anyway", "yes")],
            )
            .await;
        assert!(
            page.status.is_success() && page.shows(keyword),
            "cannot follow {keyword}: {page:?}"
        );
    }

    /// `path` is the keyword as it is written in the address of its form.
    pub(crate) async fn stop_following(&self, path: &str) {
        let action = format!("/preferences/delete/{path}");
        let page = self
            .submit(&self.open("/preferences").await, &action, &[])
            .await;
        assert!(
            page.status.is_success(),
            "cannot stop following {path}: {page:?}"
        );
    }

    /// Adds a film and returns its id.
    pub(crate) async fn add(&self, film: Film<'_>) -> String {
        let page = self
            .submit(&self.open("/movie/new").await, "/movie/new", &film.fields())
            .await;
        assert!(
            page.status.is_success(),
            "cannot add {}: {page:?}",
            film.title
        );
        let home = self.open("/").await;
        home.film_id(film.title)
            .unwrap_or_else(|| panic!("{} is not on the first page: {home:?}", film.title))
    }

    pub(crate) async fn edit(&self, id: &str, film: Film<'_>) {
        let action = format!("/movie/{id}/edit");
        let page = self
            .submit(&self.open(&action).await, &action, &film.fields())
            .await;
        assert!(page.status.is_success(), "cannot edit {id}: {page:?}");
    }

    pub(crate) async fn delete(&self, id: &str) {
        let page = self.open(&format!("/movie/{id}")).await;
        let page = self
            .submit(&page, &format!("/movie/{id}/delete"), &[])
            .await;
        assert!(page.status.is_success(), "cannot delete {id}: {page:?}");
    }
}

impl<'a> Film<'a> {
    pub(crate) fn fields(&self) -> [(&'static str, &'a str); 5] {
        [
            ("title", self.title),
            ("description", self.description),
            ("genre", self.genre),
            ("rating", self.rating),
            ("release_year", self.release_year),
        ]
    }
}

impl Page {
    /// Whether the text stands on the page.
    pub(crate) fn shows(&self, text: &str) -> bool {
        unescape(&self.html).contains(text)
    }

    /// The id of the film of this title on a wall of films.
    pub(crate) fn film_id(&self, title: &str) -> Option<String> {
        let film = self
            .films()
            .find(|film| attribute(film, "data-title").as_deref() == Some(title))?;
        attribute(film, "data-film")
    }

    /// Whether the film of this title is marked as recommended on a wall of films.
    pub(crate) fn marks(&self, title: &str) -> bool {
        self.films()
            .any(|film| attribute(film, "data-title").as_deref() == Some(title) && is_marked(film))
    }

    /// The ids of the films on a wall of films, each with whether it is marked as recommended.
    pub(crate) fn film_marks(&self) -> Vec<(String, bool)> {
        let marks = self.films().filter_map(|film| {
            let id = attribute(film, "data-film")?;
            Some((id, is_marked(film)))
        });
        marks.collect()
    }

    /// Whether there is a form with this action.
    pub(crate) fn offers(&self, action: &str) -> bool {
        self.html
            .split("<form")
            .skip(1)
            .any(|form| attribute(form, "action").as_deref() == Some(action))
    }

    fn films(&self) -> impl Iterator<Item = &str> {
        let films = self.html.split("<li class=\"film\"").skip(1);
        films.filter_map(|film| film.split_once("</li>").map(|(film, _)| film))
    }

    fn hidden_fields(&self, action: &str) -> Vec<(String, String)> {
        let form = self
            .html
            .split("<form")
            .skip(1)
            .find(|form| attribute(form, "action").is_some_and(|found| found == action))
            .unwrap_or_else(|| panic!("no form posts to {action}: {self:?}"));
        let form = form.split_once("</form>").map_or(form, |(form, _)| form);
        form.split("<input")
            .skip(1)
            .filter_map(|input| input.split_once('>').map(|(input, _)| input))
            .filter(|input| attribute(input, "type").is_some_and(|kind| kind == "hidden"))
            .map(|input| {
                (
                    attribute(input, "name").unwrap(),
                    attribute(input, "value").unwrap_or_default(),
                )
            })
            .collect()
    }
}

fn client(cookies: &Arc<Jar>) -> ClientBuilder {
    Client::builder()
        .cookie_provider(cookies.clone())
        // A connection that was kept open may be closed by the server just when it is used again.
        .pool_max_idle_per_host(0)
        .timeout(Duration::from_secs(30))
}

async fn read(request: RequestBuilder) -> Result<Page, String> {
    let response = request.send().await.map_err(|error| format!("{error:?}"))?;
    let (status, path) = (response.status(), response.url().path().to_owned());
    let html = response
        .text()
        .await
        .map_err(|error| format!("{error:?}"))?;
    Ok(Page { status, path, html })
}

fn is_marked(film: &str) -> bool {
    film.contains("class=\"because\"") || film.contains("class=\"marked\"")
}

/// The value of an attribute in the text of a tag.
fn attribute(tag: &str, name: &str) -> Option<String> {
    let tag = tag.split('>').next()?;
    let (_, rest) = tag.split_once(&format!("{name}=\""))?;
    rest.split_once('"').map(|(value, _)| unescape(value))
}

fn unescape(html: &str) -> String {
    [
        ("&lt;", "<"),
        ("&gt;", ">"),
        ("&quot;", "\""),
        ("&#x27;", "'"),
        ("&#39;", "'"),
        ("&#x2F;", "/"),
        ("&#x3D;", "="),
        ("&amp;", "&"),
    ]
    .iter()
    .fold(html.to_owned(), |text, (escaped, plain)| {
        text.replace(escaped, plain)
    })
}
