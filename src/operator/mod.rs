//! What operators run by hand: one file per command.

pub mod check;
