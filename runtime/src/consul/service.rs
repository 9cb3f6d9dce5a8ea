//! A service as Consul knows it: what `consul://films?tag=v1&dc=east` stands for.

use std::fmt;

/// What the address of a service that Consul knows begins with.
const SCHEME: &str = "consul://";
/// The longest name that is accepted.
const MAX_LEN: usize = 128;

/// A service in Consul: its name and, if only some of its instances are meant, their tag, and the datacenter if it is not that of the agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ConsulService {
    name: String,
    tag: Option<String>,
    datacenter: Option<String>,
}

impl ConsulService {
    /// Reads an address; `None` if it is none of Consul.
    ///
    /// # Errors
    ///
    /// A sentence that says what is accepted.
    pub(crate) fn parse(text: &str) -> Option<Result<Self, String>> {
        let text = text.trim().strip_prefix(SCHEME)?;
        let wanted = || {
            "the name of a service is needed, as in `consul://films`, to which ?tag=… and &dc=… may be added".to_owned()
        };
        Some(Self::parts(text).ok_or_else(wanted))
    }

    fn parts(text: &str) -> Option<Self> {
        let (name, query) = match text.split_once('?') {
            Some((name, query)) => (name, Some(query)),
            None => (text, None),
        };
        let mut service = Self {
            name: plain(name)?,
            tag: None,
            datacenter: None,
        };
        for pair in query.into_iter().flat_map(|query| query.split('&')) {
            let (key, value) = pair.split_once('=')?;
            let part = match key {
                "tag" => &mut service.tag,
                "dc" => &mut service.datacenter,
                _ => return None,
            };
            if part.replace(plain(value)?).is_some() {
                return None;
            }
        }
        Some(service)
    }

    /// The name.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// What is asked of Consul for the instances whose checks all pass.
    pub(super) fn query(&self) -> String {
        let mut query = format!("/v1/health/service/{}?passing=true", self.name);
        for (key, value) in self.parameters() {
            query.push_str(&format!("&{key}={value}"));
        }
        query
    }

    fn parameters(&self) -> impl Iterator<Item = (&'static str, &String)> {
        let both = [("tag", &self.tag), ("dc", &self.datacenter)];
        both.into_iter()
            .filter_map(|(key, value)| Some((key, value.as_ref()?)))
    }
}

/// A name that means the same in a path and in a query.
fn plain(name: &str) -> Option<String> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    let is_name = !name.is_empty() && name.len() <= MAX_LEN && name.bytes().all(is_plain);
    is_name.then(|| name.to_owned())
}

impl fmt::Display for ConsulService {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{SCHEME}{}", self.name)?;
        for (index, (key, value)) in self.parameters().enumerate() {
            let mark = if index == 0 { '?' } else { '&' };
            write!(f, "{mark}{key}={value}")?;
        }
        Ok(())
    }
}
