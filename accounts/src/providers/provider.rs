//! The identity provider: what it says of itself, where it sends browsers, and whom it says a person is.

use std::{
    fmt,
    time::{Duration, Instant},
};

use openidconnect::{
    AccessToken, AuthType, AuthorizationCode, ClaimsVerificationError, ClientId, ClientSecret,
    CsrfToken, DiscoveryError, EndpointMaybeSet, EndpointNotSet, EndpointSet, ErrorResponse,
    IssuerUrl, Nonce, OAuth2TokenResponse, PkceCodeChallenge, PkceCodeVerifier, RedirectUrl,
    RequestTokenError, Scope, SignatureVerificationError, SubjectIdentifier, TokenResponse,
    UserInfoError,
    core::{
        CoreAuthenticationFlow, CoreClient, CoreClientAuthMethod, CoreIdToken,
        CoreJwsSigningAlgorithm, CoreProviderMetadata, CoreUserInfoClaims,
    },
};
use tokio::{sync::Mutex, time::timeout};
use url::Url;

use super::{
    http::{HttpClient, HttpError},
    settings::{BadProviderSetting, ProviderSettings, is_safe},
};
use crate::authorities;

/// What the addresses of the pages call the provider by; there is one.
pub const PROVIDER_ID: &str = "oidc";

/// How long what the provider says of itself is kept.
const KEPT: Duration = Duration::from_secs(60 * 60);

/// How soon it is asked again for keys, if it has signed by one that is not known.
const ASKED_AGAIN_AFTER: Duration = Duration::from_secs(60);

/// How long beginning or ending a sign-in may take, with all requests.
const DEADLINE: Duration = Duration::from_secs(15);

/// The most characters of what a provider calls a person by. OpenID Connect allows no longer subject.
const MAX_SUBJECT: usize = 255;
const MAX_EMAIL: usize = 254;
const MAX_NAME: usize = 200;

/// The longest code and redirect address that are taken, in bytes.
const MAX_GIVEN: usize = 4 * 1_024;

/// How much of a provider's own words is told, in characters.
const MAX_REASON: usize = 200;

/// Signatures with a private key of the provider, and no others.
const ALGORITHMS: [CoreJwsSigningAlgorithm; 9] = [
    CoreJwsSigningAlgorithm::RsaSsaPkcs1V15Sha256,
    CoreJwsSigningAlgorithm::RsaSsaPkcs1V15Sha384,
    CoreJwsSigningAlgorithm::RsaSsaPkcs1V15Sha512,
    CoreJwsSigningAlgorithm::RsaSsaPssSha256,
    CoreJwsSigningAlgorithm::RsaSsaPssSha384,
    CoreJwsSigningAlgorithm::RsaSsaPssSha512,
    CoreJwsSigningAlgorithm::EcdsaP256Sha256,
    CoreJwsSigningAlgorithm::EcdsaP384Sha384,
    CoreJwsSigningAlgorithm::EdDsa,
];

type Client = CoreClient<
    EndpointSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointMaybeSet,
    EndpointMaybeSet,
>;

/// Why a sign-in at the provider did not begin or end.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProviderError {
    /// The provider does not answer, or nothing that makes sense: later it may.
    #[error("the identity provider is unavailable: {0}")]
    Unavailable(String),
    /// The provider, or the check of what it said, refuses this sign-in: the person has to begin again.
    #[error("the identity provider's answer is not accepted: {0}")]
    Refused(String),
    /// What was given to begin or end with is not possible.
    #[error("{0}")]
    BadRequest(&'static str),
}

/// A sign-in that has begun. All but `url` is to be kept for [`Provider::end`], bound to the browser. `Debug` shows nothing of it.
#[derive(Clone, PartialEq, Eq)]
pub struct Begun {
    /// Where the browser is to go.
    pub url: String,
    /// What the browser has to come back with.
    pub state: String,
    /// What the ID token has to say.
    pub nonce: String,
    /// What the code is exchanged with.
    pub pkce_verifier: String,
}

impl fmt::Debug for Begun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Begun(…)")
    }
}

