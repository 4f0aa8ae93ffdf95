//! Lists and bans as large as they may be, while packets flow.

use std::{
    collections::HashSet,
    fmt::Write as _,
    fs,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket},
    os::fd::{AsFd as _, AsRawFd as _},
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use aya::maps::MapData;
use fastrand::Rng;
use filter_common::reason::Reason;
use filter_tests::{
    cleanup::Folder,
    config::Config,
    filter::Filter,
    packet::ip,
    pair::{SERVER_V4, SERVER_V6, Wire},
    server::Kind,
    stand::{Stand, wait_for},
};
use nix::sys::signal::Signal;
use socket2::{Domain, Socket, Type};

/// Prefixes of each list.
const V4: usize = 1_000_000;
const V6: usize = 250_000;
/// Sources of each family that send all the time, spread over the address space.
const SOURCES: usize = 32;
const PORT: u16 = 9999;
/// They send from it: an ephemeral one may be that of a reflector.
const FROM: u16 = 40_000;
/// So many packets come back to back, one of each source; then comes a pause.
const ROUND: Duration = Duration::from_millis(2);

/// The sources: even ones IPv4, odd ones IPv6.
fn source(index: usize) -> IpAddr {
    let step = (index / 2) as u16;
    if index.is_multiple_of(2) {
        Ipv4Addr::new(23 + 3 * step as u8, 77, 7, 7).into()
    } else {
        Ipv6Addr::new(0x2a00 + step, 77, 0, 0, 0, 0, 0, 7).into()
    }
}

fn line_v4(random: &mut Rng, taken: &HashSet<u32>) -> Option<String> {
    let length = match random.u64(..100) {
        0..2 => 16 + random.u64(..5),
        2..10 => 21 + random.u64(..3),
        10..40 => 24,
        40..50 => 25 + random.u64(..7),
        _ => 32,
    };
    let address = random.u32(..) & u32::MAX.checked_shl(32 - length as u32).unwrap_or(u32::MAX);
    let free = !taken.contains(&(address >> 16)) && address >> 16 != 0xc01f;
    free.then(|| format!("{}/{length}", Ipv4Addr::from_bits(address)))
}

fn line_v6(random: &mut Rng) -> Option<String> {
    let length = match random.u64(..100) {
        0..20 => 32 + random.u64(..16),
        20..50 => 48,
        50..80 => 64,
        _ => 65 + random.u64(..64),
    };
    let address = random.u128(..);
    let address = address >> 3 | 1 << 125;
    let network = address & u128::MAX.checked_shl(128 - length as u32).unwrap_or(u128::MAX);
    let first = (network >> 96) as u32;
    // The sources' /32s end in 004d, the server's is 2620:4f.
    let free = first & 0xffff != 0x4d && first != 0x2620_004f;
    free.then(|| format!("{}/{length}", Ipv6Addr::from_bits(network)))
}

/// A million random prefixes of IPv4, a quarter of a million of IPv6, and every second source.
fn write_list(path: &Path, seed: u64, blocked: usize) -> Result<()> {
    let taken = (0..2 * SOURCES).filter_map(|index| match source(index) {
        IpAddr::V4(v4) => Some(v4.to_bits() >> 16),
        IpAddr::V6(_) => None,
    });
    let (mut random, taken) = (Rng::with_seed(seed), taken.collect());
    let mut text = String::from("# made by a test\n");
    let mut lines = |count: usize, line: &mut dyn FnMut() -> Option<String>| {
        let mut made = 0;
        while made < count {
            if let Some(line) = line() {
                let _ = writeln!(text, "{line}");
                made += 1;
            }
        }
    };
    lines(V4 - SOURCES / 2, &mut || line_v4(&mut random, &taken));
    lines(V6 - SOURCES / 2, &mut || line_v6(&mut random));
    for index in (0..2 * SOURCES).filter(|index| is_blocked(*index, blocked)) {
        let _ = writeln!(text, "{}", source(index));
    }
    Ok(fs::write(path, text)?)
}

/// Whether the list of that number holds the source: each pair (IPv4, IPv6) is in one of the two.
fn is_blocked(index: usize, list: usize) -> bool {
    index / 2 % 2 == list
}

fn configured(list: &Path) -> Config {
    Config::default().also(&format!("[lists]\nblock_files = [\"{}\"]\n", list.display()))
}

