//! What clients say, byte by byte, and what nats-server answers.
//!
//! `Q|`, `V|` and `P|` stand for a CONNECT that is quiet, verbose or pedantic; `<closed>` for the end of the connection.
//! The answers were recorded from nats-server 2.15.1.

/// Before a client has introduced itself.
pub(crate) const WHAT_BEGINS_A_CONVERSATION: &[(&str, &str)] = &[
    ("PING\r\n", "PONG\r\n"),
    ("ping\n", "PONG\r\n"),
    ("PINGx\r\n", "PONG\r\n"),
    ("PING PING\r\n", "PONG\r\n"),
    (" PING\r\n", "-ERR 'Unknown Protocol Operation'\r\n<closed>"),
    ("PONG\r\nPING\r\n", "PONG\r\n"),
    ("INFO {}\r\nPING\r\n", "PONG\r\n"),
    ("+OK\r\nPING\r\n", "PONG\r\n"),
    ("-ERR 'x'\r\nPING\r\n", "<closed>"),
    ("+O\r\n", "-ERR 'Unknown Protocol Operation'\r\n<closed>"),
    (
        "\r\nPING\r\n",
        "-ERR 'Unknown Protocol Operation'\r\n<closed>",
    ),
    ("\n", "-ERR 'Unknown Protocol Operation'\r\n<closed>"),
    (
        "GET / HTTP/1.1\r\n\r\n",
        "-ERR 'Unknown Protocol Operation'\r\n<closed>",
    ),
    ("R", "-ERR 'Unknown Protocol Operation'\r\n<closed>"),
    (
        "A+ by.a\r\n",
        "-ERR 'Unknown Protocol Operation'\r\n<closed>",
    ),
    (
        "LS+ by.a\r\n",
        "-ERR 'Unknown Protocol Operation'\r\n<closed>",
    ),
    (
        "MSG by.a 1 1\r\nx\r\n",
        "-ERR 'Unknown Protocol Operation'\r\n<closed>",
    ),
    (
        "HMSG by.a 1 1\r\n",
        "-ERR 'Unknown Protocol Operation'\r\n<closed>",
    ),
    (
        "SUB by.a 1\r\nPUB by.a 1\r\nx\r\nPING\r\n",
        "+OK\r\n+OK\r\nMSG by.a 1 1\r\nx\r\nPONG\r\n",
    ),
    (
        "HPUB by.a 12 13\r\nNATS/1.0\r\n\r\nx\r\nPING\r\n",
        "<closed>",
    ),
];

/// How a client introduces itself.
pub(crate) const CONNECT: &[(&str, &str)] = &[
    ("CONNECT\r\nPING\r\n", "<closed>"),
    ("CONNECT {\r\nPING\r\n", "<closed>"),
    ("CONNECT []\r\nPING\r\n", "<closed>"),
    ("CONNECT null\r\nPING\r\n", "+OK\r\nPONG\r\n"),
    ("CONNECT {\"verbose\":\"x\"}\r\nPING\r\n", "<closed>"),
    (
        "CONNECT {\"protocol\":2}\r\nPING\r\n",
        "-ERR 'invalid client protocol'\r\n<closed>",
    ),
    (
        "CONNECT {\"protocol\":-1}\r\nPING\r\n",
        "-ERR 'invalid client protocol'\r\n<closed>",
    ),
    (
        "CONNECT {\"verbose\":false,\"no_responders\":true}\r\nPING\r\n",
        "-ERR 'no responders requires headers support'\r\n<closed>",
    ),
    (
        "CONNECT {\"account\":\"x\"}\r\nPING\r\n",
        "-ERR 'Authorization Violation'\r\n<closed>",
    ),
    (
        "CONNECT {\"auth_token\":\"x\"}\r\nPING\r\n",
        "+OK\r\nPONG\r\n",
    ),
    ("CONNECT {\"VERBOSE\":false}\r\nPING\r\n", "PONG\r\n"),
    (
        "CONNECT {}\r\nCONNECT {\"verbose\":false}\r\nPING\r\n",
        "+OK\r\nPONG\r\n",
    ),
    (
        "CONNECT {\"verbose\":false}\r\nCONNECT {}\r\nPING\r\n",
        "PONG\r\n",
    ),
    ("CONNECT{\"verbose\":false}\r\nPING\r\n", "PONG\r\n"),
    ("CONNECT\t{\"verbose\":false}\r\nPING\r\n", "PONG\r\n"),
    ("CONNECT   {\"verbose\":false}   \r\nPING\r\n", "PONG\r\n"),
    ("CONNECT {\"verbose\":false} x\r\nPING\r\n", "<closed>"),
    (
        "CONNECT {\"verbose\":null,\"echo\":null,\"name\":null}\r\nPING\r\n",
        "+OK\r\nPONG\r\n",
    ),
    (
        "CONNECT {\"verbose\":false,\"name\":1}\r\nPING\r\n",
        "<closed>",
    ),
    (
        "CONNECT {\"verbose\":false,\"unknown\":[1,{\"a\":2}]}\r\nPING\r\n",
        "PONG\r\n",
    ),
    ("Q|SUB by.a 1\r\nQ|PUB by.a 1\r\nx\r\nPING\r\n", "PONG\r\n"),
];

