//! The dashboard and the alert rules (`observability/`) name only metrics and labels that running programs show.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;

use crate::support::{
    Browser, Bus, Film, Layout, Program, Store, System, eventually, free_address, marked, skip,
};

/// What Prometheus adds itself.
const OF_PROMETHEUS: [&str; 1] = ["up"];
const LABELS_OF_PROMETHEUS: [&str; 2] = ["job", "instance"];

/// What no program shows without servers that a machine may lack, or files that a test makes, and the file of the sources that has it.
const NOT_ALWAYS_SHOWN: [(&str, &str); 3] = [
    (
        // Shown where there is a mail server.
        "marquee_mails_waiting",
        "accounts/src/figures.rs",
    ),
    (
        // Known while both Kafka and NATS answer.
        "marquee_relay_lag_messages",
        "bridge/src/relay/report/section.rs",
    ),
    (
        // Shown by programs with TLS (`certificates.rs`).
        "marquee_tls_certificate_not_after_timestamp_seconds",
        "runtime/src/tls/certificates.rs",
    ),
];

/// Words of PromQL that are no metrics.
const WORDS: [&str; 9] = [
    "and", "or", "unless", "bool", "offset", "atan2", "start", "end", "inf",
];
/// Words in front of a list of labels.
const GROUPING: [&str; 6] = [
    "by",
    "without",
    "on",
    "ignoring",
    "group_left",
    "group_right",
];

/// A metric in an expression, with the labels that are asked of it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Selector {
    metric: String,
    labels: Vec<String>,
}

/// The metrics that an expression of PromQL reads.
fn selectors(expression: &str) -> Vec<Selector> {
    let mut found: Vec<Selector> = Vec::new();
    let mut rest = expression;
    while let Some(first) = rest.chars().next() {
        let is_of_name = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
        let end = match first {
            '"' => quoted_end(rest),
            '[' => enclosed_end(rest, '[', ']'),
            '{' => {
                let end = enclosed_end(rest, '{', '}');
                let selector = found.last_mut().expect("each selector begins with a name");
                selector.labels = matched_labels(&rest[1..end - 1]);
                end
            }
            c if is_of_name(c) => {
                let end = rest.find(|c| !is_of_name(c)).unwrap_or(rest.len());
                let (word, after) = (&rest[..end], rest[end..].trim_start());
                let is_call = after.starts_with('(');
                if GROUPING.contains(&word) && is_call {
                    let begin = rest.len() - after.len();
                    rest = &rest[begin + enclosed_end(after, '(', ')')..];
                    continue;
                }
                // `sum by (job) (…)` is a call, too.
                let grouped = after.strip_prefix("by").or(after.strip_prefix("without"));
                let is_call =
                    is_call || grouped.is_some_and(|list| list.trim_start().starts_with('('));
                let is_number = first.is_ascii_digit();
                if !is_call && !is_number && !WORDS.contains(&word) {
                    let metric = word.to_owned();
                    let labels = Vec::new();
                    found.push(Selector { metric, labels });
                }
                end
            }
            c => c.len_utf8(),
        };
        rest = &rest[end..];
    }
    found
}

/// Where the text behind a quoted one begins.
fn quoted_end(text: &str) -> usize {
    let mut chars = text.char_indices().skip(1);
    while let Some((place, c)) = chars.next() {
        match c {
            '\\' => drop(chars.next()),
            '"' => return place + 1,
            _ => {}
        }
    }
    panic!("a quote does not end: {text}")
}

/// Where the text behind one in brackets begins.
fn enclosed_end(text: &str, open: char, close: char) -> usize {
    let (mut depth, mut place) = (0, 0);
    while let Some(c) = text[place..].chars().next() {
        if c == '"' {
            place += quoted_end(&text[place..]);
            continue;
        }
        place += c.len_utf8();
        depth += i32::from(c == open) - i32::from(c == close);
        if depth == 0 {
            return place;
        }
    }
    panic!("a bracket does not end: {text}")
}

/// The labels in `code=~"5..", job!="x"`.
fn matched_labels(matchers: &str) -> Vec<String> {
    let (mut labels, mut rest) = (Vec::new(), matchers);
    while let Some(equals) = rest.find(['=', '!']) {
        labels.push(rest[..equals].trim_matches([',', ' ']).to_owned());
        let quote = rest.find('"').expect("a label is compared with a text");
        rest = &rest[quote + quoted_end(&rest[quote..])..];
    }
    labels
}

