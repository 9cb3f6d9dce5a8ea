//! Where settings come from beside flags and environment variables: files that variables name.

use std::{
    ffi::OsString,
    fs::File,
    io::{self, Read},
    path::Path,
};

use clap::Command;

/// The longest value that a file may hold, in bytes.
const MAX_FILE_LEN: u64 = 64 * 1024;

/// What is read before clap reads the rest.
#[derive(Debug)]
pub(super) struct Sources {
    /// The command, which takes no notice of variables that are set to nothing.
    pub(super) command: Command,
    /// The arguments, with a flag for each setting whose value a file holds.
    pub(super) arguments: Vec<OsString>,
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
        let settings: Vec<_> = command
            .get_arguments()
            .filter_map(|argument| {
                let variable = argument.get_env()?.to_str()?.to_owned();
                let flag = argument.get_long()?.to_owned();
                let is_secret = argument.is_hide_env_values_set();
                Some((argument.get_id().clone(), flag, variable, is_secret))
            })
            .collect();
        for (id, flag, variable, is_secret) in settings {
            let is_given = given(&variable).is_some();
            let is_set = environment(&variable).is_some();
            if is_set && !is_given {
                command = command.mut_arg(id, |argument| argument.env(None::<&'static str>));
            }
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
                let value = content(Path::new(&path))
                    .map_err(|error| format!("{setting}: cannot read the file: {error}"))?;
                arguments.insert(1.min(arguments.len()), format!("{flag}={value}").into());
            }
        }
        Ok(Self { command, arguments })
    }
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

/// The text of a file, without the line end that editors add.
fn content(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    let read = File::open(path)?
        .take(MAX_FILE_LEN + 1)
        .read_to_string(&mut text)?;
    if read as u64 > MAX_FILE_LEN {
        return Err(io::Error::other(format!(
            "it holds more than {MAX_FILE_LEN} bytes"
        )));
    }
    text.truncate(text.trim_end_matches(['\r', '\n']).len());
    Ok(text)
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
            refusal.ends_with("it holds more than 65536 bytes"),
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
