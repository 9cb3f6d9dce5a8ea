//! A provider of identities, in memory: enough of OpenID Connect to sign in at it, with discovery, PKCE (RFC 7636) and ID tokens signed by
//! ES256. Whoever comes to its page is signed in at once. It can also hang, lie, sign wrongly, and answer without an end.

use std::{
    collections::HashMap,
    convert::Infallible,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard},
    time::{SystemTime, UNIX_EPOCH},
};

use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{
    Method, Request, Response, StatusCode,
    body::Incoming,
    header::{AUTHORIZATION, CONTENT_TYPE, LOCATION},
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use ring::{
    digest, hmac,
    rand::{SecureRandom, SystemRandom},
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair},
};
use serde_json::{Map, Value, json};
use tokio_rustls::TlsAcceptor;
use url::form_urlencoded;

use crate::{FakeAuthority, UNPOISONED, server::FakeServer};

/// How many bytes it sends when it answers without an end that makes sense.
const HUGE: usize = 8 << 20;

/// The provider. Clones are the same.
#[derive(Clone)]
pub struct FakeIdentityProvider {
    provider: Provider,
    server: FakeServer,
}

#[derive(Clone)]
struct Provider {
    state: Arc<Mutex<State>>,
    issuer: String,
}

struct State {
    key: SigningPair,
    person: FakePerson,
    fault: Option<IdentityFault>,
    codes: HashMap<String, Granted>,
    asked: Vec<String>,
    keys_made: usize,
    tls: Option<TlsAcceptor>,
}

/// Who is signed in at the provider.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FakePerson {
    /// Who it is, for the provider.
    pub subject: String,
    /// The address, if the provider tells.
    pub email: Option<String>,
    /// Whether the provider says that the person reads it.
    pub is_email_verified: bool,
    /// The name, if the provider tells.
    pub name: Option<String>,
    /// E-mail address and name are told at the page for them alone, not in the ID token.
    pub only_at_userinfo: bool,
}

/// What an identity provider does wrongly.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IdentityFault {
    /// It answers nothing.
    Hangs,
    /// It answers eight megabytes.
    AnswersHugely,
    /// It answers that something went wrong.
    Fails,
    /// It sends to another address instead of answering.
    Redirects,
    /// It answers something that is not JSON.
    Babbles,
    /// Its description names another issuer.
    DescribesAnother,
    /// Its description sends people to an address without TLS, far away.
    SendsToPlainHttp,
    /// It refuses the code.
    RefusesCode,
    /// Its answer has no ID token.
    NoIdToken,
    /// The ID token is of another issuer.
    WrongIssuer,
    /// The ID token is for another client.
    WrongAudience,
    /// The ID token is for another sign-in.
    WrongNonce,
    /// The ID token has no nonce.
    NoNonce,
    /// The ID token has ended.
    Expired,
    /// The ID token is signed by another key of the same name.
    WrongSignature,
    /// The ID token is not signed.
    Unsigned,
    /// The ID token is signed with the client's secret.
    SignedBySecret,
    /// The page about the person tells of another one.
    AnotherPersonAtUserinfo,
}

/// What a code was given for.
struct Granted {
    client: String,
    redirect_uri: String,
    nonce: Option<String>,
    challenge: String,
}

struct SigningPair {
    kid: String,
    pair: EcdsaKeyPair,
}

impl SigningPair {
    fn new(kid: String) -> Self {
        let random = SystemRandom::new();
        let algorithm = &ECDSA_P256_SHA256_FIXED_SIGNING;
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(algorithm, &random);
        let pkcs8 = pkcs8.expect("the system has random numbers");
        let pair = EcdsaKeyPair::from_pkcs8(algorithm, pkcs8.as_ref(), &random);
        let pair = pair.expect("it was made for that");
        Self { kid, pair }
    }

    fn jwk(&self) -> Value {
        // 4, then both coordinates.
        let point = self.pair.public_key().as_ref().split_at(1).1;
        let (x, y) = point.split_at(32);
        json!({
            "kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig", "kid": self.kid,
            "x": URL_SAFE_NO_PAD.encode(x), "y": URL_SAFE_NO_PAD.encode(y),
        })
    }

    fn sign(&self, message: &str) -> Vec<u8> {
        let signature = self.pair.sign(&SystemRandom::new(), message.as_bytes());
        let signature = signature.expect("the system has random numbers");
        signature.as_ref().to_vec()
    }
}

impl FakeIdentityProvider {
    /// The client that it knows.
    pub const CLIENT_ID: &str = "marquee";

    /// The secret of that client, with characters that have to be encoded.
    pub const CLIENT_SECRET: &str = "s3cret+/&=% ";

