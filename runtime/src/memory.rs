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

/// Lets go of the pages of the program's own code, which stays where it is as long as the process lives; a library may go. Pages
/// that are used again are read from the program's file again, or from the system's memory of that file.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
fn unload_code() -> std::io::Result<()> {
    use std::path::Path;

    let maps = std::fs::read_to_string("/proc/self/maps")?;
    let program = std::env::current_exe()?;
    for line in maps.lines() {
        // start-end permissions offset device inode path
        let mut words = line.splitn(6, ' ');
        let (Some(range), Some("r-xp")) = (words.next(), words.next()) else {
            continue;
        };
        let path = words.nth(3).unwrap_or_default();
        let is_program = Path::new(path.trim_start()) == program;
        let bounds = range.split_once('-').filter(|_| is_program);
        let address = |text| usize::from_str_radix(text, 16).ok();
        let bounds = bounds.and_then(|(start, end)| Some((address(start)?, address(end)?)));
        let Some((start, end)) = bounds else {
            continue;
        };
        #[expect(
            unsafe_code,
            reason = "libc has no safe interface to madvise; no value of the program lies in these pages"
        )]
        // SAFETY: the range is one mapping of the program's own file, which is executable, cannot be written to and is never
        // unmapped: what is read again is what was there.
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
