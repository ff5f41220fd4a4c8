//! What operators run by hand: one file per command.

pub mod check;
mod find;
pub mod simulate;
pub mod simulate_args;
pub mod simulate_host;
#[cfg(test)]
mod simulate_host_tests;
mod simulate_table;
#[cfg(test)]
mod simulate_tests;
mod table;
mod try_args;
pub mod try_job;
mod try_repo;
mod try_server;
mod try_view;
pub mod when;
