//! The page that shows the supervision tree, in the same frame as the pages of films.
//!
//! Its script fetches the figures again; without it the page stays as it was loaded.

use std::{
    fmt::{self, Write},
    sync::Arc,
    time::Duration,
};

use super::{Section, Table};
use crate::supervision::{ActorState, ActorStatus, Health};

pub(super) const STYLESHEET: &str = include_str!("system.css");
pub(super) const SCRIPT: &str = include_str!("system.js");

const BEFORE: &str = r##"<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>System · Marquee</title>
<meta name="color-scheme" content="light dark">
<link rel="stylesheet" href="/system.css">
<script src="/system.js"></script>
</head>
<body>
<a class="skip" href="#main">Skip to content</a>
<header class="top">
<div class="bar">
<a class="brand" href="/"><span class="bulbs" aria-hidden="true"></span>Marquee</a>
<nav class="places" aria-label="Main"><a href="/system" aria-current="page">System</a></nav>
</div>
</header>
<main id="main" tabindex="-1">
<h1>System</h1>
<p class="lost bad" id="lost" role="alert" hidden>This is how it was: Marquee does not answer at the moment.</p>
<noscript><p class="soft">This is how it was when the page was loaded. <a href="/system">Look again</a></p></noscript>
<div id="state">
"##;

const AFTER: &str = r#"</div>
</main>
<footer class="foot">
<p>For machines: <a href="/metrics">metrics</a><a href="/readyz">readiness</a><a href="/healthz">health</a></p>
</footer>
</body>
</html>
"#;

pub(super) fn render(
    actors: &[ActorStatus],
    starting: &[String],
    sections: &[Arc<dyn Section>],
) -> String {
    let mut page = String::from(BEFORE);
    let unwell = actors.iter().filter(|a| trouble(a).is_some()).count();
    let sentence = match unwell {
        0 => format!("All {} actors are well.", actors.len()),
        1 => format!("1 of {} actors needs attention.", actors.len()),
        n => format!("{n} of {} actors need attention.", actors.len()),
    };
    // Writing to a string cannot fail.
    let _ = writeln!(page, "<p role=\"status\">{sentence}</p>");
    for service in starting {
        let _ = writeln!(
            page,
            "<p class=\"poor\">{} has not started all its actors yet.</p>",
            Escaped(service)
        );
    }
    for section in sections {
        for stuck in section.stuck() {
            let _ = writeln!(
                page,
                "<p class=\"bad\">{} is stuck: {}</p>",
                Escaped(&stuck.what),
                Escaped(&stuck.reason)
            );
        }
    }
    for section in sections {
        let _ = render_table(&mut page, &section.table());
    }
    // Services start at once, so that their actors come mixed.
    let mut actors: Vec<_> = actors.iter().collect();
    actors.sort_by(|a, b| a.service.cmp(&b.service));
    for service in actors.chunk_by(|a, b| a.service == b.service) {
        let _ = render_service(&mut page, service);
    }
    let _ = writeln!(page, "<p class=\"soft\">Version {}</p>", crate::VERSION);
    page.push_str(AFTER);
    page
}

fn render_table(page: &mut String, table: &Table) -> fmt::Result {
    writeln!(
        page,
        "<section>\n<h2>{}</h2>\n<table class=\"figures\">\n<thead><tr>",
        Escaped(table.heading)
    )?;
    for column in table.columns {
        write!(page, "<th scope=\"col\">{}</th>", Escaped(column))?;
    }
    page.push_str("</tr></thead>\n<tbody>\n");
    for row in &table.rows {
        page.push_str(if row.is_bad {
            "<tr class=\"bad\">"
        } else {
            "<tr>"
        });
        for (index, (cell, column)) in row.cells.iter().zip(table.columns).enumerate() {
            match index {
                0 => write!(page, "<th scope=\"row\">{}</th>", Escaped(cell))?,
                _ => write!(
                    page,
                    "<td data-name=\"{}\">{}</td>",
                    Escaped(column),
                    Escaped(cell)
                )?,
            }
        }
        page.push_str("</tr>\n");
    }
    page.push_str("</tbody>\n</table>\n</section>\n");
    Ok(())
}

