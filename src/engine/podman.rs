//! Where Podman's Docker API answers otherwise than Docker's, read back into Docker's words.
//!
//! Seen on Podman 4.3. It knows few statuses: what Docker answers with 404 or 409, it answers with 500 and words. What
//! cannot be mended here, and what of it matters to jobs:
//!
//! - A network is in use by every container that has it, also by one that is fresh or stopped.
//! - The stream of an exec ends with its process; what that left in the background is not heard.
//! - HEALTHCHECKs of images are not told, and run by systemd's timers alone.
//! - Pulls tell neither digest nor unpacking, and sizes only of layers that take a second or more.
//! - A digest is a name only where it was pulled; of those that are listed beyond that none can be taken away, but any takes
//!   the image with it that has one name.
//! - Whenever an image loses a name it is told that it was deleted, too.
//! - An image is listed by all its digests in all repositories where it has a name, given by hand or not.
//! - The registry cannot be asked through it for an image's platforms.
//! - Logs have whole seconds, and join a line that was not ended with the next or the last one.
//! - With cgroups of version 1, a lack of memory is not told.
//! - `init` needs the package catatonit; names of services need netavark with aardvark-dns (the older CNI resolves none).

use bollard::errors::Error;
use serde::de::DeserializeOwned;

use super::api::EventKind;
use super::error::EngineError;

/// Turns words into the kind of error that Docker has for them.
pub(super) fn error(error: EngineError) -> EngineError {
    let EngineError::Refused { call, status, message } = error else { return error };
    let has = |parts: &[&str]| parts.iter().any(|part| message.contains(part));
    if status == 0 && has(&["manifest unknown", "name unknown"]) {
        // It begins its answer to a pull before it asks the registry.
        return EngineError::NotFound { message };
    }
    let stays = call == "remove image"
        && has(&["please force removal", "tag not known", "untag by digest not supported"]);
    let conflict = status == 500
        && (stays
            || has(&["name is already in use", "network already exists", "network is being used"])
            || has(&[
                "can only create exec sessions on running",
                "can only kill running",
                "volume is being used",
            ]));
    if conflict { EngineError::Conflict { message } } else { EngineError::Refused { call, status, message } }
}

/// Tells whether an interface of the host went while Podman looked at all of them, as it does before it makes a network:
/// those of other jobs come and go.
pub(super) fn stumbled(error: &Error) -> bool {
    matches!(error, Error::DockerResponseServerError { message, .. } if message.contains("no such network interface"))
}

/// Tells whether a volume could not be made since another client was making it just then.
pub(super) fn made_at_once(error: &EngineError) -> bool {
    matches!(error, EngineError::Refused { status: 500, message, .. } if message.contains("volume already exists"))
}

/// Tells whether an answer could not be read for the word that Podman has for a container that ended a moment ago.
pub(super) fn said_stopped(error: &Error) -> bool {
    matches!(error, Error::JsonDataError { message, .. } if message.contains("`stopped`"))
}

/// Reads such an answer with the word that Docker has for it.
pub(super) fn read_stopped<T: DeserializeOwned>(text: &str) -> Option<T> {
    let text = text.replace("\"Status\":\"stopped\"", "\"Status\":\"exited\"");
    serde_json::from_str(&text.replace("\"State\":\"stopped\"", "\"State\":\"exited\"")).ok()
}

/// Returns the path and query that list all containers, or those with a label.
pub(super) fn list_path(label: Option<&str>) -> String {
    let Some(label) = label else { return "/containers/json?all=true".to_owned() };
    let filters = serde_json::json!({ "label": [label] }).to_string();
    let filters: String = filters.bytes().map(|byte| format!("%{byte:02X}")).collect();
    format!("/containers/json?all=true&filters={filters}")
}

/// Returns an event's ID as Docker writes it: an image's with its algorithm.
pub(super) fn actor(kind: EventKind, id: String) -> String {
    let is_bare = id.len() == 64 && id.bytes().all(|byte| byte.is_ascii_hexdigit());
    if kind == EventKind::Image && is_bare { format!("sha256:{id}") } else { id }
}

/// Returns the word that Docker has for what an event says.
pub(super) fn action(kind: EventKind, action: String) -> String {
    let word = match (kind, action.as_str()) {
        (EventKind::Image, "remove") => "delete",
        (EventKind::Container | EventKind::Volume, "remove") => "destroy",
        (EventKind::Container, "died") => "die",
        _ => return action,
    };
    word.to_owned()
}