/// Whom the provider says a person is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProviderIdentity {
    /// The provider.
    pub issuer: String,
    /// Who it is there, for ever; with the issuer, who it is anywhere.
    pub subject: String,
    /// An e-mail address, if the provider tells one that can be one.
    pub email: Option<String>,
    /// Whether the provider says that the person reads it.
    pub email_verified: bool,
    /// What the person is called, in at most 200 characters.
    pub name: Option<String>,
}

/// The identity provider of the settings.
pub struct Provider {
    issuer: IssuerUrl,
    client_id: ClientId,
    client_secret: Option<ClientSecret>,
    name: String,
    http: HttpClient,
    known: Mutex<Option<Known>>,
    kept: Duration,
    asked_again_after: Duration,
}

/// What the provider says of itself.
struct Known {
    metadata: CoreProviderMetadata,
    at: Instant,
}

impl Provider {
    /// The provider of these settings; nothing if there is no `OIDC_ISSUER`. Nothing is asked yet. Reads the authorities that the machine trusts.
    ///
    /// # Errors
    ///
    /// The setting that is missing or wrong.
    pub fn new(settings: &ProviderSettings) -> Result<Option<Self>, BadProviderSetting> {
        let bad = |flag, reason: &str| BadProviderSetting {
            flag,
            reason: reason.to_owned(),
        };
        let ca_file = settings.oidc_ca_file.as_deref();
        let Some(issuer) = &settings.oidc_issuer else {
            let others = [
                ("oidc-client-id", settings.oidc_client_id.is_some()),
                ("oidc-client-secret", settings.oidc_client_secret.is_some()),
                ("oidc-ca-file", ca_file.is_some()),
                ("oidc-name", settings.oidc_name.is_some()),
            ];
            return match others.into_iter().find(|(_, is_given)| *is_given) {
                Some((flag, _)) => Err(bad(flag, "is of use only with OIDC_ISSUER")),
                None => Ok(None),
            };
        };
        let client_id = settings.oidc_client_id.clone().filter(|id| !id.is_empty());
        let needed = || {
            bad(
                "oidc-client-id",
                "is needed too, because an issuer is given",
            )
        };
        let client_id = client_id.ok_or_else(needed)?;
        let name = settings
            .oidc_name
            .clone()
            .unwrap_or_else(|| issuer.host.clone());
        if name.is_empty() || name.chars().count() > 40 || name.contains(char::is_control) {
            return Err(bad("oidc-name", "is not 1 to 40 characters in one line"));
        }
        let secret = settings.oidc_client_secret.clone();
        let issuer = IssuerUrl::new(issuer.text.clone());
        let tls = authorities::connector(ca_file);
        let tls = tls.map_err(|reason| bad("oidc-ca-file", &reason))?;
        Ok(Some(Self {
            issuer: issuer.map_err(|_| bad("oidc-issuer", "is no URL"))?,
            client_id: ClientId::new(client_id),
            client_secret: secret.map(|secret| ClientSecret::new(secret.0)),
            name,
            http: HttpClient::new(tls),
            known: Mutex::new(None),
            kept: KEPT,
            asked_again_after: ASKED_AGAIN_AFTER,
        }))
    }

    /// What the button says.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Who the provider is.
    pub fn issuer(&self) -> &str {
        self.issuer.as_str()
    }

    /// Begins a sign-in. `redirect_uri` is the page of ours that the provider sends the browser back to, as it knows it.
    ///
    /// # Errors
    ///
    /// [`ProviderError::Unavailable`] if the provider does not say where to go, [`ProviderError::BadRequest`] if `redirect_uri` is no URL.
    pub async fn begin(&self, redirect_uri: &str) -> Result<Begun, ProviderError> {
        within_deadline(async {
            let (client, _) = self.client(redirect_uri, self.kept).await?;
            let (challenge, verifier) = PkceCodeChallenge::new_random_sha256();
            let flow = CoreAuthenticationFlow::AuthorizationCode;
            let (url, state, nonce) = client
                .authorize_url(flow, CsrfToken::new_random, Nonce::new_random)
                .add_scope(Scope::new("email".to_owned()))
                .add_scope(Scope::new("profile".to_owned()))
                .set_pkce_challenge(challenge)
                .url();
            // A browser is sent there: to nothing that runs in our page, and to nobody who listens on the way.
            let unsafe_address = |reason| unavailable(format!("its page for people {reason}"));
            is_safe(&url).map_err(unsafe_address)?;
            Ok(Begun {
                url: url.into(),
                state: state.into_secret(),
                nonce: nonce.secret().clone(),
                pkce_verifier: verifier.into_secret(),
            })
        })
        .await
    }

