//! `floodwall explain`

use std::{
    fmt::Write as _,
    net::IpAddr,
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use anyhow::{Context as _, Result, anyhow, bail};
use hyper::Method;
use ipnet::IpNet;

use super::{
    PinsArg, client,
    events::{EndArgs, FilterArgs, follow},
    failure::{Failure, Kind},
    output::Output,
    status::not_loaded,
    times::time,
};
use crate::{
    config::{Host, lists::file},
    daemon::{events::Line, feeds::Lines},
    dataplane::rehearsal::{Rehearsal, SHORTEST, Start},
    explain::{
        self,
        capture::{Capture, Skipped},
        frame::{Description, Flags, Fragment, Transport, of_hex},
        names::Names,
        sampled::{Was, received},
    },
};

const EXAMPLES: &str = "\
The attached program itself judges the packet, on copies of its tables: nothing is spent, nothing counted.
Sockets and routes are this host's as they are now; so is the time.

Examples:
  floodwall explain --src 198.51.100.7 --dst 203.0.113.10 --proto tcp --dport 443 --flags S
  floodwall explain --src 2001:db8::7 --proto udp --sport 53 --dport 40000 --len 1200
  floodwall explain --src 198.51.100.7 --proto icmp --icmp 8
  floodwall explain --last 198.51.100.7 --wait 1m
  floodwall explain --pcap attack.pcap --packet 17
  floodwall explain --hex \"$(xxd -p frame.bin)\" --json";

/// `floodwall explain`
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Source address
    #[arg(long, value_name = "ADDRESS", required_unless_present_any = ["hex", "pcap", "last"])]
    src: Option<IpAddr>,
    /// Destination address; the interface's own unless told otherwise
    #[arg(long, value_name = "ADDRESS", requires = "src")]
    dst: Option<IpAddr>,
    /// tcp, udp, icmp (ICMPv6 between IPv6 addresses), or a protocol's number
    #[arg(long, value_name = "PROTOCOL", default_value = "tcp", value_parser = protocol)]
    proto: Protocol,
    /// Source port
    #[arg(long, value_name = "PORT", default_value_t = 40_000)]
    sport: u16,
    /// Destination port
    #[arg(long, value_name = "PORT", default_value_t = 80)]
    dport: u16,
    /// TCP flags: letters of FSRPAUEC, or none
    #[arg(long, value_name = "LETTERS", default_value = "S")]
    flags: Flags,
    /// ICMP type, and code
    #[arg(long, value_name = "TYPE[/CODE]", default_value = "8/0", value_parser = icmp)]
    icmp: [u8; 2],
    /// TTL or hop limit
    #[arg(long, default_value_t = 57)]
    ttl: u8,
    /// Bytes of the IP packet; as many as its headers have unless told otherwise
    #[arg(long, value_name = "BYTES")]
    len: Option<u16>,
    /// A VLAN tag; twice: an outer and an inner one
    #[arg(long, value_name = "ID", value_parser = clap::value_parser!(u16).range(..4096))]
    vlan: Vec<u16>,
    /// Make it a fragment
    #[arg(long, value_name = "PART", value_enum)]
    fragment: Option<Fragment>,
    /// A frame in hexadecimal digits, from the Ethernet header on
    #[arg(long, value_name = "DIGITS", value_parser = of_hex, conflicts_with_all = ["src", "pcap"])]
    hex: Option<Hex>,
    /// A packet of this capture (pcap or pcapng)
    #[arg(long, value_name = "FILE", conflicts_with = "src")]
    pcap: Option<PathBuf>,
    /// Which one of it, as Wireshark counts
    #[arg(long, value_name = "NUMBER", default_value_t = 1, requires = "pcap")]
    packet: u64,
    /// The last sampled drop of this source, as it would be judged now
    #[arg(long, value_name = "ADDRESS|PREFIX", value_parser = file::prefix, conflicts_with_all = ["src", "hex", "pcap"])]
    last: Option<IpNet>,
    /// With --last: if none is remembered wait for one, so long
    #[arg(long, value_name = "TIME", value_parser = time, requires = "last")]
    wait: Option<Duration>,
    #[command(flatten)]
    subject: SubjectArgs,
}

