//! The clusters that a message came through, in their order, in the header `Marquee-Relay-Path`. It ends loops: where
//! both directions share names, a message would otherwise go round for ever.

use super::mapping::MappingError;

/// Header: the ids of the clusters that a message came through, separated by commas.
pub(super) const PATH_HEADER: &str = "Marquee-Relay-Path";
/// The most clusters of a path.
const MAX_CLUSTERS: usize = 16;
/// The most bytes of a path that is taken in.
const MAX_BYTES: usize = 2_048;
/// The most bytes of a cluster's id.
pub(super) const MAX_ID_BYTES: usize = 100;

/// Whether a text can be the id of a cluster.
pub(super) fn is_cluster_id(text: &str) -> bool {
    let is_legal = |byte: u8| byte.is_ascii_graphic() && byte != b',';
    (1..=MAX_ID_BYTES).contains(&text.len()) && text.bytes().all(is_legal)
}

/// The path with `source` at its end. None if the message has been in `source` or `target` before.
pub(super) fn extended(
    path: Option<&str>,
    source: &str,
    target: &str,
) -> Result<Option<String>, MappingError> {
    let Some(path) = path.filter(|path| !path.is_empty()) else {
        return Ok((source != target).then(|| source.to_owned()));
    };
    if path.len() > MAX_BYTES || !path.split(',').all(is_cluster_id) {
        return Err(MappingError::Path("it is no list of clusters"));
    }
    if path.split(',').any(|id| id == source || id == target) {
        return Ok(None);
    }
    if path.split(',').count() >= MAX_CLUSTERS {
        return Err(MappingError::Path("it has 16 clusters already"));
    }
    Ok(Some(format!("{path},{source}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_visits_a_cluster_once() {
        let extended = |path: &str| extended(Some(path), "a", "b").unwrap();
        assert_eq!(extended("").as_deref(), Some("a"));
        assert_eq!(extended("x").as_deref(), Some("x,a"));
        assert_eq!(extended("ab,ba").as_deref(), Some("ab,ba,a"));
        for path in ["b", "x,b", "a", "a,x"] {
            assert_eq!(extended(path), None, "{path}");
        }
    }

    #[test]
    fn a_path_has_a_bound_and_only_ids() {
        let long = vec!["x"; MAX_CLUSTERS].join(",");
        for path in [long.as_str(), "x,,y", "x y", "é", &"x".repeat(101)] {
            extended(Some(path), "a", "b").unwrap_err();
        }
    }
}