/// Sockets of all sources, on the way to the server.
fn senders() -> Result<Vec<UdpSocket>> {
    let open = |index| -> Result<UdpSocket> {
        let source = source(index);
        let server: IpAddr = if source.is_ipv4() { SERVER_V4.into() } else { SERVER_V6.into() };
        let socket = UdpSocket::bind(SocketAddr::new(source, FROM)).with_context(|| format!("{source}"))?;
        socket.connect(SocketAddr::new(server, PORT))?;
        Ok(socket)
    };
    (0..2 * SOURCES).map(open).collect()
}

/// Sends numbers, one source after the other, until told to stop; returns how many.
fn send(sockets: &[UdpSocket], stop: &AtomicBool, sent: &AtomicU64) -> Result<()> {
    while !stop.load(Relaxed) {
        for socket in sockets {
            socket.send(&sent.fetch_add(1, Relaxed).to_be_bytes()).context("send")?;
        }
        thread::sleep(ROUND);
    }
    Ok(())
}

fn receiver(domain: Domain, address: IpAddr) -> Result<UdpSocket> {
    let socket = Socket::new(domain, Type::DGRAM, None)?;
    nix::sys::socket::setsockopt(&socket, nix::sys::socket::sockopt::RcvBufForce, &(64 << 20))?;
    socket.bind(&SocketAddr::new(address, PORT).into())?;
    let socket = UdpSocket::from(socket);
    socket.set_read_timeout(Some(Duration::from_millis(100)))?;
    Ok(socket)
}

/// The numbers that arrive, until told to stop.
fn receive(socket: &UdpSocket, stop: &AtomicBool, last: &AtomicU64) -> Vec<u64> {
    let (mut numbers, mut buffer) = (Vec::new(), [0; 8]);
    while !stop.load(Relaxed) {
        if socket.recv(&mut buffer).is_ok() {
            let number = u64::from_be_bytes(buffer);
            // Which list judged it, for whoever waits for the swap.
            last.store(judged_by(number, true) as u64, Relaxed);
            numbers.push(number);
        }
    }
    numbers
}

/// Which list a packet was judged by.
fn judged_by(number: u64, passed: bool) -> usize {
    let blocked = is_blocked(number as usize % (2 * SOURCES), 0);
    usize::from(blocked == passed)
}

/// Kernel memory of the map pinned there.
fn memory(floodwall: &filter_tests::daemon::Floodwall, name: &str) -> Result<u64> {
    let folders = fs::read_dir(floodwall.pins())?.filter_map(Result::ok).map(|entry| entry.path());
    let pin: PathBuf =
        folders.map(|folder| folder.join(name)).find(|path| path.exists()).context("no pin")?;
    let map = MapData::from_pin(&pin)?;
    let info = fs::read_to_string(format!("/proc/self/fdinfo/{}", map.fd().as_fd().as_raw_fd()))?;
    let line = info.lines().find_map(|line| line.strip_prefix("memlock:")).context("no memlock")?;
    Ok(line.trim().parse()?)
}

