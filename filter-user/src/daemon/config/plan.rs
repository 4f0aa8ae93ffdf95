//! What would change if a configuration were applied now.

use std::{collections::BTreeSet, path::PathBuf};

use anyhow::Result;
use serde::{Deserialize, Serialize};

use super::peers::Peers;
use crate::{
    config::{
        self, Effective, Host, Loaded, Record, Settings, Source,
        changes::{Changes, Setting},
        lists::compare::Compared,
    },
    dataplane::{Lists, Plan},
};

/// A configuration with what it comes to on this host.
#[expect(missing_debug_implementations, reason = "a plan is tables of 100 KB")]
pub struct Side {
    /// Its files.
    pub sources: Vec<Source>,
    /// What they say.
    pub settings: Settings,
    /// What that asks of the data path.
    pub plan: Plan,
}

/// What would change.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Planned {
    /// Version of this form.
    pub schema: u32,
    /// Whether it is compared with what a daemon goes by; else with nothing but defaults.
    pub running: bool,
    /// The new configuration's files.
    pub files: Vec<String>,
    /// Knob by knob.
    pub changes: Changes,
    /// What becomes of the lists.
    pub lists: Compared,
    /// Connections of this host that would fare worse.
    pub peers: Peers,
    /// What the data path and the daemon would do.
    pub effect: Effect,
    /// Warnings about the new configuration.
    pub warnings: Vec<Record>,
}

/// What the data path and the daemon would do.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub struct Effect {
    /// Why new programs would be loaded, and swapped in at once; nothing: those that run go on.
    pub programs: Vec<String>,
    /// Tables that would start empty (`limits.flows`), because their size changes.
    pub emptied: Vec<String>,
    /// Knobs that a reload refuses to change: they need a restart of the daemon.
    pub restart: Vec<String>,
    /// Knobs that take effect when the daemon starts next.
    pub next_start: Vec<String>,
}

/// Tables whose entries are lost when they change their size; the others' are moved, or are made anew in any case.
const EMPTIED: [&str; 6] = [
    "limits.source_buckets",
    "limits.reply_buckets",
    "limits.recent",
    "limits.proven",
    "limits.queries",
    "limits.flows",
];

impl Planned {
    /// `loaded` on `host`, beside what runs.
    pub fn compare(old: Option<&Side>, loaded: &Loaded, host: &Host) -> Result<Self> {
        let (plan, report) = config::fit(loaded, host)?;
        let (before, after) = (old.map_or(&[][..], |old| &old.sources), loaded.sources());
        let (before, after) = (Effective::of(before), Effective::of(after));
        let mut changes = Changes::between(&before.config, &after.config);
        if old.is_none() {
            changes.settings.retain(|setting| setting.path != "schema");
        }
        let nothing = Lists::default();
        let lists = Compared::between(old.map_or(&nothing, |old| &old.plan.lists), &plan.lists);
        Ok(Self {
            schema: 1,
            running: old.is_some(),
            files: after.files,
            lists,
            peers: Peers::look(old.map(|old| &old.plan), &plan),
            effect: Effect::of(old, &loaded.settings, &plan, &changes.settings),
            changes,
            warnings: report.records(),
        })
    }

    /// Whether applying it would change nothing.
    #[must_use]
    pub fn is_nothing(&self) -> bool {
        self.running
            && self.changes.is_empty()
            && !self.lists.any()
            && self.peers.total == 0
            && self.effect == Effect::default()
    }
}

impl Effect {
    fn of(old: Option<&Side>, settings: &Settings, plan: &Plan, changed: &[Setting]) -> Self {
        let changed: BTreeSet<_> = changed.iter().map(|setting| setting.path.as_str()).collect();
        let Some(old) = old else {
            let attached =
                plan.interfaces.iter().map(|interface| format!("interface {} is new", interface.name));
            return Self { programs: attached.collect(), ..Self::default() };
        };
        let those = |knobs: &[&str]| {
            knobs.iter().filter(|knob| changed.contains(*knob)).map(|knob| (*knob).to_owned()).collect()
        };
        let restart = needs_restart(&old.settings, settings).map(str::to_owned).collect();
        Self {
            programs: old.plan.other_programs(plan),
            emptied: those(&EMPTIED),
            restart,
            next_start: those(&["daemon.log"]),
        }
    }
}

/// Knobs that a reload can't change.
pub const FIXED: [&str; 9] = [
    "daemon.pins",
    "daemon.state",
    "daemon.runtime",
    "daemon.group",
    "daemon.admin_group",
    "metrics.listen",
    "metrics.tls_cert",
    "metrics.tls_key",
    "metrics.users_file",
];

