//! How much memory and disk there is for streams where no setting says it: a share of what the machine, or the control group
//! that the process is in, has.

use std::fs;
use std::path::Path;

use super::config::JetStreamSettings;

/// What there is taken to be where the system does not say it.
const UNKNOWN_MEMORY: u64 = 512 << 20;
const UNKNOWN_DISK: u64 = 1 << 40;

impl JetStreamSettings {
    /// The same settings with a share of what there is where no limit is set.
    pub(crate) fn or_shares(self, data_dir: &Path) -> Self {
        JetStreamSettings {
            max_memory: self.max_memory.or_else(|| Some(memory_share())),
            max_store: self.max_store.or_else(|| Some(disk_share(data_dir))),
            ..self
        }
    }
}

/// The memory that this process may have.
pub(super) fn memory_or_guess() -> u64 {
    memory(Path::new("/")).unwrap_or(UNKNOWN_MEMORY)
}

/// Half of the memory: a small message takes more than is counted for it.
fn memory_share() -> u64 {
    memory_or_guess() / 2
}

/// Three quarters of what is free, and what the streams have already.
fn disk_share(data_dir: &Path) -> u64 {
    // The last parent of a relative path is the empty one, which no system knows.
    let whole = std::path::absolute(data_dir).unwrap_or_default();
    let folder = whole.ancestors().find(|folder| folder.exists());
    let found = folder.and_then(|folder| rustix::fs::statvfs(folder).ok());
    let free = found.map_or(UNKNOWN_DISK, |found| {
        found.f_bavail.saturating_mul(found.f_frsize)
    });
    (free / 4 * 3).saturating_add(bytes_below(data_dir))
}

/// The bytes of the files below a folder. What cannot be read has none.
fn bytes_below(folder: &Path) -> u64 {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let bytes = entries.map(|entry| match entry.file_type() {
        Ok(kind) if kind.is_dir() => bytes_below(&entry.path()),
        Ok(kind) if kind.is_file() => entry.metadata().map_or(0, |metadata| metadata.len()),
        _ => 0,
    });
    bytes.sum()
}

/// The memory of the machine below `root`, or of a control group that this process is in if that has less.
fn memory(root: &Path) -> Option<u64> {
    let text = fs::read_to_string(root.join("proc/meminfo")).ok()?;
    let total = text
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kib: u64 = total.trim().strip_suffix("kB")?.trim().parse().ok()?;
    let groups = fs::read_to_string(root.join("proc/self/cgroup")).unwrap_or_default();
    let limits = groups.lines().filter_map(|group| group_limit(root, group));
    Some(limits.fold(kib.saturating_mul(1024), u64::min))
}

/// The lowest limit of a control group and of those that it is in, given as a line of `/proc/self/cgroup`.
fn group_limit(root: &Path, group: &str) -> Option<u64> {
    let (_, rest) = group.split_once(':')?;
    let (controllers, path) = rest.split_once(':')?;
    let (base, file) = match controllers {
        "" => ("sys/fs/cgroup", "memory.max"),
        some if some.split(',').any(|name| name == "memory") => {
            ("sys/fs/cgroup/memory", "memory.limit_in_bytes")
        }
        _ => return None,
    };
    let base = root.join(base);
    let group = base.join(path.trim_start_matches('/'));
    let groups = group
        .ancestors()
        .take_while(|folder| folder.starts_with(&base));
    let limits = groups.filter_map(|folder| {
        let limit = fs::read_to_string(folder.join(file)).ok()?;
        limit.trim().parse::<u64>().ok()
    });
    limits.min()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_memory_is_that_of_the_narrowest_control_group() {
        let root = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        assert_eq!(memory(root.path()), None);
        write("proc/meminfo", "MemTotal:       2048 kB\nMemFree: 1 kB\n");
        assert_eq!(memory(root.path()), Some(2 << 20));
        write("proc/self/cgroup", "0::/a.slice/b\n");
        write("sys/fs/cgroup/a.slice/b/memory.max", "max\n");
        assert_eq!(memory(root.path()), Some(2 << 20));
        write("sys/fs/cgroup/a.slice/memory.max", "1000000\n");
        assert_eq!(memory(root.path()), Some(1_000_000));
        write("proc/self/cgroup", "5:cpu:/\n4:memory:/docker/x\n");
        write("sys/fs/cgroup/memory/memory.limit_in_bytes", "900000\n");
        assert_eq!(memory(root.path()), Some(900_000));
    }

    #[test]
    fn a_limit_that_is_set_counts_and_others_are_a_share_of_what_there_is() {
        let dir = tempfile::tempdir().unwrap();
        let set = JetStreamSettings {
            max_memory: Some(1),
            max_store: Some(2),
            ..JetStreamSettings::default()
        };
        assert_eq!(set.clone().or_shares(dir.path()), set);
        let shares = JetStreamSettings::default().or_shares(&dir.path().join("not/there"));
        assert!(shares.max_memory.is_some_and(|max| max > 1 << 20));
        assert!(shares.max_store.is_some());
        fs::create_dir(dir.path().join("streams")).unwrap();
        fs::write(dir.path().join("streams/x"), [0; 1000]).unwrap();
        assert_eq!(bytes_below(dir.path()), 1000);
    }
}
