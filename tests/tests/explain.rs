//! The rehearsal, `explain` and `replay`: what they say, and that they leave no trace. (That a rehearsal says what the live program then
//! does, every fixture of `verdicts` asserts: see `filter_tests::filter`.)

use std::{collections::BTreeMap, fs, num::NonZeroUsize, os::fd::AsFd as _, path::Path, time::Instant};

use anyhow::{Context as _, Result, ensure};
use aya::maps::{Array, HashMap, LpmTrie, Map, MapData, MapType, PerCpuArray};
use filter_common::{
    abi::{COUNTERS_LEN, Cpu, Plane, Ports8, counter_index, name},
    arm::Arm,
    ban::{Ban, Control},
    bucket::Line,
    cookie::Keys,
    event::Sampler,
    hints::Hints,
    reason::{Action, Reason},
};
use filter_tests::{
    cleanup::Folder,
    config::Config,
    filter::Filter,
    packet::{
        ip,
        tcp::{Segment, flag},
    },
    server::{Kind, listen},
};
use filter_user::{
    config::{self, Host},
    dataplane::{
        self, Plan,
        rehearsal::{Outcome, Rehearsal, Start},
    },
    explain::frame::to_hex,
};
use nix::sys::mman::{MapFlags, ProtFlags, mmap, munmap};

/// Two packets a minute from a source to UDP port 90; a rule; a ban.
fn configuration() -> Config {
    let mut config = Config::default().also(
        "[udp]\nclosed = \"off\"\nreflection = \"off\"\n[[rule]]\nname = \"first\"\nsrc = \"9.9.0.0/16\"\naction = \"pass\"\n\
         observe = true\n[[rule]]\nname = \"no\"\nsrc = \"9.9.9.9\"\naction = \"drop\"",
    );
    config.services.push((
        "limited".to_owned(),
        "ports = [\"udp/90\"]\nrate = { per_source = \"2/m burst 2\" }".to_owned(),
    ));
    config
}

fn udp(source: &str) -> Vec<u8> {
    ip(source, "192.31.196.2").udp(9, 90, b"").bytes()
}

fn plan(filter: &Filter) -> Result<Plan> {
    filter.pair.server.namespace.run(|| {
        let loaded = config::load(&filter.floodwall.config())?;
        Ok(config::fit(&loaded, &Host::read()?)?.0)
    })
}

/// What a candidate would do with these.
fn candidate(filter: &Filter, plan: &Plan, frames: &[Vec<u8>]) -> Result<Vec<Outcome>> {
    filter.pair.server.namespace.run(|| {
        let interface = &plan.interfaces.first().context("an interface")?.name;
        let mut rehearsal = Rehearsal::of_plan(plan, interface, Start::Live)?;
        frames.iter().map(|frame| rehearsal.run(frame)).collect()
    })
}

