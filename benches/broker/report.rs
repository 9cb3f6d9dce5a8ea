//! Rows of the table: the medians of both servers, and what the one is to the other.

use super::program::{Kind, Server};

/// The head of a table.
pub(crate) const HEAD: &str = "| figure | aim | `bridge broker` | nats-server | ratio | spread of the ratio | |\n|---|---|---|---|---|---|---|";

/// What ours is to be, as a multiple of theirs.
#[derive(Clone, Copy)]
pub(crate) enum Aim {
    AtLeast(f64),
    AtMost(f64),
}

/// Turns that each server gets.
pub(crate) fn rounds() -> usize {
    std::env::var("BROKER_ROUNDS").map_or(7, |text| text.parse().unwrap())
}

/// Figures of one thing, a pair for each round.
#[derive(Default)]
pub(crate) struct Figures {
    ours: Vec<f64>,
    theirs: Vec<f64>,
}

impl Figures {
    pub(crate) fn add(&mut self, kind: Kind, figure: f64) {
        match kind {
            Kind::Ours => self.ours.push(figure),
            Kind::Theirs => self.theirs.push(figure),
        }
    }

    /// Prints the row; `show` writes a figure with its unit.
    pub(crate) fn row(&self, what: &str, aim: Aim, show: impl Fn(f64) -> String) {
        let (ours, theirs) = (median(&self.ours), median(&self.theirs));
        let ratio = ours / theirs;
        let mut ratios: Vec<f64> = self
            .ours
            .iter()
            .zip(&self.theirs)
            .map(|(a, b)| a / b)
            .collect();
        ratios.sort_by(f64::total_cmp);
        let (least, most) = (ratios[0], ratios[ratios.len() - 1]);
        let (aim, is_met) = match aim {
            Aim::AtLeast(least) => (format!("at least {least}"), ratio >= least),
            Aim::AtMost(most) => (format!("at most {most}"), ratio <= most),
        };
        let verdict = if is_met { "met" } else { "missed" };
        let (ours, theirs) = (show(ours), show(theirs));
        println!(
            "| {what} | {aim} | {ours} | {theirs} | {ratio:.2} | {least:.2} to {most:.2} | {verdict} |"
        );
    }
}

/// Measures both servers in turns. Who is first changes from round to round.
pub(crate) fn in_turns(servers: &mut [Server; 2], mut measure: impl FnMut(&mut Server, usize)) {
    for round in 0..rounds() {
        let first = round % 2;
        measure(&mut servers[first], round);
        measure(&mut servers[1 - first], round);
    }
}

/// "1,234,567/s".
pub(crate) fn rate(figure: f64) -> String {
    let digits = format!("{figure:.0}");
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text + "/s"
}

/// "12.3 MB".
pub(crate) fn megabytes(figure: f64) -> String {
    format!("{figure:.1} MB")
}

pub(crate) fn median(figures: &[f64]) -> f64 {
    let mut sorted = figures.to_vec();
    sorted.sort_by(f64::total_cmp);
    assert!(!sorted.is_empty(), "nothing was measured");
    (sorted[(sorted.len() - 1) / 2] + sorted[sorted.len() / 2]) / 2.0
}
