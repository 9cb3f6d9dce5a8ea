//! `marquee backup` and `marquee restore`: under load, after a `kill -9`, with damage, without room, and beside a program.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    os::unix::fs::PermissionsExt,
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
};

use proto::recommendations::{
    CreateMovieRequest, CreatePreferenceRequest, DeleteMovieRequest, GetPreferencesRequest,
    ListMoviesRequest, Movie,
};
use tempfile::TempDir;
use tokio::task::JoinSet;

use crate::{
    outages::disk::Disk,
    support::{Bus, Layout, PATIENCE, Program, Store, System, eventually},
};

/// How many write at the same time.
const WRITERS: i32 = 4;
/// The user who follows what all films have.
const FOLLOWER: i32 = 1;

/// What was acknowledged, and what may have been done.
#[derive(Clone, Debug, Default)]
struct Ledger {
    /// Films with their ids.
    added: BTreeMap<String, String>,
    deletion_begun: BTreeSet<String>,
    deleted: BTreeSet<String>,
    follows: BTreeSet<(i32, String)>,
}

type SharedLedger = Arc<Mutex<Ledger>>;

/// Runs a command of `marquee` to its end; returns its exit code and what it printed.
async fn run(settings: &[(String, String)], arguments: &[&str]) -> (Option<i32>, String, String) {
    let mut program = Program::start_with("marquee", Path::new("/"), settings, arguments);
    let status = program.end_within(PATIENCE).await;
    (status.code(), program.stdout(), program.stderr())
}

async fn succeeds(settings: &[(String, String)], arguments: &[&str]) -> String {
    let (code, out, err) = run(settings, arguments).await;
    assert_eq!((code, err.as_str()), (Some(0), ""), "{arguments:?}: {out}");
    out
}

/// Asserts that a command fails with one line; returns that.
async fn fails(settings: &[(String, String)], arguments: &[&str], expected: i32) -> String {
    let (code, out, err) = run(settings, arguments).await;
    assert_eq!(code, Some(expected), "{arguments:?}: {out}{err}");
    assert_eq!(err.lines().count(), 1, "{err}");
    assert_eq!(out, "", "{arguments:?}");
    err
}