#[test]
fn a_candidate_is_rehearsed_on_what_the_live_one_knows() -> Result<()> {
    let filter = Filter::new(&configuration())?;
    filter.expect("one of two", &udp("8.8.8.1"), Reason::Pass)?;
    filter.floodwall.succeed("ban add 8.8.8.8 --socket {socket}")?;
    let frames = ["8.8.8.1", "8.8.8.1", "8.8.8.8", "9.9.9.9", "7.7.7.7"].map(udp);
    let reasons = |outcomes: &[Outcome]| outcomes.iter().map(|outcome| outcome.reason).collect::<Vec<_>>();
    let before = filter.floodwall.pinned()?;
    // What the host itself sends is not in it.
    let counters = |dataplane: &dataplane::Dataplane| -> Result<Vec<_>> {
        let counts = filter.pair.server.namespace.run(|| dataplane.counters())?;
        Ok(counts.into_iter().filter(|count| !count.plane.is_sent() && count.packets > 0).collect())
    };
    let counted = counters(&before)?;

    let same = candidate(&filter, &plan(&filter)?, &frames)?;
    let expected = [Reason::Pass, Reason::SourceRate, Reason::Banned, Reason::RuleDrop, Reason::Pass];
    ensure!(reasons(&same) == expected, "{same:#?}");
    ensure!(same[3].rule() == Some(1) && same[3].rules.len() == 2, "{:?}", same[3]);

    let other = configuration().interface("observe = true");
    let other = other.also(
        "[lists]\nblock = [\"7.7.0.0/16\"]\n[limits]\nsource_buckets = 65536\nbans = 4096\n[udp]\nclosed = \"off\"",
    );
    filter.floodwall.configure(&other)?;
    let other = candidate(&filter, &plan(&filter)?, &frames)?;
    let expected = [Reason::Pass, Reason::Pass, Reason::Banned, Reason::Pass, Reason::BlockList];
    ensure!(reasons(&other) == expected, "{other:#?}");
    ensure!(other.iter().all(|outcome| outcome.observed && outcome.action() == Action::Pass), "{other:#?}");

    let now = counters(&before)?;
    ensure!(now == counted, "the live filter has counted: {counted:?} {now:?}");
    for folder in fs::read_dir(filter.floodwall.pins())? {
        ensure!(!folder?.path().join("rehearsal").exists(), "maps of the rehearsal are left");
    }
    filter.expect("nothing was spent", &udp("8.8.8.1"), Reason::Pass)?;
    filter.expect("now it was", &udp("8.8.8.1"), Reason::SourceRate)?;
    Ok(())
}

/// A candidate on a host where nothing has run yet.
#[test]
fn a_first_configuration_is_rehearsed() -> Result<()> {
    let pair = filter_tests::pair::Pair::new(filter_tests::pair::Wire::Cable)?;
    let floodwall = filter_tests::daemon::Floodwall::stopped(&pair.server, &configuration())?;
    let outcome = pair.server.namespace.run(|| -> Result<Outcome> {
        let (plan, _) = config::fit(&config::load(&floodwall.config())?, &Host::read()?)?;
        Rehearsal::of_plan(&plan, &pair.server.device, Start::Live)?.run(&udp("10.0.0.1"))
    })?;
    ensure!(outcome.reason == Reason::Bogon && outcome.action() == Action::Drop, "{outcome:?}");
    ensure!(!floodwall.pins().exists(), "something is left behind");
    Ok(())
}

/// A pcap file of Ethernet frames.
fn pcap<'a>(frames: impl IntoIterator<Item = &'a Vec<u8>>) -> Vec<u8> {
    let mut file = vec![0xd4, 0xc3, 0xb2, 0xa1, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    file.extend([262_144_u32.to_le_bytes(), 1_u32.to_le_bytes()].concat());
    for frame in frames {
        let length = (frame.len() as u32).to_le_bytes();
        file.extend([&[0; 8], length.as_slice(), &length, frame].concat());
    }
    file
}

/// One of ten kinds, from a source of its own.
fn mixed(index: u32) -> Vec<u8> {
    let [_, a, b, c] = (index / 10).to_be_bytes();
    let from = |first: u8| ip(&format!("{first}.{a}.{b}.{c}"), "192.31.196.2");
    let syn = |port| Segment::default().ports(40_000, port).flags(flag::SYN);
    match index % 10 {
        0 => from(10).syn(80).bytes(),
        1 | 2 => from(45).tcp(&syn(80)).bytes(),
        3 => from(46).tcp(&syn(80).flags(flag::ACK)).bytes(),
        4 => from(47).udp(9, 90, b"").bytes(),
        5 => udp("8.8.4.4"),
        6 => from(48).fragment(1480, false).raw(17, &[0; 64]).bytes(),
        7 => from(49).icmp(8, 0, &[0; 32]).bytes(),
        8 => from(9).tcp(&syn(22)).bytes(),
        _ => ip(&format!("2a00:{a:x}:{b:x}:{c:x}::1"), "2620:4f:8000::2").syn(80).bytes(),
    }
}

/// Every value of every live map that packets could change, but for what the host itself sends.
fn dump(folder: &Path) -> Result<BTreeMap<String, Vec<u8>>> {
    let mut all = BTreeMap::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().context("a name")?.to_string_lossy().into_owned();
        if !path.is_dir() && name != "INTERFACES" && name != "SEED" {
            let bytes = dump_one(&path, &name).with_context(|| name.clone())?;
            all.insert(name, bytes);
        }
    }
    Ok(all)
}