/// The bytes of a frame. (clap takes a plain `Vec` for an option that is given several times.)
type Hex = Vec<u8>;

/// Which program is asked.
#[derive(Debug, clap::Args)]
pub struct SubjectArgs {
    /// The interface that packets come in on; the first with a filter unless told otherwise
    #[arg(short, long, value_name = "NAME")]
    pub interface: Option<String>,
    /// Start with empty tables: no source has sent anything yet, nothing is armed
    #[arg(long)]
    pub fresh: bool,
    /// Whose filter
    #[command(flatten)]
    pub pins: PinsArg,
}

impl SubjectArgs {
    /// The attached program on tables of its own.
    pub fn attached(&self) -> Result<Rehearsal> {
        self.attached_to(self.interface.as_deref())
    }

    /// The program of that interface, or of the first.
    fn attached_to(&self, interface: Option<&str>) -> Result<Rehearsal> {
        let pins = &self.pins.pins;
        Rehearsal::of_attached(pins, interface, self.start()).map_err(|error| not_loaded(error, pins))
    }

    /// What tables hold at first.
    #[must_use]
    pub const fn start(&self) -> Start {
        if self.fresh { Start::Empty } else { Start::Live }
    }
}

/// A protocol by its name or number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Protocol {
    Tcp,
    Udp,
    Icmp,
    Other(u8),
}

fn protocol(text: &str) -> Result<Protocol, String> {
    match text.to_ascii_lowercase().as_str() {
        "tcp" | "6" => Ok(Protocol::Tcp),
        "udp" | "17" => Ok(Protocol::Udp),
        "icmp" | "icmpv6" | "1" | "58" => Ok(Protocol::Icmp),
        number => number.parse().map(Protocol::Other).map_err(|_| "tcp, udp, icmp or 0 to 255".to_owned()),
    }
}

fn icmp(text: &str) -> Result<[u8; 2], String> {
    let (kind, code) = text.split_once('/').unwrap_or((text, "0"));
    let number = |text: &str| text.parse().map_err(|_| "a type, or TYPE/CODE".to_owned());
    Ok([number(kind)?, number(code)?])
}

/// Judges one packet. Code 0, whatever becomes of it.
pub fn run(args: &Args, socket: &Path, out: Output) -> Result<ExitCode> {
    let last = args.last.map(|source| last_drop(source, args.wait, socket)).transpose()?;
    let mut rehearsal = match &last {
        Some(line) if args.subject.interface.is_none() => args.subject.attached_to(Some(&line.interface))?,
        _ => args.subject.attached()?,
    };
    let frame = match &last {
        Some(line) => received(line.number, line)?.frame.map_err(|why| anyhow!(why.label()))?,
        None => frame(args, rehearsal.interface())?,
    };
    let mut told = explain::explain(&mut rehearsal, &frame, &Names::of_daemon(socket))?;
    told.was = last.as_ref().map(Was::new);
    if told.reason == filter_common::reason::Reason::Banned.label() {
        add_bans(args, &frame, &mut told)?;
    }
    if told.reason == filter_common::reason::Reason::BlockList.label() {
        add_feeds(socket, &frame, &mut told);
    }
    out.print(&told, |told| told.text(out.color))?;
    Ok(ExitCode::SUCCESS)
}

fn frame(args: &Args, interface: &str) -> Result<Vec<u8>> {
    let usage = |message: String| Failure::new(Kind::Usage, message, "floodwall explain --help");
    if let Some(frame) = &args.hex {
        if frame.len() < SHORTEST {
            return Err(usage(format!("{} bytes: less than an Ethernet header", frame.len())).into());
        }
        return Ok(frame.clone());
    }
    if let Some(path) = &args.pcap {
        return captured(path, args.packet);
    }
    let source = args.src.ok_or_else(|| usage("no --src".to_owned()))?;
    let destination = match args.dst {
        Some(destination) => destination,
        None => own_address(interface, source).ok_or_else(|| {
            usage(format!("{interface} has no address of that family: name the destination with --dst"))
        })?,
    };
    let ports = [args.sport, args.dport];
    let description = Description {
        source,
        destination,
        transport: match args.proto {
            Protocol::Tcp => Transport::Tcp(ports, args.flags),
            Protocol::Udp => Transport::Udp(ports),
            Protocol::Icmp => Transport::Icmp(args.icmp),
            Protocol::Other(number) => Transport::Other(number),
        },
        ttl: args.ttl,
        length: args.len,
        tags: args.vlan.clone(),
        fragment: args.fragment,
    };
    Ok(description.frame().map_err(usage)?)
}

