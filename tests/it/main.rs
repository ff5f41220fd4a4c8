//! The outer ring: the built binary against a real engine and a real registry.
#![expect(clippy::expect_used, reason = "a test that cannot go on fails")]
#![allow(clippy::disallowed_methods, reason = "tests are told by their environment where their parts are")]

#[cfg(feature = "fake-engine")]
#[expect(clippy::unwrap_used, reason = "a clause that does not hold fails")]
mod contract;
mod api_front;
mod bad_input;
mod engine_trouble;
mod front;
mod image_access;
mod image_policies;
#[path = "../support/images.rs"]
mod images;
mod layers;
mod limits;
mod networks;
mod own_engine;
mod cancel;
mod driving;
mod entrypoints;
#[path = "../support/images.rs"]
mod images;
mod kept;
mod nine_stages;
mod outcomes;
#[path = "../support/pusher.rs"]
mod pusher;
mod refusals;
mod services;
mod site;
mod smoke;
#[cfg(feature = "fake-engine")]
mod support;
mod tools;
mod world;
