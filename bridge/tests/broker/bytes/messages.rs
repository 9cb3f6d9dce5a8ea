//! What clients say about messages, byte by byte, and what nats-server answers.
//!
//! `Q|`, `V|` and `P|` stand for a CONNECT that is quiet, verbose or pedantic; `<closed>` for the end of the connection.
//! The answers were recorded from nats-server 2.15.1.

/// Subscribing and unsubscribing.
pub(crate) const SUBSCRIPTIONS: &[(&str, &str)] = &[
    (
        "Q|SUB by.a 1\r\nSUB by.b 1\r\nPUB by.b 0\r\n\r\nPUB by.a 0\r\n\r\nPING\r\n",
        "MSG by.a 1 0\r\n\r\nPONG\r\n",
    ),
    ("Q|SUB\r\n", "-ERR 'Unknown Protocol Operation'\r\n<closed>"),
    ("Q|SUB \r\nPING\r\n", "<closed>"),
    ("Q|SUB by.a\r\nPING\r\n", "<closed>"),
    ("Q|SUB by.a by.b c d\r\nPING\r\n", "<closed>"),
    (
        "Q|SUB >.a 1\r\nPING\r\n",
        "-ERR 'Invalid Subject'\r\nPONG\r\n",
    ),
    (
        "Q|SUB by.a.>.b 1\r\nPING\r\n",
        "-ERR 'Invalid Subject'\r\nPONG\r\n",
    ),
    (
        "Q|SUB . 1\r\nPING\r\n",
        "-ERR 'Invalid Subject'\r\nPONG\r\n",
    ),
    (
        "Q|SUB by.a. 1\r\nPING\r\n",
        "-ERR 'Invalid Subject'\r\nPONG\r\n",
    ),
    (
        "Q|SUB .a 1\r\nPING\r\n",
        "-ERR 'Invalid Subject'\r\nPONG\r\n",
    ),
    (
        "Q|SUB by.a* 1\r\nSUB by.a> 2\r\nSUB by.*a 3\r\nPUB by.a* 1\r\nx\r\nPUB by.a> 1\r\ny\r\nPING\r\n",
        "MSG by.a* 1 1\r\nx\r\nMSG by.a> 2 1\r\ny\r\nPONG\r\n",
    ),
    (
        "Q|SUB by.a q 1\r\nSUB by.a q 2\r\nUNSUB 2\r\nPUB by.a 1\r\nx\r\nPUB by.a 1\r\ny\r\nPING\r\n",
        "MSG by.a 1 1\r\nx\r\nMSG by.a 1 1\r\ny\r\nPONG\r\n",
    ),
    (
        "Q|SUB\tby.a\tq\t1\r\nPUB by.a 1\r\nx\r\nPING\r\n",
        "MSG by.a 1 1\r\nx\r\nPONG\r\n",
    ),
    (
        "Q|SUB by.a _sys_ 1\r\nPING\r\n",
        "-ERR 'Permissions Violation for Subscription to \"by.a\" using queue \"_sys_\"'\r\nPONG\r\n",
    ),
    (
        "Q|UNSUB\r\nPING\r\n",
        "-ERR 'Unknown Protocol Operation'\r\n<closed>",
    ),
    ("Q|UNSUB 1 2 3\r\nPING\r\n", "<closed>"),
    (
        "Q|SUB by.a 1\r\nUNSUB 1 x\r\nPUB by.a 0\r\n\r\nPING\r\n",
        "PONG\r\n",
    ),
    (
        "Q|SUB by.a 1\r\nUNSUB 1 0\r\nPUB by.a 0\r\n\r\nPING\r\n",
        "PONG\r\n",
    ),
    (
        "Q|SUB by.a 1\r\nUNSUB 1 -1\r\nPUB by.a 0\r\n\r\nPING\r\n",
        "PONG\r\n",
    ),
    (
        "Q|SUB by.a 1\r\nUNSUB 1 9999999999\r\nPUB by.a 0\r\n\r\nPING\r\n",
        "PONG\r\n",
    ),
    (
        "Q|SUB by.a 1\r\nPUB by.a 0\r\n\r\nUNSUB 1 1\r\nPUB by.a 0\r\n\r\nPING\r\n",
        "MSG by.a 1 0\r\n\r\nPONG\r\n",
    ),
    (
        "Q|SUB by.a 1\r\nUNSUB 1 2\r\nPUB by.a 0\r\n\r\nPUB by.a 0\r\n\r\nPUB by.a 0\r\n\r\nPING\r\n",
        "MSG by.a 1 0\r\n\r\nMSG by.a 1 0\r\n\r\nPONG\r\n",
    ),
    (
        "Q|SUB by.a 1\r\nUNSUB 1 2\r\nUNSUB 1 3\r\nPUB by.a 0\r\n\r\nPUB by.a 0\r\n\r\nPUB by.a 0\r\n\r\nPUB by.a 0\r\n\r\nPING\r\n",
        "MSG by.a 1 0\r\n\r\nMSG by.a 1 0\r\n\r\nMSG by.a 1 0\r\n\r\nPONG\r\n",
    ),
    (
        "Q|SUB by.a 1\r\nUNSUB 1 1\r\nPUB by.a 0\r\n\r\nSUB by.b 1\r\nPUB by.b 0\r\n\r\nPING\r\n",
        "MSG by.a 1 0\r\n\r\nMSG by.b 1 0\r\n\r\nPONG\r\n",
    ),
    ("Q|UNSUB  1  \r\nPING\r\n", "PONG\r\n"),
    (
        "Q|sub by.a 1\r\npUb by.a 1\r\nx\r\nunsub 1\r\nPING\r\n",
        "MSG by.a 1 1\r\nx\r\nPONG\r\n",
    ),
];

