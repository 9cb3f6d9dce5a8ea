//! The checks themselves: each adds a line to the findings, and none changes anything.

use std::{
    fs,
    net::{SocketAddr, TcpStream},
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use bus::BusUrl;
use runtime::{
    CommonSettings, ServiceAddress,
    settings::{Claimed, UNFINISHED_RESTORE, is_claimed, reachable},
    tls::CertificateFile,
};
use rustix::process::{Resource, geteuid, getrlimit};
use storage::{DatabaseUrl, Migrations};

use super::{certificates, findings::Findings};

/// How long another program may take to answer.
pub(super) const PATIENCE: Duration = Duration::from_secs(3);
/// With fewer files and connections no program starts, and with fewer than that it serves few clients.
const FEWEST_FILES: u64 = 256;
const FEW_FILES: u64 = 4_096;
/// With less memory left the system may end programs.
const LITTLE_MEMORY_KB: u64 = 128 << 10;
/// With less room left, writes will soon be refused.
const LITTLE_ROOM: u64 = 256 << 20;
/// Clocks of two machines should not differ by more seconds: versions of films are times.
const CLOCK_TOLERANCE: i64 = 5;

/// What is looked at.
#[derive(Debug)]
pub(crate) struct Examined<'a> {
    /// What is wrong with the settings.
    pub(crate) faults: Vec<String>,
    /// The files of certificates that the settings name.
    pub(crate) certificates: Vec<CertificateFile>,
    /// The settings that all programs have.
    pub(crate) common: &'a CommonSettings,
    /// How many gRPC services the program serves.
    pub(crate) grpc_servers: usize,
    pub(crate) data_dir: PathBuf,
    pub(crate) movies: DatabaseUrl,
    pub(crate) recommendations: DatabaseUrl,
    /// The accounts database.
    pub(crate) accounts: DatabaseUrl,
    /// The addresses at which the program listens, with the flags of their settings.
    pub(crate) addresses: Vec<(&'static str, SocketAddr)>,
    /// Where the program says whether it can serve.
    pub(crate) health: SocketAddr,
    /// Buses elsewhere, and what each is called.
    pub(crate) buses: Vec<(&'static str, BusUrl)>,
    /// Another recommendations service that the catalog asks.
    pub(crate) recommendations_host: Option<&'a ServiceAddress>,
}

pub(super) fn run(examined: &Examined<'_>, findings: &mut Findings) {
    if examined.faults.is_empty() {
        findings.ok("settings", "they fit together");
    }
    for fault in &examined.faults {
        findings.problem("settings", fault);
    }
    certificates::run(&examined.certificates, SystemTime::now(), findings);
    check_files(findings);
    check_memory(findings);
    check_folder(&examined.data_dir, findings);
    check_room(&examined.data_dir, findings);
    check_streams(&examined.data_dir, findings);
    let databases = [
        ("movies", &examined.movies, catalog::films::migrations()),
        (
            "recommendations",
            &examined.recommendations,
            recommendations::store::migrations(),
        ),
        (
            "accounts",
            &examined.accounts,
            accounts::store::migrations(),
        ),
    ];
    for (check, url, migrations) in databases {
        check_database(check, url, migrations, findings);
    }
    let is_running = check_program(examined, findings);
    check_ports(&examined.addresses, is_running, findings);
}

fn check_files(findings: &mut Findings) {
    const CHECK: &str = "open files";
    // A program raises its limit to the largest that the system allows.
    let most = getrlimit(Resource::Nofile).maximum.unwrap_or(u64::MAX);
    let advice = "raise the limit, with `ulimit -n` in a shell or `LimitNOFILE=` in a systemd unit";
    match most {
        0..FEWEST_FILES => findings.problem(
            CHECK,
            format!("{most} may be open, and {FEWEST_FILES} are needed: {advice}"),
        ),
        FEWEST_FILES..FEW_FILES => findings.warning(
            CHECK,
            format!("{most} may be open, which is enough for few clients: {advice}"),
        ),
        _ => findings.ok(CHECK, format!("{most} may be open")),
    }
}

fn check_memory(findings: &mut Findings) {
    const CHECK: &str = "memory";
    let Ok(text) = fs::read_to_string("/proc/meminfo") else {
        return;
    };
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("MemAvailable:"));
    let left = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    match left {
        Some(left) if left < LITTLE_MEMORY_KB => findings.warning(
            CHECK,
            format!(
                "{} MB are left: give the machine more, or stop other programs",
                left >> 10
            ),
        ),
        Some(left) => findings.ok(CHECK, format!("{} MB are left", left >> 10)),
        None => {}
    }
}

fn check_folder(data: &Path, findings: &mut Findings) {
    const CHECK: &str = "data folder";
    let name = data.display();
    let metadata = match fs::metadata(data) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return findings.ok(
                CHECK,
                format!("`{name}` is not there yet: a start makes it"),
            );
        }
        Err(error) => {
            return findings.problem(CHECK, format!("cannot look at `{name}`: {error}"));
        }
    };
    let (owner, own) = (metadata.uid(), geteuid().as_raw());
    if !metadata.is_dir() {
        findings.problem(CHECK, format!("`{name}` is no folder: set DATA_DIR to one"));
    } else if data.join(UNFINISHED_RESTORE).exists() {
        findings.problem(
            CHECK,
            format!(
                "a restore into `{name}` was interrupted: run `marquee restore --replace` again"
            ),
        );
    } else if owner != own {
        findings.problem(
            CHECK,
            format!("`{name}` belongs to user {owner}, and this is user {own}: run `doctor` and the programs as its owner, or give it to them with `chown -R`"),
        );
    } else if metadata.permissions().mode() & 0o077 != 0 {
        findings.warning(
            CHECK,
            format!(
                "other users of this machine can look into `{name}`: close it with `chmod 700`"
            ),
        );
    } else {
        findings.ok(CHECK, format!("`{name}` is this user's alone"));
    }
}

