//! One pull: progress in the job log, a stalled link given up, transient errors retried.

use std::cell::RefCell;
use std::pin::pin;
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval, sleep};

use super::Fetcher;
use super::fault::PullFault;
use crate::engine::{Engine, PullMeter, PullRequest};

/// Pulls until it works, a final answer comes, or the tries are used up.
pub(super) async fn with_retries<E: Engine>(
    fetcher: &Fetcher<'_, E>,
    request: &PullRequest,
) -> Result<(), PullFault> {
    let rules = &fetcher.settings.pull;
    let mut pause = rules.backoff;
    let mut attempt = 1;
    loop {
        let fault = match once(fetcher, request).await {
            Ok(()) => return Ok(()),
            Err(fault) => fault,
        };
        if !matches!(fault, PullFault::Transient(_)) || attempt >= rules.attempts {
            return Err(fault);
        }
        let wait = pause + jitter(fetcher.job.id, attempt, pause);
        fetcher.log.warn(format!(
            "WARNING: pull of {} failed ({}); try {} of {} in {:.0} s",
            request.reference,
            fault.words(),
            attempt + 1,
            rules.attempts,
            wait.as_secs_f64()
        ));
        sleep(wait).await;
        pause = pause.saturating_mul(2);
        attempt += 1;
    }
}

/// Spreads the tries of jobs that failed together: up to half the pause, by the job's number.
fn jitter(job: i64, attempt: u32, pause: Duration) -> Duration {
    let spread = job.unsigned_abs().wrapping_mul(2_654_435_761).wrapping_add(u64::from(attempt) * 97) % 1000;
    pause.mul_f64(spread as f64 / 2000.0)
}

async fn once<E: Engine>(fetcher: &Fetcher<'_, E>, request: &PullRequest) -> Result<(), PullFault> {
    let rules = &fetcher.settings.pull;
    let start = Instant::now();
    let meter = RefCell::new(PullMeter::default());
    let mut observe = |event| {
        meter.borrow_mut().observe(&event, start.elapsed());
    };
    let mut pull = pin!(fetcher.engine.pull(request, &mut observe));
    let mut tick = interval(Duration::from_secs(1));
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut printed = Duration::ZERO;
    loop {
        tokio::select! {
            result = &mut pull => {
                result.map_err(|error| PullFault::of(error, &request.reference))?;
                fetcher.log.line(format!("Pulled {}: {}", request.reference, meter.borrow().summary(start.elapsed())));
                return Ok(());
            }
            _ = tick.tick() => {
                let now = start.elapsed();
                let meter = meter.borrow();
                let still = now.saturating_sub(meter.last_move());
                if still > rules.no_progress_timeout && !meter.is_extracting() {
                    return Err(PullFault::Transient(format!("nothing moved for {} s", still.as_secs())));
                }
                if now.saturating_sub(printed) >= rules.progress_interval {
                    printed = now;
                    fetcher.log.line(format!("  {}: {}", request.reference, meter.line(now)));
                }
            }
        }
    }
}