/// Publishing.
pub(crate) const PUBLISHING: &[(&str, &str)] = &[
    ("Q|PUB by.a\r\nPING\r\n", "<closed>"),
    ("Q|PUB by.a by.b c 1\r\nx\r\nPING\r\n", "<closed>"),
    ("Q|PUB by.a x\r\nPING\r\n", "<closed>"),
    ("Q|PUB by.a -1\r\nPING\r\n", "<closed>"),
    ("Q|PUB by.a 1.5\r\nPING\r\n", "<closed>"),
    ("Q|PUB by.a +1\r\nx\r\nPING\r\n", "<closed>"),
    (
        "Q|PUB by.a 1\r\nxyz\r\nPING\r\n",
        "-ERR 'Unknown Protocol Operation'\r\n<closed>",
    ),
    (
        "Q|PUB by.a 1\r\nx\nPING\r\n",
        "-ERR 'Unknown Protocol Operation'\r\n<closed>",
    ),
    (
        "Q|PUB by.a 2\r\nx\r\nPING\r\n",
        "-ERR 'Unknown Protocol Operation'\r\n<closed>",
    ),
    (
        "Q|PUB by.a 1048577\r\nPING\r\n",
        "-ERR 'Maximum Payload Violation'\r\n<closed>",
    ),
    ("Q|PUB by.a 99999999999\r\nPING\r\n", "<closed>"),
    (
        "Q|SUB by.a 1\r\nPUB  by.a   1\t\r\nx\r\nPING\r\n",
        "MSG by.a 1 1\r\nx\r\nPONG\r\n",
    ),
    (
        "Q|SUB by.a 1\r\nPUB\tby.a\tr\t1\r\nx\r\nPING\r\n",
        "MSG by.a 1 r 1\r\nx\r\nPONG\r\n",
    ),
    (
        "Q|SUB by.a 1\r\nPUB by.a 1\nx\r\nPING\r\n",
        "MSG by.a 1 1\r\nx\r\nPONG\r\n",
    ),
    (
        "Q|PUBa 1\r\nx\r\nPING\r\n",
        "-ERR 'Unknown Protocol Operation'\r\n<closed>",
    ),
    (
        "Q|SUB by.a.> 1\r\nPUB by.a..b 1\r\nx\r\nPUB by.a. 1\r\nx\r\nPUB by.a.* 1\r\nx\r\nPUB by.a.> 1\r\nx\r\nPING\r\n",
        "MSG by.a.* 1 1\r\nx\r\nMSG by.a.> 1 1\r\nx\r\nPONG\r\n",
    ),
    (
        "Q|SUB by.a.* 1\r\nPUB by.a.* 1\r\nx\r\nPUB by.a.> 1\r\ny\r\nPUB by.a.b.* 1\r\nz\r\nPING\r\n",
        "MSG by.a.* 1 1\r\nx\r\nMSG by.a.> 1 1\r\ny\r\nPONG\r\n",
    ),
    ("Q|PUB .a 1\r\nx\r\nPUB . 1\r\nx\r\nPING\r\n", "PONG\r\n"),
    (
        "Q|PUB by.a _R_.xxx 1\r\nx\r\nPUB _GR_.x 1\r\nx\r\nPUB $NRG.V.x 1\r\nx\r\nPING\r\n",
        "-ERR 'Permissions Violation for Publish with Reply of \"_R_.xxx\"'\r\n-ERR 'Permissions Violation for Publish to \"_GR_.x\"'\r\n-ERR 'Permissions Violation for Publish to \"$NRG.V.x\"'\r\nPONG\r\n",
    ),
    (
        "Q|PUB by.a $JS.ACK.s.c.1.2.3.4.5 1\r\nx\r\nPING\r\n",
        "-ERR 'Permissions Violation for Publish with Reply of \"$JS.ACK.s.c.1.2.3.4.5\"'\r\nPONG\r\n",
    ),
    (
        "V|PUB by.a _R_.xxx 1\r\nx\r\nPING\r\n",
        "+OK\r\n-ERR 'Permissions Violation for Publish with Reply of \"_R_.xxx\"'\r\nPONG\r\n",
    ),
];

