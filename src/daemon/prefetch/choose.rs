//! What to do next: pure.

use super::memory::Memory;
use crate::policy::wanted::{Candidate, Demand, Held, Host, Ranked, Soon, Source, may_begin, rank};
use crate::prefetch::{Planned, Prospect, Waits};

/// What to do next, an index into the prospects.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Next {
    /// Ask the registry what it is and how large.
    Look(usize),
    /// Bring it. The second is what it is worth, as [`Ranked::worth`](crate::policy::wanted::Ranked::worth) has it.
    Bring(usize, f64),
    /// Nothing, until this time in seconds, or until something happens.
    Wait(Option<f64>),
}

/// What was chosen, and how the rest stands.
#[derive(Debug, Clone, PartialEq)]
pub struct Choice {
    /// What to do.
    pub next: Next,
    /// All that is not here, the best first.
    pub queue: Vec<Planned>,
}

/// Chooses. `host` says how the host stands for a prospect.
///
/// From the list, from the history and of tags that moved the largest saving comes first, so all of them are looked at before
/// one is brought. What a running pipeline wants is brought as soon as it is looked at: there is no time to compare. One that
/// names registries which do not answer comes after all others: each of these looks takes its time.
pub fn choose(prospects: &[Prospect], memory: &Memory, host: impl Fn(&Prospect) -> Host, now: f64) -> Choice {
    let keys: Vec<String> = prospects.iter().map(Prospect::key).collect();
    let looks: Vec<_> = keys.iter().map(|key| memory.look(key, now)).collect();
    let candidates: Vec<Candidate> = prospects
        .iter()
        .zip(&looks)
        .map(|(prospect, look)| {
            let missing = look.and_then(|look| look.missing).or(prospect.candidate.missing);
            Candidate { missing, ..prospect.candidate.clone() }
        })
        .collect();
    let mut queue = Vec::new();
    let (mut look, mut bring, mut scan, mut wait) = (None, None, None::<(u32, Next)>, None::<f64>);
    for ranked in in_order_of_need(rank(&candidates, now), &candidates) {
        let at = ranked.index;
        if looks[at].is_some_and(|look| look.here) {
            continue;
        }
        let candidate = &candidates[at];
        let is_unknown = looks[at].is_some_and(|look| look.missing.is_none());
        let waits = match memory.waits(&keys[at], now) {
            // Its author might name anything: what cannot be counted beforehand does not come.
            Waits::Nothing if is_unknown && candidate.source == Source::Scan => Waits::Held(Held::Unknown),
            Waits::Nothing => match may_begin(candidate, &ranked, &host(&prospects[at]), now) {
                Ok(()) => Waits::Nothing,
                Err(held) => Waits::Held(held),
            },
            waits => waits,
        };
        if waits == Waits::Nothing {
            let next = looks[at].map_or(Next::Look(at), |_| Next::Bring(at, ranked.worth));
            match next {
                next if candidate.source == Source::Scan => {
                    let faults = candidate.pipeline.as_ref().map_or(0, |pipeline| memory.faults(pipeline));
                    if bring.is_none() && scan.is_none_or(|(least, _)| faults < least) {
                        scan = Some((faults, next));
                    }
                }
                Next::Bring(..) => bring = bring.or(Some(next)),
                next => look = look.or(Some(next)),
            }
        }
        if let Some(until) = waits.until().filter(|until| *until > now) {
            wait = Some(wait.map_or(until, |wait| wait.min(until)));
        }
        let bytes = candidate.missing.map(|size| size.compressed);
        queue.push(Planned::new(&prospects[at], bytes, &ranked, &waits));
    }
    let first = scan.filter(|(faults, _)| *faults == 0);
    let next = first.map(|(_, next)| next).or(look).or(bring).or(scan.map(|(_, next)| next));
    let next = next.unwrap_or(Next::Wait(wait));
    Choice { next, queue }
}

/// Puts what a pipeline wants into the order in which it wants it, among themselves: a build has to have its first image
/// before it waits for its second, however much larger that is. All else keeps its place.
fn in_order_of_need(ranked: Vec<Ranked>, candidates: &[Candidate]) -> Vec<Ranked> {
    let of = |ranked: &Ranked| &candidates[ranked.index];
    let is_scan = |ranked: &&Ranked| of(ranked).source == Source::Scan;
    let scans: Vec<Ranked> = ranked.iter().filter(is_scan).copied().collect();
    let pipeline = |one: &Ranked| scans.iter().position(|other| of(other).pipeline == of(one).pipeline);
    let mut sorted = scans.clone();
    sorted.sort_by_key(|one| (pipeline(one), need(of(one)), one.index));
    let mut sorted = sorted.into_iter();
    let next = |one: Ranked| if is_scan(&&one) { sorted.next().unwrap_or(one) } else { one };
    ranked.into_iter().map(next).collect()
}

