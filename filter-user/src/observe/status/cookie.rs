//! SYN cookies, for people and programs.

use std::fmt::Write as _;

use filter_common::abi::StepDown;
use serde::{Deserialize, Serialize};

use crate::observe::Sample;

/// SYN cookies.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub struct Cookie {
    /// Whether there is a key in its time.
    pub armed: bool,
    /// The epoch that issues.
    pub epoch: u64,
    /// Seconds since its key came into use.
    pub key_age_seconds: u64,
    /// Seconds until the data path refuses it.
    pub key_expires_seconds: u64,
    /// Outcomes of hand-overs.
    pub hand_overs: Vec<HandOver>,
    /// Ports without cookies.
    pub stepped_down: Vec<Port>,
}

/// An outcome of hand-overs.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct HandOver {
    /// ok, known, `no_listener`, refused or unreadable.
    pub result: String,
    /// How often.
    pub count: u64,
}

/// A TCP port whose SYNs go to the stack.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Port {
    /// Its number.
    pub port: u16,
    /// mptcp or refused.
    pub why: String,
}

/// The word for why a port stepped down.
#[must_use]
pub const fn why(step_down: StepDown) -> &'static str {
    match step_down {
        StepDown::No => "no",
        StepDown::Mptcp => "mptcp",
        StepDown::Refused => "refused",
    }
}

impl Cookie {
    /// What a sample says.
    #[must_use]
    pub fn new(sample: &Sample) -> Self {
        let keys = sample.keys;
        Self {
            armed: keys.armed,
            epoch: keys.epoch,
            key_age_seconds: keys.age.as_secs(),
            key_expires_seconds: keys.expires_in.as_secs(),
            hand_overs: sample
                .hand_overs
                .iter()
                .map(|(result, count)| HandOver { result: (*result).to_owned(), count: *count })
                .collect(),
            stepped_down: sample
                .step_downs
                .iter()
                .map(|(port, reason)| Port { port: *port, why: why(*reason).to_owned() })
                .collect(),
        }
    }

    /// For people.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = if self.armed {
            format!(
                "cookie    epoch {}, key in use for {} s, refused in {} s\n",
                self.epoch, self.key_age_seconds, self.key_expires_seconds
            )
        } else {
            "cookie    no key in its time: SYNs go to the stack, as many as syn.on allows\n".to_owned()
        };
        let outcomes: Vec<_> = self.hand_overs.iter().map(|h| format!("{} {}", h.count, h.result)).collect();
        let _ = writeln!(text, "          hand-overs: {}", outcomes.join(", "));
        for Port { port, why } in &self.stepped_down {
            let _ = writeln!(text, "          tcp/{port} stepped down: {why}");
        }
        text
    }
}
