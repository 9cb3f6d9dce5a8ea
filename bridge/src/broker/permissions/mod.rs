//! What the user of a client may do: checked at each publish and subscription, and once more at each delivery to a
//! subscription that could otherwise show a denied subject.
//!
//! A user who may do everything has none of these, so that a broker without permissions pays nothing for them.

mod client;
mod replies;

use std::sync::Arc;

use super::access::{AccessError, Permissions, Responses, SubjectList};
use super::subjects::{self, SubjectTrie};

pub(super) use client::{ClientPermissions, GuardSlot};

/// The permissions of one user, ready to be checked.
#[derive(Debug)]
pub(super) struct UserPermissions {
    publish_allow: Option<SubjectTrie<()>>,
    publish_deny: SubjectTrie<()>,
    /// The same as lists, for what concerns many subjects at once.
    publish: SubjectList,
    subscribe_allow: Option<Vec<Entry>>,
    subscribe_deny: Vec<Entry>,
    /// The same as the list, to be searched at each delivery.
    deny_by_subject: SubjectTrie<Option<Box<str>>>,
    responses: Option<Responses>,
}

/// A subject of a list about subscriptions, for all of them or for those in a queue group alone.
#[derive(Debug)]
struct Entry {
    subject: Box<str>,
    queue: Option<Box<str>>,
}

impl UserPermissions {
    /// The permissions that are set; `None` when they allow everything.
    pub(super) fn new(set: &Permissions) -> Result<Option<Arc<Self>>, AccessError> {
        let restricts = |list: &SubjectList| list.allow.is_some() || !list.deny.is_empty();
        if !restricts(&set.publish) && !restricts(&set.subscribe) && set.allow_responses.is_none() {
            return Ok(None);
        }
        let nothing = Vec::new();
        let responses = set.allow_responses.map(with_defaults);
        // Who may only answer may publish nothing else.
        let publish_allow = set.publish.allow.as_ref().or(responses.map(|_| &nothing));
        let subscribe_deny = entries(&set.subscribe.deny)?;
        let mut deny_by_subject = SubjectTrie::default();
        for entry in &subscribe_deny {
            deny_by_subject.insert(&entry.subject, entry.queue.clone());
        }
        // An empty list of subscriptions denies nothing, as with nats-server.
        let subscribe_allow = set.subscribe.allow.as_ref().filter(|list| !list.is_empty());
        Ok(Some(Arc::new(UserPermissions {
            publish_allow: publish_allow.map(|list| trie(list)).transpose()?,
            publish_deny: trie(&set.publish.deny)?,
            publish: set.publish.clone(),
            subscribe_allow: subscribe_allow.map(|list| entries(list)).transpose()?,
            subscribe_deny,
            deny_by_subject,
            responses,
        })))
    }

    fn may_publish(&self, subject: &str) -> bool {
        self.publish_allow
            .as_ref()
            .is_none_or(|allow| allow.has_match(subject))
            && !self.publish_deny.has_match(subject)
    }

    /// Whether the user may publish on each subject that matches a pattern.
    fn may_publish_on_all(&self, pattern: &str) -> bool {
        let allowed = match &self.publish.allow {
            Some(allow) => allow
                .iter()
                .any(|allowed| subjects::is_subset(pattern, allowed)),
            None => self.responses.is_none(),
        };
        let mut denied = self.publish.deny.iter();
        allowed && !denied.any(|denied| subjects::overlap(denied, pattern))
    }

    fn may_subscribe(&self, subject: &str, queue: Option<&str>) -> bool {
        let allowed = match &self.subscribe_allow {
            None => true,
            Some(allow) => {
                let covering = |entry: &&Entry| subjects::is_subset(subject, &entry.subject);
                let names_groups = allow
                    .iter()
                    .filter(covering)
                    .any(|entry| entry.queue.is_some());
                allow.iter().filter(covering).any(|entry| {
                    match (queue, &entry.queue) {
                        // Where groups are named, no other group is allowed.
                        (Some(_), None) => !names_groups,
                        (Some(queue), Some(allowed)) => is_group(queue, allowed),
                        (None, queue) => queue.is_none(),
                    }
                })
            }
        };
        allowed
            && !self.subscribe_deny.iter().any(|entry| {
                subjects::matches(&entry.subject, subject) && concerns(&entry.queue, queue)
            })
    }

