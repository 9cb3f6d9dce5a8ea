//! The house holds its shape: which crate may depend on which, what is kept out of where, and that every file begins with
//! its purpose. It reads the manifests and the sources; no service is started.

#[cfg(test)]
mod tests {
    use std::{
        fs,
        path::{Path, PathBuf},
        process::Command,
    };

    use serde_json::Value;

    /// From the bottom to the top: a crate depends only on crates of lower floors.
    const FLOORS: [&[&str]; 5] = [
        &["proto"],
        &["runtime"],
        &["bus", "storage"],
        &["accounts", "bridge", "catalog", "recommendations", "web"],
        &["marquee"],
    ];

    /// What tests of all floors may use, and nothing else.
    const TESTKIT: &str = "testkit";

    /// Arrows that point upwards, in tests alone: the bus is tested over the embedded broker.
    const UPWARDS_IN_TESTS: [(&str, &str); 1] = [("bus", "bridge")];

    /// What a crate must not depend on, whatever its floor.
    const KEPT_OUT: [(&str, &[&str]); 6] = [
        // The pages have no database and take no events.
        (
            "web",
            &["storage", "bus", "diesel", "rdkafka", "async-nats"],
        ),
        // Broker and relay know nothing of films.
        ("bridge", &["proto", "storage"]),
        // Services link no pages.
        ("accounts", &["actix-web", "tera"]),
        ("catalog", &["actix-web", "tera"]),
        ("recommendations", &["actix-web", "tera"]),
        // A database is reached through `storage` alone.
        ("bus", &["diesel"]),
    ];

    /// Algorithms on plain data: no actor, no database, no gRPC.
    const PLAIN: [&str; 2] = ["recommendations/src/matching", "web/src/covers"];

    struct Dependency {
        from: String,
        to: String,
        in_tests: bool,
    }

