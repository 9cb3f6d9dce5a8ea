//! What a supervisor decides after a death, as plain data: restart one child, restart its group, or give up.

use std::{
    collections::VecDeque,
    fmt,
    time::{Duration, Instant},
};

use actix::Addr;

use super::{
    backoff::Backoff,
    child::Child,
    child_guard::Cause,
    registry::ActorState,
    supervisor::{ChildEnded, Keeper, RestartPolicy},
};

/// A child's place in its supervisor's tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ChildId(pub(super) usize);

/// The children of a supervisor, and what to do when one of them dies.
pub(super) struct Tree {
    pub(super) service: String,
    pub(super) policy: RestartPolicy,
    pub(super) groups: Vec<GroupState>,
    pub(super) children: Vec<Kept>,
    pub(super) closing: bool,
}

pub(super) struct GroupState {
    pub(super) name: String,
    pub(super) restarts: VecDeque<Instant>,
}

pub(super) struct Kept {
    pub(super) child: Box<dyn Child>,
    pub(super) group: usize,
    pub(super) backoff: Backoff,
    pub(super) deaths: VecDeque<Instant>,
    pub(super) alive: bool,
}

/// What has to happen after a death.
pub(super) enum Verdict {
    Nothing,
    Restart(ChildId, Duration),
    RestartGroup(Vec<(ChildId, Duration)>),
    GiveUp(String),
}

impl Tree {
    pub(super) fn start(&mut self, id: ChildId, keeper: &Addr<Keeper>) {
        if self.closing {
            return;
        }
        if let Some(kept) = self.children.get_mut(id.0).filter(|kept| !kept.alive) {
            kept.alive = true;
            kept.child.entry().set_state(ActorState::Running);
            kept.child.start(keeper, id);
        }
    }

    pub(super) fn child_ended(&mut self, ended: &ChildEnded) -> Verdict {
        let policy = self.policy;
        let Some(kept) = self.children.get_mut(ended.child.0) else {
            return Verdict::Nothing;
        };
        if !kept.alive || kept.child.incarnation() != ended.incarnation {
            return Verdict::Nothing;
        }
        let entry = kept.child.entry().clone();
        if self.closing {
            kept.alive = false;
            entry.set_state(ActorState::Stopped);
            return Verdict::Nothing;
        }
        entry.record_failure(&ended.cause.to_string());
        let made_anew_already =
            kept.child.restarts_itself() && !matches!(ended.cause, Cause::Panicked(_));
        let actor = entry.name();
        if count_within(&mut kept.deaths, policy.window) >= policy.child_deaths {
            tracing::warn!(service = self.service, actor, cause = %ended.cause, "{actor} cannot be kept alive: {}", ended.cause);
            let (group, cause) = (kept.group, format!("{actor}: {}", ended.cause));
            kept.alive = false;
            return self.restart_group(group, &cause);
        }
        if made_anew_already {
            tracing::warn!(service = self.service, actor, cause = %ended.cause, "{actor} has restarted: {}", ended.cause);
            return Verdict::Nothing;
        }
        kept.alive = false;
        kept.child.stop();
        entry.set_state(ActorState::Restarting);
        if kept.deaths.len() == 1 {
            kept.backoff.reset();
        }
        let delay = kept.backoff.next_delay();
        tracing::warn!(
            service = self.service,
            actor,
            cause = %ended.cause,
            delay_ms = delay.as_millis(),
            "{actor} ended and is restarted in {} ms: {}",
            delay.as_millis(),
            ended.cause
        );
        Verdict::Restart(ended.child, delay)
    }

    fn restart_group(&mut self, group: usize, cause: &str) -> Verdict {
        let policy = self.policy;
        let Some(state) = self.groups.get_mut(group) else {
            return Verdict::Nothing;
        };
        let name = state.name.clone();
        if count_within(&mut state.restarts, policy.window) >= policy.group_restarts {
            let reason = format!("`{}/{name}` cannot be kept alive: {cause}", self.service);
            tracing::error!(service = self.service, group = name, cause, "{reason}");
            return Verdict::GiveUp(reason);
        }
        tracing::warn!(
            service = self.service,
            group = name,
            cause,
            "the group {name} is restarted: {cause}"
        );
        let mut restarts = Vec::new();
        for (index, kept) in self.children.iter_mut().enumerate() {
            if kept.group == group {
                kept.child.stop();
                kept.child.entry().set_state(ActorState::Restarting);
                kept.alive = false;
                kept.deaths.clear();
                restarts.push((ChildId(index), kept.backoff.next_delay()));
            }
        }
        Verdict::RestartGroup(restarts)
    }
}

impl fmt::Debug for Tree {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Tree").field(&self.service).finish()
    }
}

/// Adds now to `times`, forgets those older than `window`, and counts.
fn count_within(times: &mut VecDeque<Instant>, window: Duration) -> usize {
    let now = Instant::now();
    times.retain(|time| now.duration_since(*time) <= window);
    times.push_back(now);
    times.len()
}
