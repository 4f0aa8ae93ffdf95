//! What the verifier has to walk for each configuration: kept in a file, so that a change that costs more is seen.

use std::{collections::BTreeMap, fmt::Write as _, fs, path::PathBuf};

use anyhow::{Context as _, Result, ensure};
use filter_tests::{
    config::Config,
    daemon::Floodwall,
    pair::{Pair, Wire},
};

/// Half of what the kernel allows, whatever it is (linux/bpf.h: `BPF_COMPLEXITY_LIMIT_INSNS`).
const MOST: u32 = 500_000;

fn configurations() -> Vec<(&'static str, Config)> {
    let service = |lines: &str| Config::default().service(&format!("ports = [\"tcp/80\"]\n{lines}"));
    let limited = "rate = { per_source = \"1000/s burst 2000\", per_source_syn = \"100/s burst 500\" }";
    let management = vec!["198.51.100.7/32".to_owned(), "2001:db8:7::/48".to_owned()];
    vec![
        ("off", service("")),
        ("limit", service("syn = { mode = \"limit\" }")),
        ("challenge", service("syn = { mode = \"challenge\" }")),
        ("cookie", service("syn = { mode = \"cookie\" }")),
        ("decode", service("syn = { mode = \"cookie\" }").interface("handover = \"decode\"")),
        // Nothing is pinned there: our program is the same as if there were.
        ("next", service("").interface("next = \"/sys/fs/bpf/nothing-is-pinned-here\"")),
        ("rules", service("").also(RULES)),
        (
            "everything",
            Config {
                management,
                rest: "[stray]\nscope = \"host\"\n[lists]\nblock = [\"44.9.9.9\", \"2a00:9::9\"]".into(),
                ..service(&format!(
                    "syn = {{ mode = \"auto\", data = \"drop\" }}\nprotect = [\"44.1.2.0/24\"]\n{limited}"
                ))
                .interface("profile = \"cloud\"")
            },
        ),
    ]
}

/// Every field and every action.
const RULES: &str = concat!(
    "[[rule]]\nname = \"a\"\naction = \"count\"\nttl = \"1-9\"\nlength = \"40-100\"\nsrc = \"9.0.0.0/8\"\n",
    "[[rule]]\nname = \"b\"\naction = \"pass\"\nproto = \"icmp\"\nicmp_type = \"8\"\n",
    "[[rule]]\nname = \"c\"\naction = \"challenge\"\nproto = \"tcp\"\nflags = \"syn\"\nsport = \"1-9\"\n",
    "[[rule]]\nname = \"d\"\naction = \"limit\"\nrate = \"1000/s\"\nproto = \"udp\"\ndport = \"53\"\n",
    "[[rule]]\nname = \"e\"\naction = \"limit\"\nrate = \"1000/s\"\nper = \"rule\"\ndst = \"9.0.0.0/8\"\n",
    "[[rule]]\nname = \"f\"\naction = \"drop\"\nobserve = true\nfragment = \"any\"\n",
);

fn measured() -> Result<BTreeMap<String, u32>> {
    let mut found = BTreeMap::new();
    for (name, config) in configurations() {
        let pair = Pair::new(Wire::Cable)?;
        let floodwall = Floodwall::start(&pair.server, &config)?;
        let dataplane = floodwall.pinned()?;
        for program in pair.server.namespace.run(|| dataplane.programs())? {
            let count = program.verified_instructions.context("a kernel that tells (5.16)")?;
            found.insert(format!("{name} {}", program.hook), count);
        }
    }
    Ok(found)
}

fn file() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("verified-instructions.txt")
}

fn recorded(text: &str) -> BTreeMap<String, u32> {
    let lines = text.lines().filter_map(|line| line.rsplit_once(' '));
    lines.filter_map(|(name, count)| Some((name.to_owned(), count.parse().ok()?))).collect()
}

/// Linux 6.18.x walks as another 6.18 does, not as a 6.12.
fn kernel() -> Result<String> {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease")?;
    Ok(release.split('.').take(2).collect::<Vec<_>>().join("."))
}

#[test]
fn no_more_than_it_was() -> Result<()> {
    let found = measured()?;
    let title = format!("# verified instructions on Linux {}", kernel()?);
    if std::env::var_os("FLOODWALL_BLESS").is_some() {
        let mut text = format!("{title}\n");
        for (name, count) in &found {
            let _ = writeln!(text, "{name} {count}");
        }
        return Ok(fs::write(file(), text)?);
    }
    for (name, count) in &found {
        ensure!(*count < MOST, "{name}: {count} instructions, at most {MOST}");
    }
    // Built in: elsewhere, as on another kernel in a virtual machine, there are no sources.
    let text = include_str!("../verified-instructions.txt");
    if text.lines().next() != Some(&title) {
        println!("recorded on another kernel, only the limit was checked: {found:?}");
        return Ok(());
    }
    let recorded = recorded(text);
    ensure!(
        recorded.keys().eq(found.keys()),
        "recorded {recorded:?}, found {found:?}: FLOODWALL_BLESS=1 records anew"
    );
    for (name, count) in &found {
        let before = recorded[name];
        ensure!(
            u64::from(*count) * 10 <= u64::from(before) * 11,
            "{name}: {count} instead of {before} instructions; say why in docs/journal, then FLOODWALL_BLESS=1 records it"
        );
    }
    Ok(())
}
