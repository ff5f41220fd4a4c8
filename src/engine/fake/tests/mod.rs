//! What only the fake can do; what it has in common with the real engine is in the contract suite.

mod calls;
mod pulls;
mod room;
mod scripts;
mod stores;

use std::collections::BTreeMap;

use futures_util::StreamExt;

use super::{Fake, FakeImage};
use crate::engine::{Engine, Output};
use crate::plan::spec::{ContainerSpec, ExecSpec, LogSpec, NetworkUse};
use crate::settings::Limits;

/// An engine with one image.
fn engine() -> Fake {
    let fake = Fake::new();
    fake.image_here("job:1", FakeImage::new("job"));
    fake
}

fn spec(name: &str, image: &str, command: Vec<String>) -> ContainerSpec {
    ContainerSpec {
        name: name.to_owned(),
        image: image.to_owned(),
        platform: String::new(),
        entrypoint: None,
        command: Some(command),
        user: String::new(),
        env: Vec::new(),
        working_dir: None,
        hostname: String::new(),
        open_stdin: false,
        mounts: Vec::new(),
        tmpfs: BTreeMap::new(),
        network: NetworkUse::Mode("bridge".to_owned()),
        extra_hosts: Vec::new(),
        dns: Vec::new(),
        dns_search: Vec::new(),
        init: true,
        privileged: false,
        cap_add: Vec::new(),
        cap_drop: Vec::new(),
        security_opt: Vec::new(),
        userns_mode: String::new(),
        runtime: String::new(),
        limits: Limits::default(),
        shm_size: None,
        ulimit: BTreeMap::new(),
        devices: Vec::new(),
        device_cgroup_rules: Vec::new(),
        group_add: Vec::new(),
        log: LogSpec { driver: "local".to_owned(), options: BTreeMap::new() },
        labels: BTreeMap::from([("job".to_owned(), "7".to_owned())]),
    }
}

fn exec(command: Vec<String>) -> ExecSpec {
    ExecSpec { command, user: String::new(), env: crate::plan::script::stage_env(), stdin: true }
}

/// Creates and starts a container.
async fn run(fake: &Fake, spec: &ContainerSpec) {
    fake.create_container(spec).await.unwrap();
    fake.start_container(&spec.name).await.unwrap();
}

/// Reads a stream to its end.
async fn text(mut output: Output) -> String {
    let mut text = Vec::new();
    while let Some(chunk) = output.next().await {
        text.extend_from_slice(&chunk.unwrap().bytes);
    }
    String::from_utf8(text).unwrap()
}