/// The metrics that programs show, with the labels that they have.
type Shown = BTreeMap<String, BTreeSet<String>>;

fn shown(metrics: &str) -> Shown {
    let mut shown = Shown::new();
    for line in metrics.lines().filter(|line| !line.starts_with('#')) {
        for Selector { metric, labels } in selectors(line) {
            shown.entry(metric).or_default().extend(labels);
        }
    }
    shown
}

/// What an expression asks for and no program shows.
fn unknown(expression: &str, shown: &Shown) -> Vec<String> {
    let mut unknown = Vec::new();
    for Selector { metric, labels } in selectors(expression) {
        if OF_PROMETHEUS.contains(&&*metric) {
            continue;
        }
        match shown.get(&metric) {
            None => {
                let mut excused = NOT_ALWAYS_SHOWN.iter();
                if !excused.any(|(name, _)| *name == metric) {
                    unknown.push(metric);
                }
            }
            Some(has) => {
                let is_there = |label: &String| {
                    has.contains(label) || LABELS_OF_PROMETHEUS.contains(&label.as_str())
                };
                let strange = labels.into_iter().filter(|label| !is_there(label));
                unknown.extend(strange.map(|label| format!("{metric}{{{label}}}")));
            }
        }
    }
    unknown
}

/// What actors have to count from the start, with 0, for `increase` to see the first one.
fn counted_from_start(expression: &str) -> Vec<&str> {
    let parts = expression.split("what=\"").skip(1);
    parts.filter_map(|part| part.split('"').next()).collect()
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("observability")
}

/// The expressions of the alert rules, by the names of the alerts.
fn rules() -> Vec<(String, String)> {
    let text = fs::read_to_string(folder().join("prometheus/alerts.yaml")).unwrap();
    let mut rules = Vec::new();
    let mut alert = None;
    for line in text.lines().map(str::trim) {
        if let Some(name) = line.strip_prefix("- alert: ") {
            assert_eq!(
                alert.replace(name),
                None,
                "an alert before {name} has no expression"
            );
        }
        if let Some(expression) = line.strip_prefix("expr:") {
            let quoted = expression.trim().strip_prefix('\'');
            let expression = quoted.and_then(|text| text.strip_suffix('\''));
            let expression = expression.expect("an expression is one line in single quotes");
            let name = alert.take().expect("each expression is that of an alert");
            rules.push((name.to_owned(), expression.replace("''", "'")));
        }
    }
    assert_eq!(alert, None, "it has no expression");
    rules
}

/// The expressions of the dashboard, by the titles of the panels.
fn panels() -> Vec<(String, String)> {
    let path = folder().join("grafana/dashboards/marquee.json");
    let dashboard: Value = serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
    let mut found = Vec::new();
    for panel in dashboard["panels"].as_array().unwrap() {
        let title = panel["title"].as_str().unwrap();
        assert_eq!(panel["panels"].as_array().map_or(0, Vec::len), 0, "{title}");
        for target in panel["targets"].as_array().into_iter().flatten() {
            let expression = target["expr"].as_str().unwrap();
            found.push((title.to_owned(), expression.to_owned()));
        }
    }
    found
}

