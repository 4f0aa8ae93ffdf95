//! A sample as `floodwall status` shows it.

mod cookie;

use std::{collections::BTreeMap, fmt::Write as _};

use filter_common::{
    abi::Plane,
    reason::{Action, Reason},
};
use serde::{Deserialize, Serialize};

pub use self::cookie::{Cookie, HandOver, Port, why};
use super::{
    Sample,
    metrics::{RuleLine, verdict},
    sample::NextProgram,
};
use crate::daemon::commit::Standing;

/// What `floodwall status --json` prints and `GET /v1/status` answers.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Status {
    /// Version of this form.
    pub schema: u32,
    /// The running daemon; absent when there is none.
    pub daemon: Option<Daemon>,
    /// Where the filter is attached.
    pub interfaces: Vec<Interface>,
    /// Fates that some packet met, most frequent first.
    pub reasons: Vec<Fate>,
    /// What rules did, in the file's order; only the daemon knows them.
    #[serde(default)]
    pub rules: Vec<RuleLine>,
    /// SYN cookies.
    pub cookie: Cookie,
    /// What has armed itself, by service; those that never did are left out.
    pub armed: Vec<Armed>,
    /// Fill levels.
    pub tables: Vec<Table>,
}

/// The daemon's own part.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Daemon {
    /// Its process id.
    pub pid: u32,
    /// Its version.
    pub version: String,
    /// observe or enforce.
    pub mode: String,
    /// Names of the services, in the file's order.
    pub services: Vec<String>,
    /// Configured interfaces that are not there.
    #[serde(default)]
    pub absent: Vec<String>,
    /// Where the program is pinned that an interface's packets go on to, by interface.
    #[serde(default)]
    pub next: BTreeMap<String, String>,
    /// The configuration's path.
    pub config: String,
    /// Whether the last attempt to load it succeeded.
    pub reload_successful: bool,
    /// Seconds since it started.
    pub uptime_seconds: u64,
    /// Which configuration is in force.
    #[serde(default)]
    pub commit: Standing,
    /// Feeds: name and state.
    #[serde(default)]
    pub feeds: Vec<(String, String)>,
}

/// One interface.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Interface {
    /// Its name.
    pub name: String,
    /// Its index.
    pub ifindex: u32,
    /// native, generic or offloaded.
    pub xdp: String,
    /// tcx, clsact or absent.
    pub tc: Option<String>,
    /// The XDP program that goes on with what passes.
    #[serde(default)]
    pub next: Option<NextProgram>,
    /// Packets passed, observe mode included.
    pub passed: u64,
    /// Packets dropped.
    pub dropped: u64,
    /// Packets answered.
    pub answered: u64,
}

/// Packets of one fate, all interfaces together.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Fate {
    /// The reason's label.
    pub reason: String,
    /// The verdict's label.
    pub verdict: String,
    /// Packets.
    pub packets: u64,
    /// Bytes.
    pub bytes: u64,
}

/// A defence that arms itself.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Armed {
    /// The service's name (its number if there is no daemon to ask); `*` for the rest of the host.
    pub service: String,
    /// syn: its SYNs are answered; stray: segments of no connection are dropped.
    pub what: String,
    /// Now.
    pub on: bool,
    /// How long it is on, or was the last time, seconds.
    pub seconds: u64,
    /// How often it went on.
    pub count: u64,
}

/// A table's fill level.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Table {
    /// Its name.
    pub name: String,
    /// Entries in use.
    pub entries: u64,
    /// Entries that fit.
    pub max: u64,
}

impl Status {
    /// What a sample says.
    #[must_use]
    pub fn new(sample: &Sample, daemon: Option<Daemon>) -> Self {
        let services = daemon.as_ref().map_or(&[][..], |daemon| &daemon.services);
        Self {
            schema: 1,
            armed: armed(sample, services),
            daemon,
            interfaces: sample.interfaces.iter().map(Interface::new).collect(),
            reasons: fates(sample),
            rules: Vec::new(),
            cookie: Cookie::new(sample),
            tables: sample
                .tables
                .iter()
                .map(|table| Table { name: table.name.clone(), entries: table.entries, max: table.max })
                .collect(),
        }
    }

