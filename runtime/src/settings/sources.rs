//! Where settings come from beside flags and environment variables: files that variables name.

use std::{
    ffi::{OsStr, OsString},
    io,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use clap::Command;
use rustix::fs::StatVfsMountFlags;

use crate::{
    files::{self, open_plain},
    telemetry,
};

/// The longest value that a file may hold, in bytes.
const MAX_FILE_LEN: u64 = 64 * 1024;

/// The group and all others may read.
const READABLE_BY_OTHERS: u32 = 0o044;

/// A file that holds a secret, and that other users of the machine can read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ExposedFile {
    variable: String,
    path: PathBuf,
}

impl ExposedFile {
    /// The file at `path` with a secret for the setting `variable`, if others can read it.
    fn find(variable: &str, path: &Path, mode: u32) -> Option<Self> {
        let is_exposed = mode & READABLE_BY_OTHERS != 0 && !is_mounted_read_only(path);
        is_exposed.then(|| Self {
            variable: variable.to_owned(),
            path: path.to_owned(),
        })
    }

    /// Tells the log, once it is there.
    pub(crate) fn warn(&self) {
        let (file, variable) = (self.path.display(), self.variable.as_str());
        tracing::warn!(
            %file,
            setting = variable,
            "other users of this machine can read the secret in `{file}` ({variable}): close the file with `chmod 600`, and change the \
             secret if it may have been read"
        );
    }
}

/// Tells the log if other users of the machine can read the file at `path`, which holds a secret and is the value of
/// `setting`; once, however often a start checks it.
pub fn warn_of_exposed_file(setting: &str, path: &Path) {
    let mode = std::fs::metadata(path).map_or(0, |file| file.permissions().mode());
    if let Some(exposed) = ExposedFile::find(setting, path, mode)
        && telemetry::seldom(&format!("{setting} {}", path.display())).is_some()
    {
        exposed.warn();
    }
}

/// Whether the file is where nothing can be changed: a container engine mounts secrets so, for the container alone.
fn is_mounted_read_only(path: &Path) -> bool {
    // What opening it for writing says is another thing: whoever may not write to the file is not told of the mount.
    let mount = rustix::fs::statvfs(path);
    mount.is_ok_and(|mount| mount.f_flag.contains(StatVfsMountFlags::RDONLY))
}

/// What is read before clap reads the rest.
#[derive(Debug)]
pub(super) struct Sources {
    /// The command, which takes no notice of variables that are set to nothing.
    pub(super) command: Command,
    /// The arguments, with a flag for each setting whose value a file holds.
    pub(super) arguments: Vec<OsString>,
    /// The files among them that others can read.
    pub(super) exposed: Vec<ExposedFile>,
}

impl Sources {
    /// Looks at the environment: a variable that is empty is as good as absent, as container engines
    /// pass those that are not set; where `NAME` may be a secret, `NAME_FILE` names a file that
    /// holds it.
    ///
    /// # Errors
    ///
    /// One line that names the setting and what is wrong: a file that cannot be read, or a setting
    /// that is given both ways.
    pub(super) fn read(
        mut command: Command,
        mut arguments: Vec<OsString>,
        environment: impl Fn(&str) -> Option<OsString>,
    ) -> Result<Self, String> {
        let given = |name: &str| environment(name).filter(|value| !value.is_empty());
        command = without_empty_variables(command, &environment);
        let subcommands: Vec<String> = command
            .get_subcommands()
            .map(|subcommand| subcommand.get_name().to_owned())
            .collect();
        for name in subcommands {
            command = command.mut_subcommand(name, |subcommand| {
                without_empty_variables(subcommand, &environment)
            });
        }
        let settings: Vec<_> = command
            .get_arguments()
            .filter_map(|argument| {
                let variable = argument.get_env()?.to_str()?.to_owned();
                let flag = argument.get_long()?.to_owned();
                let is_secret = argument.is_hide_env_values_set();
                Some((flag, variable, is_secret))
            })
            .collect();
        let mut exposed = Vec::new();
        for (flag, variable, is_secret) in settings {
            let is_given = given(&variable).is_some();
            let file_variable = format!("{variable}_FILE");
            let path = given(&file_variable).filter(|_| is_secret);
            let Some(path) = path else { continue };
            let setting = format!("--{flag} ({file_variable})");
            if is_given {
                return Err(format!(
                    "{setting}: {variable} is set too; one of them is enough"
                ));
            }
            let flag = format!("--{flag}");
            if !has_flag(&arguments, &flag) {
                let path = Path::new(&path);
                let (value, mode) = content(path)
                    .map_err(|error| format!("{setting}: cannot read the file: {error}"))?;
                exposed.extend(ExposedFile::find(&file_variable, path, mode));
                arguments.insert(1.min(arguments.len()), format!("{flag}={value}").into());
            }
        }
        Ok(Self {
            command,
            arguments,
            exposed,
        })
    }
}

