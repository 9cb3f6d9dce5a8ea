//! Messages without streams: from publishers to subscribers of one subject, each of which gets all of them.

use std::{net::SocketAddr, sync::Barrier, thread, time::Instant};

use super::{
    program,
    report::{Aim, Figures, in_turns, rate},
    wire::Client,
};

/// How much a publisher gives to the socket at once.
const WRITE: usize = 64 * 1024;

struct Case {
    publishers: usize,
    subscribers: usize,
    payload: usize,
    /// Messages of each publisher; a second's work, about.
    messages: usize,
    aim: f64,
}

const fn case(
    publishers: usize,
    subscribers: usize,
    payload: usize,
    messages: usize,
    aim: f64,
) -> Case {
    Case {
        publishers,
        subscribers,
        payload,
        messages,
        aim,
    }
}

const CASES: [Case; 5] = [
    case(1, 1, 16, 3_000_000, 1.0),
    case(1, 1, 128, 2_000_000, 1.0),
    case(1, 1, 1024, 500_000, 1.0),
    case(1, 4, 128, 750_000, 1.3),
    case(4, 4, 128, 200_000, 1.3),
];

pub(crate) fn run() {
    let mut servers = program::both("");
    for case in CASES {
        let mut rates = Figures::default();
        in_turns(&mut servers, |server, _| {
            rates.add(server.kind, case.measure(server.address));
        });
        let Case {
            publishers,
            subscribers,
            payload,
            aim,
            ..
        } = case;
        rates.row(
            &format!("core {publishers}:{subscribers}, {payload} B, delivered"),
            Aim::AtLeast(aim),
            rate,
        );
    }
}

impl Case {
    /// Messages delivered a second, all subscribers together.
    fn measure(&self, address: SocketAddr) -> f64 {
        let payload = "x".repeat(self.payload);
        let publication = format!("PUB bench {}\r\n{payload}\r\n", self.payload);
        let expected = format!("MSG bench 1 {}\r\n{payload}\r\n", self.payload);
        let ready = Barrier::new(self.publishers + self.subscribers + 1);
        let total = self.messages * self.publishers;
        let seconds = thread::scope(|scope| {
            for _ in 0..self.publishers {
                scope.spawn(|| {
                    let mut client = Client::open(address).unwrap();
                    ready.wait();
                    publish(&mut client, publication.as_bytes(), self.messages);
                });
            }
            let subscribers: Vec<_> = (0..self.subscribers)
                .map(|_| {
                    scope.spawn(|| {
                        let mut client = Client::open(address).unwrap();
                        client.subscribe("bench");
                        ready.wait();
                        client.receive_alike(expected.as_bytes(), total).unwrap();
                    })
                })
                .collect();
            ready.wait();
            let begun = Instant::now();
            for subscriber in subscribers {
                subscriber.join().unwrap();
            }
            begun.elapsed().as_secs_f64()
        });
        (total * self.subscribers) as f64 / seconds
    }
}

fn publish(client: &mut Client, publication: &[u8], messages: usize) {
    let together = (WRITE / publication.len()).max(1);
    let batch = publication.repeat(together);
    for _ in 0..messages / together {
        client.send(&batch).unwrap();
    }
    let rest = &batch[..messages % together * publication.len()];
    client.send(rest).unwrap();
    // The connection must not end before the server has read all of it.
    client.flush().unwrap();
}
