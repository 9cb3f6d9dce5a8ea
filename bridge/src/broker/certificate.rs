//! The names in a client's certificate, by which it may be one of the users (`verify_and_map`).
//!
//! The certificate was verified before; it is only read here.

use x509_parser::prelude::{FromDer, GeneralName, ParsedExtension, X509Certificate, X509Name};

/// The names in the order in which they count: addresses of mail, host names, URIs, and the subject as in `CN=name,O=organization`.
pub(super) fn names(der: &[u8]) -> Vec<String> {
    let Ok((_, certificate)) = X509Certificate::from_der(der) else {
        return Vec::new();
    };
    let (mut mail, mut hosts, mut uris) = (Vec::new(), Vec::new(), Vec::new());
    for extension in certificate.extensions() {
        let ParsedExtension::SubjectAlternativeName(alternatives) = extension.parsed_extension()
        else {
            continue;
        };
        for name in &alternatives.general_names {
            match name {
                GeneralName::RFC822Name(name) => mail.push((*name).to_owned()),
                GeneralName::DNSName(name) => hosts.push((*name).to_owned()),
                GeneralName::URI(name) => uris.push((*name).to_owned()),
                _ => {}
            }
        }
    }
    let subject = subject(certificate.subject());
    [mail, hosts, uris, subject.into_iter().collect()].concat()
}

// The last part first, as names are written since LDAP.
fn subject(name: &X509Name<'_>) -> Option<String> {
    let mut parts: Vec<String> = name.to_string().split(", ").map(str::to_owned).collect();
    parts.reverse();
    Some(parts.join(",")).filter(|subject| !subject.is_empty())
}

/// Whether a user's name is that of a certificate's subject, in whatever order its parts are.
pub(super) fn is_same_subject(user: &str, name: &str) -> bool {
    let parts = |text: &str| {
        let mut parts: Vec<String> = text.split(',').map(|part| part.trim().to_owned()).collect();
        parts.sort_unstable();
        parts
    };
    user.contains('=') && name.contains('=') && parts(user) == parts(name)
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, DnType, KeyPair, SanType};

    use super::*;

    #[test]
    fn the_names_of_a_certificate_come_in_their_order() {
        let mut params = CertificateParams::new(vec!["host.example".to_owned()]).unwrap();
        let mail = "a@example".try_into().unwrap();
        params.subject_alt_names.push(SanType::Rfc822Name(mail));
        params.distinguished_name = rcgen::DistinguishedName::new();
        params
            .distinguished_name
            .push(DnType::OrganizationName, "o");
        params.distinguished_name.push(DnType::CommonName, "c");
        let certificate = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
        let names = names(certificate.der());
        assert_eq!(names, ["a@example", "host.example", "CN=c,O=o"]);
        assert!(is_same_subject("CN=c,O=o", &names[2]));
        assert!(is_same_subject("O=o, CN=c", &names[2]));
        assert!(!is_same_subject("CN=c", &names[2]));
        assert!(super::names(b"no certificate").is_empty());
    }
}
