//! Kept volumes of projects that run no jobs here any more: the only lasting volumes that are ever removed, and only where
//! the settings say after which time.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::engine::{Engine, ObjectSummary, Removal as Answer};
use crate::store::{Mark, Removal, VolumeUse};

use super::Evictor;
use super::barrier::{job_of, jobs_here};
use super::limits::Occasion;
use super::look::Sight;
use super::told::Told;

/// The label of volumes that outlive their job.
const KEPT: &str = "hearth.kept";
/// What stands between runner and project in their names.
const PROJECT: &str = "-project-";

impl<E: Engine> Evictor<'_, E> {
    /// Removes the volumes of projects that were not used for long enough.
    pub(super) async fn drop_volumes(&self, sight: &Sight, occasion: &Occasion, tell: &mut dyn FnMut(Told)) {
        let Some(keep) = self.cache.keep_volumes else { return };
        if !matches!(occasion, Occasion::Tick | Occasion::Command) {
            return;
        }
        let Ok(volumes) = self.engine.volumes().await else { return };
        let kept: Vec<String> = volumes.iter().filter(is_kept).map(|volume| volume.name.clone()).collect();
        let Some(uses) = self.store.volumes_seen(&kept, sight.at.wall) else { return };
        let jobs = jobs_here(&sight.containers);
        for name in idle(&uses, keep, sight.at.wall) {
            let mark = Removal {
                names: vec![VolumeUse::leased(&name)],
                since: (self.here.moment)(),
                by: self.here.process,
            };
            let lives =
                |lease: &crate::store::Lease| jobs.contains(job_of(lease)) || (self.here.lives)(lease);
            match self.store.mark_removal(&mark, lives) {
                Mark::Made => {}
                Mark::Leased(_) => continue,
                Mark::Unknown => return,
            }
            // The engine refuses if any container has it, running or not.
            let answer = self.engine.remove_volume(&name).await;
            self.store.unmark_removal(&mark);
            match answer {
                Ok(Answer::Removed) => tell(Told::VolumeGone(name)),
                Ok(Answer::Gone | Answer::InUse) => {}
                Err(_) => return,
            }
        }
    }
}

/// Tells hearth's own volumes that outlive their jobs from all others.
fn is_kept(volume: &&ObjectSummary) -> bool {
    volume.labels.get(KEPT).is_some_and(|kept| kept == "true") && project_of(&volume.name).is_some()
}

/// The project in a volume's name: all up to its number.
fn project_of(name: &str) -> Option<&str> {
    let start = name.starts_with("hearth-").then(|| name.find(PROJECT)).flatten()? + PROJECT.len();
    let digits = name[start..].bytes().take_while(u8::is_ascii_digit).count();
    let rest = &name[start + digits..];
    (digits > 0 && rest.starts_with('-')).then(|| &name[..start + digits])
}

/// The volumes of projects none of whose volumes was used for that long.
fn idle(uses: &BTreeMap<String, Duration>, keep: Duration, now: Duration) -> Vec<String> {
    let mut last: BTreeMap<&str, Duration> = BTreeMap::new();
    for (name, used) in uses {
        if let Some(project) = project_of(name) {
            let latest = last.entry(project).or_default();
            *latest = (*latest).max(*used);
        }
    }
    let is_idle = |name: &&String| {
        let used = project_of(name).and_then(|project| last.get(project));
        used.is_some_and(|used| now.saturating_sub(*used) > keep)
    };
    uses.keys().filter(is_idle).cloned().collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::time::Duration;

    use super::{idle, project_of};

    #[test]
    fn a_project_is_told_from_the_names_of_its_volumes() {
        let project = Some("hearth-tok-project-4");
        assert_eq!(project_of("hearth-tok-project-4-slot-0-builds"), project);
        assert_eq!(project_of("hearth-tok-project-4-volume-cache-protected"), project);
        for other in [
            "postgres-data",
            "hearth-tok-job-7-builds",
            "hearth-tok-project-",
            "x-project-4-a",
            "hearth-tok-project-4",
        ] {
            assert_eq!(project_of(other), None, "{other}");
        }
    }

    #[test]
    fn one_volume_in_use_keeps_all_of_its_project() {
        let day = Duration::from_secs(86_400);
        let uses = BTreeMap::from([
            ("hearth-t-project-4-slot-0-builds".to_owned(), day * 99),
            ("hearth-t-project-4-slot-1-builds".to_owned(), day * 2),
            ("hearth-t-project-44-slot-0-builds".to_owned(), day * 2),
            ("hearth-t-project-44-volume-cache".to_owned(), day),
        ]);
        let gone = idle(&uses, day * 30, day * 100);
        assert_eq!(gone, ["hearth-t-project-44-slot-0-builds", "hearth-t-project-44-volume-cache"]);
        assert_eq!(idle(&uses, day * 98, day * 100), Vec::<String>::new());
    }
}
