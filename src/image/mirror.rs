//! Mirrors: other places to get an image's bytes from, by the operator's table.
//!
//! A mirror is asked by digest and supplies bytes, nothing else: what a name means and who may read it is the registry's
//! own business.

use super::ImageRef;

/// The longest path that registries take.
const MAX_PATH: usize = 255;

/// Which registries, or parts of them, have mirrors.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Mirrors {
    /// A registry or the beginning of a path in it, and its mirrors in order.
    entries: Vec<(String, Vec<String>)>,
}

impl Mirrors {
    /// Reads a table: registry or `registry/path` to addresses `host[:port][/path]`. All that is wrong is returned
    /// together.
    pub fn read<'t>(table: impl IntoIterator<Item = (&'t str, &'t [String])>) -> Result<Self, Vec<String>> {
        let mut entries: Vec<(String, Vec<String>)> = Vec::new();
        let mut wrong = Vec::new();
        for (of, addresses) in table {
            let key = check(of).map_err(|problem| wrong.push(problem)).ok();
            let mut mirrors: Vec<String> = Vec::new();
            for address in addresses {
                match check(address) {
                    Ok(mirror) if Some(&mirror) == key.as_ref() => {
                        wrong.push(format!("{address:?} is its own mirror"));
                    }
                    Ok(mirror) if mirrors.contains(&mirror) => {
                        wrong.push(format!("the mirror {address:?} stands there twice"));
                    }
                    Ok(mirror) => mirrors.push(mirror),
                    Err(problem) => wrong.push(problem),
                }
            }
            match key {
                Some(key) if entries.iter().any(|(known, _)| *known == key) => {
                    wrong.push(format!("{of:?} stands there twice"));
                }
                Some(key) => entries.push((key, mirrors)),
                None => {}
            }
        }
        if wrong.is_empty() { Ok(Self { entries }) } else { Err(wrong) }
    }

    /// Tells whether there are no mirrors at all.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Returns the mirrors' names for an image, `mirror/path@digest`, in the order in which they are to be asked. Of the
    /// table's keys the longest one that begins the image's name counts; its mirrors take the place of the key.
    pub fn of(&self, image: &ImageRef, digest: &str) -> Vec<ImageRef> {
        let Some(full) = image.full_repository() else { return Vec::new() };
        let begun = self.entries.iter().filter_map(|(of, mirrors)| Some((of, rest_of(&full, of)?, mirrors)));
        let Some((_, rest, mirrors)) = begun.max_by_key(|(of, ..)| of.len()) else { return Vec::new() };
        let name = |mirror: &String| {
            let mirrored: ImageRef = format!("{mirror}{rest}@{digest}").parse().ok()?;
            // A mirror that is the registry itself is no other source.
            (mirrored.full_repository()? != full).then_some(mirrored)
        };
        mirrors.iter().filter_map(name).collect()
    }
}