    /// A provider that answers, at which Robert is signed in.
    pub fn new() -> Self {
        let provider = Self::absent();
        provider.serve();
        provider
    }

    /// A provider at whose address nothing answers yet.
    pub fn absent() -> Self {
        let server = FakeServer::new();
        let person = FakePerson {
            subject: "248289761001".into(),
            email: Some("robert@example.org".into()),
            is_email_verified: true,
            name: Some("Robert Bresson".into()),
            only_at_userinfo: false,
        };
        let state = State {
            key: SigningPair::new("key-0".into()),
            person,
            fault: None,
            codes: HashMap::new(),
            asked: vec![],
            keys_made: 1,
            tls: None,
        };
        let provider = Provider {
            state: Arc::new(Mutex::new(state)),
            issuer: format!("http://{}", server.address),
        };
        Self { provider, server }
    }

    /// A provider that answers by TLS alone, by the certificate that the authority has signed.
    pub fn with_tls(authority: &FakeAuthority) -> Self {
        let mut fake = Self::absent();
        fake.lock().tls = Some(authority.acceptor.clone());
        fake.provider.issuer = format!("https://{}", fake.address());
        fake.serve();
        fake
    }

    /// Begins to answer.
    pub fn serve(&self) {
        let (provider, tls) = (self.provider.clone(), self.lock().tls.clone());
        self.server.serve_on(async move |listener| {
            while let Ok((stream, _)) = listener.accept().await {
                let provider = provider.clone();
                let answering = service_fn(move |request| provider.clone().answer(request));
                let server = hyper::server::conn::http1::Builder::new();
                let tls = tls.clone();
                // A client may leave.
                tokio::spawn(async move {
                    let Some(tls) = tls else {
                        let stream = TokioIo::new(stream);
                        return server.serve_connection(stream, answering).await.ok();
                    };
                    let stream = TokioIo::new(tls.accept(stream).await.ok()?);
                    server.serve_connection(stream, answering).await.ok()
                });
            }
        });
    }

    /// Ends, with all connections.
    pub fn leave(&self) {
        self.server.leave();
    }

    /// Where it is.
    pub fn address(&self) -> SocketAddr {
        self.server.address
    }

    /// Its name for itself, and the setting that names it.
    pub fn issuer(&self) -> String {
        self.provider.issuer.clone()
    }

    /// Someone else is signed in from now on.
    pub fn sign_in(&self, person: FakePerson) {
        self.lock().person = person;
    }

    /// Who is signed in.
    pub fn person(&self) -> FakePerson {
        self.lock().person.clone()
    }

    /// Does this from now on, or nothing wrong again.
    pub fn set_fault(&self, fault: Option<IdentityFault>) {
        self.lock().fault = fault;
    }

    /// Signs with a new key from now on, and no longer tells of the old one.
    pub fn rotate_key(&self) {
        let mut state = self.lock();
        state.key = SigningPair::new(format!("key-{}", state.keys_made));
        state.keys_made += 1;
    }

    /// Method and path of all that it was asked.
    pub fn asked(&self) -> Vec<String> {
        self.lock().asked.clone()
    }

    /// What a browser does that is sent to `url`, without a browser: returns where it is sent back to, with code and state.
    ///
    /// # Panics
    ///
    /// If the provider refuses the request.
    pub fn visit(&self, url: &str) -> String {
        let (_, query) = url.split_once('?').expect("the request is in the query");
        let authorized = self.provider.authorize(query);
        authorized.unwrap_or_else(|reason| panic!("{reason}: {url}"))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.provider.lock()
    }
}

impl Default for FakeIdentityProvider {
    fn default() -> Self {
        Self::new()
    }
}

type Answer = Response<Full<Bytes>>;