/// The command, which takes no notice of variables that are set to nothing.
fn without_empty_variables(
    command: Command,
    environment: &impl Fn(&str) -> Option<OsString>,
) -> Command {
    command.mut_args(|argument| {
        let variable = argument.get_env().and_then(OsStr::to_str);
        let is_empty = variable
            .and_then(environment)
            .is_some_and(|value| value.is_empty());
        match is_empty {
            true => argument.env(None::<&'static str>),
            false => argument,
        }
    })
}

fn has_flag(arguments: &[OsString], flag: &str) -> bool {
    arguments
        .iter()
        .filter_map(|argument| argument.to_str())
        .any(|argument| {
            argument
                .strip_prefix(flag)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('='))
        })
}

/// The text of a file with a secret, without the line end that editors add.
///
/// # Errors
///
/// If it cannot be read, or is longer than any secret.
pub fn secret_file(path: &Path) -> io::Result<String> {
    Ok(content(path)?.0)
}

/// The text of a file, without the line end that editors add, and its permissions.
fn content(path: &Path) -> io::Result<(String, u32)> {
    let file = open_plain(path)?;
    let mode = file.metadata()?.permissions().mode();
    let mut text = files::text(files::read_opened(file, MAX_FILE_LEN)?)?;
    text.truncate(text.trim_end_matches(['\r', '\n']).len());
    Ok((text, mode))
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory, FromArgMatches, Parser};
    use tempfile::TempDir;

    use super::*;

    #[derive(Debug, Parser)]
    struct Settings {
        #[arg(long, env = "SOURCES_TEST_KEY", hide_env_values = true)]
        key: Option<String>,
        #[arg(long, env = "SOURCES_TEST_LOG")]
        log: Option<String>,
    }

    fn parse(arguments: &[&str], environment: &[(&str, &str)]) -> Result<Option<String>, String> {
        let variable = |name: &str| {
            let found = environment.iter().find(|(variable, _)| *variable == name);
            found.map(|(_, value)| OsString::from(value))
        };
        let arguments = arguments.iter().map(OsString::from).collect();
        let sources = Sources::read(Settings::command(), arguments, variable)?;
        let matches = sources
            .command
            .try_get_matches_from(sources.arguments)
            .unwrap();
        Ok(Settings::from_arg_matches(&matches).unwrap().key)
    }

    #[test]
    fn a_file_gives_a_setting_unless_a_flag_does() {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("key");
        std::fs::write(&path, "a secret \n").unwrap();
        let file = [("SOURCES_TEST_KEY_FILE", path.to_str().unwrap())];
        assert_eq!(parse(&["test"], &file).unwrap().unwrap(), "a secret ");
        for flag in [
            &["test", "--key", "of the flag"][..],
            &["test", "--key=of the flag"],
        ] {
            assert_eq!(parse(flag, &file).unwrap().unwrap(), "of the flag");
        }
    }

    #[test]
    fn a_file_that_others_can_read_is_told_of() {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("key");
        std::fs::write(&path, "a secret").unwrap();
        let link = folder.path().join("link");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        for (mode, is_exposed) in [
            (0o600, false),
            (0o400, false),
            (0o640, true),
            (0o604, true),
            (0o444, true),
        ] {
            let permissions = std::fs::Permissions::from_mode(mode);
            std::fs::set_permissions(&path, permissions).unwrap();
            for path in [&path, &link] {
                let variable = |name: &str| {
                    (name == "SOURCES_TEST_KEY_FILE").then(|| path.clone().into_os_string())
                };
                let arguments = vec!["test".into()];
                let sources = Sources::read(Settings::command(), arguments, variable).unwrap();
                let told = ExposedFile {
                    variable: "SOURCES_TEST_KEY_FILE".into(),
                    path: path.clone(),
                };
                let expected = if is_exposed { vec![told] } else { vec![] };
                assert_eq!(sources.exposed, expected, "{mode:o}");
            }
        }
    }

    #[test]
    fn a_file_that_cannot_give_it_is_named_and_not_shown() {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("key");
        let file = [("SOURCES_TEST_KEY_FILE", path.to_str().unwrap())];
        let refusal = parse(&["test"], &file).unwrap_err();
        assert!(
            refusal.starts_with("--key (SOURCES_TEST_KEY_FILE): cannot read the file: "),
            "{refusal}"
        );
        std::fs::write(&path, vec![b'x'; 64 * 1024 + 1]).unwrap();
        let refusal = parse(&["test"], &file).unwrap_err();
        assert!(
            refusal.ends_with("it is larger than 65536 bytes"),
            "{refusal}"
        );
        let both = [file[0], ("SOURCES_TEST_KEY", "a secret")];
        assert_eq!(
            parse(&["test"], &both).unwrap_err(),
            "--key (SOURCES_TEST_KEY_FILE): SOURCES_TEST_KEY is set too; one of them is enough"
        );
    }

    #[test]
    fn a_variable_that_is_empty_is_absent() {
        let empty = [("SOURCES_TEST_KEY", ""), ("SOURCES_TEST_KEY_FILE", "")];
        assert_eq!(parse(&["test"], &empty).unwrap(), None);
    }

    #[test]
    fn what_is_no_secret_is_not_looked_for_in_a_file() {
        let others = [("SOURCES_TEST_LOG_FILE", "/there/is/no/such/file")];
        assert_eq!(parse(&["test"], &others).unwrap(), None);
    }
}