fn check_room(data: &Path, findings: &mut Findings) {
    const CHECK: &str = "disk";
    // The disk of the folder in which it will be made.
    let there = data.ancestors().find(|path| path.is_dir());
    let there = there.unwrap_or(Path::new("."));
    let Ok(disk) = rustix::fs::statvfs(there) else {
        return;
    };
    let left = disk.f_bavail.saturating_mul(disk.f_frsize);
    let used = bytes_in(data);
    let (left_mb, used_mb) = (left >> 20, used >> 20);
    let said = format!(
        "{left_mb} MB are left, and `{}` has {used_mb} MB",
        data.display()
    );
    if disk.f_flag.contains(rustix::fs::StatVfsMountFlags::RDONLY) {
        findings.problem(
            CHECK,
            format!(
                "`{}` is on a file system that cannot be written to",
                there.display()
            ),
        );
    } else if left == 0 || disk.f_favail == 0 && disk.f_files > 0 {
        findings.problem(CHECK, format!("{said}: the disk is full, make room"));
    } else if left < LITTLE_ROOM.max(used / 10) {
        findings.warning(
            CHECK,
            format!("{said}: make room before writes are refused"),
        );
    } else {
        findings.ok(CHECK, said);
    }
}

fn bytes_in(folder: &Path) -> u64 {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let bytes = entries.map(|entry| match entry.metadata() {
        Ok(metadata) if metadata.is_dir() => bytes_in(&entry.path()),
        Ok(metadata) => metadata.len(),
        Err(_) => 0,
    });
    bytes.sum()
}

/// What the broker has put aside is to be looked at by a person.
fn check_streams(data: &Path, findings: &mut Findings) {
    const CHECK: &str = "streams";
    let streams = data.join("broker/streams");
    let Ok(entries) = fs::read_dir(&streams) else {
        return;
    };
    let names = entries.flatten().map(|entry| entry.file_name());
    let names: Vec<String> = names
        .map(|name| name.to_string_lossy().into_owned())
        .collect();
    let aside: Vec<&String> = names
        .iter()
        .filter(|name| name.contains(".unusable"))
        .collect();
    match aside.first() {
        Some(first) => findings.warning(
            CHECK,
            format!(
                "{} streams were put aside as unusable, `{first}` among them: move them out of `{}` when they are not needed",
                aside.len(),
                streams.display()
            ),
        ),
        None => findings.ok(CHECK, format!("{} in `{}`", names.len(), streams.display())),
    }
}

fn check_database(
    check: &'static str,
    url: &DatabaseUrl,
    migrations: Migrations,
    findings: &mut Findings,
) {
    match storage::examine(url, migrations) {
        storage::Examined::Usable {
            flaw: None,
            clock_ahead,
            ..
        }
        | storage::Examined::Nothing { clock_ahead }
            if clock_ahead.abs() > CLOCK_TOLERANCE =>
        {
            findings.warning(
                check,
                format!(
                    "the clock of {url} and this machine's differ by {} s: have both set by NTP",
                    clock_ahead.abs()
                ),
            );
        }
        storage::Examined::Nothing { .. } => {
            findings.ok(
                check,
                format!("{url} is empty or not there yet: a start makes it"),
            );
        }
        storage::Examined::Unusable(reason) => findings.problem(check, reason),
        storage::Examined::Usable {
            flaw: Some(flaw), ..
        } => findings.warning(check, flaw),
        storage::Examined::Usable { newest_step, .. } => {
            findings.ok(
                check,
                format!("{url} can be used, its newest step is {newest_step}"),
            );
        }
    }
}

/// Whether a program answers at its address.
fn check_program(examined: &Examined<'_>, findings: &mut Findings) -> bool {
    const CHECK: &str = "program";
    let address = reachable(examined.health);
    let is_running = TcpStream::connect_timeout(&address, PATIENCE).is_ok();
    let (data, has_file) = (
        &examined.data_dir,
        matches!(&examined.movies, DatabaseUrl::Sqlite(path) if path.starts_with(&examined.data_dir)),
    );
    match runtime::health_check::ask(examined.health) {
        _ if is_running && has_file && is_claimed(data, Claimed::Movies) == Some(false) => findings.problem(
            CHECK,
            format!(
                "one runs at {address}, but not with the data folder `{}`: choose other addresses, or that program's folder",
                data.display()
            ),
        ),
        Ok(()) => findings.ok(CHECK, format!("one runs at {address} and can serve")),
        Err(_) if !is_running => findings.ok(CHECK, format!("none runs at {address}")),
        Err(fault) => findings.problem(
            CHECK,
            format!("{fault}: `/readyz` at the address for operators says why"),
        ),
    }
    is_running
}

fn check_ports(
    addresses: &[(&'static str, SocketAddr)],
    is_running: bool,
    findings: &mut Findings,
) {
    const CHECK: &str = "ports";
    if is_running {
        return findings.ok(
            CHECK,
            "the program that runs has them, or another one has its address",
        );
    }
    let taken = addresses.iter().filter(|(_, address)| {
        address.port() != 0 && TcpStream::connect_timeout(&reachable(*address), PATIENCE).is_ok()
    });
    let taken: Vec<String> = taken
        .map(|(flag, address)| format!("{} is {address}", runtime::settings::name(flag)))
        .collect();
    match taken.is_empty() {
        true => findings.ok(CHECK, "free"),
        false => findings.problem(
            CHECK,
            format!(
                "taken by another program: {}; stop that (`ss -ltnp` names it), or choose others",
                taken.join(", ")
            ),
        ),
    }
}
