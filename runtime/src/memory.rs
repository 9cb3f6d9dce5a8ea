//! Memory that is not used any more goes back to the system.
//!
//! glibc keeps what was freed, in an arena for each thread: after a peak a process would stay as
//! large as it once was.

/// How many arenas the threads share. With two of them a start with a million preferences takes half as long again, for
/// its threads wait for each other; more than four change nothing.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const ARENAS: i32 = 4;

/// Tells the allocator to share a few arenas. Called before the first thread is started.
pub(crate) fn tune() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    #[expect(
        unsafe_code,
        reason = "libc has no safe interface to mallopt, which may be called at any time"
    )]
    // SAFETY: it takes two numbers, and only this thread runs.
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, ARENAS);
    }
}

/// When the start is over, and with it most of the code that it ran.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const AFTER_START: std::time::Duration = std::time::Duration::from_secs(3);

/// Gives free memory back to the system now and then, and once what only the start needed of the program's code.
pub(crate) async fn give_back() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        tokio::time::sleep(AFTER_START).await;
        let _ = tokio::task::spawn_blocking(unload_code).await;
        let mut ticks = tokio::time::interval(std::time::Duration::from_secs(10));
        loop {
            ticks.tick().await;
            // It locks the arenas, for milliseconds where much is free.
            let _ = tokio::task::spawn_blocking(trim).await;
        }
    }
}

#[cfg(all(target_os = "linux", target_env = "gnu"))]
fn trim() {
    #[expect(
        unsafe_code,
        reason = "libc has no safe interface to malloc_trim, which may be called from any thread"
    )]
    // SAFETY: it takes a number and touches only free memory.
    unsafe {
        libc::malloc_trim(0);
    }
}

/// Lets go of the pages of the program's own file that nothing has written to: its code, its constants, and what only the start
/// read. Pages that are used again are read from the file again, or from the system's memory of that file.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
fn unload_code() -> std::io::Result<()> {
    let maps = std::fs::read_to_string("/proc/self/smaps")?;
    let program = std::env::current_exe()?;
    for (start, end) in unwritten(&maps, &program) {
        #[expect(
            unsafe_code,
            reason = "libc has no safe interface to madvise; no value of the program lies in these pages"
        )]
        // SAFETY: the range is one mapping of the program's own file, which cannot be written to, has no page that differs from the
        // file, and is never unmapped: what is read again is what was there.
        unsafe {
            libc::madvise(
                std::ptr::with_exposed_provenance_mut(start),
                end - start,
                libc::MADV_DONTNEED,
            );
        }
    }
    Ok(())
}

/// Where the file of a program is in memory as it is on the disk, and nobody may write: start and end of each mapping in
/// `/proc/PID/smaps`. What the start wrote to and then closed, addresses that depend on where the program lies, has pages without a file.
/// Libraries may go, and are left out.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
fn unwritten(maps: &str, program: &std::path::Path) -> Vec<(usize, usize)> {
    let address = |text| usize::from_str_radix(text, 16).ok();
    let mut found = Vec::new();
    let mut mapping = None;
    for line in maps.lines() {
        // start-end permissions offset device inode path
        let mut words = line.splitn(6, ' ');
        let bounds = words.next().and_then(|range| range.split_once('-'));
        let permissions = words.next().unwrap_or_default();
        if let Some((start, end)) = bounds
            && permissions.len() == 4
        {
            let path = words.nth(3).unwrap_or_default().trim_start();
            let is_unwritable = ["r-xp", "r--p"].contains(&permissions);
            mapping = address(start)
                .zip(address(end))
                .filter(|_| is_unwritable && program == std::path::Path::new(path));
        } else if let Some(written) = line.strip_prefix("Anonymous:") {
            found.extend(mapping.take().filter(|_| written.trim() == "0 kB"));
        }
    }
    found
}

#[cfg(all(test, target_os = "linux", target_env = "gnu"))]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_as_on_the_disk_is_let_go_of() {
        let mapping = |range: &str, permissions: &str, path: &str, written: u32| {
            format!(
                "{range} {permissions} 00000000 08:01 42                  {path}\nRss:  8 kB\nAnonymous:      {written} kB\nVmFlags: rd\n"
            )
        };
        let maps = [
            mapping("1000-2000", "r--p", "/bin/a program", 0),
            mapping("2000-3000", "r-xp", "/bin/a program", 0),
            mapping("3000-4000", "r--p", "/bin/a program", 4),
            mapping("4000-5000", "rw-p", "/bin/a program", 0),
            mapping("5000-6000", "r-xp", "/lib/libc.so.6", 0),
            mapping("6000-7000", "rw-p", "", 8),
        ];
        let found = unwritten(&maps.concat(), std::path::Path::new("/bin/a program"));
        assert_eq!(found, [(0x1000, 0x2000), (0x2000, 0x3000)]);
    }

    #[test]
    fn the_program_goes_on_without_its_code() {
        let text = "read before and after".to_owned();
        unload_code().unwrap();
        assert_eq!(text, "read before and after");
        let maps = std::fs::read_to_string("/proc/self/smaps").unwrap();
        let program = std::env::current_exe().unwrap();
        assert!(!unwritten(&maps, &program).is_empty());
    }
}
