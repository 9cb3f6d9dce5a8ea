//! A visitor who looks at the pages, presses what has a name and types into what has a label.

use fantoccini::{
    Client, Locator,
    actions::{InputSource, KeyAction, KeyActions},
    elements::Element,
    wd::WindowHandle,
};
use serde_json::{Value, json};

use crate::{
    chromium::{Chromium, Tools, WIDE},
    support::{System, eventually},
    traces::{complaints, devtools, requests},
};

pub(crate) struct Visitor {
    pub(crate) client: Client,
    pub(crate) tools: Tools,
    base: String,
    /// Where the pages for operators are.
    operators: String,
    /// The errors that this visitor means to meet, as Chromium writes them into the console.
    met: Vec<String>,
    _chromium: Chromium,
}

impl Visitor {
    /// Comes to the system with a browser of their own; `None` where this machine has none.
    pub(crate) async fn come(system: &System) -> Option<Self> {
        Self::come_with(system, true).await
    }

    /// Comes with JavaScript switched off.
    pub(crate) async fn come_without_scripts(system: &System) -> Option<Self> {
        Self::come_with(system, false).await
    }

    async fn come_with(system: &System, scripts: bool) -> Option<Self> {
        let tools = Tools::find()?;
        let chromium = Chromium::start(&tools, scripts).await;
        Some(Self {
            client: chromium.client.clone(),
            tools,
            base: format!("http://{}", system.http),
            operators: format!("http://{}", system.ops_addr()),
            met: Vec::new(),
            _chromium: chromium,
        })
    }

    /// Says that an answer of this status is no surprise.
    pub(crate) fn expects(&mut self, status: u16) {
        self.met
            .push(format!("responded with a status of {status} "));
    }

    /// Says that it is no surprise if there is no answer at all.
    pub(crate) fn expects_to_be_cut_off(&mut self) {
        self.met.push("net::ERR_".to_owned());
    }

    /// Ends the visit: the console must be clean, and no other host may have been asked for anything.
    pub(crate) async fn leave(self) {
        let complaints = complaints(&self.client, &self.met).await;
        let requests = requests(&self.client).await;
        let own = [&self.base, &self.operators].map(|base| format!("{base}/"));
        let strange: Vec<_> = requests
            .iter()
            .filter(|url| !own.iter().any(|own| url.starts_with(own)))
            // What never leaves the browser: its empty page, and pictures within a style sheet.
            .filter(|url| !url.starts_with("chrome://") && !url.starts_with("data:"))
            .collect();
        assert!(
            complaints.is_empty() && strange.is_empty(),
            "in the console: {complaints:#?}; requests to others: {strange:#?}"
        );
        assert!(!requests.is_empty(), "the requests were not recorded");
        self.client.close().await.unwrap();
    }

    pub(crate) async fn open(&self, path: &str) {
        self.client
            .goto(&format!("{}{path}", self.base))
            .await
            .unwrap();
    }

    /// The path and the query of the page that is shown.
    pub(crate) async fn path(&self) -> String {
        let url = self.client.current_url().await.unwrap();
        url.as_str()
            .strip_prefix(&self.base)
            .or(url.as_str().strip_prefix(&self.operators))
            .unwrap_or(url.as_str())
            .to_owned()
    }

    /// Opens another window of the same browser and looks at it.
    pub(crate) async fn open_window(&self, path: &str) -> WindowHandle {
        let window = self.client.new_window(false).await.unwrap().handle;
        self.look_at(&window).await;
        self.open(path).await;
        window
    }

    pub(crate) async fn look_at(&self, window: &WindowHandle) {
        self.client.switch_to_window(window.clone()).await.unwrap();
    }

    /// Presses the first thing with these words, or whose words begin with them.
    pub(crate) async fn press(&self, words: &str) {
        let what = format!(
            "//*[self::a or self::button or self::summary]\
             [normalize-space() = \"{words}\" or starts-with(normalize-space(), \"{words} \")]"
        );
        let pressed = async || self.client.find(Locator::XPath(&what)).await?.click().await;
        // A list may be replaced between the look and the press.
        eventually(
            &format!("{words} to be there and to be pressed"),
            async || pressed().await.map_err(|error| error.to_string()),
        )
        .await;
    }