fn dump_one(path: &Path, map: &str) -> Result<Vec<u8>> {
    const LINE: usize = size_of::<Line>();
    let data = MapData::from_pin(path)?;
    let (kind, size) = (data.info()?.map_type()?, data.info()?.value_size() as usize);
    if kind == MapType::RingBuf {
        return produced(&data);
    }
    let data = Map::from_map_data(data)?;
    Ok(match (kind, size) {
        (MapType::Array, LINE) => array::<LINE>(data)?,
        (MapType::Array, 8) => array::<8>(data)?,
        (MapType::Array, 16) => array::<16>(data)?,
        (MapType::Array, 128) => array::<128>(data)?,
        (MapType::Array, size) if size == size_of::<Arm>() => array::<{ size_of::<Arm>() }>(data)?,
        (MapType::Array, size) if size == size_of::<Keys>() => array::<{ size_of::<Keys>() }>(data)?,
        (MapType::Array, size) if size == size_of::<Hints>() => array::<{ size_of::<Hints>() }>(data)?,
        (MapType::Array, size) if size == size_of::<Control>() => array::<{ size_of::<Control>() }>(data)?,
        (MapType::Array, size) if size == size_of::<Ports8>() => array::<{ size_of::<Ports8>() }>(data)?,
        (MapType::PerCpuArray, 8) => per_cpu::<8>(data, |_| true)?,
        (MapType::PerCpuArray, 16) if map == name::COUNTERS => {
            let sent = |index| {
                (0..COUNTERS_LEN).step_by(512).any(|block| {
                    (block + counter_index(0, Plane::EgressEnforced, 0)..block + 512).contains(&index)
                })
            };
            per_cpu::<16>(data, |index| !sent(index))?
        }
        (MapType::PerCpuArray, 16) => per_cpu::<16>(data, |_| true)?,
        // Its tick is the clock's, and looks change its scratch.
        (MapType::PerCpuArray, size) if size == size_of::<Cpu>() => {
            let all = per_cpu::<{ size_of::<Cpu>() }>(data, |_| true)?;
            all.chunks(size_of::<Cpu>()).flat_map(|cpu| cpu[16..32].to_vec()).collect()
        }
        (MapType::PerCpuArray, size) if size == size_of::<Sampler>() => {
            per_cpu::<{ size_of::<Sampler>() }>(data, |_| true)?
        }
        (MapType::Hash, 1) => {
            let map: HashMap<_, [u32; 4], u8> = data.try_into()?;
            sorted(map.iter().map(|entry| entry.map(|entry| format!("{entry:?}"))))?
        }
        (MapType::Hash, size) if size == size_of::<Ban>() => {
            let map: HashMap<_, u64, [u8; size_of::<Ban>()]> = data.try_into()?;
            sorted(map.iter().map(|entry| entry.map(|entry| format!("{entry:?}"))))?
        }
        (MapType::LpmTrie, 1) => trie::<1>(data)?,
        (MapType::LpmTrie, 8) => trie::<8>(data)?,
        (MapType::LpmTrie, size) if size == size_of::<Ban>() => trie::<{ size_of::<Ban>() }>(data)?,
        other => anyhow::bail!("a map of another kind: {other:?}"),
    })
}

/// How many bytes a ring was ever given: the first word of its second page (kernel/bpf/ringbuf.c).
fn produced(ring: &MapData) -> Result<Vec<u8>> {
    const PAGE: usize = 4096;
    let length = NonZeroUsize::new(PAGE).context("a page")?;
    let (protection, flags) = (ProtFlags::PROT_READ, MapFlags::MAP_SHARED);
    // SAFETY: a new mapping, of a page that anybody may read.
    let page = unsafe { mmap(None, length, protection, flags, ring.fd().as_fd(), i64::try_from(PAGE)?) }?;
    // SAFETY: it is there, and page-aligned; the kernel may write it meanwhile.
    let position: u64 = unsafe { page.cast().read_volatile() };
    // SAFETY: nobody else knows it.
    unsafe { munmap(page, PAGE) }?;
    Ok(position.to_ne_bytes().to_vec())
}

