//! The names in a client's certificate, by which it may be one of the users (`verify_and_map`).
//!
//! The certificate was verified before; it is only read here.

use x509_parser::prelude::{FromDer, GeneralName, ParsedExtension, X509Certificate};

use super::distinguished_name::DistinguishedName;

/// The names in a certificate.
#[derive(Debug, Default)]
pub(super) struct CertificateNames {
    /// Addresses of mail, then host names, then URIs; they count in this order, and before the subject.
    pub(super) alternatives: Vec<String>,
    pub(super) subject: Option<DistinguishedName>,
}

/// The names in a certificate; none if it is no certificate.
pub(super) fn names(der: &[u8]) -> CertificateNames {
    let Ok((_, certificate)) = X509Certificate::from_der(der) else {
        return CertificateNames::default();
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
    CertificateNames {
        alternatives: [mail, hosts, uris].concat(),
        subject: DistinguishedName::of(certificate.subject()),
    }
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
        params.distinguished_name.push(DnType::CommonName, "c, d");
        let certificate = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
        let names = names(certificate.der());
        assert_eq!(names.alternatives, ["a@example", "host.example"]);
        assert_eq!(names.subject, DistinguishedName::parse(r"CN=c\, d,O=o"));
        assert!(super::names(b"no certificate").subject.is_none());
    }

    #[test]
    fn a_value_that_looks_like_two_parts_is_one() {
        let mut params = CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        let name = "admin, O=o";
        params.distinguished_name.push(DnType::CommonName, name);
        let certificate = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
        let subject = names(certificate.der()).subject.unwrap();
        let user = |name| DistinguishedName::parse(name).unwrap();
        assert!(!subject.has_parts_of(&user("CN=admin,O=o")));
        assert!(subject.has_parts_of(&user(r"CN=admin\, O=o")));
    }
}