    /// Ends a sign-in: exchanges the code that the browser came back with, and checks the ID token. `nonce`, `pkce_verifier` and `redirect_uri` are
    /// those that it began with. The caller has compared the state.
    ///
    /// # Errors
    ///
    /// [`ProviderError::Refused`] if the code or the ID token is not good.
    pub async fn end(
        &self,
        code: &str,
        nonce: &str,
        pkce_verifier: &str,
        redirect_uri: &str,
    ) -> Result<ProviderIdentity, ProviderError> {
        if code.is_empty() || code.len() > MAX_GIVEN {
            return Err(ProviderError::BadRequest(
                "the code of the provider is missing or too long",
            ));
        }
        within_deadline(async {
            let (client, at) = self.client(redirect_uri, self.kept).await?;
            let exchange = client.exchange_code(AuthorizationCode::new(code.to_owned()));
            let exchange = exchange.map_err(|_| unavailable("it has no token endpoint"))?;
            let verifier = PkceCodeVerifier::new(pkce_verifier.to_owned());
            let exchange = exchange.set_pkce_verifier(verifier);
            let tokens = exchange.request_async(&self.http).await;
            let tokens = tokens.map_err(not_exchanged)?;
            let id_token = tokens.id_token();
            let id_token = id_token.ok_or_else(|| refused("there is no ID token"))?;
            let nonce = Nonce::new(nonce.to_owned());
            let mut identity = self.identity(&client, id_token, &nonce);
            if matches!(identity, Err(Unverified::UnknownKey))
                && at.elapsed() >= self.asked_again_after
            {
                let (client, _) = self.client(redirect_uri, Duration::ZERO).await?;
                identity = self.identity(&client, id_token, &nonce);
            }
            let mut identity = identity.map_err(|unverified| match unverified {
                Unverified::UnknownKey => refused("the key of the ID token is unknown"),
                Unverified::Because(reason) => refused(reason),
            })?;
            if identity.email.is_none() || identity.name.is_none() {
                self.complete(&mut identity, &client, tokens.access_token())
                    .await?;
            }
            Ok(identity)
        })
        .await
    }

    /// The client of what the provider says of itself, if that is not older than `age`, and when the provider said it.
    async fn client(
        &self,
        redirect_uri: &str,
        age: Duration,
    ) -> Result<(Client, Instant), ProviderError> {
        let bad = ProviderError::BadRequest("the address to come back to is no URL");
        if redirect_uri.len() > MAX_GIVEN || Url::parse(redirect_uri).is_err() {
            return Err(bad);
        }
        let redirect_uri = RedirectUrl::new(redirect_uri.to_owned()).map_err(|_| bad)?;
        // All who begin at the same time wait for one answer.
        let mut known = self.known.lock().await;
        if known.as_ref().is_none_or(|known| known.at.elapsed() >= age) {
            let discovered = CoreProviderMetadata::discover_async(self.issuer.clone(), &self.http);
            *known = Some(Known {
                metadata: discovered.await.map_err(not_discovered)?,
                at: Instant::now(),
            });
        }
        let Some(Known { metadata, at }) = &*known else {
            return Err(unavailable("it says nothing of itself"));
        };
        let methods = metadata.token_endpoint_auth_methods_supported();
        let by_body = methods.is_some_and(|methods| {
            methods.contains(&CoreClientAuthMethod::ClientSecretPost)
                && !methods.contains(&CoreClientAuthMethod::ClientSecretBasic)
        });
        let auth_type = match by_body {
            true => AuthType::RequestBody,
            false => AuthType::BasicAuth,
        };
        let client = CoreClient::from_provider_metadata(
            metadata.clone(),
            self.client_id.clone(),
            self.client_secret.clone(),
        )
        .set_redirect_uri(redirect_uri)
        .set_auth_type(auth_type);
        Ok((client, *at))
    }

