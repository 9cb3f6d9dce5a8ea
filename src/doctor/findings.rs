//! What a check found, and how it is printed: a line each for people, or JSON.

use std::{io::Write, process::ExitCode};

use runtime::{Fault, telemetry::one_line};
use serde::Serialize;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Level {
    Ok,
    /// It works, and may not for long.
    Warning,
    /// It does not work.
    Problem,
}

/// What one check found.
#[derive(Debug, Serialize)]
struct Finding {
    check: &'static str,
    level: Level,
    message: String,
}

/// What all checks found, in the order in which they were made.
#[derive(Debug, Default)]
pub(super) struct Findings(Vec<Finding>);

impl Findings {
    pub(super) fn ok(&mut self, check: &'static str, message: impl Into<String>) {
        self.add(check, Level::Ok, message.into());
    }

    pub(super) fn warning(&mut self, check: &'static str, message: impl Into<String>) {
        self.add(check, Level::Warning, message.into());
    }

    pub(super) fn problem(&mut self, check: &'static str, message: impl Into<String>) {
        self.add(check, Level::Problem, message.into());
    }

    /// Adds a problem, or that all is well.
    pub(super) fn outcome(
        &mut self,
        check: &'static str,
        outcome: Result<impl Into<String>, impl ToString>,
    ) {
        match outcome {
            Ok(message) => self.ok(check, message),
            Err(message) => self.problem(check, message.to_string()),
        }
    }

    fn add(&mut self, check: &'static str, level: Level, message: String) {
        // One line each, whatever an error says.
        let message = message.split_whitespace().collect::<Vec<_>>().join(" ");
        let message = one_line(&message);
        self.0.push(Finding {
            check,
            level,
            message,
        });
    }

    /// Prints them all. The exit code is 1 if there is a problem.
    pub(super) fn print(&self, as_json: bool) -> Result<ExitCode, Fault> {
        let mut text = if as_json {
            serde_json::to_string_pretty(&self.0).map_err(|error| cannot_print(&error))?
        } else {
            let lines = self.0.iter().map(|finding| {
                let level = match finding.level {
                    Level::Ok => "ok",
                    Level::Warning => "warning",
                    Level::Problem => "problem",
                };
                format!("{level:<8} {:<23} {}", finding.check, finding.message)
            });
            lines.collect::<Vec<_>>().join("\n")
        };
        text.push('\n');
        std::io::stdout()
            .write_all(text.as_bytes())
            .map_err(|error| cannot_print(&error))?;
        let is_well = self.0.iter().all(|finding| finding.level != Level::Problem);
        Ok(ExitCode::from(u8::from(!is_well)))
    }
}

fn cannot_print(error: &dyn std::fmt::Display) -> Fault {
    Fault::Failed(format!("cannot print what was found: {error}"))
}