    /// Whether a subscription could show a message that the user may not see.
    fn could_show_denied(&self, subject: &str, queue: Option<&str>) -> bool {
        (queue.is_some() || subjects::has_wildcard(subject))
            && self
                .subscribe_deny
                .iter()
                .any(|entry| subjects::overlap(&entry.subject, subject))
    }

    /// Whether there are subjects that the user may not hear of.
    fn denies_subscriptions(&self) -> bool {
        !self.subscribe_deny.is_empty()
    }

    fn is_denied(&self, subject: &str, queue: Option<&str>) -> bool {
        let mut denied = false;
        self.deny_by_subject
            .for_each_match(subject, &mut |group| denied |= concerns(group, queue));
        denied
    }
}

/// Whether an entry about `denied` is about a subscription in `queue`.
fn concerns(denied: &Option<Box<str>>, queue: Option<&str>) -> bool {
    match (denied, queue) {
        (None, _) => true,
        (Some(denied), Some(queue)) => is_group(queue, denied),
        (Some(_), None) => false,
    }
}

// The names of groups may have wildcards, as subjects have.
fn is_group(queue: &str, wanted: &str) -> bool {
    queue == wanted || (subjects::has_wildcard(wanted) && subjects::is_subset(queue, wanted))
}

fn with_defaults(set: Responses) -> Responses {
    let default = Responses::default();
    Responses {
        max: if set.max == 0 { default.max } else { set.max },
        expires: if set.expires.is_zero() {
            default.expires
        } else {
            set.expires
        },
    }
}

fn trie(list: &[String]) -> Result<SubjectTrie<()>, AccessError> {
    let mut trie = SubjectTrie::default();
    for subject in list {
        if !subjects::is_valid_pattern(subject) {
            return Err(AccessError::Subject(subject.clone()));
        }
        trie.insert(subject, ());
    }
    Ok(trie)
}

fn entries(list: &[String]) -> Result<Vec<Entry>, AccessError> {
    list.iter()
        .map(|text| {
            let mut words = text.split_ascii_whitespace();
            let (subject, queue) = (words.next().unwrap_or_default(), words.next());
            if !subjects::is_valid_pattern(subject) || words.next().is_some() {
                return Err(AccessError::Subject(text.clone()));
            }
            Ok(Entry {
                subject: subject.into(),
                queue: queue.map(Into::into),
            })
        })
        .collect()
}

/// What a client is told that may not publish on a subject.
pub(super) fn publish_violation(subject: &str) -> String {
    format!("Permissions Violation for Publish to {subject:?}")
}