/// Two lists, each of 1,000,000 and 250,000 prefixes, swapped while packets of 64 sources flow: each packet is judged by
/// one list, and there is one moment at which the other begins.
#[test]
fn a_million_prefixes_are_swapped_at_once() -> Result<()> {
    let folder = Folder::files()?;
    let lists = [folder.path().join("first"), folder.path().join("second")];
    for (number, list) in lists.iter().enumerate() {
        write_list(list, 77 + number as u64, number)?;
    }
    let mut stand = Stand::with(&Config::default(), Wire::Veth, Kind::Tcp)?;
    for index in 0..2 * SOURCES {
        stand.pair.add_client(source(index))?;
    }
    let bare = stand.floodwall.scrape()?.sum("process_resident_memory_bytes", &[]);
    stand.floodwall.end(Signal::SIGTERM)?;
    stand.floodwall.configure(&configured(&lists[0]))?;
    eprintln!("ready after {:?}", stand.floodwall.run()?);
    let server = &stand.pair.server.namespace;
    let receivers = server.run(|| -> Result<_> {
        Ok([receiver(Domain::IPV4, SERVER_V4.into())?, receiver(Domain::IPV6, SERVER_V6.into())?])
    })?;
    let senders = stand.pair.client.namespace.run(senders)?;
    let (stop, silence) = (AtomicBool::new(false), AtomicBool::new(false));
    let (sent, last) = (AtomicU64::new(0), [AtomicU64::new(9), AtomicU64::new(9)]);
    let (numbers, swaps) = thread::scope(|scope| -> Result<_> {
        let heard: Vec<_> = receivers
            .iter()
            .zip(&last)
            .map(|(socket, last)| scope.spawn(|| receive(socket, &silence, last)))
            .collect();
        let sending = scope.spawn(|| send(&senders, &stop, &sent));
        let swapped = (|| -> Result<_> {
            let judges = |list| move |last: &AtomicU64| last.load(Relaxed) == list as u64;
            let mut swaps = Vec::new();
            for list in [0, 1, 0] {
                stand.floodwall.configure(&configured(&lists[list]))?;
                let start = Instant::now();
                if !last.iter().all(judges(list)) {
                    stand.floodwall.signal(Signal::SIGHUP)?;
                }
                wait_for("the other list", Duration::from_secs(20), || Ok(last.iter().all(judges(list))))?;
                swaps.push(start.elapsed());
                thread::sleep(Duration::from_millis(300));
            }
            Ok(swaps)
        })();
        stop.store(true, Relaxed);
        let sending = sending.join().expect("the sender does not panic");
        thread::sleep(Duration::from_millis(300));
        silence.store(true, Relaxed);
        let numbers: Vec<u64> =
            heard.into_iter().flat_map(|heard| heard.join().expect("receivers don't panic")).collect();
        sending.and(swapped).map(|swaps| (numbers, swaps))
    })?;
    let sent = sent.load(Relaxed);
    let passed: HashSet<u64> = numbers.into_iter().collect();
    let judges: Vec<usize> = (0..sent).map(|number| judged_by(number, passed.contains(&number))).collect();
    let changes: Vec<usize> = (1..judges.len()).filter(|at| judges[*at] != judges[at - 1]).collect();
    eprintln!(
        "{sent} packets, the other list began at {changes:?}; from SIGHUP to the swap {:?}",
        &swaps[1..]
    );
    let metrics = stand.floodwall.scrape()?;
    for map in ["LIST_RECORDS", "LIST_PAGES", "LIST_NODES"] {
        eprintln!("{map} {} KiB", memory(&stand.floodwall, map)? / 1024);
    }
    let daemon = metrics.sum("process_resident_memory_bytes", &[]);
    eprintln!("the daemon has {:.0} MiB, without lists {:.0}", daemon / 1_048_576.0, bare / 1_048_576.0);
    for line in stand.floodwall.said().lines().filter(|line| line.contains("lists:")) {
        eprintln!("{line}");
    }
    if changes.len() != 2 {
        for reason in Reason::ALL {
            eprintln!("{} {}", reason.label(), stand.floodwall.packets(*reason)?);
        }
    }
    ensure!(sent > 10_000 && changes.len() == 2, "{sent} packets, judged by another list at {changes:?}");
    let given = |family| metrics.sum("floodwall_list_prefixes", &["list=\"block\"", family]);
    ensure!(given("family=\"ipv4\"") > 999_000.0 && given("family=\"ipv6\"") > 249_000.0, "counted");
    // A restarted daemon finds the same lists in the programs that run, and other lists not.
    let program = |stand: &Stand| -> Result<_> {
        let dataplane = stand.floodwall.pinned()?;
        Ok(stand.pair.server.namespace.run(|| dataplane.interfaces())?.pop().context("none")?.xdp_program)
    };
    let before = program(&stand)?;
    stand.floodwall.end(Signal::SIGKILL)?;
    stand.floodwall.run()?;
    ensure!(program(&stand)? == before, "the same lists are adopted");
    stand.floodwall.end(Signal::SIGKILL)?;
    fs::write(&lists[0], "44.9.9.9\n")?;
    stand.floodwall.run()?;
    ensure!(program(&stand)? != before, "other lists are loaded");
    Ok(())
}

const BANS: u32 = 1_000_000;

fn banned(index: u32) -> Ipv4Addr {
    Ipv4Addr::from_bits(0x2c00_0000 + index)
}

fn frame(source: &str) -> Vec<u8> {
    ip(source, "192.31.196.2").syn(9999).bytes()
}