/// What the switches of CONNECT change.
pub(crate) const VERBOSE_AND_PEDANTIC: &[(&str, &str)] = &[
    (
        "V|SUB by.a 1\r\nPUB by.a 1\r\nx\r\nUNSUB 1\r\nPING\r\n",
        "+OK\r\n+OK\r\n+OK\r\nMSG by.a 1 1\r\nx\r\n+OK\r\nPONG\r\n",
    ),
    (
        "V|SUB by.a 1\r\nSUB by.a 1\r\nPING\r\n",
        "+OK\r\n+OK\r\n+OK\r\nPONG\r\n",
    ),
    ("V|UNSUB 9\r\nPING\r\n", "+OK\r\n+OK\r\nPONG\r\n"),
    (
        "V|SUB by.a..b 1\r\nPING\r\n",
        "+OK\r\n-ERR 'Invalid Subject'\r\nPONG\r\n",
    ),
    (
        "V|PUB by.a..b 1\r\nx\r\nPING\r\n",
        "+OK\r\n-ERR 'Invalid Publish Subject'\r\n+OK\r\nPONG\r\n",
    ),
    (
        "P|PUB by.a..b 1\r\nx\r\nPING\r\n",
        "-ERR 'Invalid Publish Subject'\r\nPONG\r\n",
    ),
    (
        "P|SUB > 1\r\nUNSUB 1\r\nPUB by.a.* 1\r\nx\r\nPING\r\n",
        "-ERR 'Invalid Publish Subject'\r\nPONG\r\n",
    ),
    (
        "P|SUB by.a.> 1\r\nPUB by.a.* 1\r\nx\r\nPING\r\n",
        "-ERR 'Invalid Publish Subject'\r\nMSG by.a.* 1 1\r\nx\r\nPONG\r\n",
    ),
    (
        "P|SUB by.a..b 1\r\nPING\r\n",
        "-ERR 'Invalid Subject'\r\nPONG\r\n",
    ),
    (
        "P|HPUB by.a.> 12 13\r\nNATS/1.0\r\n\r\nx\r\nPING\r\n",
        "-ERR 'Invalid Publish Subject'\r\nPONG\r\n",
    ),
    (
        "CONNECT {\"verbose\":true,\"pedantic\":true}\r\nPUB by.a..b 1\r\nx\r\nPING\r\n",
        "+OK\r\n-ERR 'Invalid Publish Subject'\r\n+OK\r\nPONG\r\n",
    ),
    (
        "CONNECT {\"verbose\":false,\"echo\":false}\r\nSUB by.a 1\r\nPUB by.a 1\r\nx\r\nPING\r\n",
        "PONG\r\n",
    ),
];
