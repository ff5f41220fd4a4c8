use std::time::Duration;

use super::complaint_tests::complaints;
use super::tests::no_files;
use super::{assemble, defaults};
use crate::settings::{Listed, ListedImage, ScanMode, Settings};
use crate::units::ByteSize;

fn settings(text: &str) -> Settings {
    assemble(text, None, &no_files).unwrap_or_else(|complaints| panic!("{complaints:#?}")).0
}

#[test]
fn without_a_word_of_it_history_moved_tags_and_the_pipeline_are_brought_ahead() {
    let prefetch = defaults().unwrap().prefetch;
    assert!(
        prefetch.enabled && prefetch.history && prefetch.images.is_empty() && prefetch.windows.is_empty()
    );
    assert_eq!((prefetch.poll, prefetch.scan), (Some(Duration::from_secs(1800)), ScanMode::Beside));
    assert_eq!((prefetch.monthly, prefetch.pipeline), (None, Some(ByteSize(4 << 30))));
}

#[test]
fn everything_of_it_can_be_turned_off_or_bounded() {
    let prefetch = settings(
        "[prefetch]\nenabled = false\nhistory = false\npoll = 'off'\nscan = 'idle'\nwindows = ['22:00-06:00', 'sat,sun']\n\
         monthly_limit = '20g'\npipeline_limit = ''\n",
    )
    .prefetch;
    assert!(!prefetch.enabled && !prefetch.history);
    assert_eq!((prefetch.poll, prefetch.scan), (None, ScanMode::Idle));
    let windows: Vec<String> = prefetch.windows.iter().map(ToString::to_string).collect();
    assert_eq!(windows, ["22:00-06:00", "sat,sun"]);
    assert_eq!((prefetch.monthly, prefetch.pipeline), (Some(ByteSize(20 << 30)), None));
    assert_eq!(settings("[prefetch]\npoll = 60\nscan = 'off'").prefetch.scan, ScanMode::Off);
}

#[test]
fn the_list_has_names_and_globs_and_its_pins_count_as_those_of_the_cache() {
    let digest = format!("sha256:{}", "a".repeat(64));
    let text = format!(
        "[cache]\npins = ['debian:*']\n\
         [[prefetch.images]]\nimage = 'alpine'\nplatform = 'linux/arm64'\nat = ['mon-fri 06:00', '12:30']\npin = true\n\
         [[prefetch.images]]\nimage = 'registry.example.com/ci/*:1'\nat = '06:00'\npin = true\n\
         [[prefetch.images]]\nimage = 'r.example/tools:2@{digest}'\npin = true\n\
         [[prefetch.images]]\nimage = 'postgres:16'\n"
    );
    let Settings { prefetch, cache, .. } = settings(&text);
    let [alpine, glob, tools, postgres] = &prefetch.images[..] else { panic!("{:?}", prefetch.images) };
    let ListedImage::One(image) = &alpine.image else { panic!("{alpine:?}") };
    assert_eq!(image.normalized(), "docker.io/library/alpine:latest");
    assert_eq!(alpine.platform.as_ref().map(ToString::to_string).as_deref(), Some("linux/arm64"));
    let at = |listed: &Listed| listed.at.iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(
        (at(alpine), at(glob)),
        (vec!["mon-fri 06:00".to_owned(), "12:30".to_owned()], vec!["06:00".to_owned()])
    );
    assert!(
        matches!(&glob.image, ListedImage::Pattern(glob) if glob.matches("registry.example.com/ci/base:1"))
    );
    assert_eq!(glob.image.as_written(), "registry.example.com/ci/*:1");
    assert_eq!((postgres.pin, postgres.at.len(), &postgres.platform), (false, 0, &None));
    assert!(tools.pin);
    let by_digest = format!("r.example/tools@{digest}");
    for name in
        ["debian:12", "docker.io/library/alpine:latest", "registry.example.com/ci/base:1", by_digest.as_str()]
    {
        assert!(cache.pins.matches(name), "{name}");
    }
    assert!(!cache.pins.matches("docker.io/library/postgres:16"));
}

#[test]
fn what_cannot_be_brought_ahead_is_complained_about_with_the_way_to_write_it() {
    let id = "b".repeat(64);
    for (text, complaint) in [
        ("[prefetch]\npoll = 30", "prefetch.poll: 30 is too often for registries: write at least 60 seconds, or \"off\"".to_owned()),
        ("[prefetch]\npoll = 'never'", "prefetch.poll: \"never\" is not a time: write a whole number of seconds, or \"off\"".to_owned()),
        ("[prefetch]\nscan = 'on'", "prefetch.scan: \"on\" is no such time: allowed are off, idle and beside".to_owned()),
        (
            "[prefetch]\nwindows = ['22-6']",
            "prefetch.windows[0]: \"22-6\" is not hours of the week: write such as 22:00-06:00, mon-fri 01:00-05:30 or sat,sun".to_owned(),
        ),
        (
            "[prefetch]\nmonthly_limit = '20'",
            "prefetch.monthly_limit: 20 B is too little: write at least 1 MiB, such as 20g, or \"\" for no limit".to_owned(),
        ),
        ("[prefetch]\nimages = [{ pin = true }]", "prefetch.images[0]: the entry has no image: write image = and its name".to_owned()),
        (
            "[prefetch]\nimages = [{ image = 'a', at = '6' }]",
            "prefetch.images[0].at: \"6\" is not a time of day: write such as 06:00 or mon-fri 06:00".to_owned(),
        ),
        ("[prefetch]\nimages = [{ image = '!a' }]", "prefetch.images[0].image: \"!a\" excludes, and the list is of what to bring".to_owned()),
        ("[prefetch]\nimages = [{ image = 'a', size = 1 }]", "prefetch.images[0].size: unknown key: allowed are image, platform, at, pin".to_owned()),
        ("[prefetch]\npins = []", "prefetch.pins: unknown key: pins belongs to [cache]".to_owned()),
    ] {
        assert_eq!(complaints(text), [format!("line 2: {complaint}")], "{text}");
    }
    let list = complaints(&format!(
        "[prefetch]\nimages = [{{ image = '{id}' }}, {{ image = 'A B' }}, {{ image = 'a[' }}]"
    ));
    assert!(list[0].ends_with("is an image ID, which no registry knows: write a name"), "{list:?}");
    assert!(
        list[1].contains("\"A B\" is not an image name: ") && list[2].contains("is not a pattern"),
        "{list:?}"
    );
}
