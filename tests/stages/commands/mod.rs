//! The commands that look at a host, on the fake engine.

mod eviction;
mod host;
mod pins;
mod views;
