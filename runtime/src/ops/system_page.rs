//! The page that shows the supervision tree. It reloads itself, so that it needs no script.

use std::fmt::{self, Write};

use crate::supervision::{ActorReport, ActorState, Health};

pub(super) const STYLESHEET: &str = include_str!("system.css");

pub(super) fn render(actors: &[ActorReport], starting: &[String]) -> String {
    let mut page = String::from(
        "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta http-equiv=\"refresh\" content=\"5\">\n<title>System · Marquee</title>\n\
         <link rel=\"stylesheet\" href=\"/system.css\">\n<main>\n<p><a href=\"/\">Marquee</a></p>\n<h1>System</h1>\n",
    );
    let unwell = actors.iter().filter(|a| trouble(a).is_some()).count();
    // Writing to a string cannot fail.
    let _ = match unwell {
        0 => writeln!(page, "<p>All {} actors are well.</p>", actors.len()),
        1 => writeln!(page, "<p>1 of {} actors needs attention.</p>", actors.len()),
        n => writeln!(
            page,
            "<p>{n} of {} actors need attention.</p>",
            actors.len()
        ),
    };
    for service in starting {
        let _ = writeln!(
            page,
            "<p class=\"poor\">{} has not started all its actors yet.</p>",
            Escaped(service)
        );
    }
    for service in actors.chunk_by(|a, b| a.service == b.service) {
        let _ = render_service(&mut page, service);
    }
    page.push_str("</main>\n</html>\n");
    page
}

fn render_service(page: &mut String, actors: &[ActorReport]) -> fmt::Result {
    let Some(first) = actors.first() else {
        return Ok(());
    };
    writeln!(
        page,
        "<section>\n<h2>{}</h2>\n<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"Actors of {}\"><table>\n\
         <thead><tr><th scope=\"col\">Actor</th><th scope=\"col\">State</th><th scope=\"col\">Restarts</th>\
         <th scope=\"col\">Mailbox</th><th scope=\"col\">Handled</th><th scope=\"col\">Last failure</th></tr></thead>",
        Escaped(&first.service),
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
    page.push_str("</table></div>\n</section>\n");
    Ok(())
}

fn render_actor(page: &mut String, actor: &ActorReport) -> fmt::Result {
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
        .map(|(cause, ago)| format!("{cause} ({} s ago)", ago.as_secs()));
    writeln!(
        page,
        "<tr><th scope=\"row\">{}</th><td class=\"{class}\">{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>",
        Escaped(&actor.name),
        Escaped(&state),
        actor.restarts,
        actor.mailbox,
        actor.handled,
        Escaped(failure.as_deref().unwrap_or("none")),
    )
}

fn trouble(actor: &ActorReport) -> Option<()> {
    (actor.state != ActorState::Running || actor.health != Health::Ready).then_some(())
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
