//! What a visit leaves behind besides what is seen: lines in the console, and requests.

use std::str::FromStr;

use fantoccini::{Client, wd::WebDriverCompatibleCommand};
use reqwest::{Method, Url};
use serde_json::{Value, json};

/// A command of Chromium's driver beyond the WebDriver standard.
#[derive(Debug)]
struct Extension(&'static str, Value);

impl WebDriverCompatibleCommand for Extension {
    fn endpoint(&self, base: &Url, session: Option<&str>) -> Result<Url, <Url as FromStr>::Err> {
        base.join(&format!(
            "session/{}/{}",
            session.unwrap_or_default(),
            self.0
        ))
    }

    fn method_and_body(&self, _: &Url) -> (Method, Option<String>) {
        (Method::POST, Some(self.1.to_string()))
    }
}

/// Calls a method of the Chrome DevTools Protocol.
pub(crate) async fn devtools(client: &Client, method: &str, parameters: Value) {
    let command = Extension(
        "goog/cdp/execute",
        json!({ "cmd": method, "params": parameters }),
    );
    client.issue_cmd(command).await.unwrap();
}

/// The lines of one of the driver's logs that came since it was last asked for.
async fn log(client: &Client, kind: &str) -> Vec<Value> {
    let answer = client
        .issue_cmd(Extension("se/log", json!({ "type": kind })))
        .await
        .unwrap();
    answer.as_array().unwrap().clone()
}

/// What has been written into the console that is not mere information, without the lines that
/// hold one of `met`: Chromium writes one for each answer that is an error.
pub(crate) async fn complaints(client: &Client, met: &[String]) -> Vec<String> {
    log(client, "browser")
        .await
        .iter()
        .filter(|line| matches!(line["level"].as_str(), Some("SEVERE" | "WARNING")))
        .map(|line| line["message"].as_str().unwrap().to_owned())
        .filter(|line| !met.iter().any(|met| line.contains(met)))
        .collect()
}

/// The addresses of all requests, of every window.
pub(crate) async fn requests(client: &Client) -> Vec<String> {
    log(client, "performance")
        .await
        .iter()
        .map(|line| serde_json::from_str(line["message"].as_str().unwrap()).unwrap())
        .filter(|event: &Value| event["message"]["method"] == "Network.requestWillBeSent")
        .map(|event| {
            event["message"]["params"]["request"]["url"]
                .as_str()
                .unwrap()
                .to_owned()
        })
        .collect()
}
