//! The outer ring: the built binary against a real engine and a real registry.
#![expect(clippy::expect_used, reason = "a test that cannot go on fails")]

#[path = "../support/images.rs"]
mod images;
mod layers;
#[path = "../support/pusher.rs"]
mod pusher;
mod smoke;
mod world;
