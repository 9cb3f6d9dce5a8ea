//! A wait of librdkafka takes as long as it was meant to, also when the clock is set meanwhile.
//!
//! librdkafka waits until a time of day: a thread that waits while the clock is set back by an hour would go on an hour later, and no setting
//! changes that. The function of glibc that it waits by is therefore defined here, and the linker takes this one. Nothing else calls it.

#![expect(
    unsafe_code,
    reason = "C calls this function, and it calls C: neither has a safe interface"
)]

use std::{ptr, time::Duration};

use libc::{
    CLOCK_MONOTONIC, CLOCK_REALTIME, ETIMEDOUT, c_int, clockid_t, pthread_cond_t, pthread_mutex_t,
    timespec,
};

/// How long a wait may take. Threads of librdkafka look for work that often by themselves, and a wait whose end was computed just before the
/// clock was set back is cut to this.
const LONGEST_WAIT: Duration = Duration::from_secs(1);

/// What `cnd_timedwait` returns, as `threads.h` of glibc has it.
const SUCCESS: c_int = 0;
const ERROR: c_int = 2;
const TIMED_OUT: c_int = 4;

unsafe extern "C" {
    /// Waits as `pthread_cond_timedwait` does, but by the clock that it is given.
    fn pthread_cond_clockwait(
        condition: *mut pthread_cond_t,
        mutex: *mut pthread_mutex_t,
        clock: clockid_t,
        end: *const timespec,
    ) -> c_int;
}

/// Waits for `condition` for as long as it is until the time of day `end`, by a clock that is never set.
///
/// Ends with success after [`LONGEST_WAIT`], as waits for a condition may at any time.
///
/// # Safety
///
/// As for `cnd_timedwait` of C11, whose condition and mutex are those of `pthread` in glibc.
#[unsafe(no_mangle)]
unsafe extern "C" fn cnd_timedwait(
    condition: *mut pthread_cond_t,
    mutex: *mut pthread_mutex_t,
    end: *const timespec,
) -> c_int {
    // SAFETY: the caller gives a time.
    let end = duration(unsafe { ptr::read(end) });
    let left = end.saturating_sub(now(CLOCK_REALTIME));
    let is_cut = left > LONGEST_WAIT;
    let end = time(now(CLOCK_MONOTONIC) + left.min(LONGEST_WAIT));
    // SAFETY: the caller gives a condition, and a mutex that it has locked.
    match unsafe { pthread_cond_clockwait(condition, mutex, CLOCK_MONOTONIC, &end) } {
        0 => SUCCESS,
        ETIMEDOUT if is_cut => SUCCESS,
        ETIMEDOUT => TIMED_OUT,
        _ => ERROR,
    }
}

fn now(clock: clockid_t) -> Duration {
    let mut now = time(Duration::ZERO);
    // SAFETY: it writes to `now`, and cannot fail: Linux has both clocks.
    unsafe { libc::clock_gettime(clock, &mut now) };
    duration(now)
}

fn time(since: Duration) -> timespec {
    timespec {
        tv_sec: since.as_secs() as _,
        tv_nsec: since.subsec_nanos().into(),
    }
}

/// How long it was since the clock began; nothing for a time before that.
fn duration(time: timespec) -> Duration {
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    Duration::new(seconds, u32::try_from(time.tv_nsec).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_times_out_in_time_and_goes_on_soon_when_the_clock_was_set_back() {
        let mut condition = libc::PTHREAD_COND_INITIALIZER;
        let mut mutex = libc::PTHREAD_MUTEX_INITIALIZER;
        let mut wait = |left| {
            let end = time(now(CLOCK_REALTIME) + left);
            // SAFETY: nothing else has the condition, nor the mutex, which is locked.
            unsafe {
                libc::pthread_mutex_lock(&raw mut mutex);
                let status = cnd_timedwait(&raw mut condition, &raw mut mutex, &raw const end);
                libc::pthread_mutex_unlock(&raw mut mutex);
                status
            }
        };
        let meant = Duration::from_millis(1);
        assert_eq!(wait(meant), TIMED_OUT);
        assert_eq!(wait(meant + Duration::from_secs(3600)), SUCCESS);
    }
}