/// What follows `begin` in a name, if that ends where a part of the name ends.
fn rest_of<'n>(name: &'n str, begin: &str) -> Option<&'n str> {
    name.strip_prefix(begin).filter(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Checks a registry with or without the beginning of a path, and returns it as image names have it.
fn check(text: &str) -> Result<String, String> {
    let wrong = |problem: &str| Err(format!("{text:?} is not a registry: {problem}"));
    if text.contains("://") {
        return wrong("write it without a scheme, as host[:port][/path]");
    }
    if text.contains('@')
        || text.rsplit('/').next().is_some_and(|last| text.contains('/') && last.contains(':'))
    {
        return wrong("write it without user, tag and digest, as host[:port][/path]");
    }
    let host = text.split('/').next().unwrap_or_default();
    if !host.contains(['.', ':']) && !host.eq_ignore_ascii_case("localhost") {
        return wrong("it has to begin with a host name with a dot, or with a port");
    }
    if text.len() > MAX_PATH {
        return wrong("it is too long");
    }
    // With one part more, a registry's address is the beginning of an image's name.
    match format!("{text}/a/a").parse::<ImageRef>() {
        Ok(image) => {
            let full = image.full_repository().unwrap_or_default();
            Ok(full.strip_suffix("/a/a").unwrap_or(&full).to_owned())
        }
        Err(bad) => wrong(bad.reason()),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{ImageRef, Mirrors};

    fn digest() -> String {
        format!("sha256:{}", "d".repeat(64))
    }

    fn mirrors(table: &[(&str, &[&str])]) -> Result<Mirrors, Vec<String>> {
        let owned: Vec<(&str, Vec<String>)> =
            table.iter().map(|(of, list)| (*of, list.iter().map(|&m| m.to_owned()).collect())).collect();
        Mirrors::read(owned.iter().map(|(of, list)| (*of, list.as_slice())))
    }

    fn names(mirrors: &Mirrors, image: &str) -> Vec<String> {
        let image: ImageRef = image.parse().unwrap();
        let suffix = format!("@{}", digest());
        let names = mirrors.of(&image, &digest());
        names.iter().map(|name| name.normalized().strip_suffix(&suffix).unwrap().to_owned()).collect()
    }

    #[test]
    fn a_mirror_takes_the_place_of_the_longest_key_that_begins_the_name() {
        let table = mirrors(&[
            ("docker.io", &["mirror.lan:5000", "gitlab.example.com/group/dependency_proxy/containers"]),
            ("docker.io/library", &["official.lan"]),
            ("Registry.Example:5050/team", &["mirror.lan:5000/team"]),
        ])
        .unwrap();
        assert_eq!(names(&table, "alpine:3"), ["official.lan/alpine"]);
        assert_eq!(
            names(&table, "grafana/grafana"),
            [
                "mirror.lan:5000/grafana/grafana",
                "gitlab.example.com/group/dependency_proxy/containers/grafana/grafana"
            ]
        );
        assert_eq!(names(&table, "docker.io/librarything/x"), names(&table, "librarything/x"));
        assert_eq!(names(&table, "librarything/x").len(), 2);
        assert_eq!(names(&table, "registry.example:5050/team/app:1"), ["mirror.lan:5000/team/app"]);
        assert_eq!(names(&table, "registry.example:5050/teams/app:1"), Vec::<String>::new());
        assert_eq!(names(&table, "other.example/x"), Vec::<String>::new());
        assert_eq!(names(&table, &"a".repeat(64)), Vec::<String>::new(), "an ID has no mirror");
        assert!(names(&Mirrors::default(), "alpine").is_empty());
    }

    #[test]
    fn a_mirror_that_is_the_registry_itself_is_left_out() {
        let table = mirrors(&[("a.example/x", &["a.example", "b.example/x"])]).unwrap();
        assert_eq!(names(&table, "a.example/x/y"), ["a.example/y", "b.example/x/y"]);
        let table = mirrors(&[("index.docker.io", &["docker.io"])]);
        assert_eq!(table, Err(vec!["\"docker.io\" is its own mirror".to_owned()]));
    }

    #[test]
    fn all_that_is_wrong_with_a_table_is_told() {
        let wrong = mirrors(&[
            ("https://a.example", &["b.example"]),
            (
                "docker.io",
                &["mirror", "m.lan:5000", "m.lan:5000", "m.lan/x:1", "u@m.lan", "m.lan/X", "m.lan:99999"],
            ),
            ("Docker.io", &[]),
        ])
        .unwrap_err();
        for part in [
            "\"https://a.example\" is not a registry: write it without a scheme",
            "\"mirror\" is not a registry: it has to begin with a host name",
            "the mirror \"m.lan:5000\" stands there twice",
            "\"m.lan/x:1\" is not a registry: write it without user, tag and digest",
            "\"u@m.lan\" is not a registry",
            "\"X\" has a capital letter",
            "\"99999\" is not a port",
            "\"Docker.io\" stands there twice",
        ] {
            assert!(wrong.iter().any(|line| line.contains(part)), "{part}: {wrong:#?}");
        }
        assert_eq!(wrong.len(), 8, "{wrong:#?}");
    }

    proptest! {
        #[test]
        fn a_mirrors_name_ends_as_the_images_own_does(path in "[a-z]{1,8}(/[a-z]{1,8}){0,3}", key in "r\\.example(/[a-z]{1,2})?") {
            let table = mirrors(&[(key.as_str(), &["m.lan/p"])]).unwrap();
            let image = format!("r.example/{path}");
            for name in names(&table, &image) {
                let rest = image.strip_prefix(&key).unwrap();
                prop_assert_eq!(name, format!("m.lan/p{rest}"));
            }
        }
    }
}