fn with_data(settings: &[(String, String)], data: &Path) -> Vec<(String, String)> {
    let mut settings = settings.to_vec();
    settings.push(("DATA_DIR".to_owned(), data.display().to_string()));
    settings
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// Adds films, deletes some and follows keywords until it is told to stop, or is cut off.
async fn write(system: GrpcClients, ledger: SharedLedger, writer: i32, over: Arc<AtomicBool>) {
    let GrpcClients {
        mut catalog,
        mut recommendations,
    } = system;
    for number in 0.. {
        if over.load(Ordering::Relaxed) {
            return;
        }
        let name = format!("w{writer}n{number}");
        let film = CreateMovieRequest {
            title: name.clone(),
            description: format!("The heist of {name}."),
            ..CreateMovieRequest::default()
        };
        let Ok(added) = catalog.create_movie(film).await else {
            return;
        };
        let id = added.into_inner().id;
        ledger
            .lock()
            .unwrap()
            .added
            .insert(name.clone(), id.clone());
        match number % 5 {
            3 => {
                ledger.lock().unwrap().deletion_begun.insert(name.clone());
                let deletion = DeleteMovieRequest { id };
                if catalog.delete_movie(deletion).await.is_err() {
                    return;
                }
                ledger.lock().unwrap().deleted.insert(name);
            }
            4 => {
                let preference = CreatePreferenceRequest {
                    user_id: 10 + writer,
                    keyword: name.clone(),
                };
                if recommendations.create_preference(preference).await.is_err() {
                    return;
                }
                ledger.lock().unwrap().follows.insert((10 + writer, name));
            }
            _ => {}
        }
    }
}

struct GrpcClients {
    catalog: proto::recommendations::catalog_client::CatalogClient<tonic::transport::Channel>,
    recommendations: proto::recommendations::recommendations_client::RecommendationsClient<
        tonic::transport::Channel,
    >,
}

async fn added_beyond(ledger: &SharedLedger, count: usize) {
    eventually("films to be added", async || {
        let added = ledger.lock().unwrap().added.len();
        (added > count).then_some(()).ok_or(format!("{added}"))
    })
    .await;
}

async fn films(system: &System) -> Result<Vec<Movie>, String> {
    let mut catalog = system.catalog().await;
    let mut films = Vec::new();
    for page in 1.. {
        let request = ListMoviesRequest {
            page,
            page_size: 100,
            ..ListMoviesRequest::default()
        };
        let answer = catalog.list_movies(request).await;
        let answer = answer.map_err(|status| status.to_string())?.into_inner();
        if answer.movies.is_empty() {
            break;
        }
        films.extend(answer.movies);
    }
    Ok(films)
}

/// Asserts that the system has what was acknowledged `before` the backup and nothing that was only tried `after` it, and waits until
/// recommendations and flags are what follows from that.
async fn compare(system: &System, before: &Ledger, after: &Ledger) {
    let there = films(system).await.unwrap();
    let titles: BTreeSet<&str> = there.iter().map(|film| film.title.as_str()).collect();
    assert_eq!(titles.len(), there.len(), "a film is there twice");
    for (name, id) in &before.added {
        let found = there.iter().find(|film| film.title == *name);
        if before.deleted.contains(name) {
            assert!(found.is_none(), "{name} was deleted");
        } else if !after.deletion_begun.contains(name) {
            assert_eq!(found.map(|film| &film.id), Some(id), "{name} is lost");
        }
    }
    let mut follows = BTreeMap::from([(FOLLOWER, BTreeSet::from(["heist".to_owned()]))]);
    for writer in 0..WRITERS {
        let user_id = 10 + writer;
        let request = GetPreferencesRequest { user_id };
        let mut service = system.recommendations().await;
        let answer = service.get_preferences(request).await;
        let preferences = answer.unwrap().into_inner().preferences;
        let keywords = preferences.into_iter().map(|one| one.keyword).collect();
        follows.insert(user_id, keywords);
    }
    for (user, keyword) in &before.follows {
        assert!(follows[user].contains(keyword), "{user} follows {keyword}");
    }
    eventually("every film to be recommended and marked", async || {
        for (user, keywords) in &follows {
            let is_expected = |film: &&Movie| *user == FOLLOWER || keywords.contains(&film.title);
            let expected: BTreeSet<String> = there
                .iter()
                .filter(is_expected)
                .map(|film| film.id.clone())
                .collect();
            let recommended = system.recommended_to(*user).await?;
            let found: BTreeSet<_> = recommended.into_iter().map(|film| film.id).collect();
            if found != expected {
                return Err(format!("user {user}: {found:?} instead of {expected:?}"));
            }
        }
        let unmarked = films(system).await?.into_iter();
        let unmarked: Vec<_> = unmarked
            .filter(|film| film.is_recommended != Some(true))
            .map(|film| film.title)
            .collect();
        match unmarked.is_empty() {
            true => Ok(()),
            false => Err(format!("not marked: {unmarked:?}")),
        }
    })
    .await;
}

/// Asserts that only its owner can read what is in the folder.
fn assert_private(folder: &Path) {
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o077;
    assert_eq!(mode(folder), 0, "{}", folder.display());
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        assert_eq!(mode(&path), 0, "{}", path.display());
        if path.is_dir() {
            assert_private(&path);
        }
    }
}

