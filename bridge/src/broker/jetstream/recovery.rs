//! Recovering the streams of a data folder from their logs.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use super::duplicates::KnownIds;
use super::json;
use super::state::State;
use crate::broker::store::folder::{Folder, set_aside};
use crate::broker::store::log::Log;
use crate::broker::{BrokerError, Retention};

/// What the streams of a broker are made and recovered with.
#[derive(Clone, Debug)]
pub(super) struct Recovery {
    pub(super) segment_bytes: u64,
    pub(super) retention: Retention,
    pub(super) known_ids: Arc<KnownIds>,
}

#[cfg(any(test, feature = "fuzzing"))]
impl Default for Recovery {
    fn default() -> Self {
        Recovery {
            segment_bytes: 1 << 20,
            retention: Retention::UNLIMITED,
            known_ids: Arc::default(),
        }
    }
}

/// Locks the data folder and recovers every stream in it.
pub(super) fn recover_all(
    data_dir: &Path,
    recovery: &Recovery,
) -> Result<(Folder, Vec<(State, Log)>), BrokerError> {
    let folder = Folder::open(data_dir)?;
    let mut streams = Vec::new();
    for dir in folder.stream_dirs()? {
        let recovered = recover(dir.clone(), recovery);
        streams.extend(recovered.map_err(|source| BrokerError::DataDir { path: dir, source })?);
    }
    Ok((folder, streams))
}

/// Replays one stream's log; `None` when there is no stream in it, whose name is free then.
pub(super) fn recover(dir: PathBuf, recovery: &Recovery) -> io::Result<Option<(State, Log)>> {
    recover_at(dir, recovery, Instant::now(), json::now())
}

/// The same as of a time, in nanoseconds since 1970.
pub(super) fn recover_at(
    dir: PathBuf,
    recovery: &Recovery,
    now: Instant,
    time: i64,
) -> io::Result<Option<(State, Log)>> {
    let mut state: Option<State> = None;
    let log = Log::open(
        dir.clone(),
        recovery.segment_bytes,
        |position, record, replay| match &mut state {
            Some(state) => state.replay(position, record, replay, now),
            None => state = State::from_snapshot(&record, now, recovery),
        },
    )?;
    match state {
        Some(mut state) => {
            state.end_replay();
            state.expire(time);
            Ok(Some((state, log)))
        }
        None => {
            tracing::error!(dir = %dir.display(), "setting aside a folder from which no stream can be recovered");
            drop(log);
            set_aside(&dir)?;
            Ok(None)
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use bytes::{Bytes, BytesMut};
    use serde_json::json;

    use super::super::json::SECOND;
    use super::super::state::{Change, to_json};
    use super::super::stream_config::StreamConfig;
    use super::*;
    use crate::broker::headers;
    use crate::broker::store::log::Opening;
    use crate::broker::store::record::{self, Record, StoredMessage};

    fn names(folder: &Folder) -> Vec<String> {
        let entries = fs::read_dir(folder.stream_dir("")).unwrap();
        let mut names: Vec<_> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn a_stream_whose_folder_holds_none_can_be_made_again() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::open(dir.path()).unwrap();
        fs::create_dir(folder.stream_dir("empty")).unwrap();
        fs::create_dir(folder.stream_dir("half.creating")).unwrap();
        fs::create_dir(folder.stream_dir("torn")).unwrap();
        fs::write(folder.stream_dir("torn").join("0000000000000001.log"), b"x").unwrap();
        drop(folder);
        let (folder, streams) = recover_all(dir.path(), &Recovery::default()).unwrap();
        assert!(streams.is_empty());
        let left = names(&folder);
        assert_eq!(left.len(), 1, "{left:?}");
        assert!(left[0].starts_with("torn.unusable-"), "{left:?}");
        for name in ["empty", "half", "torn"] {
            let dir = folder.stream_dir(name);
            Log::create(dir.clone(), 1 << 20, Opening::default()).unwrap();
            assert!(Log::create(dir, 1 << 20, Opening::default()).is_err());
        }
        assert_eq!(names(&folder), ["empty", "half", "torn", &left[0]]);
    }

    fn message(seq: u64, seconds: i64) -> Record {
        Record::Message(StoredMessage {
            seq,
            time: seconds * SECOND,
            subject: "S".into(),
            headers: headers::with_status("", &[("Nats-Msg-Id", &seq.to_string())]),
            payload: Bytes::new(),
        })
    }

    /// Writes a log of these records.
    fn write(dir: PathBuf, state: &State, records: &[Record]) {
        let mut log = Log::create(dir, 1 << 20, state.opening()).unwrap();
        let mut bytes = BytesMut::new();
        for record in records {
            record::encode(&mut bytes, record);
        }
        let written = log.write(bytes.freeze(), Opening::default).run().unwrap();
        log.finish(written);
    }

    #[test]
    fn the_ids_of_all_streams_that_are_recovered_have_one_bound() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::open(dir.path()).unwrap();
        let records: Vec<_> = (1..=400).map(|seq| message(seq, 1000)).collect();
        for name in ["A", "B", "C"] {
            let config = json!({"name": name, "duplicate_window": i64::MAX});
            let config: StreamConfig = json::parse(config.to_string().as_bytes()).unwrap();
            let state = State::new(config, 0, &Recovery::default());
            write(folder.stream_dir(name), &state, &records);
        }
        drop(folder);
        let recovery = Recovery {
            known_ids: Arc::new(KnownIds::up_to(500)),
            ..Recovery::default()
        };
        let (_folder, streams) = recover_all(dir.path(), &recovery).unwrap();
        let counts = streams.iter().map(|(state, _)| state.duplicates.len());
        assert_eq!(counts.collect::<Vec<_>>(), [400, 100, 100]);
        for (state, _) in &streams {
            assert_eq!(state.duplicates.find("400"), Some(400));
        }
    }

    #[test]
    fn ids_are_known_for_as_long_as_the_window_says_that_came_later() {
        let window = |seconds: i64| {
            let config = json!({"name": "S", "duplicate_window": seconds * SECOND});
            let config: StreamConfig = json::parse(config.to_string().as_bytes()).unwrap();
            config.checked().unwrap()
        };
        let records = [
            message(1, 1000),
            Record::Skipped {
                seq: 2,
                time: 1060 * SECOND,
                id: "2".into(),
            },
            message(3, 1060),
            Record::Change(to_json(&Change::Configured(Box::new(window(3600))))),
            message(4, 1070),
        ];
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path().join("S");
        let state = State::new(window(30), 0, &Recovery::default());
        write(dir.clone(), &state, &records);
        for _ in 0..2 {
            let now = Instant::now();
            let found = recover_at(dir.clone(), &Recovery::default(), now, 2000 * SECOND);
            let (state, mut log) = found.unwrap().unwrap();
            let known = ["1", "2", "3", "4"].map(|id| state.duplicates.find(id));
            assert_eq!(known, [None, Some(2), Some(3), Some(4)]);
            // The next time they are in a segment before the last.
            log.end_segment();
            let written = log.write(Bytes::new(), || state.opening()).run().unwrap();
            log.finish(written);
        }
    }
}