fn need(candidate: &Candidate) -> (u8, u32) {
    match candidate.demand {
        Demand::Soon(Soon::Now) => (0, 0),
        Demand::Soon(Soon::Beside) => (1, 0),
        Demand::Soon(Soon::Stages(stages)) => (2, stages),
        Demand::Rate(_) | Demand::At(_) | Demand::Listed => (3, 0),
    }
}

#[cfg(test)]
mod tests {
    use super::{Choice, Next, choose};
    use crate::daemon::prefetch::memory::{Looked, Memory};
    use crate::policy::wanted::{Candidate, Demand, Held, Host, Soon, Source};
    use crate::policy::{Cost, Size};
    use crate::prefetch::{Prospect, Whose, wish};

    const NOW: f64 = 1.0e9;
    const IDLE: Host = Host {
        idle: true,
        preparing: false,
        window_opens: None,
        month_left: None,
        pipeline_left: None,
        scans_beside: true,
        backed_off_until: None,
    };

    fn prospect(name: &str, source: Source, demand: Demand) -> Prospect {
        let name = format!("registry.test/{name}:1");
        let candidate = Candidate {
            name: name.clone(),
            platform: String::new(),
            source,
            demand,
            cold: 1.0,
            missing: None,
            cost: Cost::default(),
            pipeline: None,
        };
        let wish = wish(name.parse().unwrap(), None);
        Prospect { candidate, wish, whose: Whose::Host, why: "listed".to_owned(), until: NOW + 3600.0 }
    }

    fn listed(name: &str) -> Prospect {
        prospect(name, Source::List, Demand::Listed)
    }

    fn looked(memory: &mut Memory, prospect: &Prospect, megabytes: Option<u64>) {
        let bytes = megabytes.unwrap_or_default() * 1_000_000;
        let missing = Some(Size { compressed: bytes, unpacked: 3 * bytes, inodes: 0 });
        let (digest, here) = ("sha256:0".to_owned(), megabytes.is_none());
        memory.looked(prospect.key(), Looked { at: NOW, digest, here, missing });
    }

    fn choice(prospects: &[Prospect], memory: &Memory, host: Host) -> Choice {
        choose(prospects, memory, |_| host, NOW)
    }

    #[test]
    fn the_list_is_looked_at_as_a_whole_and_then_the_largest_saving_comes_first() {
        let list = [listed("a"), listed("b"), listed("c"), listed("d")];
        let mut memory = Memory::default();
        for at in 0..4 {
            assert_eq!(choice(&list, &memory, IDLE).next, Next::Look(at));
            // The last one is here.
            looked(&mut memory, &list[at], [Some(5), Some(500), Some(50), None][at]);
        }
        let Choice { next, queue } = choice(&list, &memory, IDLE);
        assert!(matches!(next, Next::Bring(1, worth) if worth > 0.0), "{next:?}");
        let names: Vec<&str> = queue.iter().map(|planned| planned.name.as_str()).collect();
        assert_eq!(names, ["registry.test/b:1", "registry.test/c:1", "registry.test/a:1"]);
        assert!(queue[0].saves > 200.0 && queue[0].waits.is_none() && queue[0].bytes == Some(500_000_000));
    }

    #[test]
    fn what_the_running_pipeline_wants_is_brought_before_anything_else_is_looked_at() {
        let all = [
            listed("a"),
            prospect("base", Source::Scan, Demand::Soon(Soon::Now)),
            prospect("later", Source::Scan, Demand::Soon(Soon::Stages(2))),
        ];
        let mut memory = Memory::default();
        assert_eq!(choice(&all, &memory, IDLE).next, Next::Look(1));
        looked(&mut memory, &all[1], Some(50));
        assert!(matches!(choice(&all, &memory, IDLE).next, Next::Bring(1, _)));
        // Beside jobs nothing else comes.
        let busy = Host { idle: false, ..IDLE };
        assert!(matches!(choice(&all, &memory, busy).next, Next::Bring(1, _)));
        looked(&mut memory, &all[1], None);
        assert_eq!(choice(&all, &memory, busy).next, Next::Look(2));
        assert_eq!(choice(&all, &memory, Host { preparing: true, ..busy }).next, Next::Wait(None));
    }

