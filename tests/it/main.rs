//! The outer ring: the built binary against a real engine and a real registry.
#![expect(clippy::expect_used, reason = "a test that cannot go on fails")]

#[cfg(feature = "fake-engine")]
#[expect(clippy::unwrap_used, reason = "a clause that does not hold fails")]
mod contract;
mod bad_input;
#[path = "../support/images.rs"]
mod images;
mod layers;
#[path = "../support/pusher.rs"]
mod pusher;
mod smoke;
#[cfg(feature = "fake-engine")]
mod support;
mod tools;
mod world;