/// A million bans; the next is refused, counted, and told; one that ends makes room.
#[test]
fn a_million_bans_end_to_the_second() -> Result<()> {
    let limit = format!("[limits]\nbans = {BANS}\n");
    let mut filter = Filter::new(&Config::default().also(&limit))?;
    let folder = Folder::files()?;
    let file = folder.path().join("bans");
    let text = (0..BANS).fold(String::new(), |mut text, index| {
        let _ = writeln!(text, "{}", banned(index));
        text
    });
    fs::write(&file, text)?;
    let start = Instant::now();
    let add = format!("ban add --file {} --ttl forever --socket {{socket}}", file.display());
    let said = filter.floodwall.succeed(&add)?;
    let took = start.elapsed();
    ensure!(took < Duration::from_secs(10), "100,000 a second at least: {took:?}");
    eprintln!("{BANS} bans added in {took:?}: {}", said.trim());
    eprintln!("BANS {} KiB", memory(&filter.floodwall, "BANS")? / 1024);
    for index in [0, 1, BANS / 2, BANS - 1] {
        filter.expect("banned", &frame(&banned(index).to_string()), Reason::Banned)?;
    }
    filter.expect("not banned", &frame(&banned(BANS).to_string()), Reason::Pass)?;

    let one_more = filter.floodwall.cli("ban add 8.8.8.8 --socket {socket}")?;
    let said = String::from_utf8_lossy(&one_more.stderr).into_owned();
    ensure!(
        one_more.status.code() == Some(1) && said.contains("limits.bans"),
        "{:?} {said}",
        one_more.status
    );
    eprintln!("number {}: {}", BANS + 1, said.trim());
    filter.expect("refused", &frame("8.8.8.8"), Reason::Pass)?;
    let refused = filter.floodwall.scrape()?.sum("floodwall_bans_refused_total", &[]);
    ensure!(refused.total_cmp(&1.0).is_eq(), "{refused} refused");

    // One that is there may be banned anew when the table is full.
    let (short, start) = (banned(7), Instant::now());
    filter.floodwall.succeed(&format!("ban add {short} --ttl 3s --socket {{socket}}"))?;
    let made = start.elapsed();
    let short = frame(&short.to_string());
    filter.expect("it holds", &short, Reason::Banned)?;
    while filter.run(&short)?.action == filter_tests::filter::XDP_DROP {
        ensure!(start.elapsed() < Duration::from_secs(5), "it never ends");
        thread::sleep(Duration::from_millis(1));
    }
    let ended = start.elapsed();
    eprintln!("a ban of 3 s, made within {made:?}, ended after {ended:?}");
    let (least, most) = (Duration::from_millis(2980), made + Duration::from_millis(3200));
    ensure!((least..most).contains(&ended), "{ended:?}");
    // The sweep lets at most one full turn pass before it looks again.
    thread::sleep(Duration::from_millis(2100));
    filter.floodwall.succeed("ban add 8.8.8.8 --socket {socket}")?;
    filter.expect("there is room", &frame("8.8.8.8"), Reason::Banned)?;

    let start = Instant::now();
    let mut count = 0;
    filter.floodwall.pinned()?.each_ban(|_| {
        count += 1;
        true
    })?;
    eprintln!("{count} bans read in {:?}", start.elapsed());
    ensure!(count == BANS, "{count} bans");
    filter.floodwall.end(Signal::SIGKILL)?;
    eprintln!("the next daemon is ready after {:?}", filter.floodwall.run()?);
    let entries = |filter: &Filter| -> Result<f64> {
        Ok(filter.floodwall.scrape()?.sum("floodwall_ban_entries", &["kind=\"source\""]))
    };
    let found = entries(&filter)?;
    ensure!(found.total_cmp(&f64::from(BANS)).is_eq(), "{found} entries");

    // A boot empties the kernel's tables; what the daemon has kept fills them.
    filter.floodwall.succeed("ban del 8.8.8.8 --socket {socket}")?;
    let start = Instant::now();
    filter.floodwall.end(Signal::SIGTERM)?;
    eprintln!("the daemon has ended after {:?}", start.elapsed());
    let kept = fs::metadata(filter.floodwall.state().join("bans"))?.len();
    filter.floodwall.succeed("detach --pins {pins}")?;
    let ready = filter.floodwall.run()?;
    eprintln!(
        "after a boot it is ready with {} bans after {ready:?}; the file has {kept} bytes",
        entries(&filter)?
    );
    eprintln!("RSS {} KiB", filter.floodwall.memory()? / 1024);
    let found = entries(&filter)?;
    ensure!(found.total_cmp(&f64::from(BANS - 1)).is_eq(), "{found} entries");
    Ok(())
}