    fn root() -> &'static Path {
        Path::new(env!("CARGO_MANIFEST_DIR"))
    }

    /// The crates of the workspace, and all that their manifests name.
    fn manifests() -> (Vec<String>, Vec<Dependency>) {
        let output = Command::new(env!("CARGO"))
            .args(["metadata", "--format-version=1", "--no-deps", "--offline"])
            .current_dir(root())
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let (mut crates, mut dependencies) = (vec![], vec![]);
        for package in metadata["packages"].as_array().unwrap() {
            let from = text(&package["name"]);
            for dependency in package["dependencies"].as_array().unwrap() {
                dependencies.push(Dependency {
                    from: from.clone(),
                    to: text(&dependency["name"]),
                    in_tests: dependency["kind"] == "dev",
                });
            }
            crates.push(from);
        }
        (crates, dependencies)
    }

    fn floor(name: &str) -> Option<usize> {
        FLOORS.iter().position(|floor| floor.contains(&name))
    }

    /// Every `.rs` file of ours.
    fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy();
            if path.is_dir() && name != "target" && !name.starts_with('.') {
                sources(&path, found);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }

    #[test]
    fn every_crate_has_its_floor() {
        let (crates, _) = manifests();
        assert_eq!(crates.len(), FLOORS.concat().len() + 1, "{crates:?}");
        for name in crates {
            assert!(
                name == TESTKIT || floor(&name).is_some(),
                "`{name}` is on no floor"
            );
        }
    }

    #[test]
    fn crates_depend_only_on_lower_floors() {
        let mut wrong = vec![];
        let mut arrows = 0;
        for Dependency { from, to, in_tests } in manifests().1 {
            let Some(lower) = floor(&to) else {
                continue;
            };
            arrows += 1;
            let allowed = match floor(&from) {
                Some(higher) => lower < higher,
                // The fakes speak the wire's language, and know no service.
                None => to == "proto",
            };
            let is_known = in_tests && UPWARDS_IN_TESTS.contains(&(from.as_str(), to.as_str()));
            if !(allowed || is_known) {
                wrong.push(format!("{from} -> {to}"));
            }
        }
        assert!(arrows > 20, "only {arrows} arrows were read");
        assert_eq!(wrong, [""; 0]);
    }

    #[test]
    fn testkit_is_for_tests_alone() {
        let (_, dependencies) = manifests();
        let mut users = dependencies
            .iter()
            .filter(|dependency| dependency.to == TESTKIT);
        assert!(users.all(|dependency| dependency.in_tests));
    }

    #[test]
    fn what_is_kept_out_stays_out() {
        let mut wrong = vec![];
        for Dependency { from, to, in_tests } in manifests().1 {
            for (owner, kept_out) in KEPT_OUT {
                if !in_tests && from == owner && kept_out.contains(&to.as_str()) {
                    wrong.push(format!("{from} -> {to}"));
                }
            }
        }
        assert_eq!(wrong, [""; 0]);
    }

    #[test]
    fn algorithms_know_no_actor_no_database_and_no_server() {
        let mut files = vec![];
        for folder in PLAIN {
            sources(&root().join(folder), &mut files);
        }
        assert!(files.len() > 10, "{files:?}");
        for path in files {
            let text = fs::read_to_string(&path).unwrap();
            for name in ["actix", "diesel", "tonic", "tokio", "crate::actors"] {
                assert!(!text.contains(name), "{} names {name}", path.display());
            }
        }
    }

    /// The quoted names that follow `call` in a text.
    fn quoted<'a>(text: &'a str, call: &str) -> Vec<&'a str> {
        let mut calls = text.split(call);
        calls.next();
        calls
            .filter_map(|rest| rest.split('"').next())
            .filter(|name| !name.is_empty())
            .collect()
    }

    /// Loops in the files of actors that are allowed: in which file, how their line begins, and why.
    const LOOPS: [(&str, &str, &str); 5] = [
        (
            "catalog/src/actors/status_consumer.rs",
            "while let Err(error) = self.reconciler.ask(",
            "the handler's: its consumer is degraded until the flags are compared",
        ),
        (
            "recommendations/src/actors/backlog_worker.rs",
            "while ",
            "a round, which ends when nothing waits but what has failed, and reports and trims as it lasts",
        ),
        (
            "recommendations/src/actors/matcher.rs",
            "while let",
            "the building of the index, which ends with the table",
        ),
        (
            "runtime/src/supervision/supervisor.rs",
            "while self.with_child(",
            "the caller's, who waits for a stop within a deadline",
        ),
        (
            "web/src/actors/recommendations_gateway/user_watches.rs",
            "changes.for_each(tell)",
            "a task of its own: what the stream brings is a message to the actor, and so is its end",
        ),
    ];

    /// The loops of a file that wait: `loop`, a `while` that awaits, and a stream that is followed.
    fn waiting_loops(text: &str) -> Vec<&str> {
        let code = text.split("#[cfg(test)]").next().unwrap_or_default();
        let mut found = vec![];
        let mut place = 0;
        for line in code.split_inclusive('\n') {
            let rest = &code[place..];
            place += line.len();
            let statement = line.trim_start();
            let indent = &line[..line.len() - statement.len()];
            // Before the word may stand a label, or what the loop's value is given to.
            let begins = |word: &str| {
                let mut words = statement.split_whitespace();
                !statement.starts_with("//") && words.any(|other| other == word)
            };
            let end = format!("\n{indent}}}");
            let whole = &rest[..rest.find(&end).unwrap_or(rest.len())];
            let follows = ["for_each(", "for_each_concurrent(", "fold("];
            let is_waiting = match statement {
                _ if begins("loop") => true,
                _ if begins("while") => whole.contains(".await"),
                _ if follows.iter().any(|name| statement.contains(name)) => {
                    let call = rest.split(';').next().unwrap_or_default();
                    call.contains(".await")
                }
                _ => false,
            };
            if is_waiting {
                found.push(statement.trim_end());
            }
        }
        found
    }

    #[test]
    fn a_loop_that_waits_is_found() {
        let text = "
fn work(&mut self) {
    // Goes on while there is more.
    while self.step() {
        count += 1;
    }
    let outcome = loop {
        self.step();
    };
    while let Some(message) = inbox.recv().await {
        message.handle();
    }
    'messages: while let Some(message) = inbox.recv().await
        && message.is_good()
    {
        message.handle();
    }
    while self.is_held() {
        self.step().await;
    }
    stream
        .for_each(tell)
        .await;
    names.iter().for_each(drop);
}

#[cfg(test)]
mod tests {
    fn wait() {
        loop {}
    }
}
";
        let found = waiting_loops(text);
        let expected = [
            "let outcome = loop {",
            "while let Some(message) = inbox.recv().await {",
            "'messages: while let Some(message) = inbox.recv().await",
            "while self.is_held() {",
            ".for_each(tell)",
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn no_actor_loops() {
        let mut files = vec![];
        for folder in FLOORS[..4].concat() {
            sources(&root().join(folder).join("src"), &mut files);
        }
        let (mut actors, mut found) = (0, vec![]);
        for path in files {
            let text = fs::read_to_string(&path).unwrap();
            let is_actor = text.contains("impl Actor for ");
            actors += usize::from(is_actor);
            let is_among_actors = path.iter().any(|folder| folder == "actors");
            if is_actor || is_among_actors && !path.ends_with("tests.rs") {
                let path = path.strip_prefix(root()).unwrap().display().to_string();
                let loops = waiting_loops(&text).into_iter();
                found.extend(loops.map(|line| (path.clone(), line.to_owned())));
            }
        }
        assert!(actors > 15, "only {actors} actors were found");
        let is_allowed = |(path, line): &(String, String)| {
            let mut allowed = LOOPS.iter();
            allowed.any(|(file, begin, _)| path == file && line.starts_with(begin))
        };
        let (allowed, wrong): (Vec<_>, Vec<_>) = found.into_iter().partition(is_allowed);
        assert!(wrong.is_empty(), "actors loop: {wrong:#?}");
        for (file, begin, _) in LOOPS {
            let mut used = allowed.iter();
            let is_used = used.any(|(path, line)| path == file && line.starts_with(begin));
            assert!(is_used, "{file} has no such loop any more: {begin}");
        }
    }

    /// Tests wait for a condition; one that waits for a time says why.
    #[test]
    fn tests_that_wait_for_a_time_say_why() {
        let mut files = vec![];
        sources(root(), &mut files);
        let (mut sleeps, mut silent) = (0, vec![]);
        for path in files {
            let folders = path.strip_prefix(root()).unwrap();
            let is_test = folders
                .iter()
                .any(|part| part == "tests" || part == TESTKIT || part == "tests.rs");
            if !is_test || folders.ends_with("tests/house.rs") {
                continue;
            }
            let text = fs::read_to_string(&path).unwrap();
            let mut before = "";
            for line in text.lines().map(str::trim) {
                if line.contains("sleep(") {
                    sleeps += 1;
                    let is_explained = before.starts_with("// ");
                    if !is_explained {
                        silent.push(format!("{}: {line}", folders.display()));
                    }
                }
                before = line;
            }
        }
        assert!(sleeps > 5, "only {sleeps} were found");
        assert!(silent.is_empty(), "no reason is given: {silent:#?}");
    }

    #[test]
    fn every_actor_stands_in_the_architecture() {
        let architecture = fs::read_to_string(root().join("docs/ARCHITECTURE.md")).unwrap();
        let mut actors = 0;
        for service in FLOORS[3] {
            let system = root().join(service).join("src/system.rs");
            for name in quoted(&fs::read_to_string(system).unwrap(), "supervise(\"") {
                actors += 1;
                let branches = ["├", "└"].map(|branch| format!("{branch} {name}"));
                let is_in_tree = branches.iter().any(|branch| architecture.contains(branch));
                assert!(is_in_tree, "the tree lacks {name}");
                let named = format!("`{name}`");
                let mut rows = architecture.lines().filter(|line| line.starts_with("| `"));
                let is_in_table = rows.any(|row| {
                    row.split('|')
                        .nth(1)
                        .is_some_and(|cell| cell.contains(&named))
                });
                assert!(is_in_table, "the table lacks {name}");
            }
        }
        assert!(actors > 10, "only {actors} actors were found");
    }

    #[test]
    fn every_setting_stands_in_the_readme() {
        let readme = fs::read_to_string(root().join("README.md")).unwrap();
        let programs = [env!("CARGO_BIN_EXE_marquee"), env!("CARGO_BIN_EXE_catalog")];
        for program in programs {
            let help = Command::new(program).arg("--help").output().unwrap();
            let help = String::from_utf8(help.stdout).unwrap();
            let variables: Vec<_> = help
                .split("[env: ")
                .skip(1)
                .filter_map(|rest| rest.split(['=', ']']).next())
                .collect();
            assert!(variables.len() > 8, "{program} has only {variables:?}");
            for variable in variables {
                let named = format!("`{variable}`");
                assert!(readme.contains(&named), "the README lacks {named}");
            }
        }
    }

    #[test]
    fn every_file_begins_with_its_purpose() {
        let mut files = vec![];
        sources(root(), &mut files);
        assert!(files.len() > 300, "only {} files were found", files.len());
        files.retain(|path| !fs::read_to_string(path).unwrap().starts_with("//! "));
        assert!(files.is_empty(), "no `//!` head: {files:#?}");
    }
}