    /// The input with this label.
    pub(crate) async fn field(&self, label: &str) -> Element {
        let what = format!("//*[@id = //label[starts-with(normalize-space(), \"{label}\")]/@for]");
        self.client
            .find(Locator::XPath(&what))
            .await
            .unwrap_or_else(|error| panic!("nothing has the label {label}: {error}"))
    }

    /// Types into the input with this label, in place of what is there.
    pub(crate) async fn fill(&self, label: &str, text: &str) {
        let field = self.field(label).await;
        field.clear().await.unwrap();
        field.send_keys(text).await.unwrap();
    }

    /// What stands in the input with this label.
    pub(crate) async fn typed(&self, label: &str) -> String {
        self.field(label)
            .await
            .prop("value")
            .await
            .unwrap()
            .unwrap_or_default()
    }

    /// The words of the first element of this selector, as they are shown.
    pub(crate) async fn words(&self, selector: &str) -> Result<String, String> {
        let element = self.client.find(Locator::Css(selector)).await;
        let words = match element {
            Ok(element) => element.text().await,
            Err(error) => Err(error),
        };
        words.map_err(|error| format!("{selector}: {error}"))
    }

    /// Waits until these words are shown within the first element of this selector.
    pub(crate) async fn sees_in(&self, selector: &str, words: &str) {
        eventually(&format!("{selector} to show {words:?}"), async || {
            let shown = self.words(selector).await?;
            shown.contains(words).then_some(()).ok_or(shown)
        })
        .await;
    }

    /// Waits until these words are shown.
    pub(crate) async fn sees(&self, words: &str) {
        self.sees_in("body", words).await;
    }

    /// Waits until the films are these, in any order.
    pub(crate) async fn sees_films(&self, titles: &[&str]) {
        let mut expected = titles.to_vec();
        expected.sort_unstable();
        eventually(&format!("the films {titles:?}"), async || {
            let mut shown = self.films().await;
            shown.sort_unstable();
            (shown == expected)
                .then_some(())
                .ok_or(format!("{shown:?}"))
        })
        .await;
    }

    /// The titles of the films on the wall, in their order.
    pub(crate) async fn films(&self) -> Vec<String> {
        let titles = self
            .ask("return [...document.querySelectorAll('.films h2')].map((title) => title.textContent)")
            .await;
        let titles = titles.as_array().unwrap().iter();
        titles
            .map(|title| title.as_str().unwrap().to_owned())
            .collect()
    }

    /// The id of what has the focus; without one, its words.
    pub(crate) async fn focused(&self) -> String {
        let element = self.client.active_element().await.unwrap();
        match element.attr("id").await.unwrap() {
            Some(id) => id,
            None => element.text().await.unwrap(),
        }
    }

    /// What a script of the test finds out in the page.
    pub(crate) async fn ask(&self, script: &str) -> Value {
        self.ask_with(script, json!([])).await
    }

    /// The same, where the script has arguments.
    pub(crate) async fn ask_with(&self, script: &str, arguments: Value) -> Value {
        let arguments = arguments.as_array().unwrap().clone();
        self.client.execute(script, arguments).await.unwrap()
    }

    /// Presses a key.
    pub(crate) async fn key(&self, key: char) {
        let keys = KeyActions::new("keyboard".to_owned())
            .then(KeyAction::Down { value: key })
            .then(KeyAction::Up { value: key });
        self.client.perform_actions(keys).await.unwrap();
    }

    /// Holds the page like that: so many pixels wide and high.
    pub(crate) async fn resize(&self, (width, height): (u32, u32)) {
        let is_phone = width < WIDE.0 / 2;
        let size =
            json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": is_phone });
        devtools(&self.client, "Emulation.setDeviceMetricsOverride", size).await;
        let touch = json!({ "enabled": is_phone, "maxTouchPoints": 1 });
        devtools(&self.client, "Emulation.setTouchEmulationEnabled", touch).await;
    }

    /// Shows the page as it is printed.
    pub(crate) async fn print(&self) {
        let media = json!({ "media": "print" });
        devtools(&self.client, "Emulation.setEmulatedMedia", media).await;
    }

    /// Makes the system's own choice of colours `dark` or `light`.
    pub(crate) async fn prefer(&self, colours: &str) {
        let features = json!([{ "name": "prefers-color-scheme", "value": colours }]);
        devtools(
            &self.client,
            "Emulation.setEmulatedMedia",
            json!({ "features": features }),
        )
        .await;
    }
}
