//! What operators run by hand: one file per command.

pub mod check;
mod try_args;
pub mod try_job;
mod try_repo;
mod try_server;
mod try_view;
