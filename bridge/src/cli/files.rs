//! The files by which others find a server: its process id and its ports.

use std::fs::{self, Permissions};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use runtime::Fault;
use runtime::settings::reachable;
use serde_json::json;

/// Files that are removed when the server ends.
#[derive(Debug, Default)]
pub(super) struct Files {
    written: Vec<PathBuf>,
}

impl Files {
    /// Writes the process id.
    ///
    /// # Errors
    ///
    /// If the file cannot be written.
    pub(super) fn write_pid(&mut self, path: &Path) -> Result<(), Fault> {
        self.write("-pid", path, &std::process::id().to_string(), 0o600)
    }

    /// Writes the addresses, as JSON, into a file with the process id in its name. `others` are those not for usual clients: for what,
    /// by which scheme, and where.
    ///
    /// # Errors
    ///
    /// If the file cannot be written.
    pub(super) fn write_ports(
        &mut self,
        folder: &Path,
        clients: SocketAddr,
        uses_tls: bool,
        others: &[(&str, &str, SocketAddr)],
    ) -> Result<(), Fault> {
        let scheme = if uses_tls { "tls" } else { "nats" };
        let mut ports = json!({ "nats": urls(scheme, clients) });
        if let Some(ports) = ports.as_object_mut() {
            let others = others.iter();
            let others =
                others.map(|(what, scheme, at)| ((*what).to_owned(), json!(urls(scheme, *at))));
            ports.extend(others);
        }
        // Tools look for this name.
        let path = folder.join(format!("nats-server_{}.ports", std::process::id()));
        // Others than this user may look for it, and it holds no secret.
        self.write("-ports_file_dir", &path, &ports.to_string(), 0o644)
    }

    /// A reader sees all of a file or none of it.
    fn write(&mut self, setting: &str, path: &Path, text: &str, mode: u32) -> Result<(), Fault> {
        let replace = || -> io::Result<()> {
            let mut temporary = path.as_os_str().to_owned();
            temporary.push(".tmp");
            fs::write(&temporary, text)?;
            fs::set_permissions(&temporary, Permissions::from_mode(mode))?;
            fs::rename(&temporary, path)
        };
        replace().map_err(|error| {
            Fault::bad_setting(
                setting,
                format!("cannot write `{}`: {error}", path.display()),
            )
        })?;
        self.written.push(path.to_owned());
        Ok(())
    }
}

fn urls(scheme: &str, address: SocketAddr) -> Vec<String> {
    let shown = match address.ip() {
        IpAddr::V4(_) | IpAddr::V6(_) if address.ip().is_unspecified() => reachable(address),
        _ => address,
    };
    vec![format!("{scheme}://{shown}")]
}

impl Drop for Files {
    fn drop(&mut self) {
        for path in &self.written {
            // It may be gone already.
            let _ = fs::remove_file(path);
        }
    }
}