    /// For people.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = String::new();
        let _ = match &self.daemon {
            Some(d) => {
                let failed = if d.reload_successful { "" } else { "; the last reload FAILED, see its log" };
                writeln!(
                    text,
                    "daemon    pid {}, {}, {}, up {} s{failed}",
                    d.pid, d.mode, d.config, d.uptime_seconds
                )
                .and_then(|()| write!(text, "{}", d.commit.text()))
            }
            None => {
                writeln!(text, "daemon    no answer on its socket (--socket); the filter goes on by itself")
            }
        };
        text += &feeds(self.daemon.as_ref().map_or(&[][..], |daemon| &daemon.feeds));
        for name in self.daemon.iter().flat_map(|daemon| &daemon.absent) {
            let _ = writeln!(text, "{name:<9} not there; the filter is attached when it appears");
        }
        for i in &self.interfaces {
            let tc = i.tc.as_deref().unwrap_or("none");
            let _ = writeln!(
                text,
                "{:<9} xdp {}, tc {tc}: {} passed, {} dropped, {} answered",
                i.name, i.xdp, i.passed, i.dropped, i.answered
            );
            text += &self.next(i);
        }
        text += &self.cookie.text();
        for a in &self.armed {
            let now = if a.on { format!("on for {} s", a.seconds) } else { "off".to_owned() };
            let _ = writeln!(text, "armed     {} {}: {now}, {} times in all", a.service, a.what, a.count);
        }
        let _ = writeln!(text, "\n{:>14} {:>18}  {:<11} reason", "packets", "bytes", "verdict");
        for fate in &self.reasons {
            let _ = writeln!(
                text,
                "{:>14} {:>18}  {:<11} {}",
                fate.packets, fate.bytes, fate.verdict, fate.reason
            );
        }
        if !self.rules.is_empty() {
            let _ = writeln!(text, "\n{:>14} {:>18}  {:<15} rule", "packets", "bytes", "verdict");
        }
        for RuleLine { rule, verdict, packets, bytes } in &self.rules {
            let _ = writeln!(text, "{packets:>14} {bytes:>18}  {verdict:<15} {rule}");
        }
        text
    }

    /// Where the packets of an interface go on to.
    fn next(&self, interface: &Interface) -> String {
        let path = self.daemon.as_ref().and_then(|daemon| daemon.next.get(&interface.name));
        match (&interface.next, path) {
            (Some(NextProgram { program, name }), _) => {
                format!("          what passes goes on to the XDP program {program} ({name})\n")
            }
            (None, Some(path)) => {
                format!("          nothing is pinned at {path}:\n          what passes goes to the stack\n")
            }
            (None, None) => String::new(),
        }
    }
}

/// How many there are, and those that something is wrong with.
fn feeds(feeds: &[(String, String)]) -> String {
    if feeds.is_empty() {
        return String::new();
    }
    let wrong = feeds.iter().filter(|(_, state)| !matches!(state.as_str(), "ok" | "off"));
    let wrong: Vec<_> = wrong.map(|(name, state)| format!("{name} {state}")).collect();
    let rest = if wrong.is_empty() { String::new() } else { format!("; {}", wrong.join(", ")) };
    format!("feeds     {}{rest}\n", feeds.len())
}

impl Interface {
    fn new(interface: &super::sample::Interface) -> Self {
        let [enforced, observed, ..] = &interface.counters;
        let sum = |action| {
            let reasons = Reason::ALL.iter().filter(|reason| reason.action() == action);
            reasons.map(|reason| enforced[*reason as usize].packets).sum::<u64>()
        };
        Self {
            name: interface.name.clone(),
            ifindex: interface.ifindex,
            xdp: interface.xdp.clone(),
            tc: interface.tc.clone(),
            next: interface.next.clone(),
            passed: sum(Action::Pass) + observed.iter().map(|counter| counter.packets).sum::<u64>(),
            dropped: sum(Action::Drop),
            answered: sum(Action::Reply),
        }
    }
}

fn armed(sample: &Sample, services: &[String]) -> Vec<Armed> {
    let name = |number: usize| match number {
        0 => "*".to_owned(),
        _ => services.get(number - 1).cloned().unwrap_or_else(|| number.to_string()),
    };
    let all = sample.armed.iter().enumerate().flat_map(|(number, armed)| {
        [("syn", armed.syn), ("stray", armed.stray)].map(|(what, switched)| Armed {
            service: name(number),
            what: what.to_owned(),
            on: switched.on,
            seconds: switched.since.as_secs(),
            count: switched.count,
        })
    });
    all.filter(|armed| armed.count > 0).collect()
}

fn fates(sample: &Sample) -> Vec<Fate> {
    let mut fates: Vec<_> = Reason::ALL
        .iter()
        .flat_map(|reason| Plane::ALL.map(|plane| (plane, *reason)))
        // What leaves is told where something is wrong with it.
        .filter(|(plane, reason)| !plane.is_sent() || reason.is_of_egress())
        .map(|(plane, reason)| {
            let total = sample.total(plane, reason);
            Fate {
                reason: reason.label().to_owned(),
                verdict: verdict(reason.action(), plane.is_observed()).to_owned(),
                packets: total.packets,
                bytes: total.bytes,
            }
        })
        .filter(|fate| fate.packets > 0)
        .collect();
    fates.sort_by_key(|fate| std::cmp::Reverse(fate.packets));
    fates
}
