//! Which devices the configured interfaces come to.

use std::{collections::HashMap, ops::Range};

use filter_common::config::Config;

use super::{
    super::{
        diagnostic::{Diagnostic, Problems},
        host::Host,
        rule::suggest,
        schema::{INTERFACES, Interface, Settings},
    },
    interface,
};
use crate::dataplane::{InterfacePlan, Stack};

/// A plan for each device that is there, and the names of interfaces that are not.
pub(super) fn interfaces(
    settings: &Settings,
    host: &Host,
    base: &Config,
    problems: &mut Problems,
) -> (Vec<InterfacePlan>, Vec<String>) {
    let all = settings.interface.iter().map(|interface| (interface, host.carriers(interface.name.as_ref())));
    let (there, absent): (Vec<_>, Vec<_>) = all.partition(|(_, carriers)| !carriers.is_empty());
    for (interface, _) in &absent {
        problems.push(missing(interface, host, there.is_empty()));
    }
    let (mut plans, mut owners) = (Vec::new(), HashMap::new());
    for (settled, carriers) in &there {
        stacked(settled, carriers, host, problems);
        for carrier in carriers {
            let Some(link) = host.links.get(*carrier) else { continue };
            if twice(carrier, settled, &mut owners, problems) {
                continue;
            }
            plans.push(interface(settled, (carrier, link), settings, host, base, problems));
        }
    }
    if plans.len() > INTERFACES {
        let message = format!("the interfaces come to {} devices, at most {INTERFACES}", plans.len());
        problems.push(Diagnostic::error(None, message).hint("protect fewer of them"));
    }
    (plans, absent.into_iter().map(|(interface, _)| interface.name.as_ref().clone()).collect())
}

/// An error if nothing is there: a filter on no interface protects nobody.
fn missing(interface: &Interface, host: &Host, all: bool) -> Diagnostic {
    let name = interface.name.as_ref();
    let message = match host.links.get(name) {
        Some(_) => format!("the bond {name:?} has no devices"),
        None => format!("no interface {name:?} on this host"),
    };
    let names: Vec<_> = host.links.keys().map(String::as_str).collect();
    let hint = suggest(name, &names);
    if all {
        return Diagnostic::error(interface.name.span(), message).hint(hint);
    }
    let warning = Diagnostic::warning(interface.name.span(), message);
    warning.label("the filter is attached when it appears").hint(hint)
}

/// Says where the filter really goes.
fn stacked(interface: &Interface, carriers: &[&str], host: &Host, problems: &mut Problems) {
    let name = interface.name.as_ref();
    if carriers == [name.as_str()] {
        return;
    }
    let is_bond = host.links.get(name).is_some_and(|link| link.stack == Stack::Bond);
    let (what, which) = if is_bond {
        ("a bond", "each of its devices")
    } else {
        ("a VLAN device", "the device below it, for all that is on that one")
    };
    let devices = carriers.join(", ");
    let warning =
        Diagnostic::warning(interface.name.span(), format!("{name} is {what}: filtered on {devices}"));
    problems.push(
        warning.label(format!("XDP runs on {which}")).hint("counters and metrics have the devices' names"),
    );
}