fn array<const N: usize>(map: Map) -> Result<Vec<u8>> {
    let map: Array<_, [u8; N]> = map.try_into()?;
    Ok(map.iter().collect::<Result<Vec<_>, _>>()?.concat())
}

fn per_cpu<const N: usize>(map: Map, wanted: impl Fn(u32) -> bool) -> Result<Vec<u8>> {
    let map: PerCpuArray<_, [u8; N]> = map.try_into()?;
    let mut all = Vec::new();
    for index in (0..map.len()).filter(|index| wanted(*index)) {
        map.get(&index, 0)?.iter().for_each(|value| all.extend(value));
    }
    Ok(all)
}

fn trie<const N: usize>(map: Map) -> Result<Vec<u8>> {
    let map: LpmTrie<_, [u32; 4], [u8; N]> = map.try_into()?;
    sorted(map.iter().map(|entry| {
        entry.map(|(key, value)| format!("{} {:?} {value:?}", key.prefix_len(), { key.data() }))
    }))
}

fn sorted(lines: impl Iterator<Item = Result<String, aya::maps::MapError>>) -> Result<Vec<u8>> {
    let mut lines = lines.collect::<Result<Vec<_>, _>>()?;
    lines.sort();
    Ok(lines.concat().into_bytes())
}

/// What the live filter's maps hold.
fn live(filter: &Filter) -> Result<BTreeMap<String, Vec<u8>>> {
    for entry in fs::read_dir(filter.floodwall.pins())? {
        let path = entry?.path();
        if path.join("INTERFACES").exists() {
            return dump(&path);
        }
    }
    anyhow::bail!("no maps")
}

const PACKETS: u32 = 100_000;

#[test]
fn a_replay_of_100_000_packets_leaves_no_trace() -> Result<()> {
    let filter = Filter::new(&configuration())?;
    let _web = listen(&filter.pair.server.namespace, 80, Kind::Tcp)?;
    let folder = Folder::files()?;
    let file = folder.path().join("mixed.pcap");
    let frames: Vec<_> = (0..PACKETS).map(mixed).collect();
    fs::write(&file, pcap(&frames))?;
    // The live tables hold something that could be lost.
    filter.expect("one of two", &udp("8.8.4.4"), Reason::Pass)?;
    filter.floodwall.succeed("ban add 49.0.0.0/16 --socket {socket}")?;
    let before = live(&filter)?;
    let start = Instant::now();
    let output = filter.floodwall.succeed(&format!("replay {} --pins {{pins}} --json", file.display()))?;
    let took = start.elapsed();
    let after = live(&filter)?;
    for (name, bytes) in &before {
        ensure!(after.get(name) == Some(bytes), "{name} has changed");
    }
    ensure!(before.len() == after.len() && before.len() > 25, "{} maps", before.len());
    let replay: serde_json::Value = serde_json::from_str(&output)?;
    ensure!(replay["packets"] == PACKETS && replay["schema"] == 1, "{output}");
    let count = |reason: &str| {
        let lines = replay["verdicts"].as_array().into_iter().flatten();
        lines.filter(|line| line["reason"] == reason).filter_map(|line| line["packets"].as_u64()).sum::<u64>()
    };
    let tenth = u64::from(PACKETS / 10);
    ensure!(count("bogon") == tenth && count("banned") == tenth, "{output}");
    ensure!(count("source_rate") == tenth - 1, "one of the two had been spent: {output}");
    ensure!(count("cookie_sent") > 0, "{output}");
    println!("{PACKETS} packets in {took:?}, loading and copying included");
    filter.expect("the second of two", &udp("8.8.4.4"), Reason::Pass)?;
    filter.expect("and no more", &udp("8.8.4.4"), Reason::SourceRate)?;
    Ok(())
}

