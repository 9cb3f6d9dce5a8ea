//! People who sign in: what they do is their own, what they may not do is refused at every door, and what ends is over at once.

use proto::recommendations::ListMoviesRequest;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::support::{Bus, Layout, Store, System, eventually};

const PASSWORD: &str = "a crew of thieves";
/// People sign in, and whoever comes may register.
const OPEN_HOUSE: [(&str, &str); 2] = [("ACCOUNTS", "required"), ("REGISTRATION", "open")];
const FILM: &str = "Heat";

/// A program that calls the REST API, on behalf of somebody or of nobody.
struct Program {
    api: String,
    token: Option<String>,
}

impl Program {
    fn new(system: &System) -> Self {
        Self {
            api: format!("http://{}/api/v1", system.http),
            token: None,
        }
    }

    async fn call(&self, method: Method, path: &str, body: Value) -> (StatusCode, Value) {
        let url = format!("{}/{path}", self.api);
        let mut request = reqwest::Client::new().request(method, url);
        if let Some(token) = &self.token {
            request = request.bearer_auth(token);
        }
        if !body.is_null() {
            request = request.json(&body);
        }
        let answer = request.send().await.unwrap();
        let status = answer.status();
        (status, answer.json().await.unwrap_or_default())
    }

    async fn get(&self, path: &str) -> (StatusCode, Value) {
        self.call(Method::GET, path, Value::Null).await
    }

    async fn post(&self, path: &str, body: Value) -> (StatusCode, Value) {
        self.call(Method::POST, path, body).await
    }

    /// Makes an account; answers its id.
    async fn register(&self, name: &str) -> i64 {
        let email = format!("{name}@films.example");
        let account = json!({ "email": email, "username": name, "password": PASSWORD });
        let (status, account) = self.post("auth/register", account).await;
        assert_eq!(status, 201, "{account}");
        account["id"].as_i64().unwrap()
    }

    /// From now on acts on behalf of that person.
    async fn sign_in(mut self, name: &str) -> Self {
        let login = json!({ "email": format!("{name}@films.example"), "password": PASSWORD });
        let (status, tokens) = self.post("auth/login", login).await;
        assert_eq!(status, 200, "{tokens}");
        self.token = Some(tokens["access_token"].as_str().unwrap().to_owned());
        self
    }

    async fn keywords(&self) -> Vec<String> {
        let (status, preferences) = self.get("preferences").await;
        assert_eq!(status, 200, "{preferences}");
        let items = preferences["items"].as_array().unwrap().iter();
        items
            .map(|item| item["keyword"].as_str().unwrap().to_owned())
            .collect()
    }
}

#[tokio::test]
async fn what_people_do_is_their_own() {
    let mut system =
        System::start_with(Layout::One, &Store::Sqlite, &Bus::Embedded, &OPEN_HOUSE).await;
    let nobody = Program::new(&system);
    for path in ["movies", "preferences", "recommendations"] {
        assert_eq!(nobody.get(path).await.0, 401, "{path}");
    }
    assert_eq!(nobody.register("owner").await, 1);
    assert_eq!(nobody.register("ann").await, 2);
    let owner = Program::new(&system).sign_in("owner").await;
    let ann = Program::new(&system).sign_in("ann").await;

    let film =
        json!({ "title": FILM, "description": "A crew plans one last heist.", "genre": "Crime" });
    let (status, problem) = ann.post("movies", film.clone()).await;
    assert_eq!(
        (status.as_u16(), &problem["code"]),
        (403, &"role_too_low".into())
    );
    let (status, film) = owner.post("movies", film).await;
    assert_eq!(status, 201, "{film}");

    let (status, followed) = ann.post("preferences", json!({ "keyword": "heist" })).await;
    assert!(status.is_success(), "{followed}");
    eventually(
        "the film to be recommended to the one who follows",
        async || {
            let (_, recommended) = ann.get("recommendations").await;
            (recommended["total"] == 1)
                .then_some(())
                .ok_or(recommended.to_string())
        },
    )
    .await;
    assert_eq!(ann.keywords().await, ["heist"]);
    assert!(owner.keywords().await.is_empty());
    assert_eq!(owner.get("recommendations").await.1["total"], 0);

    // What ends is over at once, also for what was remembered.
    let (status, answer) = ann.post("auth/logout", Value::Null).await;
    assert!(status.is_success(), "{answer}");
    assert_eq!(ann.get("preferences").await.0, 401);
    assert_eq!(owner.get("preferences").await.0, 200);

    // Nobody gets past the pages: the services take no call that does not say who acts.
    let refused = system
        .catalog()
        .await
        .list_movies(ListMoviesRequest::default())
        .await
        .unwrap_err();
    assert_eq!(refused.code(), tonic::Code::Unauthenticated);
    system.stop().await;
}