async fn is_restored_after_a_kill(layout: Layout) {
    if !layout.is_built() {
        return;
    }
    let mut system = System::start(layout, &Store::Sqlite, &Bus::Embedded).await;
    system.follow(FOLLOWER, "heist").await;
    let (ledger, over) = (SharedLedger::default(), Arc::<AtomicBool>::default());
    let mut writers = JoinSet::new();
    for writer in 0..WRITERS {
        let clients = GrpcClients {
            catalog: system.catalog().await,
            recommendations: system.recommendations().await,
        };
        writers.spawn(write(clients, ledger.clone(), writer, over.clone()));
    }
    added_beyond(&ledger, 60).await;
    let old = system.folder.path().join("data");
    let settings = with_data(&[], &old);
    let folder = TempDir::new().unwrap();
    let (backup, fresh) = (folder.path().join("backup"), folder.path().join("fresh"));
    let before = ledger.lock().unwrap().clone();
    let said = succeeds(&settings, &["backup", text(&backup)]).await;
    assert!(said.contains("is complete"), "{said}");
    let so_far = ledger.lock().unwrap().added.len();
    added_beyond(&ledger, so_far + 20).await;
    for &name in layout.programs() {
        system.program(name).kill().await;
    }
    over.store(true, Ordering::Relaxed);
    while let Some(ended) = writers.join_next().await {
        ended.unwrap();
    }
    assert_private(&backup);
    let after = ledger.lock().unwrap().clone();

    let restored = with_data(&settings, &fresh);
    let said = succeeds(&restored, &["restore", text(&backup)]).await;
    assert!(said.starts_with("restored the backup"), "{said}");
    assert_private(&fresh);
    for secret in ["secret_key", "broker_token"] {
        let read = |folder: &Path| fs::read(folder.join(secret)).ok();
        assert_eq!(read(&fresh), read(&old), "{secret}");
    }
    for &name in layout.programs() {
        let settings = with_data(&system.settings(name), &fresh);
        system.launch_with(name, &settings);
    }
    system.all_ready().await;
    compare(&system, &before, &after).await;
    for &name in layout.programs() {
        let alarms = system.program(name).alarms();
        let told: Vec<_> = alarms
            .iter()
            .filter(|line| line.contains(" ERROR "))
            .collect();
        assert!(told.is_empty(), "{name}: {told:#?}");
    }
    system.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_under_load_is_restored_after_a_kill() {
    is_restored_after_a_kill(Layout::One).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_of_three_programs_is_restored_after_a_kill() {
    is_restored_after_a_kill(Layout::Three).await;
}

#[tokio::test]
async fn what_would_lose_something_is_refused() {
    let mut system = System::plain().await;
    let settings = system.settings("marquee");
    let folder = TempDir::new().unwrap();
    let backup = folder.path().join("backup");
    let name = text(&backup);
    // What a backup that was killed leaves behind.
    fs::create_dir(folder.path().join("backup.partial")).unwrap();
    fs::write(folder.path().join("backup.partial/incomplete"), "").unwrap();
    succeeds(&settings, &["backup", name]).await;
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);

    let refusal = fails(&settings, &["backup", name], 64).await;
    assert!(refusal.contains("is there already"), "{refusal}");
    let within = system.folder.path().join("data/backup");
    let refusal = fails(&settings, &["backup", text(&within)], 64).await;
    assert!(refusal.contains("choose a folder elsewhere"), "{refusal}");
    let refusal = fails(&settings, &["restore", name], 64).await;
    assert!(refusal.contains("in use by another program"), "{refusal}");
    let refusal = fails(&settings, &["restore", name, "--replace"], 64).await;
    assert!(refusal.contains("in use by another program"), "{refusal}");
    system.stop().await;
    let refusal = fails(&settings, &["restore", name], 64).await;
    assert!(refusal.contains("is not empty"), "{refusal}");

    // Without the folder's settings a backup needs no program.
    let second = folder.path().join("second");
    succeeds(&settings, &["backup", &format!("{}/", text(&second))]).await;
    fs::remove_file(second.join("manifest.json")).unwrap();
    let fresh = with_data(&settings, &folder.path().join("fresh"));
    let refusal = fails(&fresh, &["restore", text(&second)], 64).await;
    assert!(refusal.contains("is no complete backup"), "{refusal}");

    for file in ["movies.db", "recommendations.db.id", "secret_key"] {
        let path = backup.join(file);
        let whole = fs::read(&path).unwrap();
        let mut damaged = whole.clone();
        let middle = damaged.len() / 2;
        damaged[middle] ^= 1;
        for bytes in [&damaged[..], &whole[..middle]] {
            fs::write(&path, bytes).unwrap();
            let refusal = fails(&fresh, &["restore", name], 64).await;
            let names_it = refusal.contains(text(&path)) && refusal.contains("is damaged");
            assert!(names_it, "{refusal}");
        }
        fs::write(&path, whole).unwrap();
    }
    succeeds(&fresh, &["restore", name]).await;

    // A list of nothing is no backup of nothing: what is there would be moved aside for it.
    let manifest = backup.join("manifest.json");
    let whole = fs::read(&manifest).unwrap();
    let mut listed: serde_json::Value = serde_json::from_slice(&whole).unwrap();
    listed["files"] = serde_json::json!([]);
    fs::write(&manifest, listed.to_string()).unwrap();
    let before = fs::read_dir(folder.path().join("fresh")).unwrap().count();
    let refusal = fails(&fresh, &["restore", "--replace", name], 64).await;
    assert!(refusal.contains("is damaged"), "{refusal}");
    let after = fs::read_dir(folder.path().join("fresh")).unwrap().count();
    assert_eq!(before, after);
    fs::write(&manifest, whole).unwrap();

    // A restore that was killed is not started from, and may be done again.
    let data = folder.path().join("fresh");
    fs::write(data.join("restore.unfinished"), "").unwrap();
    let refusal = fails(&fresh, &[], 64).await;
    assert!(refusal.contains("was interrupted"), "{refusal}");
    let refusal = fails(&fresh, &["restore", name], 64).await;
    assert!(refusal.contains("--replace"), "{refusal}");
    fs::write(data.join("movies.db.commits"), "of the old one").unwrap();
    let said = succeeds(&fresh, &["restore", "--replace", name]).await;
    let aside = said.rsplit('`').nth(1).unwrap();
    assert!(Path::new(aside).join("movies.db").exists(), "{said}");
    assert!(!data.join("movies.db.commits").exists());
    assert!(!data.join("restore.unfinished").exists());

    let mut mysql = settings.clone();
    let url = "mysql://marquee:secret@127.0.0.1:1/movies".to_owned();
    mysql.push(("MOVIES_DATABASE_URL".to_owned(), url));
    for command in ["backup", "restore"] {
        let refusal = fails(&mysql, &[command, "/tmp/none"], 64).await;
        assert!(refusal.contains("MySQL's own tools"), "{refusal}");
        assert!(!refusal.contains("secret@"), "{refusal}");
    }
    fails(&settings, &["backup"], 64).await;
}

#[tokio::test]
async fn a_full_disk_leaves_nothing_behind() {
    let Some(disk) = Disk::new("2m") else { return };
    let mut system = System::plain().await;
    let settings = system.settings("marquee");
    let folder = TempDir::new().unwrap();
    let backup = folder.path().join("backup");
    succeeds(&settings, &["backup", text(&backup)]).await;
    system.stop().await;
    disk.fill();
    let full = disk.path().join("backup");
    let told = fails(&settings, &["backup", text(&full)], 70).await;
    assert!(
        told.contains("full") || told.contains("No space left"),
        "{told}"
    );
    assert_eq!(fs::read_dir(disk.path()).unwrap().count(), 1, "the ballast");

    // A restore that does not fit leaves the folder as it was.
    let data = disk.path().join("data");
    let settings = with_data(&settings, &data);
    disk.make_room();
    fs::create_dir(&data).unwrap();
    fs::set_permissions(&data, fs::Permissions::from_mode(0o700)).unwrap();
    for lock in ["marquee", "catalog-service", "recommendations-service"] {
        fs::write(data.join(format!("{lock}.lock")), "").unwrap();
    }
    fs::write(data.join("secret_key"), "of before").unwrap();
    disk.fill();
    let told = fails(&settings, &["restore", "--replace", text(&backup)], 70).await;
    assert!(told.contains("No space left"), "{told}");
    let ballast = disk.ballast();
    let len = fs::metadata(&ballast).unwrap().len();
    let file = fs::File::options().write(true).open(&ballast).unwrap();
    // Room for a part of it.
    file.set_len(len - (100 << 10)).unwrap();
    let told = fails(&settings, &["restore", "--replace", text(&backup)], 70).await;
    assert!(told.contains("No space left"), "{told}");
    assert_eq!(fs::read(data.join("secret_key")).unwrap(), b"of before");
    assert_eq!(fs::read_dir(&data).unwrap().count(), 4, "{told}");
}
