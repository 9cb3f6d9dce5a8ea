//! Memory at rest, without messages and with many; and starts over what a killed server left.

use std::{thread, time::Duration};

use serde_json::json;

use super::{
    program::{self, Server},
    report::{Aim, Figures, in_turns, megabytes, rounds},
    stream::{self, Stream},
    wire::Client,
};

const PAYLOAD: usize = 16;
/// How long a server is left alone before its memory is looked at.
const IDLE: Duration = Duration::from_secs(5);

pub(crate) fn run() {
    idle();
    let messages = std::env::var("BROKER_MESSAGES").map_or(4_000_000, |text| text.parse().unwrap());
    let mut servers = program::both("");
    for server in &servers {
        Stream::create(server.address, "file").fill(4, messages, PAYLOAD, false);
    }
    let mut memory = Figures::default();
    remember(&servers, &mut memory);
    let what = format!("memory, {messages} messages of {PAYLOAD} B just stored");
    memory.row(&what, Aim::AtMost(2.0), megabytes);

    let (mut starts, mut memory) = (Figures::default(), Figures::default());
    in_turns(&mut servers, |server, _| {
        server.kill();
        let has_all = |client: &mut Client| {
            let info = stream::ask(client, "STREAM.INFO.BENCH", &json!({}));
            stream::stored(&info) == messages as u64
        };
        starts.add(server.kind, server.restart(has_all).as_secs_f64());
        thread::sleep(IDLE);
        memory.add(server.kind, server.resident_mb());
    });
    let what = format!("start after `kill -9`, {messages} messages of {PAYLOAD} B");
    starts.row(&what, Aim::AtMost(1.0), |figure| format!("{figure:.2} s"));
    let what = format!("memory after this start, {messages} messages of {PAYLOAD} B");
    memory.row(&what, Aim::AtMost(2.0), megabytes);
}

fn idle() {
    let mut memory = Figures::default();
    for _ in 0..rounds() {
        remember(&program::both(""), &mut memory);
    }
    memory.row("memory, idle", Aim::AtMost(0.5), megabytes);
}

fn remember(servers: &[Server; 2], memory: &mut Figures) {
    thread::sleep(IDLE);
    for server in servers {
        memory.add(server.kind, server.resident_mb());
    }
}
