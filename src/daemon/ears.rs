//! What the daemon hears while it works or waits: wishes of its own process's signals, and the engine's events.

use std::pin::pin;
use std::time::Duration;

use futures_util::StreamExt as _;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until};

use super::attention::Attention;
use super::signals::Wish;
use crate::engine::{EngineError, Event, Events};

/// What was asked for so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Asked {
    /// By when the daemon has to have ended; `None`: it goes on.
    pub end: Option<Instant>,
    /// Whether the settings are to be read anew.
    pub reload: bool,
}

/// The daemon's ears.
pub struct Ears {
    wishes: mpsc::Receiver<Wish>,
    events: Option<Events>,
    /// What the events mean.
    pub attention: Attention,
    /// Why there are no more events; `None`: nobody listens, or there may be more.
    pub deaf: Option<EngineError>,
    /// What was asked for and not done yet.
    pub asked: Asked,
    /// How long work may go on once the daemon is to end.
    drain: Duration,
    /// Tells the others that the daemon is to end.
    ending: watch::Sender<bool>,
}

impl Ears {
    /// Listens to wishes; work may go on for `drain` once the wish to end has come.
    pub fn new(wishes: mpsc::Receiver<Wish>, drain: Duration) -> Self {
        let (attention, asked) = (Attention::default(), Asked::default());
        let (ending, _) = watch::channel(false);
        Self { wishes, events: None, attention, deaf: None, asked, drain, ending }
    }

    /// Returns what says that the daemon is to end, from the moment on at which that is heard.
    pub fn ending(&self) -> watch::Receiver<bool> {
        self.ending.subscribe()
    }

    /// Listens to an engine's events from now on, or to none.
    pub fn listen(&mut self, events: Option<Events>) {
        (self.events, self.deaf) = (events, None);
    }

    /// Waits for the next that is heard, and notes it.
    pub async fn hear(&mut self) {
        tokio::select! {
            biased;
            wish = self.wishes.recv() => self.take_wish(wish).await,
            event = next(&mut self.events) => self.take_event(event),
        }
    }

    async fn take_wish(&mut self, wish: Option<Wish>) {
        match wish {
            Some(Wish::Reload) => self.asked.reload = true,
            // Nobody is left who could ask for anything more.
            None if self.asked.end.is_some() => std::future::pending().await,
            Some(Wish::Stop) | None => {
                self.asked.end.get_or_insert_with(|| Instant::now() + self.drain);
                self.ending.send_replace(true);
            }
        }
    }

    fn take_event(&mut self, event: Option<Result<Event, EngineError>>) {
        let ended = || EngineError::Lost { call: "events".to_owned(), reason: "it ended".to_owned() };
        match event {
            Some(Ok(event)) => self.attention.take(&event),
            Some(Err(error)) => (self.events, self.deaf) = (None, Some(error)),
            None => (self.events, self.deaf) = (None, Some(ended())),
        }
    }

    /// Does some work and listens meanwhile. `stop` is called once the wish to end has come; `None`: the work was given up,
    /// since it took too long after that.
    pub async fn during<T>(&mut self, work: impl Future<Output = T>, stop: impl Fn()) -> Option<T> {
        let mut work = pin!(work);
        loop {
            let end = self.asked.end;
            if end.is_some() {
                stop();
            }
            tokio::select! {
                biased;
                done = &mut work => return Some(done),
                () = self.hear() => {}
                () = sleep_until(end.unwrap_or_else(Instant::now)), if end.is_some() => return None,
            }
        }
    }

    /// Waits until a time, or until something was heard.
    pub async fn until(&mut self, time: Instant) {
        tokio::select! {
            biased;
            () = self.hear() => {}
            () = sleep_until(time) => {}
        }
    }
}

/// Waits for the next event, where there are any.
async fn next(events: &mut Option<Events>) -> Option<Result<Event, EngineError>> {
    match events {
        Some(events) => events.next().await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::time::Duration;

    use tokio::sync::mpsc;
    use tokio::time::{Instant, sleep};

    use super::{Ears, Wish};

    #[tokio::test(start_paused = true)]
    async fn work_that_is_under_way_may_end_but_not_for_ever() {
        for (takes, ends) in [(5, true), (500, false)] {
            let (told, wishes) = mpsc::channel(4);
            let mut ears = Ears::new(wishes, Duration::from_secs(8));
            told.send(Wish::Reload).await.unwrap();
            told.send(Wish::Stop).await.unwrap();
            let (begun, stopped) = (Instant::now(), Cell::new(false));
            let done = ears.during(sleep(Duration::from_secs(takes)), || stopped.set(true)).await;
            assert_eq!(done.is_some(), ends);
            assert!(stopped.get() && ears.asked.reload && ears.asked.end.is_some());
            assert!(begun.elapsed() <= Duration::from_secs(8));
        }
    }
}