impl Provider {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect(UNPOISONED)
    }

    async fn answer(self, request: Request<Incoming>) -> Result<Answer, Infallible> {
        let (head, body) = request.into_parts();
        let body = body.collect().await.map(|body| body.to_bytes());
        let body = String::from_utf8_lossy(&body.unwrap_or_default()).into_owned();
        let path = head.uri.path().to_owned();
        let fault = {
            let mut state = self.lock();
            state.asked.push(format!("{} {path}", head.method));
            state.fault
        };
        match fault {
            Some(IdentityFault::Hangs) => std::future::pending::<()>().await,
            Some(IdentityFault::AnswersHugely) => {
                return Ok(said(StatusCode::OK, vec![b' '; HUGE]));
            }
            Some(IdentityFault::Fails) => {
                return Ok(said(StatusCode::INTERNAL_SERVER_ERROR, b"oh".to_vec()));
            }
            Some(IdentityFault::Babbles) => return Ok(said(StatusCode::OK, b"<html>".to_vec())),
            Some(IdentityFault::Redirects) => {
                let elsewhere = format!("{}/elsewhere", self.issuer);
                return Ok(redirect(&elsewhere));
            }
            _ => {}
        }
        let authorization = head.headers.get(AUTHORIZATION);
        let authorization = authorization.and_then(|value| value.to_str().ok());
        Ok(match (&head.method, path.as_str()) {
            (&Method::GET, "/.well-known/openid-configuration") => {
                json_of(&self.description(fault))
            }
            (&Method::GET, "/jwks") => json_of(&json!({"keys": [self.lock().key.jwk()]})),
            (&Method::GET, "/authorize") => {
                match self.authorize(head.uri.query().unwrap_or_default()) {
                    Ok(back) => redirect(&back),
                    Err(reason) => said(StatusCode::BAD_REQUEST, reason.into_bytes()),
                }
            }
            (&Method::POST, "/token") => match self.exchange(authorization, &body, fault) {
                Ok(tokens) => json_of(&tokens),
                Err(error) => {
                    let mut answer = json_of(&json!({"error": error}));
                    *answer.status_mut() = StatusCode::BAD_REQUEST;
                    answer
                }
            },
            (&Method::GET, "/userinfo") if authorization == Some("Bearer for-userinfo") => {
                let mut person = self.lock().person.clone();
                if fault == Some(IdentityFault::AnotherPersonAtUserinfo) {
                    person.subject = "another".into();
                }
                json_of(&Value::Object(claims_of(&person, true)))
            }
            _ => said(StatusCode::NOT_FOUND, vec![]),
        })
    }

    fn description(&self, fault: Option<IdentityFault>) -> Value {
        let issuer = match fault {
            Some(IdentityFault::DescribesAnother) => "http://127.0.0.1:1".to_owned(),
            _ => self.issuer.clone(),
        };
        let authorize = match fault {
            Some(IdentityFault::SendsToPlainHttp) => {
                "http://identity.example.org/authorize".to_owned()
            }
            _ => format!("{}/authorize", self.issuer),
        };
        json!({
            "issuer": issuer,
            "authorization_endpoint": authorize,
            "token_endpoint": format!("{}/token", self.issuer),
            "userinfo_endpoint": format!("{}/userinfo", self.issuer),
            "jwks_uri": format!("{}/jwks", self.issuer),
            "response_types_supported": ["code"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["ES256"],
            "code_challenge_methods_supported": ["S256"],
        })
    }

    /// Signs the person in. Returns where the browser goes.
    fn authorize(&self, query: &str) -> Result<String, String> {
        let asked = fields(query);
        let field = |name: &str| asked.get(name).cloned().ok_or(format!("no `{name}`"));
        if field("response_type")? != "code"
            || field("client_id")? != FakeIdentityProvider::CLIENT_ID
        {
            return Err("not for this client".into());
        }
        if !field("scope")?.split(' ').any(|scope| scope == "openid") {
            return Err("no scope `openid`".into());
        }
        if field("code_challenge_method")? != "S256" {
            return Err("no PKCE".into());
        }
        let granted = Granted {
            client: field("client_id")?,
            redirect_uri: field("redirect_uri")?,
            nonce: asked.get("nonce").cloned(),
            challenge: field("code_challenge")?,
        };
        let code = random_text();
        let mut back = url::Url::parse(&granted.redirect_uri).map_err(|error| error.to_string())?;
        back.query_pairs_mut()
            .append_pair("code", &code)
            .append_pair("state", &field("state")?);
        self.lock().codes.insert(code, granted);
        Ok(back.into())
    }

    /// Gives tokens for a code, once.
    fn exchange(
        &self,
        authorization: Option<&str>,
        body: &str,
        fault: Option<IdentityFault>,
    ) -> Result<Value, &'static str> {
        let asked = fields(body);
        let field = |name: &str| asked.get(name).map(String::as_str);
        let encoded =
            |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
        let basic = format!(
            "{}:{}",
            encoded(FakeIdentityProvider::CLIENT_ID),
            encoded(FakeIdentityProvider::CLIENT_SECRET)
        );
        let is_client = authorization == Some(&format!("Basic {}", STANDARD.encode(basic)))
            || field("client_secret") == Some(FakeIdentityProvider::CLIENT_SECRET);
        if !is_client {
            return Err("invalid_client");
        }
        if field("grant_type") != Some("authorization_code") {
            return Err("unsupported_grant_type");
        }
        let granted = self.lock().codes.remove(field("code").unwrap_or_default());
        let granted = granted.ok_or("invalid_grant")?;
        let verifier = field("code_verifier").unwrap_or_default();
        let challenge = digest::digest(&digest::SHA256, verifier.as_bytes());
        let is_begun_here = URL_SAFE_NO_PAD.encode(challenge) == granted.challenge
            && field("redirect_uri") == Some(&granted.redirect_uri);
        if !is_begun_here || fault == Some(IdentityFault::RefusesCode) {
            return Err("invalid_grant");
        }
        let id_token = match fault {
            Some(IdentityFault::NoIdToken) => Value::Null,
            _ => json!(self.id_token(&granted, fault)),
        };
        Ok(json!({
            "access_token": "for-userinfo", "token_type": "Bearer", "expires_in": 60,
            "id_token": id_token,
        }))
    }

    fn id_token(&self, granted: &Granted, fault: Option<IdentityFault>) -> String {
        let state = self.lock();
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let now = now.map_or(0, |since| since.as_secs());
        let mut claims = claims_of(&state.person, !state.person.only_at_userinfo);
        set(&mut claims, "iss", json!(self.issuer));
        set(&mut claims, "aud", json!(granted.client));
        set(&mut claims, "iat", json!(now));
        set(&mut claims, "exp", json!(now + 60));
        set(&mut claims, "nonce", json!(granted.nonce));
        let mut header = Map::new();
        set(&mut header, "alg", json!("ES256"));
        set(&mut header, "typ", json!("JWT"));
        set(&mut header, "kid", json!(state.key.kid));
        match fault {
            Some(IdentityFault::WrongIssuer) => {
                set(&mut claims, "iss", json!("https://another.example.org"))
            }
            Some(IdentityFault::WrongAudience) => set(&mut claims, "aud", json!("another")),
            Some(IdentityFault::WrongNonce) => set(&mut claims, "nonce", json!("another")),
            Some(IdentityFault::NoNonce) => set(&mut claims, "nonce", Value::Null),
            Some(IdentityFault::Expired) => set(&mut claims, "exp", json!(now - 3_600)),
            Some(IdentityFault::Unsigned) => set(&mut header, "alg", json!("none")),
            Some(IdentityFault::SignedBySecret) => set(&mut header, "alg", json!("HS256")),
            _ => {}
        }
        let encoded =
            |part: Map<String, Value>| URL_SAFE_NO_PAD.encode(Value::Object(part).to_string());
        let message = format!("{}.{}", encoded(header), encoded(claims));
        let signature = match fault {
            Some(IdentityFault::WrongSignature) => {
                SigningPair::new(state.key.kid.clone()).sign(&message)
            }
            Some(IdentityFault::Unsigned) => vec![],
            Some(IdentityFault::SignedBySecret) => {
                let secret = FakeIdentityProvider::CLIENT_SECRET.as_bytes();
                let secret = hmac::Key::new(hmac::HMAC_SHA256, secret);
                hmac::sign(&secret, message.as_bytes()).as_ref().to_vec()
            }
            _ => state.key.sign(&message),
        };
        format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
    }
}

