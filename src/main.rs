//! The thin binary: see `hearth::stage` and `hearth::operator`.
fn main() {}
