//! From the start of the process until it says that it can serve, and what memory it has then.

use std::{path::Path, time::Duration};

use super::{films, folder, program::Program, report, report::Spread};

const STARTS: usize = 5;
/// How long it is left alone before its memory is looked at.
const IDLE: Duration = Duration::from_secs(5);
const PREFERENCES: usize = 1_000_000;

pub(crate) async fn run() {
    let empty = folder::empty();
    let first = Program::start(empty.path()).await;
    report::row(
        "first start, which makes the databases",
        &report::ms(first.start),
    );
    first.stop().await;
    measure("empty", empty.path()).await;

    let (name, films) = films::films();
    let count = films.len();
    let folder = folder::with_films(name, films).await;
    measure(&format!("{count} {name} films"), folder.path()).await;
    folder::follow(folder.path(), &[], PREFERENCES).await;
    let what = format!("{count} {name} films, {PREFERENCES} preferences");
    measure(&what, folder.path()).await;
}

async fn measure(what: &str, folder: &Path) {
    let (mut starts, mut resident) = (Vec::new(), 0.0);
    for number in 1..=STARTS {
        let program = Program::start(folder).await;
        starts.push(program.start);
        if number == STARTS {
            tokio::time::sleep(IDLE).await;
            resident = program.resident_mb();
        }
        program.stop().await;
    }
    let starts = Spread::new(starts).text();
    report::row(&format!("{what}: start to ready, {STARTS} times"), &starts);
    report::row(
        &format!("{what}: resident, idle"),
        &format!("{resident:.0} MB"),
    );
}