/// The last drop that the daemon remembers, or the next one.
fn last_drop(source: IpNet, wait: Option<Duration>, socket: &Path) -> Result<Line> {
    let path = format!("/v1/events/last?source={source}");
    let found = client::call(socket, Method::GET, &path);
    let (Err(_), Some(wait)) = (&found, wait) else { return found };
    let mut last = None;
    follow(socket, &FilterArgs::drops_of(source), EndArgs::after(wait), true, |lines| {
        last = lines.last().cloned();
        Ok(last.is_none())
    })?;
    last.map_or(found, Ok)
}

/// A packet of a capture; those before it are not run.
fn captured(path: &Path, number: u64) -> Result<Vec<u8>> {
    let (shown, mut last) = (path.display(), 0);
    for captured in Capture::open(path)? {
        let captured = captured.with_context(|| shown.to_string())?;
        last = captured.number;
        if last == number {
            let skipped = |why: Skipped| anyhow!("{shown}: packet {number} is one of those {}", why.label());
            return captured.frame.map_err(skipped);
        }
    }
    bail!("{shown} has {last} packets, and so no packet {number}")
}

fn own_address(interface: &str, like: IpAddr) -> Option<IpAddr> {
    let host = Host::read().ok()?;
    let mut addresses = host.links.get(interface)?.addresses.iter().map(IpNet::addr);
    addresses.find(|address| address.is_ipv4() == like.is_ipv4() && !is_link_local(*address))
}

fn is_link_local(address: IpAddr) -> bool {
    matches!(address, IpAddr::V6(v6) if v6.is_unicast_link_local())
}

/// Which bans hold the source, and how to end them.
fn add_bans(args: &Args, frame: &[u8], told: &mut explain::Explanation) -> Result<()> {
    let Some(packet) = explain::packet::read(frame) else { return Ok(()) };
    let dataplane = super::status::open(&args.subject.pins.pins)?;
    let bans = dataplane.bans_holding(explain::packet::address(&packet.source))?;
    let mut detail = String::new();
    for banned in &bans {
        let _ = write!(detail, "{}{}", if detail.is_empty() { "" } else { ", " }, banned.prefix);
    }
    told.remedies.splice(..1, bans.iter().map(|banned| format!("floodwall ban del {}", banned.prefix)));
    if let Some(step) = told.stage.and_then(|number| told.stages.get_mut(number - 1)) {
        step.detail = detail;
    }
    Ok(())
}

/// Which feeds hold the source, and how to learn more; without a daemon nobody knows.
fn add_feeds(socket: &Path, frame: &[u8], told: &mut explain::Explanation) {
    let Some(packet) = explain::packet::read(frame) else { return };
    let address = explain::packet::address(&packet.source);
    let Ok(found) = client::call::<Lines>(socket, Method::GET, &format!("/v1/feeds?address={address}"))
    else {
        return;
    };
    let feeds: Vec<_> = found.feeds.iter().filter(|feed| feed.in_force).map(|feed| &*feed.name).collect();
    let Some(step) = told.stage.and_then(|number| told.stages.get_mut(number - 1)) else { return };
    step.detail = if feeds.is_empty() { "[lists]".to_owned() } else { format!("feed {}", feeds.join(", ")) };
    let more = feeds.iter().map(|name| format!("floodwall feed show {name} {address}"));
    told.remedies.splice(..0, more);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn protocols_and_types_are_read() {
        assert_eq!((protocol("TCP"), protocol("47")), (Ok(Protocol::Tcp), Ok(Protocol::Other(47))));
        assert!(protocol("gre").is_err() && protocol("256").is_err());
        assert_eq!((icmp("3"), icmp("3/4")), (Ok([3, 0]), Ok([3, 4])));
        assert!(icmp("").is_err() && icmp("3/").is_err() && icmp("300").is_err());
    }
}