/// Messages with headers.
pub(crate) const HEADERS: &[(&str, &str)] = &[
    (
        "Q|SUB by.a 1\r\nHPUB by.a 12 13\r\nNATS/1.0\r\n\r\nx\r\nPING\r\n",
        "HMSG by.a 1 12 13\r\nNATS/1.0\r\n\r\nx\r\nPONG\r\n",
    ),
    (
        "Q|SUB by.a 1\r\nHPUB by.a r 12 13\r\nNATS/1.0\r\n\r\nx\r\nPING\r\n",
        "HMSG by.a 1 r 12 13\r\nNATS/1.0\r\n\r\nx\r\nPONG\r\n",
    ),
    (
        "Q|SUB by.a 1\r\nHPUB by.a 0 1\r\nx\r\nPING\r\n",
        "MSG by.a 1 1\r\nx\r\nPONG\r\n",
    ),
    ("Q|HPUB by.a 5 4\r\nabcd\r\nPING\r\n", "<closed>"),
    (
        "Q|SUB by.a 1\r\nHPUB by.a 3 4\r\nabcd\r\nPING\r\n",
        "HMSG by.a 1 3 4\r\nabcd\r\nPONG\r\n",
    ),
    ("Q|HPUB by.a x 4\r\nabcd\r\nPING\r\n", "<closed>"),
    ("Q|HPUB by.a 4\r\nPING\r\n", "<closed>"),
    ("Q|HPUB by.a by.b c 1 2\r\nPING\r\n", "<closed>"),
    (
        "Q|SUB by.a 1\r\nHPUB by.a 12 12\r\nNATS/1.0\r\n\r\n\r\nPING\r\n",
        "HMSG by.a 1 12 12\r\nNATS/1.0\r\n\r\n\r\nPONG\r\n",
    ),
    (
        "Q|HPUB by.a 12 9999999\r\nPING\r\n",
        "-ERR 'Maximum Payload Violation'\r\n<closed>",
    ),
    (
        "CONNECT {\"verbose\":false}\r\nHPUB by.a 12 13\r\nNATS/1.0\r\n\r\nx\r\nPING\r\n",
        "<closed>",
    ),
];

/// Requests that nobody answers.
pub(crate) const NO_RESPONDERS: &[(&str, &str)] = &[
    (
        "Q|SUB by.in.* 5\r\nPUB by.nobody by.in.x 1\r\nx\r\nPING\r\n",
        "HMSG by.in.x 5 41 41\r\nNATS/1.0 503\r\nNats-Subject: by.nobody\r\n\r\n\r\nPONG\r\n",
    ),
    ("Q|PUB by.nobody by.in.x 1\r\nx\r\nPING\r\n", "PONG\r\n"),
    (
        "Q|SUB by.in.* q 5\r\nPUB by.nobody by.in.x 1\r\nx\r\nPING\r\n",
        "PONG\r\n",
    ),
    (
        "Q|SUB by.in.* 5\r\nPUB by.in.x by.in.x 1\r\nx\r\nPING\r\n",
        "MSG by.in.x 5 by.in.x 1\r\nx\r\nPONG\r\n",
    ),
    (
        "CONNECT {\"verbose\":false,\"headers\":true}\r\nSUB by.in.* 5\r\nPUB by.nobody by.in.x 1\r\nx\r\nPING\r\n",
        "PONG\r\n",
    ),
    (
        "Q|SUB by.in.* 5\r\nPUB $SYS.REQ.SERVER.PING by.in.x 0\r\n\r\nPING\r\n",
        "HMSG by.in.x 5 52 52\r\nNATS/1.0 503\r\nNats-Subject: $SYS.REQ.SERVER.PING\r\n\r\n\r\nPONG\r\n",
    ),
    (
        "Q|SUB by.in.* 5\r\nPUB $JS.ACK.x.y.1.2.3.4.5 by.in.x 0\r\n\r\nPING\r\n",
        "HMSG by.in.x 5 53 53\r\nNATS/1.0 503\r\nNats-Subject: $JS.ACK.x.y.1.2.3.4.5\r\n\r\n\r\nPONG\r\n",
    ),
    (
        "CONNECT {\"verbose\":false,\"echo\":false,\"headers\":true,\"no_responders\":true}\r\nSUB by.a 1\r\nSUB by.in 2\r\nPUB by.a by.in 1\r\nx\r\nPING\r\n",
        "HMSG by.in 2 36 36\r\nNATS/1.0 503\r\nNats-Subject: by.a\r\n\r\n\r\nPONG\r\n",
    ),
    (
        "Q|SUB by.in.* 5\r\nPUB by.a..b by.in.x 1\r\nx\r\nPING\r\n",
        "HMSG by.in.x 5 39 39\r\nNATS/1.0 503\r\nNats-Subject: by.a..b\r\n\r\n\r\nPONG\r\n",
    ),
    (
        "Q|SUB by.in.* 5\r\nHPUB by.nobody by.in.x 12 13\r\nNATS/1.0\r\n\r\nx\r\nPING\r\n",
        "HMSG by.in.x 5 41 41\r\nNATS/1.0 503\r\nNats-Subject: by.nobody\r\n\r\n\r\nPONG\r\n",
    ),
];
