//! Images that come together: a pipeline that has used one will use the others within a minute or two.

use std::collections::VecDeque;

use super::super::history::Event;
use super::super::shelf::TagIx;

/// Seconds in which a pipeline's other images follow.
pub const WINDOW: f64 = 120.0;
/// Seconds by which one that was going to follow mostly has.
const LAG: f64 = 30.0;
/// Uses of a tag after which what was counted is halved.
const MEMORY: f64 = 50.0;
/// Uses that count as having had no companion, until more is known.
const PRIOR: f64 = 3.0;

#[derive(Debug, Clone)]
struct Recent {
    event: Event,
    followed: Vec<TagIx>,
}

/// Counts which tag followed which.
#[derive(Debug, Clone)]
pub struct Companions {
    followed: Vec<Vec<f64>>,
    uses: Vec<f64>,
    recent: VecDeque<Recent>,
}

impl Companions {
    /// Makes a memory for so many tags.
    pub fn new(tags: usize) -> Self {
        Self { followed: vec![Vec::new(); tags], uses: vec![0.0; tags], recent: VecDeque::new() }
    }

    /// Learns from a use. Where both projects are known, only images of one project are companions.
    pub fn note(&mut self, event: Event) {
        while self.recent.front().is_some_and(|recent| recent.event.at + WINDOW < event.at) {
            self.recent.pop_front();
        }
        for recent in &mut self.recent {
            if strangers(&recent.event, &event) || recent.followed.contains(&event.tag) {
                continue;
            }
            recent.followed.push(event.tag);
            let counts = &mut self.followed[recent.event.tag];
            if counts.len() <= event.tag {
                counts.resize(event.tag + 1, 0.0);
            }
            counts[event.tag] += 1.0;
        }
        self.uses[event.tag] += 1.0;
        if self.uses[event.tag] > MEMORY {
            self.uses[event.tag] /= 2.0;
            self.followed[event.tag].iter_mut().for_each(|count| *count /= 2.0);
        }
        self.recent.push_back(Recent { event, followed: Vec::new() });
    }

    /// Returns the probability that a running pipeline still brings the tag, beyond the `chance` that it comes anyway.
    pub fn expects(&self, tag: TagIx, now: f64, chance: f64) -> f64 {
        let mut most = 0.0_f64;
        for Recent { event, followed } in &self.recent {
            let count = self.followed[event.tag].get(tag).copied().unwrap_or(0.0);
            let since = now - event.at;
            if count <= 1.0 || !(0.0..=WINDOW).contains(&since) || followed.contains(&tag) {
                continue;
            }
            let often = (count - 0.5) / (self.uses[event.tag] + PRIOR);
            let beyond = ((often - chance) / (1.0 - chance).max(1e-9)).clamp(0.0, 1.0);
            let open = (-since / LAG).exp();
            most = most.max(beyond * open / (1.0 - beyond + beyond * open).max(1e-9));
        }
        most
    }
}

fn strangers(one: &Event, other: &Event) -> bool {
    matches!((one.project, other.project), (Some(a), Some(b)) if a != b)
}

#[cfg(test)]
mod tests {
    use super::{Companions, Event};

    fn pipelines(projects: [Option<u64>; 2]) -> Companions {
        let mut companions = Companions::new(3);
        for hour in 0..20 {
            let at = f64::from(hour) * 3600.0;
            companions.note(Event { at, tag: 0, project: projects[0], scheduled: false });
            companions.note(Event { at: at + 20.0, tag: 1, project: projects[1], scheduled: false });
        }
        companions.note(Event { at: 80_000.0, tag: 0, project: projects[0], scheduled: false });
        companions
    }

    #[test]
    fn the_second_image_of_a_pipeline_is_expected_until_it_is_late() {
        let companions = pipelines([None, None]);
        assert!(companions.expects(1, 80_001.0, 0.0) > 0.7);
        assert!(companions.expects(1, 80_110.0, 0.0) < 0.3);
        assert_eq!(companions.expects(1, 80_200.0, 0.0), 0.0);
        assert_eq!(companions.expects(2, 80_001.0, 0.0), 0.0);
    }

    #[test]
    fn images_of_different_projects_are_no_companions() {
        assert_eq!(pipelines([Some(1), Some(2)]).expects(1, 80_001.0, 0.0), 0.0);
    }
}
