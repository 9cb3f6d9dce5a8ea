//! Signing in at an identity provider, by OpenID Connect: the provider is found by its issuer, the browser is sent to it, and what it comes
//! back with is exchanged for who the person is. The code flow with PKCE and a nonce; only ID tokens that are signed by a key of the provider.
//!
//! Who a person is, is issuer and subject. An e-mail address is what a provider says, and never proves that an account is somebody's.

mod http;
mod provider;
mod settings;

pub use self::{
    provider::{Begun, PROVIDER_ID, Provider, ProviderError, ProviderIdentity},
    settings::{BadProviderSetting, ClientSecretSetting, IssuerSetting, ProviderSettings},
};
