//! How fast the whole program is, measured from outside over HTTP and gRPC.
//!
//! `cargo bench -p marquee --bench load` runs everything, with names behind `--` only these: `updates`, `flags`, `pages`,
//! `start`, `follow`, `traces`, `accounts`. Each starts the release build of `marquee` in a folder of its own under `target/tmp`, and prints
//! rows of a Markdown table. Films are made up, always the same ones; `LOAD_FILMS=folder` takes real ones, from files of
//! `[{"title", "year", "genres", "extract"}]`. A catalog that was filled once is kept there for the next run.
//! `LOAD_PROGRAM=path` measures another build of the program, to compare it with, `LOAD_DIR=folder` another disk.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a benchmark prints what it measured and stops when something fails"
)]

mod films;
mod folder;
mod http;
mod keywords;
mod program;
mod report;
mod served;

mod accounts;
mod flags;
mod follow;
mod pages;
mod start;
mod traces;
mod updates;

#[path = "../../tests/system/support/ports.rs"]
mod ports;

const ALL: [&str; 7] = [
    "updates", "flags", "pages", "start", "follow", "traces", "accounts",
];

fn main() {
    // What cargo itself says begins with dashes.
    let named: Vec<String> = std::env::args()
        .skip(1)
        .filter(|name| !name.starts_with("--"))
        .collect();
    if named == ["hello"] {
        return pages::serve_hello();
    }
    if named == ["grpc"] {
        return updates::serve_grpc();
    }
    if named == ["web"] {
        return pages::serve_web();
    }
    let unknown = named.iter().find(|name| !ALL.contains(&name.as_str()));
    if let Some(name) = unknown {
        panic!("there is no `{name}`, but: {ALL:?}");
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    for name in ALL
        .into_iter()
        .filter(|name| named.is_empty() || named.iter().any(|named| named == name))
    {
        println!("\n### {name}\n");
        report::disk();
        match name {
            "updates" => runtime.block_on(updates::run()),
            "flags" => runtime.block_on(flags::run()),
            "pages" => runtime.block_on(pages::run()),
            "start" => runtime.block_on(start::run()),
            "accounts" => runtime.block_on(accounts::run()),
            "traces" => runtime.block_on(traces::run()),
            _ => runtime.block_on(follow::run()),
        }
    }
}
