//! Commands of a kind that wait are done together, and each has its own outcome.

use std::{
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex},
};

use diesel::{QueryResult, result::Error as DieselError};
use futures::{FutureExt, future::join_all};
use storage::{Command, Database, DbConnection, Error};

use crate::{
    group_commit::{Obstacle, kind},
    support::{Opened, insert, over_each},
};

/// How many notes are written together at most.
const TOGETHER: usize = 4;

/// Writes a note; the answer says with how many others.
struct Note {
    id: i64,
    then: Then,
    /// How many commands each commit was followed for.
    commits: Arc<Mutex<Vec<usize>>>,
}

/// What happens after the note was inserted.
#[derive(PartialEq)]
enum Then {
    Succeed,
    Fail,
    Panic,
}

impl Command for Note {
    type Answer = usize;

    fn run(conn: &mut DbConnection, commands: &[&Self]) -> QueryResult<Vec<usize>> {
        let commands = &commands[..commands.len().min(TOGETHER)];
        for command in commands {
            insert(conn, command.id)?;
            match command.then {
                Then::Succeed => {}
                Then::Fail => return Err(DieselError::RollbackTransaction),
                Then::Panic => panic!("a command with a bug"),
            }
        }
        Ok(vec![commands.len(); commands.len()])
    }

    fn committed(done: &[(&Self, &usize)]) {
        let mut commits = done[0].0.commits.lock().unwrap();
        commits.push(done.len());
        assert!(done.iter().all(|(_, together)| **together == done.len()));
    }
}

type Waiting = Pin<Box<dyn Future<Output = Result<usize, Error>>>>;

/// Puts commands into the queue, behind the obstacle, with closures between them.
fn begin(database: &Database, notes: Vec<Note>) -> Vec<Waiting> {
    let begin = |note: Note| {
        let (between, database) = (database.clone(), database.clone());
        let id = note.id + 1_000;
        let closure =
            tokio::spawn(async move { between.write(move |conn| insert(conn, id)).await });
        let mut command: Waiting = Box::pin(async move {
            let answer = database.perform(note).await;
            closure.await.unwrap().unwrap();
            answer
        });
        assert!(
            (&mut command).now_or_never().is_none(),
            "a command came past the obstacle"
        );
        command
    };
    notes.into_iter().map(begin).collect()
}

fn note(opened_commits: &Arc<Mutex<Vec<usize>>>, id: i64, then: Then) -> Note {
    Note {
        id,
        then,
        commits: opened_commits.clone(),
    }
}

async fn outcomes(opened: &Opened, notes: Vec<Note>) -> Vec<Result<usize, Error>> {
    let obstacle = Obstacle::before(&opened.database).await;
    let began = begin(&opened.database, notes);
    obstacle.remove().await;
    join_all(began).await
}

#[test]
fn commands_that_wait_are_done_together() {
    over_each("commands", async |opened| {
        let commits = Arc::default();
        let notes = (1..=10)
            .map(|id| note(&commits, id, Then::Succeed))
            .collect();
        let together = outcomes(&opened, notes).await.into_iter();
        let together: Vec<usize> = together.map(Result::unwrap).collect();
        assert_eq!(together, [4, 4, 4, 4, 4, 4, 4, 4, 2, 2]);
        assert_eq!(*commits.lock().unwrap(), [4, 4, 2]);
        assert_eq!(opened.notes_outside(), 20);
        opened.close().await;
    });
}

#[test]
fn a_command_that_fails_among_others_fails_alone() {
    over_each("commands_alone", async |opened| {
        opened.note(3).await.unwrap();
        let commits = Arc::default();
        let then = |id| match id {
            5 => Then::Fail,
            8 => Then::Panic,
            _ => Then::Succeed,
        };
        let notes = (1..=10).map(|id| note(&commits, id, then(id))).collect();
        let outcomes = outcomes(&opened, notes).await;
        let kinds: Vec<_> = outcomes.iter().map(kind).collect();
        assert_eq!(
            kinds,
            [
                "done", "done", "refused", "done", "refused", "done", "done", "panicked", "done",
                "done"
            ]
        );
        assert_eq!(commits.lock().unwrap().iter().sum::<usize>(), 7);
        assert_eq!(opened.notes_outside(), 1 + 7 + 10);
        opened.close().await;
    });
}
