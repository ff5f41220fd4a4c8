//! The command lines of what builds images: docker, buildx, buildah, podman and kaniko.

use std::collections::BTreeMap;

use super::build::Build;
use super::expand::Known;
use super::files::CheckoutPath;
use super::found::{Reach, Store, Trouble, shown};
use super::limits::MAX_PLATFORMS;
use super::options::{Arg, Options};
use super::session::Session;

type Args = std::vec::IntoIter<Arg>;

/// Follows a command of one of these tools, if it builds or steers builds.
pub(super) fn command(session: &mut Session<'_>, tool: &str, mut args: Args) {
    match tool {
        "docker" => docker(session, args),
        "executor" => {
            let options = Options::read(&mut args, false);
            if options.has(&["--context", "-c", "--dockerfile", "-f", "--destination", "-d"]) {
                kaniko(session, &options);
            }
        }
        tool => {
            let store = if tool == "podman" { Store::Podman } else { Store::Buildah };
            let global = Options::read(&mut args, true);
            match verb(&global) {
                Some("build" | "bud" | "build-using-dockerfile") => {}
                Some("image") if next_verb(&mut args).as_deref() == Some("build") => {}
                _ => return,
            }
            let options = Options::read(&mut args, false);
            let files = ["Containerfile", "Dockerfile"];
            build(session, &options, &files, Reach::Elsewhere(store), false);
        }
    }
}

fn verb(options: &Options) -> Option<&str> {
    match options.others.first() {
        Some(Arg::Known(verb)) => Some(verb),
        _ => None,
    }
}

fn next_verb(args: &mut Args) -> Option<String> {
    args.next()?.into_known().ok()
}

fn docker(session: &mut Session<'_>, mut args: Args) {
    let global = Options::read(&mut args, true);
    let (by_buildx, buildx_options) = match verb(&global) {
        Some("build") => (false, None),
        Some("image" | "builder") => match next_verb(&mut args).as_deref() {
            Some("build") => (false, None),
            _ => return,
        },
        Some("context") => {
            if next_verb(&mut args).as_deref() == Some("use") {
                session.use_context(&Options::read(&mut args, false));
            }
            return;
        }
        Some("buildx") => {
            let own = Options::read(&mut args, true);
            match verb(&own) {
                Some("build" | "b") => (true, Some(own)),
                Some("bake" | "f") => {
                    return session.done.troubles.push(Trouble::Dynamic("docker buildx bake".to_owned()));
                }
                Some(verb) => {
                    let verb = verb.to_owned();
                    return session.buildx(&verb, &Options::read(&mut args, false));
                }
                None => return,
            }
        }
        Some("compose") => {
            let own = Options::read(&mut args, true);
            if let Some(verb @ ("build" | "up" | "run" | "pull" | "create")) = verb(&own) {
                session.done.troubles.push(Trouble::Dynamic(format!("docker compose {verb}")));
            }
            return;
        }
        _ => return,
    };
    let options = Options::read(&mut args, false);
    let mut reach = session.reach(&global, &options, by_buildx);
    if let Some(own) = buildx_options
        && reach == Reach::Engine
    {
        reach = session.reach(&global, &own, by_buildx);
    }
    let legacy = !by_buildx && session.steering("DOCKER_BUILDKIT").as_deref() == Some("0");
    build(session, &options, &["Dockerfile"], reach, legacy);
}

/// Notes a build whose context is its last word.
fn build(session: &mut Session<'_>, options: &Options, names: &[&str], reach: Reach, every_stage: bool) {
    let known = options.others.iter().rev().find(|arg| matches!(arg, Arg::Known(_)));
    let Some(context) = known.or(options.others.last()).cloned() else { return };
    let context = match context.into_known() {
        Ok(context) => context,
        Err(why) => return session.done.troubles.push(why),
    };
    let files = match options.last(&["-f", "--file"]).map(Arg::into_known) {
        Some(Err(why)) => return session.done.troubles.push(why),
        // A file is looked for from where the command runs; buildah and Podman look in the context too.
        Some(Ok(file)) => {
            let in_context = directory(session, &context).and_then(|dir| dir.join(&file));
            let second =
                in_context.filter(|_| matches!(reach, Reach::Elsewhere(Store::Buildah | Store::Podman)));
            session.path(&file).filter(|_| file != "-").into_iter().chain(second).collect()
        }
        None => match directory(session, &context) {
            Some(dir) => names.iter().filter_map(|name| dir.join(name)).collect(),
            None => Vec::new(),
        },
    };
    add(session, options, &context, files, reach, every_stage);
}

