//! The middle ring: whole stages in process, on the behaving fake engine and a clock that stands still.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on fails")]

mod access;
mod access_host;
mod access_rules;
mod access_walk;
mod ahead;
mod bench;
mod chaos;
mod cleanup;
mod cold;
mod commands;
mod counts;
mod daemon;
mod ends;
mod evict;
mod flights;
mod handover;
mod killed;
mod notices;
mod pulls;
mod race;
mod refusals;
mod retries;
mod room;
mod scanning;
mod service_logs;
mod services;
mod shelf;
mod stops;
mod stops_hung;
mod troubles;
mod world;
