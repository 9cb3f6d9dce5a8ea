//! The disk is full.

use std::{
    io::Write,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use tempfile::TempDir;

use super::{endure, heist};
use crate::support::{Bus, Layout, Store, System, Visitors, eventually, marked, skip};

/// A small disk of its own, in memory.
pub(crate) struct Disk {
    folder: TempDir,
}

impl Disk {
    /// Mounting is the superuser's.
    pub(crate) fn new(size: &str) -> Option<Self> {
        let folder = TempDir::new().unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={size}"), "marquee-test"])
            .arg(folder.path())
            .output();
        match mounted {
            Ok(output) if output.status.success() => Some(Self { folder }),
            failed => {
                skip(&format!("no small disk can be mounted: {failed:?}"));
                None
            }
        }
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn ballast(&self) -> PathBuf {
        self.path().join("ballast")
    }

    /// Leaves no room at all.
    pub(crate) fn fill(&self) {
        let mut file = std::fs::File::options()
            .create(true)
            .append(true)
            .open(self.ballast())
            .unwrap();
        for size in [64 << 10, 4 << 10, 1] {
            while file.write_all(&vec![b'x'; size]).is_ok() {}
        }
    }

    pub(crate) fn make_room(&self) {
        std::fs::remove_file(self.ballast()).unwrap();
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Lazily, for a program that a failed test left may still have files open.
        let unmounted = Command::new("umount")
            .arg("--lazy")
            .arg(self.path())
            .status();
        if !unmounted.is_ok_and(|status| status.success()) {
            eprintln!("{} is still mounted", self.path().display());
        }
    }
}

#[tokio::test]
async fn a_full_disk_loses_nothing_and_is_recovered_from_when_there_is_room() {
    let Some(disk) = Disk::new("24m") else { return };
    let data = disk.path().join("data").display().to_string();
    let extra = [("DATA_DIR", data.as_str())];
    let mut system = System::start_with(Layout::One, &Store::Sqlite, &Bus::Embedded, &extra).await;
    let browser = system.browser();
    let visitors = Visitors::arrive(&system).await;
    visitors.see(60).await;
    let program = system.program("marquee");
    let (mark, memory) = (program.mark(), program.resident_mib());

    disk.fill();
    eventually("a film to be refused", async || {
        let form = browser.try_open("/movie/new").await?;
        let answer = browser
            .submit(&form, "/movie/new", &heist("Too much").fields())
            .await;
        disk.fill();
        (answer.status == 507 && answer.shows("the disk is full"))
            .then_some(())
            .ok_or(answer.html)
    })
    .await;
    eventually("the program to say so of itself", async || {
        let page = system.health("marquee").try_open("/readyz").await?;
        let says = page.html.contains("cannot be written to");
        says.then_some(()).ok_or(page.html)
    })
    .await;
    assert_eq!(
        browser.open("/").await.status,
        200,
        "what is there can be read"
    );
    endure(&visitors, Duration::from_secs(8)).await;
    disk.fill();
    endure(&visitors, Duration::from_secs(4)).await;

    disk.make_room();
    eventually("a film to be taken", async || {
        let form = browser.try_open("/movie/new").await?;
        let answer = browser
            .submit(&form, "/movie/new", &heist("Room again").fields())
            .await;
        let is_added = answer.shows("Room again") && !answer.path.ends_with("/new");
        is_added.then_some(()).ok_or(answer.html)
    })
    .await;
    marked(&browser, "Room again", true).await;
    visitors.see(60).await;
    visitors.leave_all_well(&system).await;
    let program = system.program("marquee");
    program.assert_memory_is_flat(memory);
    let alarms = program.alarms_since(mark);
    println!("{alarms:#?}");
    let times = |text: &str| alarms.iter().filter(|line| line.contains(text)).count();
    assert_eq!(times("WARN the movies database cannot be written to"), 1);
    assert_eq!(times("INFO the movies database can be written to again"), 1);
    assert!(alarms.len() <= 10, "a flood: {alarms:#?}");

    // What was written around the full disk is whole.
    system.program("marquee").kill().await;
    system.launch("marquee");
    system.ready("marquee").await;
    marked(&browser, "Room again", true).await;
    assert_eq!(system.program("marquee").alarms(), Vec::<String>::new());
    system.stop().await;
}
