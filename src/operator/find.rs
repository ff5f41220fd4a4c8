//! Which image an operator means, and what it is called.

use std::collections::BTreeMap;

use crate::engine::ImageSummary;
use crate::evict::{ImageNames, Sight};
use crate::image::{ImageRef, Patterns};

/// The fewest digits of an ID that mean an image.
const FEWEST_DIGITS: usize = 4;
/// How alike two names must be to be told.
const ALIKE: f64 = 0.6;
/// How many names are told at most.
const MOST: usize = 3;
/// Digits of an ID that people are shown.
const SHOWN_DIGITS: usize = 12;

/// Returns the images that a text means: by what the engine calls them, by what jobs called them, by a digest, or by the
/// beginning of an ID. Only the last two can mean several.
pub(super) fn find<'a>(sight: &'a Sight, text: &str) -> Vec<&'a ImageSummary> {
    find_among(&sight.images, &sight.names, text)
}

fn find_among<'a>(
    images: &'a [ImageSummary],
    names: &BTreeMap<String, ImageNames>,
    text: &str,
) -> Vec<&'a ImageSummary> {
    let wanted = normalized(text);
    let tagged = |image: &&ImageSummary| image.tags.iter().any(|tag| normalized(tag) == wanted);
    let known = |image: &&ImageSummary| {
        names.get(&image.id).is_some_and(|names| names.all.contains(&wanted) || names.all.contains(text))
    };
    let digits = text.strip_prefix("sha256:").unwrap_or(text).to_ascii_lowercase();
    let is_hex = digits.len() >= FEWEST_DIGITS && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    let begins = |image: &&ImageSummary| is_hex && hex(&image.id).starts_with(&digits);
    let found: Vec<_> = images.iter().filter(tagged).collect();
    let found = if found.is_empty() { images.iter().filter(known).collect() } else { found };
    if found.is_empty() { images.iter().filter(begins).collect() } else { found }
}

/// Returns the images that a pin of this name is about: a full name, a digest, an ID or a pattern.
pub(super) fn pinned_by<'a>(sight: &'a Sight, pin: &str) -> Vec<&'a ImageSummary> {
    let pattern = Patterns::compile(&[pin]).ok().filter(|_| is_pattern(pin));
    let about = |image: &&ImageSummary| {
        let names = sight.names.get(&image.id);
        match &pattern {
            Some(pattern) => {
                let all = names.into_iter().flat_map(|names| &names.all);
                image.tags.iter().chain(all).any(|name| pattern.matches(name))
            }
            None => names.is_some_and(|names| names.all.contains(pin)),
        }
    };
    sight.images.iter().filter(about).collect()
}

/// Says whether a text is a pattern of names; no name has these characters.
pub(super) fn is_pattern(text: &str) -> bool {
    text.contains(['*', '?', '[', '{'])
}

/// Returns names that look like a text, the most alike first.
pub(super) fn similar(text: &str, names: impl IntoIterator<Item = String>) -> Vec<String> {
    let wanted = text.parse::<ImageRef>().ok();
    let repository = wanted.as_ref().and_then(ImageRef::full_repository);
    let wanted = wanted.map_or_else(|| text.to_owned(), |image| short(&image.normalized()));
    let mut found: Vec<(f64, String)> = names
        .into_iter()
        .map(|name| {
            let full = normalized(&name);
            let same = repository.is_some()
                && full.parse::<ImageRef>().ok().and_then(|image| image.full_repository()) == repository;
            let alike = |a: &str, b: &str| strsim::normalized_damerau_levenshtein(a, b);
            let score =
                alike(text, &name).max(alike(&wanted, &full)).max(alike(last(text), last(&name)) - 0.1);
            (if same { score + 1.0 } else { score }, name)
        })
        .filter(|(score, _)| *score >= ALIKE)
        .collect();
    found.sort_by(|a, b| b.0.total_cmp(&a.0).then_with(|| a.1.cmp(&b.1)));
    found.dedup_by(|a, b| a.1 == b.1);
    found.truncate(MOST);
    found.into_iter().map(|(_, name)| name).collect()
}

/// The last part of a path, which is what people remember.
fn last(name: &str) -> &str {
    name.rsplit('/').next().unwrap_or(name)
}

/// Returns the full form of a name; the name itself where it is none.
pub(super) fn normalized(name: &str) -> String {
    name.parse::<ImageRef>().map_or_else(|_| name.to_owned(), |image| image.normalized())
}

