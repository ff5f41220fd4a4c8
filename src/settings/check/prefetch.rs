//! `[prefetch]`: the operator's list, and how its pins join those of `[cache]`.

use super::{Checker, optional, value};
use crate::image::Patterns;
use crate::settings::cache::CacheSettings;
use crate::settings::prefetch::{Listed, PrefetchSettings};
use crate::settings::raw::{RawListed, RawPrefetch};
use crate::units::ByteSize;

/// A limit that holds not even a small image is a mistake of units.
const LEAST: ByteSize = ByteSize(1 << 20);

/// Checks `[prefetch]`.
pub(super) fn check_prefetch(raw: &RawPrefetch, checker: &mut Checker<'_>) -> PrefetchSettings {
    for (set, such) in [(&raw.monthly_limit, "20g"), (&raw.pipeline_limit, "4g")] {
        let Some((set, size)) = set.as_ref().zip(optional(set)) else { continue };
        if size < LEAST {
            let problem =
                format!("{size} is too little: write at least {LEAST}, such as {such}, or \"\" for no limit");
            checker.complain(set, problem);
        }
    }
    PrefetchSettings {
        enabled: value(&raw.enabled),
        images: raw.images.iter().flat_map(|set| set.value.iter().filter_map(listed)).collect(),
        history: value(&raw.history),
        poll: value(&raw.poll).0,
        scan: value(&raw.scan),
        windows: value(&raw.windows),
        monthly: optional(&raw.monthly_limit),
        pipeline: optional(&raw.pipeline_limit),
    }
}

/// Takes an entry; one without an image was complained about when it was read.
fn listed(raw: &RawListed) -> Option<Listed> {
    Some(Listed {
        image: raw.image.as_ref()?.value.clone(),
        platform: optional(&raw.platform),
        at: raw.at.as_ref().map(|set| set.value.0.clone()).unwrap_or_default(),
        pin: value(&raw.pin),
    })
}

/// Adds the pins of the list to those of the cache, so that whoever asks what is pinned has one place to ask.
pub(super) fn join_pins(cache: CacheSettings, prefetch: &PrefetchSettings) -> CacheSettings {
    let pinned = prefetch.images.iter().filter(|listed| listed.pin).map(|listed| listed.image.as_pin());
    let all: Vec<String> = cache.pins.as_written().iter().cloned().chain(pinned).collect();
    // Each has been compiled before.
    let pins = Patterns::compile(&all).unwrap_or_else(|_| cache.pins.clone());
    CacheSettings { pins, ..cache }
}
