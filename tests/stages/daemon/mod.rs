//! The daemon on the fake engine: what it does, when, and what it leaves alone.

mod host;
mod killed;
mod prefetch;
mod prefetch_bounds;
mod prefetch_noise;
mod prefetch_scans;
mod prefetch_troubles;
mod reaping;
mod rounds;
mod troubles;