    /// Checks issuer, audience, times, nonce and signature of an ID token, and reads it.
    fn identity(
        &self,
        client: &Client,
        id_token: &CoreIdToken,
        nonce: &Nonce,
    ) -> Result<ProviderIdentity, Unverified> {
        let verifier = client.id_token_verifier().set_allowed_algs(ALGORITHMS);
        let claims = id_token.claims(&verifier, nonce).map_err(unverified)?;
        let subject = claims.subject().as_str();
        if subject.is_empty() || subject.chars().count() > MAX_SUBJECT {
            return Err(Unverified::Because(
                "the subject is empty or too long".to_owned(),
            ));
        }
        let email = claims.email().and_then(|email| possible_email(email));
        let name = claims.name().and_then(|name| name.get(None));
        let name = name.map(|name| name.as_str());
        let name = name.or(claims.preferred_username().map(|name| name.as_str()));
        Ok(ProviderIdentity {
            issuer: self.issuer().to_owned(),
            subject: subject.to_owned(),
            email_verified: email.is_some() && claims.email_verified().unwrap_or(false),
            email,
            name: name.and_then(possible_name),
        })
    }

    /// Asks for what the ID token does not say, if the provider has a page for that. Without an answer the identity is what it was.
    async fn complete(
        &self,
        identity: &mut ProviderIdentity,
        client: &Client,
        token: &AccessToken,
    ) -> Result<(), ProviderError> {
        let subject = SubjectIdentifier::new(identity.subject.clone());
        let Ok(request) = client.user_info(token.clone(), Some(subject)) else {
            return Ok(());
        };
        let claims: CoreUserInfoClaims = match request.request_async(&self.http).await {
            Ok(claims) => claims,
            Err(UserInfoError::ClaimsVerification(_)) => {
                return Err(refused("it tells of another person than its ID token"));
            }
            Err(_) => return Ok(()),
        };
        if identity.email.is_none() {
            identity.email = claims.email().and_then(|email| possible_email(email));
            identity.email_verified =
                identity.email.is_some() && claims.email_verified().unwrap_or(false);
        }
        if identity.name.is_none() {
            let name = claims.name().and_then(|name| name.get(None));
            let name = name.map(|name| name.as_str());
            let name = name.or(claims.preferred_username().map(|name| name.as_str()));
            identity.name = name.and_then(possible_name);
        }
        Ok(())
    }
}

/// Shows no secret.
impl fmt::Debug for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Provider({})", self.issuer())
    }
}

/// Why an ID token is not good.
enum Unverified {
    /// No key of the provider has its name: there may be new ones.
    UnknownKey,
    /// Anything else.
    Because(String),
}

fn unverified(error: ClaimsVerificationError) -> Unverified {
    use ClaimsVerificationError::SignatureVerification;
    match error {
        SignatureVerification(SignatureVerificationError::NoMatchingKey) => Unverified::UnknownKey,
        // Its words quote the token.
        SignatureVerification(_) => {
            Unverified::Because("the signature of the ID token is wrong".to_owned())
        }
        ClaimsVerificationError::Expired(_) => {
            Unverified::Because("the ID token has expired".to_owned())
        }
        ClaimsVerificationError::InvalidAudience(_) => {
            Unverified::Because("the ID token is for another client".to_owned())
        }
        ClaimsVerificationError::InvalidIssuer(_) => {
            Unverified::Because("the ID token is of another issuer".to_owned())
        }
        ClaimsVerificationError::InvalidNonce(_) => {
            Unverified::Because("the ID token is for another sign-in".to_owned())
        }
        _ => Unverified::Because("the ID token is not valid".to_owned()),
    }
}

fn not_discovered(error: DiscoveryError<HttpError>) -> ProviderError {
    match error {
        DiscoveryError::Request(error) => unavailable(in_full(&error)),
        DiscoveryError::Response(status, ..) => unavailable(format!("it answered {status}")),
        DiscoveryError::Parse(_) => unavailable("its description makes no sense"),
        DiscoveryError::Validation(reason) => unavailable(reason),
        _ => unavailable("its description cannot be asked for"),
    }
}

