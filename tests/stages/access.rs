//! Who gets an image that one project may read: every login, project, way to name it, state of its registry, and use.
//! One project fetched it before, with its login. Each case is one more job on that host.

use hearth::engine::StoreKind::{self, Containerd, DockerClassic, Podman};

use crate::access_host::Host;
use crate::access_rules::{ASKERS, Case, LOGINS, PROOFS, Role, STATES, State, WAYS};

/// Runs one job of every `step` that there are.
async fn matrix(kind: StoreKind, roles: &[Role], states: &[State], is_here: bool, step: usize) {
    let mut host = Host::new(kind).await;
    let mut wrong = Vec::new();
    let mut all = Vec::new();
    for state in states.iter().copied() {
        for proof in PROOFS {
            for login in LOGINS {
                for asker in ASKERS {
                    for way in WAYS {
                        let of_role = |role| Case { login, asker, way, state, proof, role, is_here };
                        all.extend(roles.iter().copied().map(of_role));
                    }
                }
            }
        }
    }
    for (at, case) in all.iter().step_by(step).enumerate() {
        let complaints = host.check(case).await;
        wrong.extend((!complaints.is_empty()).then(|| complaints.join("\n  ")));
        if at % 50 == 0 {
            host.facts_tell_no_secret();
        }
    }
    let some: Vec<_> = wrong.iter().step_by(1 + wrong.len() / 12).cloned().collect();
    assert!(wrong.is_empty(), "{} are wrong, among them:\n{}", wrong.len(), some.join("\n"));
}

#[tokio::test(start_paused = true)]
async fn an_image_that_is_here_is_for_those_whom_its_registry_lets_in() {
    matrix(DockerClassic, &[Role::Build, Role::Service], &STATES[..2], true, 1).await;
}

#[tokio::test(start_paused = true)]
async fn a_registry_that_lets_nobody_in_opens_only_what_was_proved() {
    matrix(DockerClassic, &[Role::Build, Role::Service], &STATES[2..4], true, 1).await;
}

#[tokio::test(start_paused = true)]
async fn a_registry_without_an_answer_opens_only_what_was_proved() {
    matrix(DockerClassic, &[Role::Build, Role::Service], &STATES[4..], true, 1).await;
}

#[tokio::test(start_paused = true)]
async fn an_image_that_is_not_here_is_fetched_for_those_only_who_may_read_it() {
    matrix(DockerClassic, &[Role::Build, Role::Service], &STATES, false, 7).await;
}

#[tokio::test(start_paused = true)]
async fn what_the_operator_chose_is_under_the_same_rules_and_his_to_mend() {
    let roles = [Role::Default, Role::OwnService, Role::Helper];
    matrix(DockerClassic, &roles, &STATES, true, 7).await;
    matrix(DockerClassic, &roles, &STATES, false, 23).await;
}

#[tokio::test(start_paused = true)]
async fn other_image_stores_change_nothing_about_it() {
    for kind in [Containerd, Podman] {
        for is_here in [true, false] {
            matrix(kind, &[Role::Build, Role::Service, Role::Helper], &STATES, is_here, 31).await;
        }
    }
}