#[test]
fn the_metrics_of_an_expression_are_found() {
    let found = |expression: &str| -> Vec<String> {
        let all = selectors(expression).into_iter();
        all.map(|s| format!("{}{:?}", s.metric, s.labels)).collect()
    };
    assert_eq!(
        found(
            r#"sum by (job) (rate(a_total{code=~"5..", x!="}"}[5m])) / on (job) b > 1e3 and c offset 5m"#
        ),
        [r#"a_total["code", "x"]"#, "b[]", "c[]"]
    );
    assert_eq!(
        found("min_over_time((max by (kind) (rows))[1h:1m]) > 0 or absent(none)"),
        ["rows[]", "none[]"]
    );
}

#[test]
fn what_is_made_up_is_found() {
    let shown = shown("# HELP a A.\na{service=\"x\",le=\"0.5\"} 1\nb 2e3\n");
    let none: [&str; 0] = [];
    assert_eq!(unknown(r#"a{service="y",job="z"} > b"#, &shown), none);
    assert_eq!(
        unknown("sum(rate(made_up_total[5m])) > b", &shown),
        ["made_up_total"]
    );
    assert_eq!(unknown(r#"a{actor="y"}"#, &shown), ["a{actor}"]);
}

#[test]
fn what_is_not_always_shown_is_in_the_sources() {
    for (metric, file) in NOT_ALWAYS_SHOWN {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
        let text = fs::read_to_string(source).unwrap();
        assert!(
            text.contains(&format!("\"{metric}\"")),
            "{file} lacks {metric}"
        );
    }
}

/// Prometheus's own check of the rules and of what is scraped, and its tests of when alerts are told, where the machine has it.
#[test]
fn prometheus_takes_the_rules() {
    let folder = folder().join("prometheus");
    let check = |command: &str, what: &str, file: &str| {
        let mut promtool = Command::new("promtool");
        promtool.args([command, what, file]).current_dir(&folder);
        match promtool.output() {
            Ok(output) => assert!(output.status.success(), "{output:?}"),
            Err(_) => eprintln!("SKIPPED the check of {file}: there is no promtool"),
        }
    };
    check("check", "rules", "alerts.yaml");
    check("check", "config", "prometheus.yaml");
    check("test", "rules", "alerts.test.yaml");
}

#[tokio::test]
async fn dashboard_and_alerts_use_only_metrics_that_exist() {
    let (rules, panels) = (rules(), panels());
    assert!(
        rules.len() > 15 && panels.len() > 30,
        "{rules:?} {panels:?}"
    );
    for layout in [Layout::One, Layout::Three] {
        if !layout.is_built() {
            continue;
        }
        let mut system = System::start(layout, &Store::Sqlite, &Bus::Embedded).await;
        let browser = system.browser();
        browser.follow("heist").await;
        let film = Film {
            title: "Heat",
            description: "A crew of thieves plans one last heist.",
            ..Film::default()
        };
        browser.add(film).await;
        marked(&browser, film.title, true).await;
        let relay = LoneRelay::start(&system);
        if relay.is_none() {
            skip("the metrics of the relay: `bridge` is not built");
        }
        eventually(
            "all that the dashboard and the alerts ask for",
            async || {
                let mut text = String::new();
                for name in layout.programs() {
                    text += &system.health(name).try_open("/metrics").await?.html;
                }
                if let Some(relay) = &relay {
                    text += &relay.operator.try_open("/metrics").await?.html;
                }
                let shown = shown(&text);
                let asked = rules.iter().chain(&panels);
                let missing: Vec<_> = asked
                    .flat_map(|(name, expression)| {
                        let unknown = unknown(expression, &shown);
                        unknown
                            .into_iter()
                            .map(move |what| format!("{name}: {what}"))
                    })
                    .filter(|missing| relay.is_some() || !missing.contains("_relay_"))
                    .chain(rules.iter().flat_map(|(name, expression)| {
                        let counted = counted_from_start(expression).into_iter();
                        let missing =
                            counted.filter(|what| !text.contains(&format!("what=\"{what}\"}} 0")));
                        missing.map(move |what| format!("{name}: {what}"))
                    }))
                    .collect();
                missing.is_empty().then_some(()).ok_or(missing.join("\n"))
            },
        )
        .await;
        drop(relay);
        system.stop().await;
    }
}

/// A relay that reaches no Kafka: it shows its figures all the same.
struct LoneRelay {
    operator: Browser,
    _program: Program,
}

impl LoneRelay {
    fn start(system: &System) -> Option<Self> {
        crate::support::binary("bridge")?;
        let (http, nowhere) = (free_address(), free_address());
        let settings = [
            ("HTTP_ADDR", http.to_string()),
            ("KAFKA_BROKER", nowhere.to_string()),
            ("NATS_URL", format!("nats://{nowhere}")),
        ];
        let settings = settings.map(|(name, value)| (name.to_owned(), value));
        let folder = system.folder.path();
        Some(Self {
            operator: Browser::new(http),
            _program: Program::start_with("bridge", folder, &settings, &["relay"]),
        })
    }
}
