//! `-signal`: how one command tells a server that runs what to do.

use std::fs;
use std::path::Path;

use runtime::settings::read_plain_text;
use rustix::process::{Pid, Signal, kill_process};

/// The most bytes of a file with a process id.
const MAX_PID_FILE: u64 = 4_096;

/// Sends what `-signal <signal>[=<pid>]` asks for.
///
/// # Errors
///
/// If there is no such signal or no such process; the sentence says so.
pub(super) fn send(given: &str) -> Result<(), String> {
    let (name, target) = match given.split_once('=') {
        Some((name, target)) => (name, Some(target)),
        None => (given, None),
    };
    let signal = match name {
        "stop" => Signal::KILL,
        "quit" => Signal::INT,
        "term" => Signal::TERM,
        "reopen" => Signal::USR1,
        "reload" => Signal::HUP,
        "ldm" => Signal::USR2,
        _ => {
            return Err(format!(
                "unknown signal `{name}`: ldm, stop, quit, term, reopen or reload is needed"
            ));
        }
    };
    let pid = match target {
        Some(target) => pid_of(target)?,
        None => only_server()?,
    };
    kill_process(pid, signal).map_err(|error| {
        format!(
            "cannot send a signal to process {}: {error}",
            pid.as_raw_nonzero()
        )
    })
}

/// A process id, or that in a file.
fn pid_of(target: &str) -> Result<Pid, String> {
    let number = match target.parse::<i32>() {
        Ok(number) => Some(number),
        Err(_) => {
            let text = read_plain_text(Path::new(target), MAX_PID_FILE);
            let text =
                text.map_err(|error| format!("cannot read the pid file `{target}`: {error}"))?;
            text.trim().parse().ok()
        }
    };
    // A number below 1 stands for groups of processes.
    let pid = number.filter(|number| *number > 0).and_then(Pid::from_raw);
    pid.ok_or_else(|| format!("`{target}` is neither a process id nor a file that holds one"))
}

/// The one server of this program that runs.
fn only_server() -> Result<Pid, String> {
    let own = std::process::id();
    let program = std::env::current_exe().map_err(|error| error.to_string())?;
    let processes =
        fs::read_dir("/proc").map_err(|error| format!("cannot list the processes: {error}"))?;
    let mut servers = Vec::new();
    for process in processes.flatten() {
        let name = process.file_name();
        let Some(pid) = name.to_str().and_then(|name| name.parse::<i32>().ok()) else {
            continue;
        };
        if u32::try_from(pid) != Ok(own) && is_server(&process.path(), &program) {
            servers.push(pid);
        }
    }
    match servers.as_slice() {
        [] => Err("no server runs".to_owned()),
        [one] => Pid::from_raw(*one).ok_or_else(|| "no server runs".to_owned()),
        _ => Err(format!(
            "several servers run, with the process ids {servers:?}: name one, as in -signal stop=<pid>"
        )),
    }
}

fn is_server(process: &Path, program: &Path) -> bool {
    let runs_program = fs::read_link(process.join("exe")).is_ok_and(|exe| exe == program);
    let arguments = fs::read(process.join("cmdline")).unwrap_or_default();
    let command = arguments.split(|byte| *byte == 0).nth(1);
    runs_program && command == Some(b"broker")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_signal_or_no_process_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("pid");
        fs::write(&file, "not a number").unwrap();
        let file = file.to_string_lossy();
        for (given, error) in [
            ("hup=1".to_owned(), "unknown signal `hup`"),
            ("stop=-1".to_owned(), "`-1` is neither a process id"),
            ("stop=0".to_owned(), "`0` is neither a process id"),
            ("stop=/no/such/file".to_owned(), "cannot read the pid file"),
            (format!("stop={file}"), "`/"),
            (
                format!("reload={}", i32::MAX),
                "cannot send a signal to process",
            ),
        ] {
            let refused = send(&given).unwrap_err();
            assert!(refused.starts_with(error), "{given}: {refused}");
        }
    }
}