#[cfg(test)]
mod tests {
    use bollard::models::{
        ContainerInspectResponse, ContainerStateStatusEnum, ContainerSummary, ContainerSummaryStateEnum,
    };

    use super::{
        EngineError, Error, EventKind, action, actor, error, list_path, made_at_once, read_stopped, stumbled,
    };

    fn refused(status: u16, words: &str) -> EngineError {
        EngineError::Refused { call: "x".to_owned(), status, message: words.to_owned() }
    }

    #[test]
    fn an_interface_that_went_is_no_reason_to_give_up() {
        let said =
            |message: &str| Error::DockerResponseServerError { status_code: 500, message: message.into() };
        assert!(stumbled(&said("route ip+net: no such network interface")));
        assert!(!stumbled(&said("subnet 10.0.0.0/24 is already used on the host or by another config")));
    }

    #[test]
    fn words_are_read() {
        for words in [
            "container create: creating container storage: the container name \"a\" is already in use by 9e57. You have to remove that container to be able to reuse that name: that name is already in use",
            "network name a already used: network already exists",
            "\"a\" has associated containers with it. Use -f to forcibly delete containers and pods: network is being used",
            "unable to delete image \"bf66\" by ID with more than one tag ([a:1 b:1]): please force removal",
            "a@sha256:5677: tag not known",
            "can only create exec sessions on running containers: container state improper",
            "can only kill running containers. 1957 is in state created: container state improper",
        ] {
            let refused = EngineError::Refused {
                call: "remove image".to_owned(),
                status: 500,
                message: words.to_owned(),
            };
            assert!(matches!(error(refused), EngineError::Conflict { .. }), "{words}");
        }
        let unknown =
            "reading manifest nope in 127.0.0.1:5501/job/busybox: manifest unknown: manifest unknown";
        assert!(matches!(error(refused(0, unknown)), EngineError::NotFound { .. }));
        for other in [refused(500, "no space left on device"), refused(0, "connection reset by peer")] {
            assert_eq!(error(other.clone()), other);
        }
    }

    #[test]
    fn a_volume_that_two_make_at_once_is_made() {
        let words = "adding volume to state: name hearth-x is in use: volume already exists";
        assert!(made_at_once(&refused(500, words)));
        assert!(!made_at_once(&refused(500, "no space left on device")));
    }

    #[test]
    fn events_are_told_in_dockers_words() {
        let hex = "ce48".repeat(16);
        assert_eq!(actor(EventKind::Image, hex.clone()), format!("sha256:{hex}"));
        assert_eq!(actor(EventKind::Image, "r.example/a:1".to_owned()), "r.example/a:1");
        assert_eq!(actor(EventKind::Container, hex.clone()), hex);
        for (kind, said, word) in [
            (EventKind::Image, "remove", "delete"),
            (EventKind::Container, "died", "die"),
            (EventKind::Container, "remove", "destroy"),
            (EventKind::Volume, "remove", "destroy"),
            (EventKind::Container, "start", "start"),
        ] {
            assert_eq!(action(kind, said.to_owned()), word);
        }
    }

    #[test]
    fn a_label_is_asked_for_in_a_query() {
        let path = list_path(Some("a=b"));
        assert_eq!(
            path,
            "/containers/json?all=true&filters=%7B%22%6C%61%62%65%6C%22%3A%5B%22%61%3D%62%22%5D%7D"
        );
    }

    #[test]
    fn a_container_that_just_ended_is_read() {
        let text = r#"{"Id":"7","State":{"Status":"stopped","Running":false,"ExitCode":3}}"#;
        let found: ContainerInspectResponse = read_stopped(text).unwrap();
        let state = found.state.unwrap();
        assert_eq!((state.status, state.exit_code), (Some(ContainerStateStatusEnum::EXITED), Some(3)));
        let text = r#"[{"Id":"7","State":"stopped","Status":""},{"Id":"8","State":"running"}]"#;
        let found: Vec<ContainerSummary> = read_stopped(text).unwrap();
        assert_eq!(found[0].state, Some(ContainerSummaryStateEnum::EXITED));
        assert_eq!(found[1].state, Some(ContainerSummaryStateEnum::RUNNING));
    }
}