#[tokio::test]
async fn switching_between_open_and_accounts_loses_nothing() {
    let mut system = System::plain().await;
    system.browser().follow("heist").await;
    system.browser().follow("noir").await;

    let switch = async |system: &mut System, accounts: &[(&str, &str)]| {
        system.program("marquee").kill().await;
        system.set(accounts);
        system.launch("marquee");
        system.ready("marquee").await;
    };
    switch(&mut system, &OPEN_HOUSE).await;
    let nobody = Program::new(&system);
    assert_eq!(nobody.get("preferences").await.0, 401);
    nobody.register("owner").await;
    nobody.register("ann").await;
    let owner = Program::new(&system).sign_in("owner").await;
    let mut keywords = owner.keywords().await;
    keywords.sort();
    assert_eq!(keywords, ["heist", "noir"]);
    let ann = Program::new(&system).sign_in("ann").await;
    ann.post("preferences", json!({ "keyword": "western" }))
        .await;

    switch(&mut system, &[("ACCOUNTS", "open")]).await;
    let mut keywords = Program::new(&system).keywords().await;
    keywords.sort();
    assert_eq!(keywords, ["heist", "noir"]);

    // The sessions and what was followed have outlived two kills and the change there and back.
    switch(&mut system, &OPEN_HOUSE).await;
    assert_eq!(ann.keywords().await, ["western"]);
    assert_eq!(owner.keywords().await.len(), 2);
    system.stop().await;
}

#[tokio::test]
async fn no_line_of_the_log_has_a_secret_of_a_person() {
    let mut settings = OPEN_HOUSE.to_vec();
    settings.push(("LOG", "trace"));
    let mut system =
        System::start_with(Layout::One, &Store::Sqlite, &Bus::Embedded, &settings).await;
    let nobody = Program::new(&system);
    nobody.register("owner").await;
    let login = json!({ "email": "owner@films.example", "password": PASSWORD });
    let (_, tokens) = nobody.post("auth/login", login).await;
    let secret = |tokens: &Value, name: &str| tokens[name].as_str().unwrap().to_owned();
    let mut secrets = vec![PASSWORD.to_owned()];
    secrets.extend(["access_token", "refresh_token"].map(|name| secret(&tokens, name)));
    let refresh = json!({ "refresh_token": tokens["refresh_token"] });
    let (_, tokens) = nobody.post("auth/refresh", refresh.clone()).await;
    secrets.extend(["access_token", "refresh_token"].map(|name| secret(&tokens, name)));
    // Used twice, and wrong ones.
    assert_eq!(nobody.post("auth/refresh", refresh).await.0, 401);
    let wrong = "a password that is another one";
    let login = json!({ "email": "owner@films.example", "password": wrong });
    assert_eq!(nobody.post("auth/login", login).await.0, 401);
    secrets.push(wrong.to_owned());
    let mut guesser = Program::new(&system);
    let made_up = "mqp_a-token-that-somebody-made-up-and-that-has-this-length";
    guesser.token = Some(made_up.to_owned());
    assert_eq!(guesser.get("movies").await.0, 401);
    secrets.push(made_up.to_owned());
    let form = [("login", "owner"), ("password", PASSWORD)];
    let client = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none());
    let url = format!("http://{}/sign-in", system.http);
    let signed_in = client.build().unwrap().post(url).form(&form).send().await;
    let signed_in = signed_in.unwrap();
    assert_eq!(signed_in.status(), 303);
    let cookies = signed_in.headers().get_all("set-cookie").iter();
    let cookies: Vec<_> = cookies.map(|cookie| cookie.to_str().unwrap()).collect();
    let session = cookies
        .iter()
        .find_map(|cookie| cookie.strip_prefix("marquee_session="));
    secrets.push(session.unwrap().split(';').next().unwrap().to_owned());

    let program = system.program("marquee");
    let log = program.stdout() + &program.stderr();
    assert!(log.contains("/sign-in"), "requests are not logged at all");
    for secret in secrets {
        assert!(!log.contains(&secret), "{secret} is in the log");
    }
    system.stop().await;
}