/// Those of them that differ.
pub fn needs_restart(old: &Settings, new: &Settings) -> impl Iterator<Item = &'static str> {
    let name = |name: &Option<toml::Spanned<String>>| name.as_ref().map(|name| name.as_ref().clone());
    let path = |path: &Option<toml::Spanned<PathBuf>>| path.as_ref().map(|path| path.as_ref().clone());
    let changed = [
        old.daemon.pins.as_ref() != new.daemon.pins.as_ref(),
        old.daemon.state.as_ref() != new.daemon.state.as_ref(),
        old.daemon.runtime.as_ref() != new.daemon.runtime.as_ref(),
        name(&old.daemon.group) != name(&new.daemon.group),
        name(&old.daemon.admin_group) != name(&new.daemon.admin_group),
        old.metrics.listen.as_ref() != new.metrics.listen.as_ref(),
        path(&old.metrics.tls_cert) != path(&new.metrics.tls_cert),
        path(&old.metrics.tls_key) != path(&new.metrics.tls_key),
        path(&old.metrics.users_file) != path(&new.metrics.users_file),
    ];
    FIXED.into_iter().zip(changed).filter(|(_, changed)| *changed).map(|(knob, _)| knob)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::{
        super::peers::{
            Standing::{Blocked, Management, Unlisted},
            Touched,
        },
        *,
    };
    use crate::config::host::Link;

    fn loaded(lines: &str) -> Loaded {
        let text = format!("schema = 1\n[[interface]]\nname = \"e0\"\n{lines}");
        config::parse(Source { path: "f.toml".to_owned(), text }).unwrap()
    }

    fn host() -> Host {
        let addresses = vec!["192.31.196.1/24".parse().unwrap()];
        let link = Link { index: 2, mtu: 1500, addresses, ..Link::default() };
        Host { links: BTreeMap::from([("e0".to_owned(), link)]), ..Host::default() }
    }

    fn side(lines: &str) -> Side {
        let loaded = loaded(lines);
        let (plan, _) = config::fit(&loaded, &host()).unwrap();
        Side { sources: loaded.sources().to_vec(), settings: loaded.settings, plan }
    }

    fn planned(old: &str, new: &str) -> Planned {
        Planned::compare(Some(&side(old)), &loaded(new), &host()).unwrap()
    }

    #[test]
    fn nothing_changes_where_only_words_do() {
        let old = "[cookie]\nperiod = \"60s\"\n[lists]\nblock = [\"192.31.198.0/24\"]\n";
        assert!(planned(old, &format!("# a remark\n{old}")).is_nothing());
        let rewritten =
            planned(old, &old.replace("192.31.198.0/24", "192.31.198.0/25\", \"192.31.198.128/25"));
        assert!(!rewritten.lists.any() && rewritten.effect.programs.is_empty(), "{rewritten:?}");
    }

    #[test]
    fn each_change_has_its_effect() {
        let base = "[daemon]\nlog = \"info\"\n";
        let restart =
            planned(base, "[metrics]\nlisten = \"off\"\nusers_file = \"/u\"\n[daemon]\nlog = \"debug\"\n");
        assert_eq!(restart.effect.restart, ["metrics.listen", "metrics.users_file"]);
        assert_eq!(restart.effect.next_start, ["daemon.log"]);
        assert_eq!(restart.effect.programs, [""; 0]);
        let tables = planned(base, "[limits]\nflows = 1024\nbans = 2048\n");
        assert_eq!(
            (&tables.effect.emptied[..], &tables.effect.programs[..]),
            (&["limits.flows".to_owned()][..], &["table sizes".to_owned()][..])
        );
        let rule = planned(base, "[[rule]]\nname = \"r\"\nproto = \"gre\"\naction = \"drop\"\n");
        assert!(rule.effect.programs.contains(&"rules".to_owned()), "{:?}", rule.effect);
        assert_eq!(rule.changes.added.len(), 1);
        let enforce = planned(base, "[daemon]\nmode = \"enforce\"\n");
        assert_eq!(enforce.effect.programs, ["constants of e0"]);
        assert_eq!(enforce.warnings.len(), 1, "an empty management list");
        let management = planned(base, "[management]\nallow = [\"192.31.196.9\"]\n");
        assert!(management.effect.programs.contains(&"management prefixes".to_owned()));
    }

    #[test]
    fn without_a_daemon_everything_is_new() {
        let new = loaded("[[service]]\nname = \"web\"\nprofile = \"web\"\n[daemon]\nmode = \"enforce\"\n");
        let planned = Planned::compare(None, &new, &host()).unwrap();
        assert!(!planned.running && !planned.is_nothing());
        let names: Vec<_> = planned.changes.added.iter().map(|item| item.name.as_str()).collect();
        assert_eq!(names, ["e0", "web"]);
        assert_eq!(planned.changes.settings.len(), 1, "{:?}", planned.changes.settings);
        assert_eq!(planned.effect.programs, ["interface e0 is new"]);
    }

    #[test]
    fn peers_that_would_be_blocked_are_named() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let client = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let block = "[lists]\nblock = [\"127.0.0.0/8\"]\n";
        let touched = |old: &str, new: &str| {
            let peers = planned(old, new).peers;
            let ours = |touched: &&Touched| touched.local == client.local_addr().unwrap();
            peers.first.iter().find(ours).map(|touched| (touched.before, touched.after))
        };
        assert_eq!(touched("", block), Some((Unlisted, Blocked)));
        assert_eq!(touched(block, block), None);
        let management = "[management]\nallow = [\"127.0.0.1\"]\n";
        assert_eq!(touched(management, ""), Some((Management, Unlisted)));
        assert_eq!(touched(management, &format!("{block}{management}")), None);
    }
}
