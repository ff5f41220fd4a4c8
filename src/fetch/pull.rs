//! One pull through the engine: progress for the job log and for those who wait for it, and an end to what stands still.

use std::cell::RefCell;
use std::pin::pin;
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval};

use super::fault::PullFault;
use super::flight::{Departure, Heir, Meeting, Place, State};
use crate::engine::{Engine, Progress, PullEvent, PullMeter, PullRequest, PullTotals};
use crate::joblog::JobLog;
use crate::settings::PullSettings;

/// How often a leader gives a sign of life.
const SIGN: Duration = Duration::from_secs(2);

/// Spreads the tries of clients that failed together: up to half the pause, by the client's number.
pub(super) fn jitter(client: i64, attempt: u32, pause: Duration) -> Duration {
    let spread =
        client.unsigned_abs().wrapping_mul(2_654_435_761).wrapping_add(u64::from(attempt) * 97) % 1000;
    pause.mul_f64(spread as f64 / 2000.0)
}

/// Is told how far a pull is.
pub type Meter<'m> = &'m dyn Fn(&Progress);

/// Who watches a pull beside the job log.
pub(super) struct Watchers<'w> {
    /// Other processes that wait for it.
    pub(super) meeting: Option<&'w mut Meeting>,
    /// The right to take the pull over, until it ends.
    pub(super) heir: Option<Heir>,
    /// The place that it has among this host's pulls.
    pub(super) place: Option<&'w Place>,
    /// The wish that this process ends.
    pub(super) departure: Departure,
    /// How long nothing may move.
    pub(super) patience: Duration,
    /// Who wants to see how far it is, every second.
    pub(super) meter: Option<Meter<'w>>,
}

/// How a pull went: what it came to, also where it failed.
pub(super) struct Pulled {
    pub(super) totals: PullTotals,
    pub(super) result: Result<(), PullFault>,
}

/// Pulls once.
pub(super) async fn once<E: Engine>(
    engine: &E,
    request: &PullRequest,
    rules: &PullSettings,
    log: &JobLog,
    watchers: &mut Watchers<'_>,
) -> Pulled {
    let start = Instant::now();
    let meter = RefCell::new(PullMeter::default());
    let result = watched(engine, request, rules, log, watchers, &meter, start).await;
    let totals = meter.borrow().totals(start.elapsed());
    if result.is_ok() {
        let summary = meter.borrow().summary(start.elapsed());
        log.line(format!("Pulled {}: {summary}", request.reference));
    }
    Pulled { totals, result }
}

async fn watched<E: Engine>(
    engine: &E,
    request: &PullRequest,
    rules: &PullSettings,
    log: &JobLog,
    watchers: &mut Watchers<'_>,
    meter: &RefCell<PullMeter>,
    start: Instant,
) -> Result<(), PullFault> {
    let _held = watchers.departure.hold();
    let mut attached = false;
    let mut observe = |event| {
        meter.borrow_mut().observe(&event, start.elapsed());
        // It tells of a layer that comes: it holds that for this pull too. It greets before it knows of any.
        if tells_of_a_transfer(&event)
            && !std::mem::replace(&mut attached, true)
            && let Some(heir) = &watchers.heir
        {
            heir.attached();
        }
    };
    let mut pull = pin!(engine.pull(request, &mut observe));
    let mut tick = interval(Duration::from_secs(1));
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut printed = Duration::ZERO;
    let mut signed = Duration::ZERO;
    loop {
        tokio::select! {
            biased;
            result = &mut pull => return result.map_err(|error| PullFault::of(error, &request.reference)),
            () = watchers.departure.wished() => {
                if let Some(meeting) = watchers.meeting.as_deref_mut() {
                    // The pull has to go on until another one is attached to it.
                    tokio::select! {
                        result = &mut pull => return result.map_err(|error| PullFault::of(error, &request.reference)),
                        () = meeting.hand_over() => {}
                    }
                }
                return Err(PullFault::Stopped);
            }
            _ = tick.tick() => {
                let now = start.elapsed();
                let meter = meter.borrow();
                if let Some(told) = watchers.meter {
                    told(&meter.progress());
                }
                let still = now.saturating_sub(meter.last_move());
                if still > watchers.patience && !meter.may_be_unpacking() {
                    return Err(PullFault::Transient(format!("nothing moved for {} s", still.as_secs())));
                }
                if now.saturating_sub(printed) >= rules.progress_interval {
                    printed = now;
                    log.line(format!("  {}: {}", request.reference, meter.line(now)));
                }
                if now.saturating_sub(signed) >= SIGN {
                    signed = now;
                    if let Some(place) = watchers.place {
                        place.sign();
                    }
                    if let Some(meeting) = watchers.meeting.as_deref_mut() {
                        meeting.lead_and_say(&State::Pulls(meter.line(now)));
                    }
                }
            }
        }
    }
}

/// Tells whether an event is about a layer that this pull waits for.
fn tells_of_a_transfer(event: &PullEvent) -> bool {
    match event {
        PullEvent::Waiting(_)
        | PullEvent::Downloading { .. }
        | PullEvent::Downloaded(_)
        | PullEvent::Extracting { .. }
        | PullEvent::Done(_) => true,
        PullEvent::Present(_) | PullEvent::Digest(_) | PullEvent::Other => false,
    }
}
