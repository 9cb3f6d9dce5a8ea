//! What is sent by mail, in words, and the way to a mail server.