fn kaniko(session: &mut Session<'_>, options: &Options) {
    let context = match options.last(&["--context", "-c"]).map(Arg::into_known) {
        Some(Ok(context)) => context.strip_prefix("dir://").unwrap_or(&context).to_owned(),
        Some(Err(why)) => return session.done.troubles.push(why),
        None => ".".to_owned(),
    };
    let file = match options.last(&["--dockerfile", "-f"]).map(Arg::into_known) {
        Some(Ok(file)) => file,
        Some(Err(why)) => return session.done.troubles.push(why),
        None => "Dockerfile".to_owned(),
    };
    // From where it runs, then in the context.
    let in_context = directory(session, &context).and_then(|dir| dir.join(&file));
    let mut files: Vec<CheckoutPath> = session.path(&file).into_iter().chain(in_context).collect();
    files.dedup();
    let every_stage = !options.has(&["--skip-unused-stages"]);
    add(session, options, &context, files, Reach::Elsewhere(Store::Kaniko), every_stage);
}

/// Returns the directory that a context is; `None` for an address, standard input or what is not in the checkout.
fn directory(session: &Session<'_>, context: &str) -> Option<CheckoutPath> {
    let address = context == "-" || context.contains("://") || context.starts_with("git@");
    session.path(context).filter(|_| !address)
}

fn add(
    session: &mut Session<'_>,
    options: &Options,
    context: &str,
    files: Vec<CheckoutPath>,
    reach: Reach,
    every_stage: bool,
) {
    for made in options.all(&["-t", "--tag", "-d", "--destination"]) {
        if let Arg::Known(name) = made {
            session.done.made.push(name.clone());
        }
    }
    if files.is_empty() {
        return session.done.troubles.push(Trouble::Missing(shown(context)));
    }
    let mut args = BTreeMap::new();
    for given in options.all(&["--build-arg"]) {
        let (text, known) = match given {
            Arg::Known(text) => (text, true),
            Arg::Unknown { lead, .. } => (lead, false),
        };
        let (name, value) = match text.split_once('=') {
            Some((name, value)) if known => (name, Known::Value(value.to_owned())),
            Some((name, _)) => (name, Known::Unknown),
            // Taken from the environment of the command.
            None if known => (text.as_str(), session.look(text)),
            None => continue,
        };
        args.insert(name.to_owned(), value);
    }
    let mut contexts = BTreeMap::new();
    for given in options.all(&["--build-context"]) {
        if let Arg::Known(text) = given
            && let Some((name, value)) = text.split_once('=')
        {
            contexts.insert(name.to_owned(), value.strip_prefix("docker-image://").map(str::to_owned));
        }
    }
    let target = match options.last(&["--target"]).map(Arg::into_known) {
        Some(Err(why)) => return session.done.troubles.push(why),
        Some(Ok(target)) => Some(target),
        None => None,
    };
    let platforms = match options.last(&["--platform", "--custom-platform", "--customPlatform"]) {
        Some(given) => given.into_known(),
        None => Ok(session.steering("DOCKER_DEFAULT_PLATFORM").unwrap_or_default()),
    };
    let platforms = match platforms {
        Ok(list) => {
            let names = list.split(',').map(str::trim).filter(|name| !name.is_empty());
            names.take(MAX_PLATFORMS).map(str::to_owned).collect()
        }
        Err(why) => return session.done.troubles.push(why),
    };
    session.done.builds.push(Build { files, args, target, platforms, contexts, every_stage, reach });
}
