//! Recovering the streams of a data folder from their logs.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Instant;

use super::json;
use super::state::State;
use crate::broker::BrokerError;
use crate::broker::store::folder::Folder;
use crate::broker::store::log::Log;

/// Locks the data folder and recovers every stream in it.
pub(super) fn recover_all(
    data_dir: &Path,
    segment_bytes: u64,
) -> Result<(Folder, Vec<(State, Log)>), BrokerError> {
    let folder = Folder::open(data_dir)?;
    let mut streams = Vec::new();
    for dir in folder.stream_dirs()? {
        let recovered = recover(dir.clone(), segment_bytes);
        streams.extend(recovered.map_err(|source| BrokerError::DataDir { path: dir, source })?);
    }
    Ok((folder, streams))
}

/// Replays one stream's log; `None` when its creation never finished.
fn recover(dir: PathBuf, segment_bytes: u64) -> io::Result<Option<(State, Log)>> {
    let now = Instant::now();
    let mut state: Option<State> = None;
    let log = Log::open(
        dir.clone(),
        segment_bytes,
        |position, record| match &mut state {
            Some(state) => state.replay(position, record, now),
            None => state = State::from_snapshot(&record, now),
        },
    )?;
    match state {
        Some(mut state) => {
            state.expire(json::now());
            Ok(Some((state, log)))
        }
        None => {
            tracing::warn!(dir = %dir.display(), "passing over a folder that holds no stream");
            Ok(None)
        }
    }
}
