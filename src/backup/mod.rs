//! `marquee backup` and `marquee restore`: everything that is kept in the data folder, as it is at one moment.
//!
//! The parts are copied one after the other while programs use them: recommendations first, then the broker's streams, then the
//! movies, then the accounts. What a later copy has and an earlier one lacks can then be made up for: the broker has every event that the recommendations
//! have given it, the movies have every film of the recommendations, and a restore queues all films for the recommendations once more.
//! The other way round, films would stay recommended that the catalog does not have. Accounts come last: what was deleted for a person
//! stays deleted, and who registers meanwhile is no more than a stranger to the others.

mod manifest;

mod making;
mod restoring;

use std::path::{Path, PathBuf};

use clap::{
    ArgMatches, Args, FromArgMatches,
    builder::{PathBufValueParser, TypedValueParser},
};
use runtime::Fault;

/// The name of the folder's setting in errors.
const FOLDER: &str = "FOLDER";
const BROKER: &str = "broker";
/// The names of the databases in a backup, and in a data folder.
pub(crate) const MOVIES: &str = "movies.db";
pub(crate) const RECOMMENDATIONS: &str = "recommendations.db";
pub(crate) const ACCOUNTS: &str = "accounts.db";
/// Secrets that programs generate.
const SECRETS: [&str; 2] = ["secret_key", runtime::settings::BROKER_TOKEN_FILE];

/// What is kept, and where.
#[derive(Debug)]
pub(crate) struct Kept {
    /// The data folder.
    pub(crate) data_dir: PathBuf,
    /// The SQLite file of the movies database.
    pub(crate) movies: PathBuf,
    /// The SQLite file of the recommendations database.
    pub(crate) recommendations: PathBuf,
    /// The SQLite file of the accounts database.
    pub(crate) accounts: PathBuf,
}

#[derive(Debug, Args)]
struct BackUp {
    /// The folder for the backup, which must not be there yet
    #[arg(value_name = "FOLDER", value_parser = folder_parser())]
    folder: PathBuf,
}

#[derive(Debug, Args)]
struct Restore {
    /// A folder that `marquee backup` has made
    #[arg(value_name = "FOLDER", value_parser = folder_parser())]
    folder: PathBuf,

    /// Move what the data folder holds aside, into `replaced-…` in it
    #[arg(long)]
    replace: bool,
}

/// Reads the path of a folder without slashes behind it: other names are made of it.
fn folder_parser() -> impl TypedValueParser<Value = PathBuf> {
    PathBufValueParser::new().map(|path| path.components().collect::<PathBuf>())
}

/// The commands, for the command line.
pub(crate) fn commands() -> Vec<clap::Command> {
    let backup = clap::Command::new("backup")
        .about("Back up all that is kept, while programs use it, into a new folder")
        .long_about(
            "Back up all that is kept, while programs use it, into a new folder: the SQLite databases, the streams of the embedded \
             broker and the generated secrets, from the data folder of DATA_DIR. The folder appears when it is complete. It holds \
             secrets: keep it where only you can read it.\n\nDatabases of MySQL and brokers elsewhere have backups of their own.",
        );
    let restore = clap::Command::new("restore")
        .about("Restore a backup into an empty data folder that no program uses")
        .long_about(
            "Restore a backup into the data folder of DATA_DIR, which no program may use. Every file is checked before anything is \
             changed. All films are queued for the recommendations, which take those that they lack when the programs are started.",
        );
    vec![BackUp::augment_args(backup), Restore::augment_args(restore)]
}

/// Runs the command of this name.
pub(crate) fn run(kept: &Kept, name: &str, arguments: &ArgMatches) -> Result<(), Fault> {
    let unreadable = |error: clap::Error| Fault::bad_setting(FOLDER, error);
    if name == "backup" {
        let BackUp { folder } = BackUp::from_arg_matches(arguments).map_err(unreadable)?;
        return making::back_up(kept, &folder);
    }
    let Restore { folder, replace } = Restore::from_arg_matches(arguments).map_err(unreadable)?;
    restoring::restore(kept, &folder, replace)
}

/// Refuses a backup within the data folder: it would be lost with that.
fn keep_apart(kept: &Kept, folder: &Path) -> Result<(), Fault> {
    let parent = match folder.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    };
    let is_within = match (parent.canonicalize(), kept.data_dir.canonicalize()) {
        (Ok(parent), Ok(data)) => parent.starts_with(data),
        _ => false,
    };
    if is_within {
        let reason = format!(
            "`{}` is in the data folder `{}`: choose a folder elsewhere",
            folder.display(),
            kept.data_dir.display()
        );
        return Err(Fault::bad_setting(FOLDER, reason));
    }
    Ok(())
}

/// Prints the line that says what was done.
fn say(line: &str) {
    use std::io::Write;
    // It was done all the same.
    let _ = writeln!(std::io::stdout(), "{line}");
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Cli {
        #[command(flatten)]
        back_up: BackUp,
    }

    #[test]
    fn a_slash_behind_the_name_of_a_folder_does_not_count() {
        for (given, meant) in [
            ("/x/new/", "/x/new"),
            ("new/./", "new"),
            (".", "."),
            ("/", "/"),
        ] {
            let cli = Cli::try_parse_from(["backup", given]).unwrap();
            assert_eq!(cli.back_up.folder.as_os_str(), meant, "{given}");
        }
    }
}
