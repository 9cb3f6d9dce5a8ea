//! The supervised actors of the service, one a file.

pub mod matcher;

pub mod lease_keeper;

pub mod backlog_worker;

pub mod watch_poller;

pub mod account_consumer;