fn not_exchanged<T: ErrorResponse>(error: RequestTokenError<HttpError, T>) -> ProviderError {
    match error {
        RequestTokenError::Request(error) => unavailable(in_full(&error)),
        RequestTokenError::ServerResponse(answer) => refused(answer.to_string()),
        // Its source quotes the answer, which may have tokens in it.
        RequestTokenError::Parse(..) => unavailable("its tokens make no sense"),
        RequestTokenError::Other(_) => unavailable("it answered nothing that can be used"),
    }
}

fn in_full(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

fn unavailable(reason: impl AsRef<str>) -> ProviderError {
    ProviderError::Unavailable(told(reason.as_ref()))
}

fn refused(reason: impl AsRef<str>) -> ProviderError {
    ProviderError::Refused(told(reason.as_ref()))
}

/// What may be told of a provider's own words.
fn told(reason: &str) -> String {
    let visible = reason.chars().filter(|letter| !letter.is_control());
    visible.take(MAX_REASON).collect()
}

fn possible_email(email: &str) -> Option<String> {
    let email = email.trim();
    let is_possible = email.chars().count() <= MAX_EMAIL
        && email.matches('@').count() == 1
        && !email.starts_with('@')
        && !email.ends_with('@')
        && !email.contains(|letter: char| letter.is_control() || letter.is_whitespace());
    is_possible.then(|| email.to_owned())
}

fn possible_name(name: &str) -> Option<String> {
    let visible = name.chars().filter(|letter| !letter.is_control());
    let name: String = visible.take(MAX_NAME).collect();
    let name = name.trim();
    (!name.is_empty()).then(|| name.to_owned())
}

async fn within_deadline<T>(
    work: impl Future<Output = Result<T, ProviderError>>,
) -> Result<T, ProviderError> {
    let late = || unavailable(format!("no answer within {DEADLINE:?}"));
    timeout(DEADLINE, work)
        .await
        .unwrap_or_else(|_| Err(late()))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use tempfile::TempDir;
    use testkit::{FakeAuthority, FakeIdentityProvider, FakePerson, IdentityFault};

    use super::*;

    const BACK: &str = "https://films.example.org/auth/oidc/callback";

    fn settings(issuer: &str) -> ProviderSettings {
        ProviderSettings {
            oidc_issuer: Some(issuer.parse().unwrap()),
            oidc_client_id: Some(FakeIdentityProvider::CLIENT_ID.to_owned()),
            oidc_client_secret: Some(FakeIdentityProvider::CLIENT_SECRET.parse().unwrap()),
            oidc_name: None,
            oidc_ca_file: None,
        }
    }

    fn provider(fake: &FakeIdentityProvider) -> Provider {
        Provider::new(&settings(&fake.issuer())).unwrap().unwrap()
    }

    /// The code and the state with which the browser comes back.
    fn visited(fake: &FakeIdentityProvider, begun: &Begun) -> (String, String) {
        let back = Url::parse(&fake.visit(&begun.url)).unwrap();
        assert!(back.as_str().starts_with(BACK), "{back}");
        let field = |name: &str| {
            let mut pairs = back.query_pairs();
            pairs
                .find(|(field, _)| field == name)
                .unwrap()
                .1
                .into_owned()
        };
        (field("code"), field("state"))
    }

    async fn signed_in(
        provider: &Provider,
        fake: &FakeIdentityProvider,
    ) -> Result<ProviderIdentity, ProviderError> {
        let begun = provider.begin(BACK).await?;
        let (code, state) = visited(fake, &begun);
        assert_eq!(state, begun.state);
        provider
            .end(&code, &begun.nonce, &begun.pkce_verifier, BACK)
            .await
    }

    fn robert(fake: &FakeIdentityProvider) -> ProviderIdentity {
        ProviderIdentity {
            issuer: fake.issuer(),
            subject: "248289761001".to_owned(),
            email: Some("robert@example.org".to_owned()),
            email_verified: true,
            name: Some("Robert Bresson".to_owned()),
        }
    }

    #[tokio::test]
    async fn a_person_signs_in_at_the_provider() {
        let fake = FakeIdentityProvider::new();
        let provider = provider(&fake);
        assert_eq!(signed_in(&provider, &fake).await, Ok(robert(&fake)));
        assert_eq!(signed_in(&provider, &fake).await, Ok(robert(&fake)));
        let description = "GET /.well-known/openid-configuration".to_owned();
        let asked = fake.asked();
        let times = asked.iter().filter(|asked| **asked == description).count();
        assert_eq!(times, 1, "{asked:?}");
        assert_eq!(provider.name(), "127.0.0.1");
    }

    #[tokio::test]
    async fn each_sign_in_has_secrets_of_its_own_which_are_not_shown() {
        let fake = FakeIdentityProvider::new();
        let provider = provider(&fake);
        let (one, other) = (
            provider.begin(BACK).await.unwrap(),
            provider.begin(BACK).await.unwrap(),
        );
        assert_ne!(one.state, other.state);
        assert_ne!(one.nonce, other.nonce);
        assert_ne!(one.pkce_verifier, other.pkce_verifier);
        assert!(one.state.len() >= 22 && one.nonce.len() >= 22 && one.pkce_verifier.len() >= 43);
        assert!(!one.url.contains(&one.pkce_verifier), "{}", one.url);
        assert_eq!(format!("{one:?}"), "Begun(…)");
        let secret = FakeIdentityProvider::CLIENT_SECRET;
        assert!(!format!("{provider:?}").contains(secret) && !one.url.contains("s3cret"));
    }

    #[tokio::test]
    async fn what_only_the_page_about_the_person_tells_is_asked_for() {
        let fake = FakeIdentityProvider::new();
        let provider = provider(&fake);
        fake.sign_in(FakePerson {
            only_at_userinfo: true,
            ..fake.person()
        });
        assert_eq!(signed_in(&provider, &fake).await, Ok(robert(&fake)));
        fake.set_fault(Some(IdentityFault::AnotherPersonAtUserinfo));
        let refused = signed_in(&provider, &fake).await;
        assert!(
            matches!(refused, Err(ProviderError::Refused(_))),
            "{refused:?}"
        );
        fake.set_fault(None);
        fake.sign_in(FakePerson {
            email: None,
            name: None,
            ..fake.person()
        });
        let nobody = ProviderIdentity {
            email: None,
            email_verified: false,
            name: None,
            ..robert(&fake)
        };
        assert_eq!(signed_in(&provider, &fake).await, Ok(nobody));
    }

    #[tokio::test]
    async fn what_cannot_be_an_address_or_a_name_is_left_out() {
        let fake = FakeIdentityProvider::new();
        let provider = provider(&fake);
        for email in [
            "",
            "robert",
            "@example.org",
            "a@b@c",
            "a b@example.org",
            "a@example.org\r\nBcc: b",
            &format!("{}@example.org", "x".repeat(255)),
        ] {
            fake.sign_in(FakePerson {
                email: Some(email.to_owned()),
                ..fake.person()
            });
            let identity = signed_in(&provider, &fake).await.unwrap();
            assert_eq!(
                (identity.email, identity.email_verified),
                (None, false),
                "{email}"
            );
        }
        fake.sign_in(FakePerson {
            is_email_verified: false,
            email: Some("r@example.org".to_owned()),
            name: Some(format!("\n{}", "é".repeat(1_000))),
            ..fake.person()
        });
        let identity = signed_in(&provider, &fake).await.unwrap();
        assert_eq!(identity.email.as_deref(), Some("r@example.org"));
        assert!(!identity.email_verified);
        assert_eq!(identity.name.unwrap().chars().count(), MAX_NAME);
        for subject in [String::new(), "x".repeat(256)] {
            fake.sign_in(FakePerson {
                subject,
                ..fake.person()
            });
            let refused = signed_in(&provider, &fake).await;
            assert!(
                matches!(refused, Err(ProviderError::Refused(_))),
                "{refused:?}"
            );
        }
    }

    #[tokio::test]
    async fn an_id_token_that_is_not_for_this_sign_in_is_refused() {
        let fake = FakeIdentityProvider::new();
        let provider = provider(&fake);
        for (fault, said) in [
            (IdentityFault::WrongIssuer, "another issuer"),
            (IdentityFault::WrongAudience, "another client"),
            (IdentityFault::WrongNonce, "another sign-in"),
            (IdentityFault::NoNonce, "another sign-in"),
            (IdentityFault::Expired, "expired"),
            (IdentityFault::WrongSignature, "signature"),
            (IdentityFault::Unsigned, "ID token"),
            (IdentityFault::SignedBySecret, "signature"),
            (IdentityFault::NoIdToken, "no ID token"),
            (IdentityFault::RefusesCode, "invalid_grant"),
        ] {
            fake.set_fault(Some(fault));
            let refused = signed_in(&provider, &fake).await;
            let Err(ProviderError::Refused(reason)) = &refused else {
                panic!("{fault:?}: {refused:?}");
            };
            assert!(reason.contains(said), "{fault:?}: {reason}");
        }
        fake.set_fault(None);
        assert!(signed_in(&provider, &fake).await.is_ok());
    }

    #[tokio::test]
    async fn a_sign_in_ends_only_with_what_it_began_with() {
        let fake = FakeIdentityProvider::new();
        let provider = provider(&fake);
        let begun = provider.begin(BACK).await.unwrap();
        let other = provider.begin(BACK).await.unwrap();
        let refused = async |code: &str, nonce: &str, verifier: &str, back: &str| {
            let ended = provider.end(code, nonce, verifier, back).await;
            assert!(matches!(ended, Err(ProviderError::Refused(_))), "{ended:?}");
        };
        let (code, _) = visited(&fake, &begun);
        refused(&code, &begun.nonce, &other.pkce_verifier, BACK).await;
        let (code, _) = visited(&fake, &begun);
        refused(&code, &begun.nonce, "", BACK).await;
        let (code, _) = visited(&fake, &begun);
        refused(&code, &other.nonce, &begun.pkce_verifier, BACK).await;
        let (code, _) = visited(&fake, &begun);
        refused(
            &code,
            &begun.nonce,
            &begun.pkce_verifier,
            "https://films.example.org/other",
        )
        .await;
        let (code, _) = visited(&fake, &begun);
        let ended = provider
            .end(&code, &begun.nonce, &begun.pkce_verifier, BACK)
            .await;
        assert!(ended.is_ok(), "{ended:?}");
        // A code counts once.
        refused(&code, &begun.nonce, &begun.pkce_verifier, BACK).await;
        refused("invented", &begun.nonce, &begun.pkce_verifier, BACK).await;
        for code in [String::new(), "x".repeat(MAX_GIVEN + 1)] {
            let ended = provider
                .end(&code, &begun.nonce, &begun.pkce_verifier, BACK)
                .await;
            assert!(
                matches!(ended, Err(ProviderError::BadRequest(_))),
                "{ended:?}"
            );
        }
        let begun = provider.begin("no address").await;
        assert!(matches!(begun, Err(ProviderError::BadRequest(_))));
    }

    #[tokio::test]
    async fn a_provider_that_is_unavailable_or_makes_no_sense_is_waited_for_no_longer_than_it_should()
     {
        let fake = FakeIdentityProvider::absent();
        let mut provider = provider(&fake);
        let unavailable = async |provider: &Provider, what: &str| {
            let begun = provider.begin(BACK).await;
            let Err(ProviderError::Unavailable(reason)) = begun else {
                panic!("{what}: {begun:?}");
            };
            let is_too_long = reason.contains("more than");
            assert_eq!(is_too_long, what == "AnswersHugely", "{what}: {reason}");
            assert!(
                reason.len() <= 400 && !reason.contains('\n'),
                "{what}: {reason}"
            );
        };
        unavailable(&provider, "absent").await;
        fake.serve();
        for fault in [
            IdentityFault::Hangs,
            IdentityFault::AnswersHugely,
            IdentityFault::Fails,
            IdentityFault::Redirects,
            IdentityFault::Babbles,
            IdentityFault::DescribesAnother,
            IdentityFault::SendsToPlainHttp,
        ] {
            provider.http.deadline = match fault {
                IdentityFault::Hangs => Duration::from_millis(200),
                _ => Duration::from_secs(5),
            };
            fake.set_fault(Some(fault));
            unavailable(&provider, &format!("{fault:?}")).await;
            *provider.known.lock().await = None;
        }
        fake.set_fault(None);
        assert!(!fake.asked().contains(&"GET /elsewhere".to_owned()));
        let begun = provider.begin(BACK).await.unwrap();
        for fault in [
            IdentityFault::AnswersHugely,
            IdentityFault::Fails,
            IdentityFault::Redirects,
            IdentityFault::Babbles,
        ] {
            let (code, _) = visited(&fake, &begun);
            fake.set_fault(Some(fault));
            let ended = provider
                .end(&code, &begun.nonce, &begun.pkce_verifier, BACK)
                .await;
            assert!(
                matches!(ended, Err(ProviderError::Unavailable(_))),
                "{fault:?}: {ended:?}"
            );
        }
    }

    #[tokio::test]
    async fn a_provider_has_its_certificate_of_an_authority_that_is_trusted() {
        let folder = TempDir::new().unwrap();
        let [ours, others] = [FakeAuthority::new(), FakeAuthority::new()];
        let file = |name: &str, authority: &FakeAuthority| {
            let path = folder.path().join(name);
            fs::write(&path, authority.pem()).unwrap();
            path
        };
        let fake = FakeIdentityProvider::with_tls(&ours);
        let begin = async |oidc_ca_file| {
            let settings = ProviderSettings {
                oidc_ca_file,
                ..settings(&fake.issuer())
            };
            let provider = Provider::new(&settings).unwrap().unwrap();
            let begun = provider.begin(BACK).await?;
            let (code, _) = visited(&fake, &begun);
            let (nonce, verifier) = (&begun.nonce, &begun.pkce_verifier);
            provider.end(&code, nonce, verifier, BACK).await
        };
        for file in [None, Some(file("others.pem", &others))] {
            let refused = begin(file).await;
            let Err(ProviderError::Unavailable(reason)) = refused else {
                panic!("{refused:?}");
            };
            assert!(reason.contains("certificate"), "{reason}");
        }
        assert_eq!(fake.asked(), [""; 0]);
        let identity = begin(Some(file("ours.pem", &ours))).await.unwrap();
        assert_eq!(identity.subject, fake.person().subject);
        let settings = ProviderSettings {
            oidc_ca_file: Some(folder.path().join("none.pem")),
            ..settings(&fake.issuer())
        };
        assert_eq!(Provider::new(&settings).unwrap_err().flag, "oidc-ca-file");
    }

    #[tokio::test]
    async fn new_keys_are_asked_for_but_not_by_every_unknown_one() {
        let fake = FakeIdentityProvider::new();
        let mut provider = provider(&fake);
        assert!(signed_in(&provider, &fake).await.is_ok());
        fake.rotate_key();
        let refused = signed_in(&provider, &fake).await;
        assert!(
            matches!(&refused, Err(ProviderError::Refused(reason)) if reason.contains("unknown")),
            "{refused:?}"
        );
        let asked = fake.asked();
        let times = asked.iter().filter(|asked| *asked == "GET /jwks").count();
        assert_eq!(times, 1, "{asked:?}");
        provider.asked_again_after = Duration::ZERO;
        assert_eq!(signed_in(&provider, &fake).await, Ok(robert(&fake)));
    }

    #[test]
    fn the_settings_belong_together() {
        let whole = settings("https://login.example.org/realms/home");
        let read = |settings: ProviderSettings| {
            let provider = Provider::new(&settings).map_err(|bad| bad.flag)?;
            Ok(provider.map(|provider| provider.name().to_owned()))
        };
        let name = Some("login.example.org".to_owned());
        assert_eq!(read(whole.clone()), Ok(name));
        assert_eq!(read(ProviderSettings::default()), Ok(None));
        assert_eq!(
            read(ProviderSettings {
                oidc_client_id: None,
                ..whole.clone()
            }),
            Err("oidc-client-id")
        );
        assert_eq!(
            read(ProviderSettings {
                oidc_issuer: None,
                ..whole.clone()
            }),
            Err("oidc-client-id")
        );
        assert_eq!(
            read(ProviderSettings {
                oidc_name: Some("x".repeat(41)),
                ..whole.clone()
            }),
            Err("oidc-name")
        );
        // A provider may know clients without a secret.
        assert!(
            read(ProviderSettings {
                oidc_client_secret: None,
                ..whole
            })
            .is_ok()
        );
    }
}
