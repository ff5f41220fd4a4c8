//! The commands that look at a host, on the fake engine.

mod cold;
mod eviction;
mod host;
mod pins;
mod prefetch;
mod views;
