//! What people and programs show to prove who they are. Two shapes: opaque secrets ([`secrets`]), of which the database has the hash
//! alone, and access tokens ([`access`]), which are signed and short-lived.

pub mod access;
pub mod secrets;

pub use self::{
    access::{Claims, PublicKey, Refused, SigningKey, jwks, sign, verify},
    secrets::{CredentialShape, SecretKind},
};