/// Complains about a device that an earlier interface has come to.
fn twice<'a>(
    carrier: &'a str,
    interface: &Interface,
    owners: &mut HashMap<&'a str, Range<usize>>,
    problems: &mut Problems,
) -> bool {
    let Some(first) = owners.insert(carrier, interface.name.span()) else { return false };
    let message = format!("{:?} comes to the device {carrier}, as another one does", interface.name.as_ref());
    let error =
        Diagnostic::error(interface.name.span(), message).label("again here").other(first, "first here");
    problems.push(error.hint(format!("write one [[interface]] with name = {carrier:?}")));
    true
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, sync::Arc};

    use super::*;
    use crate::config::{Severity, Source, host::Link, parse};

    fn host() -> Host {
        let link = |index, stack, below: &[&str]| Link {
            index,
            mtu: 1500,
            stack,
            below: below.iter().map(|name| (*name).to_owned()).collect(),
            ..Link::default()
        };
        let mut links = BTreeMap::from(
            [
                ("eth0", link(2, Stack::Plain, &[])),
                ("eth1", link(3, Stack::Plain, &[])),
                ("bond0", link(4, Stack::Bond, &["eth0", "eth1"])),
                ("bond0.5", link(5, Stack::Vlan, &["bond0"])),
                ("empty", link(6, Stack::Bond, &[])),
                ("far.6", link(7, Stack::Vlan, &[])),
                ("loop", link(8, Stack::Vlan, &["loop"])),
            ]
            .map(|(name, link)| (name.to_owned(), link)),
        );
        links.get_mut("bond0.5").unwrap().addresses = vec!["10.0.0.2/24".parse().unwrap()];
        Host { links, ..Host::default() }
    }

    /// Devices, absent ones, and what is said about it.
    fn planned(names: &[&str]) -> (Vec<String>, Vec<String>, Vec<String>) {
        let tables: String =
            names.iter().flat_map(|name| ["[[interface]]\nname = \"", name, "\"\n"]).collect();
        let source = Source { path: "f.toml".to_owned(), text: format!("schema = 1\n{tables}") };
        let settings = parse(source).unwrap().settings;
        let mut problems = Problems::default();
        let plan = super::super::plan(&settings, &host(), Arc::default(), &mut problems);
        let said = problems.into_sorted().into_iter();
        let said = said.map(|d| {
            let error = if d.severity == Severity::Error { "error: " } else { "" };
            format!("{error}{}", d.message)
        });
        let (devices, absent) = plan.map_or_else(Default::default, |plan| {
            (plan.interfaces.into_iter().map(|interface| interface.name).collect(), plan.absent)
        });
        (devices, absent, said.collect())
    }

    #[test]
    fn stacked_devices_come_to_those_below() {
        let (devices, _, said) = planned(&["bond0.5"]);
        assert_eq!(devices, ["eth0", "eth1"]);
        assert_eq!(said, ["bond0.5 is a VLAN device: filtered on eth0, eth1"]);
        let (devices, _, said) = planned(&["bond0"]);
        assert_eq!((devices.len(), &said[0][..]), (2, "bond0 is a bond: filtered on eth0, eth1"));
        assert_eq!(planned(&["far.6"]).0, ["far.6"], "what is below is in another namespace");
        assert_eq!(planned(&["loop"]).0, ["loop"], "nonsense ends");
    }

    #[test]
    fn networks_above_are_connected_below() {
        let text = "schema = 1\n[[interface]]\nname = \"bond0.5\"\n".to_owned();
        let settings = parse(Source { path: "f.toml".to_owned(), text }).unwrap().settings;
        let plan = super::super::plan(&settings, &host(), Arc::default(), &mut Problems::default()).unwrap();
        assert!(plan.interfaces.iter().all(|interface| interface.config.connected_len == 1));
    }

    #[test]
    fn absent_interfaces_are_awaited_unless_all_are() {
        let (devices, absent, said) = planned(&["eth0", "eth7", "empty"]);
        assert_eq!((devices, absent), (vec!["eth0".to_owned()], vec!["eth7".to_owned(), "empty".to_owned()]));
        assert_eq!(said, ["no interface \"eth7\" on this host", "the bond \"empty\" has no devices"]);
        let (devices, _, said) = planned(&["eth7"]);
        assert!(devices.is_empty());
        assert_eq!(said, ["error: no interface \"eth7\" on this host"]);
    }

    #[test]
    fn one_device_has_one_owner() {
        let (_, _, said) = planned(&["eth0", "bond0"]);
        assert!(
            said.iter().any(|d| d == "error: \"bond0\" comes to the device eth0, as another one does"),
            "{said:?}"
        );
    }
}
