//! `floodwall init`

use std::{
    collections::BTreeSet,
    fmt::Write as _,
    fs::{self, OpenOptions},
    io::Write as _,
    net::IpAddr,
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
    process::ExitCode,
};

use anyhow::Context as _;
use serde::Serialize;

use super::{
    ConfigArg,
    failure::{Failure, Kind},
    output::Output,
    ssh,
};
use crate::{
    config::{self, Host, Source, value::Protocol},
    guard::{Found, peers},
};

const EXAMPLES: &str = "\
Examples:
  floodwall init --stdout      look at it first
  floodwall init               then: floodwall config check, floodwall run

It begins in observe mode: everything passes and is counted as it would have been. Look at it for a day
(floodwall status, floodwall watch), then: floodwall apply --mode enforce --confirm 5m";

/// Services that have a profile, with its ports.
const KNOWN: [(&str, &[(Protocol, u16)]); 4] = [
    ("web", &[(Protocol::Tcp, 80), (Protocol::Tcp, 443), (Protocol::Udp, 443)]),
    ("dns", &[(Protocol::Udp, 53), (Protocol::Tcp, 53)]),
    (
        "mail",
        &[
            (Protocol::Tcp, 25),
            (Protocol::Tcp, 465),
            (Protocol::Tcp, 587),
            (Protocol::Tcp, 143),
            (Protocol::Tcp, 993),
            (Protocol::Tcp, 110),
            (Protocol::Tcp, 995),
        ],
    ),
    ("router", &[(Protocol::Tcp, 179), (Protocol::Udp, 3784), (Protocol::Udp, 3785), (Protocol::Udp, 4784)]),
];
/// Who may look, if there is such a group.
const GROUP: &str = "floodwall";
/// Others that are written down, each with its limits: more are nobody's services.
const MOST: usize = 40;
/// Clients of DHCP and mDNS listen, too, and are no services.
const NO_SERVICE: [(Protocol, u16); 3] = [(Protocol::Udp, 68), (Protocol::Udp, 546), (Protocol::Udp, 5353)];

/// `floodwall init`
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    #[command(flatten)]
    config: ConfigArg,
    /// The interface to protect; may be given several times [default: those with a default route]
    #[arg(long, value_name = "NAME")]
    interface: Vec<String>,
    /// Print it, write nothing
    #[arg(long, visible_alias = "dry-run", short_alias = 'n')]
    stdout: bool,
    /// Overwrite a file that is there
    #[arg(long)]
    force: bool,
}

#[derive(Serialize)]
struct Report {
    schema: u32,
    file: String,
    written: bool,
    text: String,
}

/// What is known about this host.
struct Facts {
    interfaces: Vec<(String, bool)>,
    management: Option<IpAddr>,
    listening: BTreeSet<(Protocol, u16)>,
    /// The package has made [`GROUP`].
    group: bool,
}

/// Writes a first configuration for this host.
pub fn run(args: &Args, out: Output) -> anyhow::Result<ExitCode> {
    let path = &args.config.config;
    let text = text(&facts(args)?);
    let shown = config::source::shown(path);
    config::parse(Source { path: shown.clone(), text: text.clone() })?;
    if !args.stdout {
        write(path, &text, args.force)?;
    }
    let report = Report { schema: 1, file: shown, written: !args.stdout, text };
    out.print(&report, |report| {
        if !report.written {
            return report.text.clone();
        }
        let next = "next: look through it, then floodwall config check; floodwall run";
        format!("{} is written, in observe mode: nothing is dropped.\n{next}", report.file)
    })?;
    Ok(ExitCode::SUCCESS)
}

fn facts(args: &Args) -> anyhow::Result<Facts> {
    let host = Host::read()?;
    let connection = ssh::connection();
    let found = Found::near(connection.as_deref());
    let mut names: BTreeSet<String> = args.interface.iter().cloned().collect();
    if names.is_empty() {
        names = found.uplinks;
    }
    if let Some(name) = names.iter().find(|name| !host.links.contains_key(*name)) {
        let hint = format!("known here: {}", host.links.keys().cloned().collect::<Vec<_>>().join(", "));
        return Err(Failure::new(Kind::Failed, format!("there is no interface {name}"), hint).into());
    }
    if names.is_empty() {
        let hint = "name the interface that faces the Internet: --interface NAME";
        return Err(Failure::new(Kind::Failed, "no interface has a default route", hint).into());
    }
    // A host with private addresses only sits behind something that translates: private sources are normal there.
    let is_private = |name: &String| {
        let addresses = host.links.get(name).into_iter().flat_map(|link| &link.addresses);
        let mut v4 = addresses.filter_map(|net| match net.addr() {
            IpAddr::V4(v4) => Some(v4.is_private() || v4.is_link_local()),
            IpAddr::V6(_) => None,
        });
        v4.clone().next().is_some() && v4.all(|private| private)
    };
    let interfaces = names.into_iter().map(|name| (name.clone(), is_private(&name))).collect();
    let management = found.caller.map(|caller| caller.peer.ip());
    let group = nix::unistd::Group::from_name(GROUP).ok().flatten().is_some();
    Ok(Facts { interfaces, management, listening: peers::listening(), group })
}