#[test]
fn a_packet_is_explained() -> Result<()> {
    let filter = Filter::new(&configuration())?;
    filter.floodwall.succeed("ban add 8.8.8.0/24 --socket {socket}")?;
    let explain =
        |line: &str| filter.floodwall.succeed(&format!("explain {line} --pins {{pins}} --socket {{socket}}"));
    let banned = explain("--src 8.8.8.8 --proto udp --dport 90")?;
    for part in [
        "DROP  reason=banned  stage 9 of 20",
        "service limited",
        "8.8.8.0/24",
        "try: floodwall ban del 8.8.8.0/24",
    ] {
        ensure!(banned.contains(part), "{part}: {banned}");
    }
    let json = |line: &str| -> Result<serde_json::Value> {
        Ok(serde_json::from_str(&explain(&format!("{line} --json"))?)?)
    };
    let ruled = json("--src 9.9.9.9 --proto icmp")?;
    ensure!(ruled["reason"] == "rule_drop" && ruled["rule"] == "no" && ruled["stage"] == 11, "{ruled:#}");
    ensure!(ruled["stages"][10]["detail"] == "first counts, or passes it, no acts", "{ruled:#}");
    let fragment = json("--src 7.7.7.7 --vlan 7 --fragment first")?;
    ensure!(fragment["reason"] == "syn_fragmented", "{fragment:#}");
    let passed = json("--src 7.7.7.7 --proto udp --dport 90 --fresh")?;
    ensure!(
        passed["verdict"] == "pass" && passed["stage"].is_null() && passed["service"] == "limited",
        "{passed:#}"
    );
    let frame = to_hex(&udp("10.1.1.1"));
    ensure!(json(&format!("--hex {frame}"))?["reason"] == "bogon", "a frame in digits");
    Ok(())
}

#[test]
fn what_is_observed_passes() -> Result<()> {
    let filter = Filter::new(&configuration().interface("observe = true"))?;
    let told = filter.floodwall.succeed("explain --src 10.1.1.1 --pins {pins} --socket {socket}")?;
    ensure!(told.starts_with("WOULD DROP  reason=bogon") && told.contains("and passes"), "{told}");
    Ok(())
}

#[test]
fn a_candidate_is_compared_on_a_capture() -> Result<()> {
    let filter = Filter::new(&configuration())?;
    let folder = Folder::files()?;
    let (file, other) = (folder.path().join("a.pcap"), folder.path().join("other.toml"));
    let frames = ["7.7.7.7", "7.7.7.8", "6.6.6.6", "10.1.1.1"].map(udp);
    fs::write(&file, pcap(&frames))?;
    let replay = |more: &str| {
        filter.floodwall.cli(&format!("replay {} --pins {{pins}} --json {more}", file.display()))
    };
    let same = replay("--against {config}")?;
    let value: serde_json::Value = serde_json::from_slice(&same.stdout)?;
    ensure!(same.status.code() == Some(0) && value["changed"] == 0 && value["packets"] == 4, "{value:#}");
    let config = configuration().also("[lists]\nblock = [\"7.7.0.0/16\"]\n[udp]\nclosed = \"off\"");
    filter.floodwall.configure(&config)?;
    fs::copy(filter.floodwall.config(), &other)?;
    let changed = replay(&format!("--against {}", other.display()))?;
    let value: serde_json::Value = serde_json::from_slice(&changed.stdout)?;
    ensure!(changed.status.code() == Some(1) && value["changed"] == 2, "{value:#}");
    let change = &value["changes"][0];
    ensure!(change["from"]["reason"] == "pass" && change["to"]["reason"] == "block_list", "{value:#}");
    ensure!(change["first"] == 1 && change["packets"] == 2, "{value:#}");

    let mut cut = pcap(&frames);
    cut.truncate(cut.len() - 30);
    fs::write(&file, cut)?;
    let damaged = replay("--per-packet")?;
    let (lines, said) = (String::from_utf8_lossy(&damaged.stdout), String::from_utf8_lossy(&damaged.stderr));
    ensure!(damaged.status.code() == Some(8) && lines.lines().count() == 3, "{lines} {said}");
    ensure!(said.contains("damaged behind packet 3: the file ends in the middle of a packet"), "{said}");
    Ok(())
}