/// What a client is told that may not have a subscription.
pub(super) fn subscription_violation(subject: &str, queue: Option<&str>) -> String {
    let group = queue.map_or_else(String::new, |queue| format!(" using queue {queue:?}"));
    format!("Permissions Violation for Subscription to {subject:?}{group}")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn list(allow: Option<&[&str]>, deny: &[&str]) -> SubjectList {
        let owned =
            |subjects: &[&str]| subjects.iter().map(|subject| subject.to_string()).collect();
        SubjectList {
            allow: allow.map(owned),
            deny: owned(deny),
        }
    }

    fn client(set: Permissions) -> Arc<ClientPermissions> {
        ClientPermissions::new(UserPermissions::new(&set).unwrap().unwrap())
    }

    #[test]
    fn a_user_without_limits_has_no_permissions_to_check() {
        assert!(
            UserPermissions::new(&Permissions::default())
                .unwrap()
                .is_none()
        );
        for bad in ["", "a..b", "a b c", "a.>.b"] {
            let set = Permissions {
                subscribe: list(None, &[bad]),
                ..Permissions::default()
            };
            let error = UserPermissions::new(&set).unwrap_err();
            assert!(error.to_string().contains(bad), "{error}");
        }
    }

    // The same table was asked of nats-server 2.15.1. It differs in `foo.>`, which it allows under `foo.*`.
    #[test]
    fn subscriptions_are_allowed_and_denied_as_with_nats_server() {
        let client = client(Permissions {
            subscribe: list(
                Some(&["foo.*", "q.> g1", "r", "r g.*", "bar.>", "d.>"]),
                &["bar.no", "bar.x.*", "d.q qq"],
            ),
            ..Permissions::default()
        });
        for (subject, queue, expected) in [
            ("foo.*", None, true),
            ("foo.a", Some("any"), true),
            ("foo.>", None, false),
            ("*", None, false),
            (">", None, false),
            ("bar.*", None, true),
            ("bar.x.>", None, false),
            ("bar.x.*", None, false),
            ("bar.no", None, false),
            ("q.1", None, false),
            ("q.1", Some("g1"), true),
            ("q.1", Some("g2"), false),
            ("r", None, true),
            ("r", Some("g.x"), true),
            ("r", Some("h"), false),
            ("d.q", None, true),
            ("d.q", Some("qq"), false),
            ("d.q", Some("zz"), true),
            ("d.>", Some("qq"), true),
        ] {
            assert_eq!(
                client.may_subscribe(subject, queue),
                expected,
                "{subject} {queue:?}"
            );
        }
    }

    #[test]
    fn a_wide_subscription_does_not_show_what_is_denied() {
        let client = client(Permissions {
            subscribe: list(None, &["bar.no", "d.q qq"]),
            ..Permissions::default()
        });
        let wide = GuardSlot::new(client.guard("bar.*", None));
        assert!(!wide.hides("bar.yes", "bar.yes", None));
        assert!(wide.hides("bar.no", "bar.no", None));
        let group = GuardSlot::new(client.guard("d.>", Some("qq")));
        assert!(group.hides("d.q", "d.q", Some("qq")));
        assert!(!group.hides("d.q", "d.q", Some("zz")));
        assert!(!group.hides("d.r", "d.r", Some("qq")));
    }

    // As nats-server 2.15.1 does.
    #[test]
    fn what_a_stream_delivers_elsewhere_is_hidden_once_a_subscription_was_wide() {
        let client = client(Permissions {
            subscribe: list(None, &["secret.>"]),
            ..Permissions::default()
        });
        let literal = GuardSlot::new(client.guard("inbox", None));
        let narrow = GuardSlot::new(client.guard("other.*", None));
        assert!(!literal.hides("inbox", "secret.1", None));
        assert!(!narrow.hides("other.1", "secret.1", None));
        let wide = GuardSlot::new(client.guard(">", None));
        for (guard, subject) in [(&literal, "inbox"), (&narrow, "other.1"), (&wide, "x")] {
            assert!(guard.hides(subject, "secret.1", None), "{subject}");
            assert!(!guard.hides(subject, "open.1", None), "{subject}");
        }
        assert!(wide.hides("secret.1", "open.1", None));
    }

    #[test]
    fn publishing_is_allowed_and_denied() {
        let client = client(Permissions {
            publish: list(Some(&["foo.*", "bar.>"]), &["foo.no"]),
            ..Permissions::default()
        });
        for (subject, expected) in [
            ("foo.a", true),
            ("foo.no", false),
            ("bar.a.b", true),
            ("foo.a.b", false),
            ("nope", false),
        ] {
            assert_eq!(client.may_publish(subject), expected, "{subject}");
        }
    }

    #[test]
    fn answers_are_allowed_once_and_in_time() {
        let responder = client(Permissions {
            publish: list(None, &["secret"]),
            allow_responses: Some(Responses {
                max: 0,
                expires: Duration::ZERO,
            }),
            ..Permissions::default()
        });
        let guard = GuardSlot::new(responder.guard("requests", None));
        assert!(!responder.may_publish("other"), "it may only answer");
        assert!(guard.lets_through("requests", "requests", None, Some("reply.1")));
        assert!(responder.may_publish("reply.1"));
        assert!(!responder.may_publish("reply.1"));
    }
}
