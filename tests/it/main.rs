//! The outer ring: the built binary against a real engine and a real registry.
#![expect(clippy::expect_used, reason = "a test that cannot go on fails")]
#![allow(clippy::disallowed_methods, reason = "tests are told by their environment where their parts are")]

mod access;
mod api_front;
mod bad_input;
mod cancel;
mod commands;
#[cfg(feature = "fake-engine")]
#[expect(clippy::unwrap_used, reason = "a clause that does not hold fails")]
mod contract;
mod daemon;
mod daemon_troubles;
mod daemons;
mod driving;
mod engine_trouble;
mod entrypoints;
mod everyday;
mod evicting;
mod evicting_race;
mod freshness;
#[path = "../support/front.rs"]
mod front;
mod further;
mod image_access;
mod image_policies;
#[path = "../support/images.rs"]
mod images;
mod kept;
mod kills;
mod layers;
mod limits;
mod mirrors;
mod networks;
mod nine_stages;
mod one_pull;
mod outcomes;
mod output;
mod own_engine;
mod package;
mod prefetching;
mod processes;
mod pulling;
#[path = "../support/pusher.rs"]
mod pusher;
mod refusals;
mod registry;
mod registry_hostile;
mod registry_tls;
mod registry_tokens;
mod scans;
mod scripted;
mod services;
mod simulate;
mod site;
mod smoke;
mod socket_builds;
#[cfg(feature = "fake-engine")]
mod support;
mod tools;
mod weak_links;
mod world;
