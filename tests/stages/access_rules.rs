//! What the matrix of access expects, written from the rules and not from the code: who came, with what, to which
//! registry, and what is to come of it.

use hearth::outcome::Fault;
use hearth::settings::PullPolicy::{self, Always, IfNotPresent, Never};

/// With what a job comes. An earlier job of the project came with the right login, and was let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Login {
    Nothing,
    Wrong,
    Right,
    /// The registry has a new password, and the job has it too.
    Rotated,
    /// The registry has a new password, and the job still has the old one.
    Expired,
}

/// For whom it comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asker {
    SameProject,
    OtherProject,
    /// A project of the same number, and the same path, on another server.
    OtherServer,
}

/// How it names the image, and what may be done to get it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    Tag(&'static [PullPolicy]),
    Digest(&'static [PullPolicy]),
    Id(&'static [PullPolicy]),
}

/// What the registry does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    Up,
    Says(u16),
    Down,
}

/// How old the earlier job's proof is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Proof {
    Live,
    Old,
    /// As old, but the operator lets it count while the registry is not there.
    OldWithGrace,
}

/// What the image is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    Build,
    Service,
    /// The operator's default for jobs that name none.
    Default,
    /// A service that the operator gives to every job.
    OwnService,
    Helper,
}

impl Role {
    pub(crate) fn in_words(self) -> &'static str {
        match self {
            Self::Build | Self::Default => "build image",
            Self::Service | Self::OwnService => "service",
            Self::Helper => "helper image",
        }
    }
}

pub(crate) const LOGINS: [Login; 5] =
    [Login::Nothing, Login::Wrong, Login::Right, Login::Rotated, Login::Expired];
pub(crate) const ASKERS: [Asker; 3] = [Asker::SameProject, Asker::OtherProject, Asker::OtherServer];
pub(crate) const WAYS: [Way; 10] = [
    Way::Tag(&[Always]),
    Way::Tag(&[IfNotPresent]),
    Way::Tag(&[Never]),
    Way::Tag(&[Always, IfNotPresent]),
    Way::Tag(&[Never, IfNotPresent]),
    Way::Digest(&[Always]),
    Way::Digest(&[IfNotPresent]),
    Way::Digest(&[Never]),
    Way::Id(&[IfNotPresent]),
    Way::Id(&[Always, Never]),
];
pub(crate) const STATES: [State; 7] = [
    State::Up,
    State::Says(401),
    State::Says(403),
    State::Says(404),
    State::Says(429),
    State::Says(503),
    State::Down,
];
pub(crate) const PROOFS: [Proof; 3] = [Proof::Live, Proof::Old, Proof::OldWithGrace];

/// One job of the matrix.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Case {
    pub(crate) login: Login,
    pub(crate) asker: Asker,
    pub(crate) way: Way,
    pub(crate) state: State,
    pub(crate) proof: Proof,
    pub(crate) role: Role,
    /// Whether the image is on the host.
    pub(crate) is_here: bool,
}

/// What is to come of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// The image's container starts; so many pulls were made for it.
    Starts { pulls: usize },
    /// The job ends by this fault, and its message has these words.
    Fails(Fault, &'static str),
}

/// How often the registry is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asked {
    Times(usize),
    /// As often as the settings let it be tried again.
    InVain,
}

enum Says {
    Yes,
    No(&'static str),
    NoWord,
}

impl Case {
    fn registry(&self) -> Says {
        match self.state {
            State::Up if matches!(self.login, Login::Right | Login::Rotated) => Says::Yes,
            State::Up | State::Says(401 | 403) => Says::No("may not be read"),
            State::Says(404) => Says::No("was not found"),
            State::Says(_) | State::Down => Says::NoWord,
        }
    }

    /// The earlier job proved access for its own project with its own login, and for nobody else.
    fn has_proved(&self) -> bool {
        self.asker == Asker::SameProject && matches!(self.login, Login::Right | Login::Expired)
    }

    fn has_live_proof(&self) -> bool {
        self.has_proved() && self.proof == Proof::Live
    }

    /// Whoever chose the image has to act on a refusal.
    fn of_chooser(&self) -> Fault {
        match self.role {
            Role::Build | Role::Service => Fault::Job,
            Role::Default | Role::OwnService | Role::Helper => Fault::System,
        }
    }

    /// Tells what is to come of the job.
    pub(crate) fn expected(&self) -> (End, Asked) {
        let chooser = self.of_chooser();
        let nobody = Asked::Times(0);
        let (policies, by_digest) = match self.way {
            Way::Tag(policies) => (policies, false),
            Way::Digest(policies) => (policies, true),
            // An ID names no registry, so only a proof opens it.
            Way::Id(_) => {
                return match (self.is_here, self.has_live_proof()) {
                    (true, true) => (End::Starts { pulls: 0 }, nobody),
                    (true, false) => {
                        (End::Fails(chooser, "nothing shows that this project may read"), nobody)
                    }
                    (false, _) => (End::Fails(chooser, "it is not on this host"), nobody),
                };
            }
        };
        let mut last = (End::Fails(chooser, ""), nobody);
        for policy in policies {
            let may_be_used = self.is_here && self.has_live_proof();
            match policy {
                Never | IfNotPresent if may_be_used => return (End::Starts { pulls: 0 }, last.1),
                Never if self.is_here => {
                    last = (End::Fails(chooser, "nothing shows that this project may read"), last.1);
                    continue;
                }
                Never => {
                    last = (End::Fails(chooser, "it is not on this host"), last.1);
                    continue;
                }
                // What is wanted and that it may be had is known: the registry is asked by the pull only.
                IfNotPresent if by_digest && self.has_live_proof() => {
                    return match self.registry() {
                        Says::Yes => (End::Starts { pulls: 1 }, nobody),
                        Says::No(words) => (End::Fails(chooser, words), nobody),
                        Says::NoWord => (End::Fails(Fault::System, "could not be pulled"), nobody),
                    };
                }
                Always | IfNotPresent => {}
            }
            match self.registry() {
                Says::Yes => {
                    return (End::Starts { pulls: usize::from(!self.is_here) }, Asked::Times(1));
                }
                Says::No(words) => {
                    // A digest that is gone may have been replaced: then the tag is asked about too.
                    let twice = self.state == State::Says(404)
                        && *policy == IfNotPresent
                        && self.is_here
                        && !by_digest;
                    return (End::Fails(chooser, words), Asked::Times(1 + usize::from(twice)));
                }
                Says::NoWord if self.is_here && self.has_proved() && self.proof == Proof::OldWithGrace => {
                    return (End::Starts { pulls: 0 }, Asked::InVain);
                }
                // "always" may fall back to what was proved lately only where the job's list goes on, or in the grace.
                Says::NoWord => {
                    last = (End::Fails(Fault::System, "could not be looked up"), Asked::InVain);
                }
            }
        }
        last
    }
}
