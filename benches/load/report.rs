//! Rows of the table, and how fast the disk is meanwhile.

use std::{
    fs::File,
    os::unix::fs::FileExt,
    time::{Duration, Instant},
};

/// What many measurements of one thing came to.
pub(crate) struct Spread(Vec<Duration>);

impl Spread {
    pub(crate) fn new(mut times: Vec<Duration>) -> Self {
        assert!(!times.is_empty(), "nothing was measured");
        times.sort_unstable();
        Self(times)
    }

    /// The time that this share of the measurements stayed within.
    pub(crate) fn within(&self, share: f64) -> Duration {
        let rank = (self.0.len() as f64 * share).ceil() as usize;
        self.0[rank.clamp(1, self.0.len()) - 1]
    }

    /// "p50 1.2 ms, p99 3.4 ms, worst 5.6 ms".
    pub(crate) fn text(&self) -> String {
        let (p50, p99, worst) = (self.within(0.5), self.within(0.99), self.within(1.0));
        format!("p50 {}, p99 {}, worst {}", ms(p50), ms(p99), ms(worst))
    }
}

/// A time in milliseconds.
pub(crate) fn ms(time: Duration) -> String {
    format!("{:.2} ms", time.as_secs_f64() * 1e3)
}

/// The median of figures in microseconds of processor time, and how it compares with the other's of the same round.
pub(crate) fn compared(figures: &[f64], base: &[f64]) -> String {
    let mut ratios: Vec<f64> = figures.iter().zip(base).map(|(a, b)| a / b).collect();
    ratios.sort_by(f64::total_cmp);
    let mut figures = figures.to_vec();
    figures.sort_by(f64::total_cmp);
    let (middle, last) = (figures.len() / 2, figures.len() - 1);
    format!(
        "{:.1} µs of processor time, {:.3} times ({:.3} to {:.3})",
        figures[middle], ratios[middle], ratios[0], ratios[last]
    )
}

/// One row of a table of two columns.
pub(crate) fn row(what: &str, figure: &str) {
    println!("| {what} | {figure} |");
}

/// What every durable write of this run had to wait for: 4 KiB written over what a file has, or behind its end, and
/// synced.
pub(crate) fn disk() {
    const PAGE: usize = 4096;
    const SYNCS: usize = 500;
    let path = super::folder::place().join("syncs");
    let syncs = |filled: usize| {
        let file = File::create(&path).unwrap();
        file.write_all_at(&vec![0; PAGE * filled], 0).unwrap();
        file.sync_all().unwrap();
        let one = |place: usize| {
            file.write_all_at(&[1; PAGE], (place * PAGE) as u64)
                .unwrap();
            let begun = Instant::now();
            file.sync_data().unwrap();
            begun.elapsed()
        };
        Spread::new((0..SYNCS).map(one).collect()).text()
    };
    row("disk: `fdatasync` of 4 KiB, written over", &syncs(SYNCS));
    row("disk: `fdatasync` of 4 KiB, appended", &syncs(0));
    std::fs::remove_file(&path).unwrap();
}
