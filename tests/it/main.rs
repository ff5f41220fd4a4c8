//! The outer ring: the built binary against a real engine and a real registry.
#![expect(clippy::expect_used, reason = "a test that cannot go on fails")]

#[cfg(feature = "fake-engine")]
#[expect(clippy::unwrap_used, reason = "a clause that does not hold fails")]
mod contract;
mod bad_input;
mod front;
mod image_access;
mod image_policies;
#[path = "../support/images.rs"]
mod images;
mod layers;
mod networks;
#[path = "../support/pusher.rs"]
mod pusher;
mod services;
mod smoke;
#[cfg(feature = "fake-engine")]
mod support;
mod tools;
mod world;
