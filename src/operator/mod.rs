//! What operators run by hand: one file per command.

pub mod check;
pub mod commands;
pub mod desk;
pub mod evict;
pub mod explain;
mod explain_words;
mod find;
pub mod images;
mod images_table;
mod marks;
pub mod pin;
mod pin_set;
pub mod prefetch;
pub mod prefetch_plan;
mod prefetch_screen;
mod prefetch_view;
pub mod simulate;
pub mod simulate_args;
#[cfg(test)]
mod simulate_host_tests;
mod simulate_table;
#[cfg(test)]
mod simulate_tests;
pub mod status;
mod status_words;
mod table;
mod try_args;
pub mod try_job;
mod try_repo;
mod try_server;
mod try_view;
pub mod when;
pub mod why_cold;
mod why_cold_cause;
mod why_cold_words;