    #[test]
    fn a_pipeline_gets_its_images_in_the_order_in_which_it_needs_them() {
        let all = [
            prospect("later", Source::Scan, Demand::Soon(Soon::Stages(1))),
            prospect("first", Source::Scan, Demand::Soon(Soon::Now)),
            prospect("huge", Source::Scan, Demand::Soon(Soon::Now)),
            listed("a"),
        ];
        let mut memory = Memory::default();
        for (at, megabytes) in [(0, 900), (1, 5), (2, 800), (3, 900)] {
            looked(&mut memory, &all[at], Some(megabytes));
        }
        let Choice { next, queue } = choice(&all, &memory, IDLE);
        assert!(matches!(next, Next::Bring(1, _)), "{next:?}");
        let names: Vec<&str> = queue.iter().map(|planned| planned.name.as_str()).collect();
        assert_eq!(names, ["first", "huge", "later", "a"].map(|name| format!("registry.test/{name}:1")));
    }

    #[test]
    fn a_pipeline_whose_registries_do_not_answer_comes_after_all_others() {
        let of = |pipeline: &str, name: &str| {
            let mut prospect = prospect(name, Source::Scan, Demand::Soon(Soon::Now));
            prospect.candidate.pipeline = Some(pipeline.to_owned());
            prospect
        };
        let all = [of("p", "a"), of("p", "b"), of("q", "c"), listed("d")];
        let mut memory = Memory::default();
        assert_eq!(choice(&all, &memory, IDLE).next, Next::Look(0));
        memory.answered("p", false, NOW);
        let order = [2, 2, 3, 3, 0];
        for (step, expected) in order.into_iter().enumerate() {
            let next = choice(&all, &memory, IDLE).next;
            let at = match next {
                Next::Look(at) => at,
                Next::Bring(at, _) => at,
                Next::Wait(_) => panic!("{step}: {next:?}"),
            };
            assert_eq!(at, expected, "{step}: {next:?}");
            let is_look = matches!(next, Next::Look(_));
            looked(&mut memory, &all[at], is_look.then_some(5));
        }
        // One that got an answer since is as good as any other.
        let mut memory = Memory::default();
        memory.answered("p", false, NOW);
        memory.answered("p", true, NOW);
        assert_eq!(choice(&all, &memory, IDLE).next, Next::Look(0));
    }

    #[test]
    fn what_a_pipeline_wants_does_not_come_if_nobody_knows_how_large_it_is() {
        let unknown = Looked { at: NOW, digest: "sha256:0".to_owned(), here: false, missing: None };
        for (prospect, held) in
            [(prospect("base", Source::Scan, Demand::Soon(Soon::Now)), true), (listed("base"), false)]
        {
            let mut memory = Memory::default();
            memory.looked(prospect.key(), unknown.clone());
            let Choice { next, queue } = choice(&[prospect], &memory, IDLE);
            assert_eq!(matches!(next, Next::Wait(None)), held, "{next:?}");
            let waits = held.then(|| "how large it is is not known".to_owned());
            assert_eq!(queue[0].waits, waits);
        }
    }

    #[test]
    fn it_waits_for_the_first_time_at_which_something_may_be_done() {
        let all = [
            listed("a"),
            listed("b"),
            prospect("nightly", Source::Schedule, Demand::At(NOW + 7200.0)),
            prospect("never", Source::History, Demand::Rate(0.0)),
        ];
        let mut memory = Memory::default();
        memory.fail(all[0].key(), "the registry is down".to_owned(), false, NOW);
        memory.unfit(all[1].key(), Held::TooDear { loses: 1.0 }, NOW);
        let Choice { next, queue } = choice(&all, &memory, IDLE);
        assert_eq!(next, Next::Wait(Some(NOW + 300.0)));
        let waits = |name: &str| {
            let planned = queue.iter().find(|planned| planned.name.contains(name)).unwrap();
            (planned.waits.clone().unwrap(), planned.until.is_some())
        };
        assert!(waits("/a:").0.contains("the registry is down") && waits("/a:").1);
        assert!(waits("/b:").0.contains("worth more") && !waits("/b:").1);
        assert!(waits("nightly").0.contains("too early") && waits("nightly").1);
        assert!(waits("never").0.contains("nothing would be saved"));
    }

    #[test]
    fn an_empty_host_has_nothing_to_do() {
        let nothing = Choice { next: Next::Wait(None), queue: Vec::new() };
        assert_eq!(choice(&[], &Memory::default(), IDLE), nothing);
    }
}