fn claims_of(person: &FakePerson, is_told: bool) -> Map<String, Value> {
    let mut claims = Map::new();
    set(&mut claims, "sub", json!(person.subject));
    if is_told {
        if let Some(email) = &person.email {
            set(&mut claims, "email", json!(email));
            set(
                &mut claims,
                "email_verified",
                json!(person.is_email_verified),
            );
        }
        if let Some(name) = &person.name {
            set(&mut claims, "name", json!(name));
        }
    }
    claims
}

fn set(object: &mut Map<String, Value>, name: &str, value: Value) {
    object.insert(name.to_owned(), value);
}

fn fields(query: &str) -> HashMap<String, String> {
    form_urlencoded::parse(query.as_bytes())
        .into_owned()
        .collect()
}

fn random_text() -> String {
    let mut random = [0; 16];
    let filled = SystemRandom::new().fill(&mut random);
    filled.expect("the system has random numbers");
    URL_SAFE_NO_PAD.encode(random)
}

fn said(status: StatusCode, body: Vec<u8>) -> Answer {
    let mut answer = Response::new(Full::new(Bytes::from(body)));
    *answer.status_mut() = status;
    answer
}

fn json_of(value: &Value) -> Answer {
    let mut answer = said(StatusCode::OK, value.to_string().into_bytes());
    let json = "application/json"
        .parse()
        .expect("it is a value of a header");
    answer.headers_mut().insert(CONTENT_TYPE, json);
    answer
}

fn redirect(to: &str) -> Answer {
    let mut answer = said(StatusCode::FOUND, vec![]);
    let to = to.parse().expect("an address has no line break");
    answer.headers_mut().insert(LOCATION, to);
    answer
}
