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

/// Gives free memory back to the system now and then.
pub(crate) async fn give_back() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
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
