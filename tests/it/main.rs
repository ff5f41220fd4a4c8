//! The outer ring: the built binary against a real engine and a real registry.

#[path = "../support/images.rs"]
mod images;
mod layers;
#[path = "../support/pusher.rs"]
mod pusher;
mod smoke;
mod world;