fn text(facts: &Facts) -> String {
    let mut text = String::from(
        "# Written by floodwall init. All knobs: docs/config.md.\nschema = 1\n\n[daemon]\n\
         mode = \"observe\" # counts what would be dropped; \"enforce\" drops\n",
    );
    if facts.group {
        let _ = writeln!(text, "group = {GROUP:?} # its members may look: floodwall status");
    }
    text.push_str("\n[management]\n");
    let _ = match facts.management {
        Some(address) => {
            writeln!(text, "# where you were logged in from; add your other ways in\nallow = [\"{address}\"]")
        }
        None => {
            writeln!(text, "# add the addresses that you log in from: nothing locks them out\nallow = []")
        }
    };
    for (name, private) in &facts.interfaces {
        let _ = writeln!(text, "\n[[interface]]\nname = {name:?}");
        let why = "its addresses are private, so private sources are normal";
        let _ = if *private {
            writeln!(text, "profile = \"lan\" # {why}; in a cloud: \"cloud\"")
        } else {
            writeln!(text, "profile = \"internet\"")
        };
    }
    services(&facts.listening, &mut text);
    text
}

fn services(listening: &BTreeSet<(Protocol, u16)>, text: &mut String) {
    let mut rest: BTreeSet<_> = listening.iter().copied().filter(|port| !NO_SERVICE.contains(port)).collect();
    for (name, ports) in KNOWN {
        let open: Vec<_> = ports.iter().filter(|port| rest.remove(port)).copied().collect();
        if open.is_empty() {
            continue;
        }
        let open: Vec<_> = open.into_iter().map(shown).collect();
        let _ = writeln!(
            text,
            "\n[[service]]\nname = \"{name}\"\nprofile = \"{name}\"\nports = [{}]",
            open.join(", ")
        );
    }
    let left_out = rest.len().saturating_sub(MOST);
    for port in rest.into_iter().take(MOST) {
        let (protocol, number) = port;
        let _ = write!(
            text,
            "\n[[service]]\nname = \"{}-{number}\"\nports = [{}]\n",
            protocol.label(),
            shown(port)
        );
        if protocol == Protocol::Tcp {
            text.push_str("syn = { mode = \"auto\" }\n");
        }
    }
    if left_out > 0 {
        let _ = writeln!(text, "\n# {left_out} more ports are open");
    }
}

fn shown((protocol, port): (Protocol, u16)) -> String {
    format!("\"{}/{port}\"", protocol.label())
}

fn write(path: &Path, text: &str, force: bool) -> anyhow::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).with_context(|| format!("create {}", folder.display()))?;
    }
    let mut options = OpenOptions::new();
    options.write(true).mode(0o640);
    let file = if force { options.create(true).truncate(true) } else { options.create_new(true) }.open(path);
    match file {
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
            let message = format!("{} is there already", path.display());
            Err(Failure::new(Kind::GuardRail, message, "--force overwrites it, --stdout only shows").into())
        }
        file => {
            let mut file = file.with_context(|| format!("write {}", path.display()))?;
            file.write_all(text.as_bytes()).with_context(|| format!("write {}", path.display()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts() -> Facts {
        use Protocol::{Tcp, Udp};
        let listening = [(Tcp, 22), (Tcp, 80), (Tcp, 443), (Udp, 53), (Tcp, 8080), (Udp, 68), (Udp, 51820)];
        Facts {
            interfaces: vec![("eth0".to_owned(), false), ("eth1".to_owned(), true)],
            management: Some("192.31.196.1".parse().unwrap()),
            listening: listening.into(),
            group: false,
        }
    }

    #[test]
    fn what_is_written_is_valid_and_drops_nothing() {
        let text = text(&facts());
        let loaded = config::parse(Source { path: "f.toml".to_owned(), text: text.clone() });
        let loaded = loaded.unwrap_or_else(|error| panic!("{error}\n{text}"));
        assert_eq!(*loaded.settings.daemon.mode.as_ref(), config::Mode::Observe);
        let names: Vec<_> =
            loaded.settings.service.iter().map(|service| service.name.as_ref().as_str()).collect();
        assert_eq!(names, ["web", "dns", "tcp-22", "tcp-8080", "udp-51820"]);
        assert!(text.contains("allow = [\"192.31.196.1\"]") && text.contains("profile = \"lan\""));
    }

    #[test]
    fn a_host_with_many_ports_still_fits() {
        let listening = (1000..2000).map(|port| (Protocol::Tcp, port)).collect();
        let text = text(&Facts { listening, management: None, ..facts() });
        assert!(config::parse(Source { path: String::new(), text: text.clone() }).is_ok());
        assert!(text.contains("# 960 more ports are open"));
    }

    #[test]
    fn nothing_is_overwritten_unasked() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("etc/floodwall.toml");
        write(&path, "one", false).unwrap();
        let error = write(&path, "two", false).unwrap_err();
        assert_eq!(error.downcast_ref::<Failure>().unwrap().kind, Kind::GuardRail);
        write(&path, "two", true).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "two");
    }
}