fn render_service(page: &mut String, actors: &[&ActorStatus]) -> fmt::Result {
    let Some(first) = actors.first() else {
        return Ok(());
    };
    writeln!(
        page,
        "<section>\n<h2>{}</h2>\n<table>\n<thead><tr><th scope=\"col\">Actor</th><th scope=\"col\">State</th><th scope=\"col\">Restarts</th>\
         <th scope=\"col\">Mailbox</th><th scope=\"col\">Handled</th><th scope=\"col\">Last failure</th></tr></thead>",
        Escaped(&first.service),
    )?;
    for group in actors.chunk_by(|a, b| a.group == b.group) {
        let name = group.first().map_or("", |a| a.group.as_str());
        writeln!(
            page,
            "<tbody>\n<tr><th class=\"group\" colspan=\"6\" scope=\"rowgroup\">{}</th></tr>",
            Escaped(name)
        )?;
        for actor in group {
            render_actor(page, actor)?;
        }
        page.push_str("</tbody>\n");
    }
    page.push_str("</table>\n</section>\n");
    Ok(())
}

fn render_actor(page: &mut String, actor: &ActorStatus) -> fmt::Result {
    let (class, state) = match (&actor.state, &actor.health) {
        (ActorState::Restarting, _) => ("bad", "restarting".to_owned()),
        (ActorState::Stopped, _) => ("bad", "stopped".to_owned()),
        (_, Health::Starting(reason)) => ("poor", format!("starting: {reason}")),
        (_, Health::NotReady(reason)) => ("bad", format!("not ready: {reason}")),
        (_, Health::Degraded(reason)) => ("poor", format!("degraded: {reason}")),
        (_, Health::Ready) => ("good", "running".to_owned()),
    };
    let failure = actor
        .last_failure
        .as_ref()
        .map(|(cause, ago)| format!("{cause}, {}", long_ago(*ago)));
    let calm = if failure.is_none() {
        " class=\"soft\""
    } else {
        ""
    };
    writeln!(
        page,
        "<tr><th scope=\"row\">{}</th><td class=\"{class}\">{}</td><td>{}</td><td>{}</td><td>{}</td><td{calm}>{}</td></tr>",
        Escaped(&actor.name),
        Escaped(&state),
        grouped(actor.restarts),
        grouped(actor.mailbox as u64),
        handled(actor),
        Escaped(failure.as_deref().unwrap_or("none")),
    )
}

/// The messages handled, and under them what else the actor counts.
fn handled(actor: &ActorStatus) -> String {
    let mut text = grouped(actor.handled);
    for (name, count) in &actor.counters {
        let _ = write!(text, "<br>{} {}", grouped(*count), Escaped(name));
    }
    text
}

fn trouble(actor: &ActorStatus) -> Option<()> {
    (actor.state != ActorState::Running || actor.health != Health::Ready).then_some(())
}

/// A number with its thousands apart: 1,869.
fn grouped(number: u64) -> String {
    match number / 1_000 {
        0 => number.to_string(),
        thousands => format!("{},{:03}", grouped(thousands), number % 1_000),
    }
}

/// How long ago, as one says it.
fn long_ago(ago: Duration) -> String {
    match ago.as_secs() {
        seconds @ 0..120 => format!("{seconds} s ago"),
        seconds @ 120..7_200 => format!("{} min ago", seconds / 60),
        seconds @ 7_200..172_800 => format!("{} h ago", seconds / 3_600),
        seconds => format!("{} days ago", seconds / 86_400),
    }
}

/// Text as HTML.
struct Escaped<'a>(&'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in self.0.chars() {
            match c {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                '\'' => f.write_str("&#39;")?,
                c => f.write_char(c)?,
            }
        }
        Ok(())
    }
}
