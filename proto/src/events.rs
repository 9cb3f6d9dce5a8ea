//! The events on the bus: topics, JSON values, and the headers that carry what the values may not.

use serde::Deserialize;

/// The topic of [`RecommendationStatus`] events; over NATS, the subject.
pub const STATUS_TOPIC: &str = "film_recommendation_status_updates";

/// The consumer group in which catalogs read [`STATUS_TOPIC`].
pub const STATUS_GROUP: &str = "catalog_service_group";

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
}
