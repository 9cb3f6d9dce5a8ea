//! A setting that cannot work ends a program before it has begun anything, with one line that names the setting.

use std::{
    collections::BTreeSet,
    ffi::OsStr,
    fs::OpenOptions,
    net::TcpListener,
    os::unix::{ffi::OsStrExt, fs::PermissionsExt},
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use tempfile::TempDir;

use crate::support::{
    Bus, Layout, Program, Store, System, binary, eventually, free_address, mysql_url,
};

/// A bad value: the program, the setting, the value.
const BAD_VALUES: &[(&str, &str, &str)] = &[
    ("marquee", "HTTP_ADDR", "nonsense"),
    ("marquee", "HTTP_ADDR", "127.0.0.1:99999"),
    ("marquee", "OPS_ADDR", "5001"),
    ("marquee", "HTTP_KEEP_ALIVE", "0"),
    ("marquee", "GRPC_ADDR", "127.0.0.1"),
    ("marquee", "CATALOG_GRPC_ADDR", ":"),
    ("marquee", "ACCOUNTS_GRPC_ADDR", "50053"),
    ("marquee", "ACCOUNTS_DATABASE_URL", "accounts.db"),
    ("marquee", "REGISTRATION", "everybody"),
    ("marquee", "NATS_ADDR", "localhost:"),
    ("marquee", "EVENT_BUS", "amqp://127.0.0.1:5672"),
    ("marquee", "EVENT_BUS", "127.0.0.1:4222"),
    ("marquee", "EVENT_BUS", "kafka://"),
    ("marquee", "KAFKA_BROKER", "kafka:not-a-port"),
    (
        "marquee",
        "MOVIES_DATABASE_URL",
        "postgres://127.0.0.1/movies",
    ),
    ("marquee", "MOVIES_DATABASE_URL", "movies.db"),
    (
        "marquee",
        "RECOMMENDATIONS_DATABASE_URL",
        "mysql://127.0.0.1",
    ),
    ("marquee", "DATA_DIR", "a-file/data"),
    ("catalog", "DATABASE_URL", "postgres://127.0.0.1/movies"),
    ("catalog", "EVENT_BUS", "amqp://127.0.0.1"),
    (
        "catalog",
        "RECOMMENDATIONS_HOST",
        "http://recommendations:50051/path",
    ),
    ("catalog", "DATA_DIR", "a-file/data"),
    ("recommendations", "DATABASE_URL", "sqlite"),
    ("recommendations", "EVENT_BUS", "amqp://127.0.0.1"),
    ("recommendations", "GRPC_ADDR", "50051"),
    ("bridge", "NATS_ADDR", "127.0.0.1:port"),
    ("bridge", "DATA_DIR", "a-file/data"),
];

#[tokio::test]
async fn a_bad_value_is_refused_before_anything_is_made() {
    let three = Layout::Three.is_built();
    let mut wrong = Vec::new();
    for &(name, setting, value) in BAD_VALUES {
        if name != "marquee" && !three {
            continue;
        }
        let folder = TempDir::new().unwrap();
        std::fs::write(folder.path().join("a-file"), "no folder").unwrap();
        let mut settings = addresses(name);
        settings.retain(|(name, _)| name != setting);
        settings.push((setting.to_owned(), value.to_owned()));
        let refusal = refusal(name, folder.path(), &settings).await;
        if let Err(complaint) = refusal.is_about_value(setting) {
            wrong.push(format!("{name} with {setting}={value}: {complaint}"));
        }
        let made: Vec<_> = std::fs::read_dir(folder.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        if made != ["a-file"] {
            wrong.push(format!("{name} with {setting}={value} made {made:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test]
async fn a_flag_outdoes_the_environment_and_is_checked_alike() {
    for (flag, setting, value) in [
        ("--event-bus", "EVENT_BUS", "amqp://127.0.0.1"),
        ("--live-pages", "LIVE_PAGES", "-1"),
        ("--http-keep-alive", "HTTP_KEEP_ALIVE", "-1"),
        ("--event-max-age", "EVENT_MAX_AGE", "-1"),
    ] {
        let folder = TempDir::new().unwrap();
        let settings = addresses("marquee");
        let flags = [flag, value];
        let mut program = Program::start_with("marquee", folder.path(), &settings, &flags);
        let refusal = Refusal::of(&mut program).await;
        refusal.is_about_value(setting).unwrap();
    }
}

#[tokio::test]
async fn a_variable_set_to_nothing_is_as_good_as_absent() {
    let mut system = System::plain().await;
    let mut settings = system.settings("marquee");
    system.stop().await;
    let given: Vec<_> = settings.iter().map(|(name, _)| name.clone()).collect();
    for name in [
        "EVENT_BUS",
        "KAFKA_BROKER",
        "MOVIES_DATABASE_URL",
        "RECOMMENDATIONS_DATABASE_URL",
        "RECOMMENDATIONS_HOST",
        "SECRET_KEY",
        "LOG",
    ] {
        assert!(!given.contains(&name.to_owned()));
        settings.push((name.to_owned(), String::new()));
    }
    settings.push(("DATABASE_URL".to_owned(), String::new()));
    system.launch_with("marquee", &settings);
    system.ready("marquee").await;
    let log = system.program("marquee").stderr();
    assert!(!log.contains(" WARN "), "{log}");
    system.stop().await;
}

#[tokio::test]
async fn a_secret_may_be_in_a_file() {
    let folder = TempDir::new().unwrap();
    std::fs::write(folder.path().join("key"), "too short\n").unwrap();
    let mut settings = addresses("marquee");
    settings.push(("SECRET_KEY_FILE".to_owned(), "key".to_owned()));
    let refusal = refusal("marquee", folder.path(), &settings).await;
    refusal.is_about_value("SECRET_KEY").unwrap();
    // The file was read, and what it holds is refused and not shown.
    for not_said in ["_FILE", "too short"] {
        assert!(!refusal.stderr.contains(not_said), "{}", refusal.stderr);
    }
}

/// A pipe that nobody writes to, and a device without an end.
#[tokio::test]
async fn a_setting_that_names_no_plain_file_is_refused_at_once() {
    for setting in ["SECRET_KEY_FILE", "HTTP_CERT_FILE", "RELAY_CONFIG"] {
        for value in ["pipe", "/dev/zero"] {
            let folder = TempDir::new().unwrap();
            let pipe = folder.path().join("pipe");
            let made = Command::new("mkfifo").arg(pipe).status();
            assert!(made.unwrap().success());
            let mut settings = addresses("marquee");
            settings.push((setting.to_owned(), value.to_owned()));
            if setting == "HTTP_CERT_FILE" {
                std::fs::write(folder.path().join("key"), "a key").unwrap();
                settings.push(("HTTP_KEY_FILE".to_owned(), "key".to_owned()));
            }
            let Refusal { code, stderr } = refusal("marquee", folder.path(), &settings).await;
            assert_eq!(code, Some(64), "{setting}: {stderr}");
            assert!(
                stderr.contains("it is no plain file"),
                "{setting}: {stderr}"
            );
            assert!(stderr.contains(setting), "{setting}: {stderr}");
        }
    }
}

#[tokio::test]
async fn what_a_value_holds_begins_no_line_of_its_own() {
    let folder = TempDir::new().unwrap();
    let mut settings = addresses("marquee");
    let value = "info,x\n2026-12-01T00:00:00Z ERROR injected\u{1b}[2J";
    settings.push(("LOG".to_owned(), value.to_owned()));
    let refusal = refusal("marquee", folder.path(), &settings).await;
    refusal.is_about_value("LOG").unwrap();
    assert!(!refusal.stderr.contains('\u{1b}'), "{:?}", refusal.stderr);
}

#[tokio::test]
async fn what_others_can_reach_or_read_is_told_of_once() {
    let mut system = System::plain().await;
    let mut settings = system.settings("marquee");
    system.stop().await;
    let folder = TempDir::new().unwrap();
    let key = folder.path().join("key");
    std::fs::write(&key, "a key that cannot be guessed, or so\n").unwrap();
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o644)).unwrap();
    for (name, address) in &mut settings {
        if ["HTTP_ADDR", "GRPC_ADDR"].contains(&name.as_str()) {
            *address = address.replace("127.0.0.1", "0.0.0.0");
        }
    }
    let key = key.to_str().unwrap().to_owned();
    settings.push(("SECRET_KEY_FILE".to_owned(), key));
    let mut started = async |settings: &[(String, String)]| {
        system.launch_with("marquee", settings);
        system.ready("marquee").await;
        let log = system.program("marquee").stderr();
        system.stop().await;
        let warnings = log.lines().filter(|line| line.contains(" WARN "));
        let warnings: Vec<_> = warnings.map(str::to_owned).collect();
        (log, warnings)
    };
    // People sign in, and only programs that know the key call the services.
    let (log, warnings) = started(&settings).await;
    assert_eq!(warnings.len(), 1, "{log}");
    assert!(warnings[0].contains("(SECRET_KEY_FILE)"), "{log}");
    // Nobody does.
    for setting in [("ACCOUNTS", "open"), ("ALLOW_OPEN_NETWORK", "true")] {
        settings.push((setting.0.to_owned(), setting.1.to_owned()));
    }
    let (log, warnings) = started(&settings).await;
    assert_eq!(warnings.len(), 3, "{log}");
    for setting in [
        "(SECRET_KEY_FILE)",
        "--http-addr (HTTP_ADDR)",
        "--grpc-addr (GRPC_ADDR)",
    ] {
        let told = warnings.iter().filter(|line| line.contains(setting));
        assert_eq!(told.count(), 1, "{setting}: {log}");
    }
    assert!(!log.contains("a key that"), "{log}");
}

#[tokio::test]
async fn nobody_is_let_in_from_elsewhere_by_mistake() {
    let folder = TempDir::new().unwrap();
    let mut settings = addresses("marquee");
    let is_of_pages = |setting: &&mut (String, String)| setting.0 == "HTTP_ADDR";
    let (_, address) = settings.iter_mut().find(is_of_pages).unwrap();
    *address = address.replace("127.0.0.1", "0.0.0.0");
    settings.push(("ACCOUNTS".into(), "open".into()));
    let refusal = refusal("marquee", folder.path(), &settings).await;
    refusal.is_about_value("ACCOUNTS").unwrap();
}

#[tokio::test]
async fn health_is_asked_with_flags_before_or_behind_it() {
    let mut system = System::plain().await;
    let address = system.http.to_string();
    for flags in [
        ["health", "--http-addr", &address],
        ["--http-addr", &address, "health"],
    ] {
        let folder = TempDir::new().unwrap();
        let mut health = Program::start_with("marquee", folder.path(), &[], &flags);
        let status = health.end_within(Duration::from_secs(5)).await;
        assert_eq!(status.code(), Some(0), "{flags:?}: {}", health.stderr());
    }
    system.stop().await;
}

#[tokio::test]
async fn a_taken_port_is_named() {
    for setting in [
        "HTTP_ADDR",
        "OPS_ADDR",
        "GRPC_ADDR",
        "CATALOG_GRPC_ADDR",
        "ACCOUNTS_GRPC_ADDR",
        "NATS_ADDR",
    ] {
        let folder = TempDir::new().unwrap();
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut settings = addresses("marquee");
        settings.retain(|(name, _)| name != setting);
        settings.push((setting.to_owned(), taken.local_addr().unwrap().to_string()));
        let refusal = refusal("marquee", folder.path(), &settings).await;
        refusal.is_about_use(setting).unwrap();
    }
}

#[tokio::test]
async fn a_start_that_fails_is_a_line_of_json_if_the_log_is() {
    for (setting, value) in [
        ("CLIENT_RATE", "x"),
        ("WEB_REPLICAS", "0"),
        ("SECRET_KEY_FILE", "/no/such/file"),
        ("NATS_ADDR", "192.0.2.1:4222"),
        ("LOG", "loud"),
    ] {
        let folder = TempDir::new().unwrap();
        let mut settings = addresses("marquee");
        settings.retain(|(name, _)| name != setting);
        settings.push((setting.into(), value.into()));
        settings.push(("LOG_FORMAT".into(), "json".into()));
        let Refusal { code, stderr } = refusal("marquee", folder.path(), &settings).await;
        assert_eq!(code, Some(64), "{setting}: {stderr}");
        let lines: Vec<serde_json::Value> = stderr
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        let last = lines.last().unwrap();
        assert_eq!(last["level"], "ERROR", "{setting}: {stderr}");
        assert!(last["timestamp"].is_string(), "{setting}: {stderr}");
        let message = last["fields"]["message"].as_str().unwrap();
        assert!(message.contains(setting), "{setting}: {stderr}");
    }
}

#[tokio::test]
async fn a_start_that_fails_does_not_say_that_it_serves() {
    let folder = TempDir::new().unwrap();
    let data = folder.path().join("data");
    std::fs::create_dir(&data).unwrap();
    std::fs::write(data.join("movies.db"), "no database").unwrap();
    let settings = addresses("marquee");
    let Refusal { code, stderr } = refusal("marquee", folder.path(), &settings).await;
    assert!(matches!(code, Some(64 | 70)), "{stderr}");
    assert!(stderr.contains("databases: "), "{stderr}");
    assert!(!stderr.contains("pages: "), "{stderr}");
}

#[tokio::test]
async fn what_a_process_cannot_have_is_told_before_anything_is_bound() {
    for name in ["marquee", "catalog"] {
        if name == "catalog" && !Layout::Three.is_built() {
            continue;
        }
        let folder = TempDir::new().unwrap();
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut settings = addresses(name);
        settings.retain(|(name, _)| name != "HTTP_ADDR");
        settings.push(("HTTP_ADDR".into(), taken.local_addr().unwrap().to_string()));
        settings.push(("LIVE_PAGES".into(), "1000000".into()));
        let Refusal { stderr, .. } = refusal(name, folder.path(), &settings).await;
        assert!(
            stderr.contains("(LIVE_PAGES) is 1000000"),
            "{name}: {stderr}"
        );
    }
}

#[tokio::test]
async fn a_second_instance_leaves_the_first_one_alone() {
    let mut system = System::plain().await;
    let same = system.settings("marquee");
    let folder = refusal("marquee", system.folder.path(), &same).await;
    folder.is_about_use("DATA_DIR").unwrap();

    let elsewhere = TempDir::new().unwrap();
    let mut settings = same;
    settings.retain(|(name, _)| name != "DATA_DIR");
    let address = refusal("marquee", elsewhere.path(), &settings).await;
    address.is_about_use("HTTP_ADDR").unwrap();

    let browser = system.browser();
    browser.follow("heist").await;
    system.stop().await;
}

#[tokio::test]
async fn each_service_has_its_database_in_a_shared_folder_for_itself() {
    if !Layout::Three.is_built() {
        return;
    }
    let mut system = System::start(Layout::Three, &Store::Sqlite, &Bus::Embedded).await;
    for name in Layout::Three.programs() {
        let mut settings = system.settings(name);
        settings.extend(addresses(name));
        let refusal = refusal(name, system.folder.path(), &settings).await;
        refusal.is_about_use("DATA_DIR").unwrap();
    }
    system.browser().follow("heist").await;
    system.stop().await;
}

#[tokio::test]
async fn what_is_kept_is_for_its_owner_alone() {
    let mut system = System::plain().await;
    system.browser().follow("heist").await;
    let data = system.folder.path().join("data");
    let mut open = Vec::new();
    let mut folders = vec![data];
    while let Some(folder) = folders.pop() {
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        if mode(&folder) != 0o700 {
            open.push(folder.clone());
        }
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => folders.push(path),
                false if mode(&path) != 0o600 => open.push(path),
                false => {}
            }
        }
    }
    assert!(open.is_empty(), "others may read {open:?}");
    system.stop().await;
}

#[tokio::test]
async fn too_few_file_descriptors_are_refused_and_a_low_soft_limit_is_raised() {
    let folder = TempDir::new().unwrap();
    let start = |limits: &str| {
        let mut command = tokio::process::Command::new("sh");
        command
            .args(["-c", &format!("{limits}; exec \"$0\"")])
            .arg(binary("marquee").unwrap())
            .current_dir(folder.path())
            .env_clear()
            .envs(addresses("marquee"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        command.spawn().unwrap()
    };
    let refused = start("ulimit -n 200").wait_with_output().await.unwrap();
    let printed = String::from_utf8(refused.stderr).unwrap();
    assert_eq!(refused.status.code(), Some(70), "{printed}");
    assert!(printed.contains("ulimit -n 1024"), "{printed}");

    let program = start("ulimit -S -n 300; ulimit -H -n 1000");
    let limits = format!("/proc/{}/limits", program.id().unwrap());
    eventually("the limit to be raised", async || {
        let limits = std::fs::read_to_string(&limits).map_err(|e| e.to_string())?;
        let line = limits
            .lines()
            .find(|line| line.starts_with("Max open files"));
        let soft = line.and_then(|line| line.split_whitespace().nth(3));
        (soft == Some("1000")).then_some(()).ok_or(limits)
    })
    .await;
}

#[tokio::test]
async fn a_database_that_refuses_its_user_is_named() {
    let Some(server) = mysql_url() else { return };
    let url = Store::Mysql(server).database("refused").await.unwrap();
    let (user, address) = url.split_once('@').unwrap();
    let wrong_password = format!("{user}-wrong@{address}");
    let unknown_database = format!("{url}_that_is_not_there");
    for url in [wrong_password, unknown_database] {
        let folder = TempDir::new().unwrap();
        let mut settings = addresses("marquee");
        settings.push(("MOVIES_DATABASE_URL".to_owned(), url));
        let refusal = refusal("marquee", folder.path(), &settings).await;
        refusal.is_about_use("MOVIES_DATABASE_URL").unwrap();
        assert!(
            !refusal.stderr.contains("-wrong"),
            "the password is shown: {}",
            refusal.stderr
        );
    }
}

#[tokio::test]
async fn help_lists_every_setting_as_flag_and_variable() {
    let settings = [
        (
            "marquee",
            "HTTP_ADDR OPS_ADDR HTTP_KEEP_ALIVE HTTP_CERT_FILE HTTP_KEY_FILE GRPC_CERT_FILE GRPC_KEY_FILE GRPC_CA_FILE GRPC_SERVER_NAME GRPC_ADDR CATALOG_GRPC_ADDR ACCOUNTS_GRPC_ADDR NATS_ADDR DATA_DIR EVENT_BUS KAFKA_BROKER NATS_TOKEN NATS_CREDS_FILE NATS_NKEY_FILE NATS_CA_FILE NATS_CERT_FILE NATS_KEY_FILE EVENT_MAX_AGE EVENT_MAX_BYTES MOVIES_DATABASE_URL \
                     RECOMMENDATIONS_DATABASE_URL ACCOUNTS_DATABASE_URL REGISTRATION SMTP_URL MAIL_FROM PUBLIC_URL OIDC_ISSUER OIDC_CLIENT_ID OIDC_CLIENT_SECRET OIDC_NAME SECRET_KEY BROKER_MAX_AGE BROKER_MAX_BYTES BROKER_KEEP_ACKNOWLEDGED",
        ),
        (
            "catalog",
            "HTTP_ADDR OPS_ADDR HTTP_KEEP_ALIVE HTTP_CERT_FILE HTTP_KEY_FILE GRPC_CERT_FILE GRPC_KEY_FILE GRPC_CA_FILE GRPC_SERVER_NAME CATALOG_GRPC_ADDR DATA_DIR EVENT_BUS KAFKA_BROKER NATS_TOKEN NATS_CREDS_FILE NATS_NKEY_FILE NATS_CA_FILE NATS_CERT_FILE NATS_KEY_FILE EVENT_MAX_AGE EVENT_MAX_BYTES DATABASE_URL RECOMMENDATIONS_HOST SECRET_KEY",
        ),
        (
            "recommendations",
            "HTTP_ADDR GRPC_CERT_FILE GRPC_KEY_FILE GRPC_CA_FILE GRPC_SERVER_NAME GRPC_ADDR DATA_DIR EVENT_BUS KAFKA_BROKER NATS_TOKEN NATS_CREDS_FILE NATS_NKEY_FILE NATS_CA_FILE NATS_CERT_FILE NATS_KEY_FILE EVENT_MAX_AGE EVENT_MAX_BYTES DATABASE_URL",
        ),
        (
            "bridge",
            "HTTP_ADDR NATS_ADDR DATA_DIR NATS_TOKEN BROKER_MAX_AGE BROKER_MAX_BYTES BROKER_KEEP_ACKNOWLEDGED",
        ),
    ];
    let three = Layout::Three.is_built();
    for (name, settings) in settings {
        if name != "marquee" && !three {
            continue;
        }
        let folder = TempDir::new().unwrap();
        let secret = [(
            "SECRET_KEY".to_owned(),
            "a secret that help must not show".to_owned(),
        )];
        let mut program = Program::start_with(name, folder.path(), &secret, &["--help"]);
        let status = program.end_within(Duration::from_secs(20)).await;
        assert_eq!(status.code(), Some(0));
        let help = program.stdout();
        assert!(!help.contains("must not show"), "{help}");
        // The other faces of the program, which take settings of their own.
        let faces = ["bridge broker", "bridge relay"];
        assert!(
            name != "bridge" || faces.iter().all(|face| help.contains(face)),
            "{help}"
        );
        for setting in settings.split_whitespace() {
            let flag = format!("--{}", setting.to_lowercase().replace('_', "-"));
            assert!(
                help.contains(setting) && help.contains(&flag),
                "{name} --help lacks {setting}: {help}"
            );
        }
    }
}

/// Settings that take any text, or that are of no use without others and not looked at then.
const TAKE_ANYTHING: &[&str] = &[
    "CONSUL_CACERT",
    "CONSUL_HTTP_TOKEN",
    "DATA_DIR",
    "OTEL_SERVICE_NAME",
];

/// Whether a setting is a path, which need not be UTF-8.
fn is_path(setting: &str) -> bool {
    let ends = ["_FILE", "_DIR", "_CACERT", "_CONFIG"];
    ends.iter().any(|end| setting.ends_with(end))
}

/// Whether a refusal is not about the value, but about another setting that has to be given with it.
fn is_told_of_another(refusal: &str) -> bool {
    let words = [
        "is needed too",
        "KAFKA_SECURITY_PROTOCOL has to be",
        "of use only with",
    ];
    words.iter().any(|words| refusal.contains(words))
}

/// Starts a program with one setting and an address that is taken, so that it ends in any case. Returns its exit code and what it says.
fn end_of(program: &[&str], folder: &Path, settings: &[(&str, &OsStr)]) -> (Option<i32>, String) {
    let (name, arguments) = program.split_first().unwrap();
    let mut command = Command::new(binary(name).unwrap());
    command.args(arguments).current_dir(folder).env_clear();
    let output = command.envs(settings.iter().copied()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    (output.status.code(), said)
}

/// The settings that `--help` of a program lists, and which of them hide their value.
fn listed(program: &[&str]) -> Vec<(String, bool)> {
    let (name, arguments) = program.split_first().unwrap();
    let mut command = Command::new(binary(name).unwrap());
    let help = command.args(arguments).arg("--help").env_clear().output();
    let help = String::from_utf8(help.unwrap().stdout).unwrap();
    let parts = help.split("[env: ").skip(1);
    let parts = parts.filter_map(|part| part.split(']').next());
    let named = parts.map(|part| match part.split_once('=') {
        Some((name, _)) => (name.to_owned(), false),
        None => (part.to_owned(), true),
    });
    named.collect()
}

#[test]
fn every_setting_says_what_is_wrong_with_nonsense() {
    const NONSENSE: &str = "no sense";
    let mut programs: Vec<&[&str]> = vec![&["marquee"]];
    if Layout::Three.is_built() {
        let further: [&[&str]; 5] = [
            &["catalog"],
            &["recommendations"],
            &["web"],
            &["bridge"],
            &["bridge", "relay"],
        ];
        programs.extend(further);
    }
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    let (mut tried, mut wrong, mut took_anything) = (BTreeSet::new(), vec![], BTreeSet::new());
    for program in programs {
        for (setting, is_hidden) in listed(program) {
            if !tried.insert(setting.clone()) {
                continue;
            }
            let folder = TempDir::new().unwrap();
            // Some are looked at with the bus alone that they are for.
            let bus = match setting.as_str() {
                "KAFKA_BROKER" | "NATS_TOKEN" => "",
                _ if setting.starts_with("KAFKA_") => "kafka://127.0.0.1:1",
                _ if setting.starts_with("NATS_") => "nats://127.0.0.1:1",
                _ => "",
            };
            let with = |value| {
                let settings = [
                    ("HTTP_ADDR", OsStr::new(&taken)),
                    ("EVENT_BUS", OsStr::new(bus)),
                    (&setting, value),
                ];
                end_of(program, folder.path(), &settings)
            };
            let (code, said) = with(OsStr::new(NONSENSE));
            let last = said.trim_end().lines().last().unwrap_or_default();
            if last.contains("is taken") {
                took_anything.insert(setting.clone());
            } else if code != Some(64)
                || said.trim_end().lines().count() != 1
                || !last.contains(&format!("({setting})"))
                || last.contains(NONSENSE) == (is_hidden || is_told_of_another(last))
            {
                wrong.push(format!("{program:?} {setting}: {code:?} {said}"));
            }
            if !is_path(&setting) {
                let (code, said) = with(OsStr::from_bytes(b"x\xff"));
                let names = said.contains(&format!("({setting})"));
                if code != Some(64) || !names {
                    wrong.push(format!("{program:?} {setting}, no UTF-8: {code:?} {said}"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(tried.len() > 50, "{tried:?}");
    let expected = BTreeSet::from_iter(TAKE_ANYTHING.iter().map(|name| (*name).to_owned()));
    assert_eq!(took_anything, expected);
}

#[test]
fn a_command_without_its_folder_says_so() {
    for command in ["backup", "restore"] {
        let folder = TempDir::new().unwrap();
        let (code, said) = end_of(&["marquee", command], folder.path(), &[]);
        let told = format!("`<FOLDER>` is missing, as in `marquee {command} <FOLDER>`");
        assert!(code == Some(64) && said.contains(&told), "{code:?} {said}");
    }
}

#[tokio::test]
async fn a_log_that_cannot_be_written_ends_no_program() {
    let folder = TempDir::new().unwrap();
    let mut settings = addresses("marquee");
    let is_of_operators = |setting: &&(String, String)| setting.0 == "OPS_ADDR";
    let (_, operators) = settings.iter().find(is_of_operators).unwrap();
    let ready = format!("http://{operators}/readyz");
    settings.push(("LOG".into(), "debug".into()));
    let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
    let mut program = tokio::process::Command::new(binary("marquee").unwrap())
        .current_dir(folder.path())
        .env_clear()
        .envs(settings)
        .stderr(full)
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    for _ in 0..2 {
        eventually("the program is ready", async || {
            assert_eq!(program.try_wait().unwrap(), None, "it has ended");
            let asked = reqwest::get(&ready).await.map_err(|e| e.to_string())?;
            asked.error_for_status().map_err(|e| e.to_string())
        })
        .await;
    }
}

/// Free addresses for all that a program listens on.
fn addresses(name: &str) -> Vec<(String, String)> {
    let settings: &[&str] = match name {
        "marquee" => &[
            "HTTP_ADDR",
            "OPS_ADDR",
            "GRPC_ADDR",
            "CATALOG_GRPC_ADDR",
            "ACCOUNTS_GRPC_ADDR",
            "NATS_ADDR",
        ],
        "catalog" => &["HTTP_ADDR", "OPS_ADDR", "CATALOG_GRPC_ADDR"],
        "recommendations" => &["HTTP_ADDR", "GRPC_ADDR"],
        _ => &["HTTP_ADDR", "NATS_ADDR"],
    };
    settings
        .iter()
        .map(|&setting| (setting.to_owned(), free_address().to_string()))
        .collect()
}

/// How a program said no.
struct Refusal {
    code: Option<i32>,
    stderr: String,
}

async fn refusal(name: &str, folder: &Path, settings: &[(String, String)]) -> Refusal {
    Refusal::of(&mut Program::start(name, folder, settings)).await
}

impl Refusal {
    async fn of(program: &mut Program) -> Self {
        let status = program.end_within(Duration::from_secs(30)).await;
        Self {
            code: status.code(),
            stderr: program.stderr(),
        }
    }

    /// Whether it ended with 64 and one line that names the setting, as variable or as flag, and said nothing else.
    fn is_about_value(&self, setting: &str) -> Result<(), String> {
        let Self { code, stderr } = self;
        let lines = stderr
            .lines()
            .filter(|line| !line.trim().is_empty())
            .count();
        if *code != Some(64) {
            Err(format!("ended with {code:?} instead of 64: {stderr}"))
        } else if lines != 1 {
            Err(format!("{lines} lines instead of one: {stderr}"))
        } else {
            self.names(setting)
        }
    }

    /// Whether it ended with 64 or 70 and one error that names the setting, whatever it logged before of what it does.
    fn is_about_use(&self, setting: &str) -> Result<(), String> {
        let Self { code, stderr } = self;
        let complaints = stderr
            .lines()
            .filter(|line| !line.contains(" INFO "))
            .count();
        if !matches!(code, Some(64 | 70)) {
            Err(format!("ended with {code:?} instead of 64 or 70: {stderr}"))
        } else if complaints != 1 {
            Err(format!("{complaints} complaints instead of one: {stderr}"))
        } else {
            self.names(setting)
        }
    }

    fn names(&self, setting: &str) -> Result<(), String> {
        let flag = format!("--{}", setting.to_lowercase().replace('_', "-"));
        let line = self.stderr.trim_end().lines().last().unwrap_or_default();
        let named = line.contains(setting) || line.contains(&flag);
        named
            .then_some(())
            .ok_or(format!("{setting} is not named: {line}"))
    }
}
