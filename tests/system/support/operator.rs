//! What an operator sees of a program: what it says, and how much memory it takes.

use super::Program;

/// A place in what a program prints: what comes after it is new.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mark(usize);

impl Program {
    /// Here ends what it has printed so far.
    pub(crate) fn mark(&self) -> Mark {
        Mark(self.stderr().len())
    }

    /// What it has ever said of things that go wrong and of things that are well again.
    pub(crate) fn alarms(&self) -> Vec<String> {
        self.alarms_since(Mark(0))
    }

    /// What it has said since then of things that go wrong and of things that are well again.
    pub(crate) fn alarms_since(&self, mark: Mark) -> Vec<String> {
        let printed = self.stderr();
        let lines = printed[mark.0..].lines().filter(|line| {
            let level = line.split_whitespace().nth(1).unwrap_or_default();
            let is_well_again = [" is back", " again", " goes on"]
                .iter()
                .any(|words| line.contains(words));
            matches!(level, "WARN" | "ERROR") || level == "INFO" && is_well_again
        });
        lines.map(ToOwned::to_owned).collect()
    }

    /// Asserts that since then it has said exactly this of what goes wrong: one line for each text.
    pub(crate) fn assert_alarms_since(&self, mark: Mark, expected: &[&str]) {
        let alarms = self.alarms_since(mark);
        let told = |text: &&str| alarms.iter().filter(|line| line.contains(*text)).count() == 1;
        assert!(
            alarms.len() == expected.len() && expected.iter().all(told),
            "expected {expected:#?}\nbut it said {alarms:#?}"
        );
    }

    /// How much of its memory is in use, in MiB.
    pub(crate) fn resident_mib(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = line.and_then(|line| line.split_whitespace().next());
        kib.expect("a process has memory").parse::<u64>().unwrap() / 1_024
    }

    /// Asserts that it takes not much more memory than it took `before`.
    pub(crate) fn assert_memory_is_flat(&self, before: u64) {
        let after = self.resident_mib();
        println!(
            "memory of {}: {before} MiB before, {after} MiB after",
            self.id()
        );
        assert!(
            after <= before + MEMORY_ALLOWANCE_MIB,
            "its memory went from {before} to {after} MiB"
        );
    }
}

/// What a program may take more after an outage under load: what its threads' allocators keep.
const MEMORY_ALLOWANCE_MIB: u64 = 32;