/// Returns what people call an image: its first tag, else its digest, else its ID; and how many more tags it has.
pub(super) fn name(image: &ImageSummary) -> String {
    let tags: Vec<String> = image.tags.iter().map(|tag| short(tag)).collect();
    match (tags.as_slice(), image.digests.first()) {
        ([], None) => format!("<none> {}", short_id(&image.id)),
        ([], Some(digest)) => match digest.split_once("@sha256:") {
            Some((repository, digits)) => {
                format!("{}@{}", short(repository), digits.get(..SHOWN_DIGITS).unwrap_or(digits))
            }
            None => digest.clone(),
        },
        ([only], _) => only.clone(),
        ([first, more @ ..], _) => format!("{first} +{}", more.len()),
    }
}

/// Returns a name as people write it: without Docker Hub's.
pub(super) fn short(name: &str) -> String {
    let rest = name.strip_prefix("docker.io/").unwrap_or(name);
    rest.strip_prefix("library/").unwrap_or(rest).to_owned()
}

/// Returns the beginning of an ID.
pub(super) fn short_id(id: &str) -> String {
    hex(id).chars().take(SHOWN_DIGITS).collect()
}

fn hex(id: &str) -> &str {
    id.strip_prefix("sha256:").unwrap_or(id)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::time::Duration;

    use super::{find_among, is_pattern, name, short_id, similar};
    use crate::engine::ImageSummary;
    use crate::evict::ImageNames;

    fn image(digits: &str, tags: &[&str], digests: &[&str]) -> ImageSummary {
        ImageSummary {
            id: format!("sha256:{digits}{}", "0".repeat(64 - digits.len())),
            tags: tags.iter().map(|&tag| tag.to_owned()).collect(),
            digests: digests.iter().map(|&digest| digest.to_owned()).collect(),
            bytes: 0,
            created: Duration::ZERO,
        }
    }

    fn images() -> Vec<ImageSummary> {
        let digest = format!("alpine@sha256:{}", "d".repeat(64));
        vec![
            image("abcd1", &["alpine:3", "docker.io/library/alpine:latest"], &[&digest]),
            image("abcd2", &["localhost:5000/a/b:1"], &[]),
            image("cafe", &[], &[]),
        ]
    }

    #[test]
    fn an_image_is_found_by_tag_digest_and_the_beginning_of_its_id() {
        let images = images();
        let named = |image: &ImageSummary| {
            let mut names = ImageNames::new(&image.id, &image.tags, &image.digests);
            if image.tags.is_empty() {
                names.all.insert("docker.io/library/alpine:edge".to_owned());
            }
            (image.id.clone(), names)
        };
        let names: BTreeMap<_, _> = images.iter().map(named).collect();
        let found = |text: &str| {
            find_among(&images, &names, text).iter().map(|image| short_id(&image.id)).collect::<Vec<_>>()
        };
        let (first, second) = ("abcd10000000", "abcd20000000");
        let digest = format!("sha256:{}", "d".repeat(64));
        for text in ["alpine:3", "docker.io/library/alpine:3", "library/alpine:3", "alpine", "abcd1", &digest]
        {
            assert_eq!(found(text), [first], "{text}");
        }
        assert_eq!(found(&format!("alpine@{digest}")), [first]);
        assert_eq!(found(&images[0].id), [first]);
        assert_eq!(found("localhost:5000/a/b:1"), [second]);
        assert_eq!(found("sha256:ABCD"), [first, second]);
        assert_eq!(found("alpine:edge"), ["cafe00000000"], "jobs got it by that name");
        assert!(is_pattern("group/**") && is_pattern("a:[12]") && !is_pattern("a/b:1@sha256:0"));
        for text in ["alpine:4", "abc", "", "b:1", "localhost:5000/a/b"] {
            assert_eq!(found(text), Vec::<String>::new(), "{text}");
        }
    }

    #[test]
    fn what_looks_like_a_name_is_told() {
        let names = ["alpine:3", "alpine:latest", "postgres:16", "localhost:5000/team/build-tools:7"];
        let told = |text: &str| similar(text, names.map(str::to_owned));
        assert_eq!(told("alpnie:3").first().map(String::as_str), Some("alpine:3"));
        assert_eq!(told("alpine:4"), ["alpine:3", "alpine:latest"]);
        assert_eq!(told("build-tools:6"), ["localhost:5000/team/build-tools:7"]);
        assert_eq!(told("quay.io/x/y:1"), Vec::<String>::new());
    }

    #[test]
    fn images_are_called_by_what_names_them() {
        let images = images();
        assert_eq!(name(&images[0]), "alpine:3 +1");
        assert_eq!(name(&images[1]), "localhost:5000/a/b:1");
        assert_eq!(name(&images[2]), "<none> cafe00000000");
        let digest = format!("docker.io/library/alpine@sha256:{}", "d".repeat(64));
        assert_eq!(name(&image("1", &[], &[&digest])), "alpine@dddddddddddd");
    }
}
