//! The message by which an actor does its next piece of work: what it would otherwise do in a loop.

use actix::Message;

/// Has an actor do its periodic work, or go on with it. The actor sends it to itself, mostly after a
/// delay; others send it when they have put down work for the actor.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "()")]
pub struct Wake;
