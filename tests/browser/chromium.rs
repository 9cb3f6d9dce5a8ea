//! Chromium with its driver, as processes of one test.

use std::{env, fs, path::PathBuf, process::Stdio, time::Duration};

use fantoccini::{Client, ClientBuilder, wd::Capabilities};
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::process::{Child, Command};

use crate::support::{eventually, free_address, skip};

/// Chromium shows this much of a page where nothing else is said, in CSS pixels.
pub(crate) const WIDE: (u32, u32) = (1280, 900);

/// The programs that the environment names.
#[derive(Clone)]
pub(crate) struct Tools {
    chromium: PathBuf,
    chromedriver: PathBuf,
    /// The script of axe-core, which finds what keeps people out.
    pub(crate) axe: String,
}

/// A running browser with one empty window. Dropped, it is killed.
pub(crate) struct Chromium {
    pub(crate) client: Client,
    _driver: Child,
    _profile: TempDir,
}

impl Tools {
    /// The tools, if the machine has them all.
    pub(crate) fn find() -> Option<Self> {
        let tools = ["TEST_CHROMIUM", "TEST_CHROMEDRIVER", "TEST_AXE"].map(|name| {
            env::var_os(name)
                .filter(|path| !path.is_empty())
                .map(PathBuf::from)
        });
        let [Some(chromium), Some(chromedriver), Some(axe)] = tools else {
            skip("no browser: see TEST_CHROMIUM, TEST_CHROMEDRIVER and TEST_AXE");
            return None;
        };
        let axe = fs::read_to_string(axe).expect("TEST_AXE is the script of axe-core");
        Some(Self {
            chromium,
            chromedriver,
            axe,
        })
    }
}

impl Chromium {
    /// Starts a browser that has seen nothing yet.
    pub(crate) async fn start(tools: &Tools, scripts: bool) -> Self {
        let profile = TempDir::new().unwrap();
        let address = free_address();
        let driver = Command::new(&tools.chromedriver)
            .arg(format!("--port={}", address.port()))
            .env("HOME", profile.path())
            .env("TMPDIR", profile.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let url = format!("http://{address}");
        eventually("the driver to be ready", async || {
            let status = reqwest::get(format!("{url}/status")).await;
            status.map(|_| ()).map_err(|error| format!("{error:?}"))
        })
        .await;
        let client = ClientBuilder::new(HttpConnector::new())
            .capabilities(capabilities(tools, &profile, scripts))
            .connect(&url)
            .await
            .unwrap();
        Self {
            client,
            _driver: driver,
            _profile: profile,
        }
    }
}

fn capabilities(tools: &Tools, profile: &TempDir, scripts: bool) -> Capabilities {
    let (width, height) = WIDE;
    let arguments = [
        "--headless".to_owned(),
        // Works for root and in containers too; the pages are our own.
        "--no-sandbox".to_owned(),
        "--disable-gpu".to_owned(),
        "--disable-dev-shm-usage".to_owned(),
        "--disable-quic".to_owned(),
        "--no-first-run".to_owned(),
        "--disable-background-networking".to_owned(),
        "--disable-component-update".to_owned(),
        "--disable-sync".to_owned(),
        // Chromium ends when the driver does, even when that one is killed.
        "--remote-debugging-pipe".to_owned(),
        "--hide-scrollbars".to_owned(),
        "--force-prefers-reduced-motion".to_owned(),
        "--lang=en-GB".to_owned(),
        format!("--window-size={width},{height}"),
        format!(
            "--user-data-dir={}",
            profile.path().join("profile").display()
        ),
    ];
    const BLOCKED: u8 = 2;
    let settings = if scripts {
        json!({})
    } else {
        json!({ "profile.managed_default_content_settings.javascript": BLOCKED })
    };
    let limit = Duration::from_secs(60).as_millis() as u64;
    let capabilities = json!({
        "browserName": "chrome",
        "timeouts": { "implicit": 0, "pageLoad": limit, "script": limit },
        "goog:chromeOptions": { "binary": tools.chromium, "args": arguments, "prefs": settings },
        "goog:loggingPrefs": { "browser": "ALL", "performance": "ALL" },
    });
    match capabilities {
        Value::Object(capabilities) => capabilities,
        _ => unreachable!("it is written as an object above"),
    }
}
