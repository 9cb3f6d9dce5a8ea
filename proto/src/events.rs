//! The events on the bus: topics, JSON values, and the headers that carry what the values may not.

use serde::Deserialize;

/// The topic of [`RecommendationStatus`] events; over NATS, the subject.
pub const STATUS_TOPIC: &str = "film_recommendation_status_updates";

/// The consumer group in which catalogs read [`STATUS_TOPIC`].
pub const STATUS_GROUP: &str = "catalog_service_group";

/// The topic of what happens to accounts that other services have to know; the value of each event is an [`AccountDeleted`]. Its key
/// is the user id.
pub const ACCOUNTS_TOPIC: &str = "account_events";

/// The consumer group in which recommendations reads [`ACCOUNTS_TOPIC`].
pub const ACCOUNTS_GROUP: &str = "recommendations_accounts";

/// Header: the version of the event among those of its key, a decimal integer that grows. An event
/// without it comes from an older peer and is applied as it stands.
pub const VERSION_HEADER: &str = "marquee-version";

/// Header of a dead letter: why it could not be processed.
pub const REASON_HEADER: &str = "marquee-reason";

/// The topic that takes what could not be processed from `topic`.
pub fn dead_letter_topic(topic: &str) -> String {
    format!("{topic}.dlq")
}

/// Whether at least one user is recommended a film: the value of a [`STATUS_TOPIC`] event, whose
/// key is the film's id.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct RecommendationStatus {
    /// The film's UUID, as its catalog gave it.
    pub film_id: String,
    /// True while the film is recommended to any user.
    pub is_recommended: bool,
}

impl RecommendationStatus {
    /// The event's value: JSON of exactly the two fields, spaced as old producers space it.
    pub fn to_payload(&self) -> Vec<u8> {
        let film_id = serde_json::Value::from(self.film_id.as_str());
        format!(
            r#"{{"film_id": {film_id}, "is_recommended": {}}}"#,
            self.is_recommended
        )
        .into_bytes()
    }

    /// Reads an event's value.
    ///
    /// # Errors
    ///
    /// If it is no JSON object with a string `film_id` and a boolean `is_recommended`. Fields that
    /// are not known are passed over.
    pub fn from_payload(payload: &[u8]) -> Result<Self, serde_json::Error> {
        let fields: serde_json::Map<String, serde_json::Value> = serde_json::from_slice(payload)?;
        serde_json::from_value(fields.into())
    }
}

/// An account is gone, and with it all that is the person's in any service: the value of an [`ACCOUNTS_TOPIC`] event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AccountDeleted {
    /// Whose it was. The id is not given again.
    pub user_id: i32,
}

impl AccountDeleted {
    const TYPE: &str = "account_deleted";

    /// The event's value.
    pub fn to_payload(&self) -> Vec<u8> {
        format!(
            r#"{{"type": "{}", "user_id": {}}}"#,
            Self::TYPE,
            self.user_id
        )
        .into_bytes()
    }

    /// Reads an event's value. An event of another type, which a newer release may publish, is none.
    ///
    /// # Errors
    ///
    /// If it is no JSON object with a string `type`, or one of this type without a number `user_id`. Fields that are not known are
    /// passed over.
    pub fn from_payload(payload: &[u8]) -> Result<Option<Self>, serde_json::Error> {
        #[derive(Deserialize)]
        struct Typed {
            r#type: String,
        }
        #[derive(Deserialize)]
        struct Fields {
            user_id: i32,
        }
        let fields: serde_json::Map<String, serde_json::Value> = serde_json::from_slice(payload)?;
        let value = serde_json::Value::from(fields);
        let typed = Typed::deserialize(&value)?;
        if typed.r#type != Self::TYPE {
            return Ok(None);
        }
        let Fields { user_id } = Fields::deserialize(&value)?;
        Ok(Some(Self { user_id }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_payload_is_what_old_consumers_expect_to_the_byte() {
        let event = RecommendationStatus {
            film_id: "6f9619ff-8b86-d011-b42d-00c04fc964ff".into(),
            is_recommended: true,
        };
        let payload =
            br#"{"film_id": "6f9619ff-8b86-d011-b42d-00c04fc964ff", "is_recommended": true}"#;
        assert_eq!(event.to_payload(), payload);
        assert_eq!(RecommendationStatus::from_payload(payload).unwrap(), event);
    }

    #[test]
    fn a_payload_with_missing_or_mistyped_fields_is_refused() {
        for payload in [
            "",
            "null",
            "[]",
            "{}",
            "{",
            r#"["a", true]"#,
            r#"{"film_id": "a"}"#,
            r#"{"is_recommended": true}"#,
            r#"{"film_id": 1, "is_recommended": true}"#,
            r#"{"film_id": "a", "is_recommended": "true"}"#,
            r#"{"film_id": "a", "is_recommended": null}"#,
        ] {
            assert!(
                RecommendationStatus::from_payload(payload.as_bytes()).is_err(),
                "{payload}"
            );
        }
    }

    #[test]
    fn a_payload_with_further_fields_is_read() {
        let payload = br#"{"is_recommended":false,"film_id":"a","source":"new"}"#;
        let event = RecommendationStatus::from_payload(payload).unwrap();
        assert!(!event.is_recommended);
    }

    #[test]
    fn a_deleted_account_is_told_in_these_bytes() {
        let event = AccountDeleted { user_id: 7 };
        let payload = br#"{"type": "account_deleted", "user_id": 7}"#;
        assert_eq!(event.to_payload(), payload);
        let read = |payload: &[u8]| AccountDeleted::from_payload(payload);
        assert_eq!(read(payload).unwrap(), Some(event));
        let more = br#"{"user_id":7,"type":"account_deleted","at":"today"}"#;
        assert_eq!(read(more).unwrap(), Some(event));
        assert_eq!(read(br#"{"type": "account_renamed"}"#).unwrap(), None);
        for wrong in [
            "",
            "[]",
            "{}",
            r#"["account_deleted", 7]"#,
            r#"{"type": 1, "user_id": 7}"#,
            r#"{"type": "account_deleted"}"#,
            r#"{"type": "account_deleted", "user_id": "7"}"#,
            r#"{"type": "account_deleted", "user_id": 2147483648}"#,
        ] {
            assert!(read(wrong.as_bytes()).is_err(), "{wrong}");
        }
    }
}
