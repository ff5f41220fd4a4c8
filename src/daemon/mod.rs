//! `hearth daemon`: looks after the host between jobs. What jobs need, they get without it, only colder.
//!
//! A shell: it hears what happens ([`ears`], [`attention`]), knows what is due and when ([`agenda`]), and acts in rounds
//! ([`round`]): what dead jobs left goes ([`reap`]), images above the marks go ([`crate::evict`]), the store is tidied. It
//! never polls the engine: the engine's own events tell it, and between them it looks how full the disk is ([`pressure`])
//! and whether runners live, which is no call.
//! One daemon a host: a [`lock`] says so.

pub mod agenda;
pub mod attention;
pub mod choice;
pub mod ears;
pub mod journal;
pub mod ledger;
pub mod life;
pub mod lock;
pub mod notify;
pub mod prefetch;
pub mod pressure;
pub mod reap;
pub mod report;
pub mod round;
pub mod scanning;
pub mod signals;
pub mod world;

pub use life::run;
pub use world::{OnHost, World};

#[cfg(test)]
mod tests {
    #[test]
    fn its_unit_lets_no_login_of_a_running_job_get_to_a_disk() {
        let unit = include_str!("../../packaging/hearth.service");
        for line in ["LimitCORE=0", "MemorySwapMax=0"] {
            assert!(unit.lines().any(|of_unit| of_unit == line), "{line}");
        }
    }
}
