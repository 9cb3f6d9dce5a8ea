//! Whose password is checked next. The addresses of clients take turns, so that one that sends very many clients keeps
//! those of others waiting for one check and not for all.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use tokio::sync::oneshot;

use crate::broker::admission::origin;

/// How many clients may wait for their passwords to be checked.
pub(super) const MAX_WAITING: usize = 64;

/// The turns of all clients.
#[derive(Debug)]
pub(in super::super) struct Turns(Mutex<State>);

#[derive(Debug)]
struct State {
    free: usize,
    /// In the order in which they are served: by their rounds. In each round there is one of an origin at most.
    waiting: VecDeque<Waiting>,
    /// The round of the last one that was served.
    round: u64,
}

#[derive(Debug)]
struct Waiting {
    round: u64,
    origin: IpAddr,
    turn: oneshot::Sender<Turn>,
}

/// A check that may be made now; the next may when it is dropped.
#[derive(Debug)]
pub(super) struct Turn(Arc<Turns>);

impl Turns {
    /// Bcrypt takes a core for a while: the other half is for what else clients want.
    pub(in super::super) fn on_half_of_the_cores() -> Arc<Self> {
        let cores = thread::available_parallelism().map_or(1, usize::from);
        Turns::new(cores.div_ceil(2))
    }

    /// So many checks may be made at once.
    fn new(at_once: usize) -> Arc<Self> {
        Arc::new(Turns(Mutex::new(State {
            free: at_once,
            waiting: VecDeque::new(),
            round: 0,
        })))
    }

    /// Waits for a turn; `None` when too many wait and this client would be the last of them.
    pub(super) async fn wait(self: &Arc<Self>, address: IpAddr) -> Option<Turn> {
        self.line_up(origin(address)).await.ok()
    }

    fn line_up(self: &Arc<Self>, origin: IpAddr) -> oneshot::Receiver<Turn> {
        let (turn, given) = oneshot::channel();
        let mut state = self.lock();
        if state.free > 0 {
            state.free -= 1;
            let _ = turn.send(Turn(Arc::clone(self)));
            return given;
        }
        state.waiting.retain(|other| !other.turn.is_closed());
        let own = state.waiting.iter().filter(|other| other.origin == origin);
        let last = own.map(|other| other.round).max().unwrap_or(0);
        let round = last.max(state.round) + 1;
        let place = state.waiting.partition_point(|other| other.round <= round);
        let waiting = Waiting {
            round,
            origin,
            turn,
        };
        state.waiting.insert(place, waiting);
        // The last gives way: it came last from where most come from.
        state.waiting.truncate(MAX_WAITING);
        given
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        let Some(next) = state.waiting.pop_front() else {
            state.free += 1;
            return;
        };
        state.round = next.round;
        drop(state);
        // If nobody waits for it any more, it comes back and is dropped as well.
        let _ = next.turn.send(Turn(Arc::clone(&self.0)));
    }
}

#[cfg(test)]
impl Turns {
    /// Takes all turns that there are.
    pub(super) fn take_all(self: &Arc<Self>) -> Vec<Turn> {
        let free = std::mem::take(&mut self.lock().free);
        (0..free).map(|_| Turn(Arc::clone(self))).collect()
    }

    /// How many turns are free, and how many clients wait for one.
    pub(super) fn counts(&self) -> (usize, usize) {
        let state = self.lock();
        (state.free, state.waiting.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    /// Who of these has a turn when one is given back.
    fn served(waiting: &mut [oneshot::Receiver<Turn>], taken: Turn) -> (usize, Turn) {
        drop(taken);
        let given = waiting.iter_mut().map(|given| given.try_recv().ok());
        given
            .enumerate()
            .find_map(|(who, turn)| Some((who, turn?)))
            .expect("one of them is served")
    }

    #[test]
    fn an_address_that_sends_many_does_not_keep_others_waiting() {
        let turns = Turns::new(1);
        let mut taken = turns.take_all().remove(0);
        let many = (0..MAX_WAITING).map(|_| turns.line_up(address("10.0.0.1")));
        let mut waiting: Vec<_> = many.collect();
        let mut gone = turns.line_up(address("10.0.0.1"));
        gone.try_recv().expect_err("there is no room for one more");
        for last in [63, 62] {
            waiting.push(turns.line_up(address("10.0.0.2")));
            let given_way = waiting[last].try_recv().unwrap_err();
            assert_eq!(given_way, oneshot::error::TryRecvError::Closed);
        }
        for expected in [0, 64, 1, 65, 2, 3] {
            let (who, turn) = served(&mut waiting, taken);
            assert_eq!(who, expected);
            taken = turn;
        }
        drop((taken, waiting));
        assert_eq!(turns.counts(), (1, 0));
    }

    #[test]
    fn who_comes_back_at_once_waits_for_those_that_wait_longer() {
        let turns = Turns::new(1);
        let mut taken = turns.take_all().remove(0);
        let names = ["10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.3"];
        let mut waiting: Vec<_> = names.map(|name| turns.line_up(address(name))).into();
        for expected in [0, 1, 2, 3] {
            let (who, turn) = served(&mut waiting, taken);
            assert_eq!(who, expected);
            waiting.push(turns.line_up(address(names[who])));
            taken = turn;
        }
    }
}
