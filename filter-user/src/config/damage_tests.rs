//! Damaged configurations: a thousand of them, the same ones at each run.

use std::{
    collections::BTreeMap,
    fs,
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
};

use super::{tests::EXAMPLE, *};

const NUMBER: u64 = 1000;

/// Something of everything.
const RICH: &str = r#"schema = 1
[daemon]
mode = "enforce"
[management]
allow = ["192.31.196.9/32", "2620:4f:8000::/48"]
[lists]
allow = ["192.31.197.1"]
block = [
    "192.31.198.0/24", # a remark
    "192.31.199.0/24",
]
[[interface]]
name = "eth0"
reverse_path = "loose"
[[service]]
name = "web"
profile = "web"
dst = "192.31.196.0/24"
syn = { mode = "auto", on = 20000, off = 5000, hold = "60s" }
rate = { per_source = "50000/s burst 60000" }
[[rule]]
name = "gre"
proto = ["gre", "esp"]
action = "limit"
rate = "10/s burst 20"
per = "rule"
[cookie]
period = "64s"
syn_ack = { total = "1000000/s" }
[limits]
flows = 65536
[protocols]
allow = ["ospf"]
other = "drop"
"#;

/// Main file, then those of `conf.d`.
const SETS: [&[&str]; 4] = [
    &[EXAMPLE],
    &[RICH],
    &[include_str!("../bench/usual.toml")],
    &[
        RICH,
        "[[service]]\nname = \"dns\"\nports = [\"udp/53\"]\nrate = { per_source = \"200/s\" }\n",
        "schema = 1\n[management]\nallow = [\"192.31.196.10\"]\n[lists]\nblock = [\"192.31.195.0/24\"]\n",
        "[[rule]]\nname = \"telnet\"\nproto = \"tcp\"\ndport = \"23\"\naction = \"drop\"\n[metrics]\nlisten = \"off\"\n",
    ],
];

/// Chooses the same with the same seed.
struct Random(fastrand::Rng);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0.usize(..limit.max(1))
    }

    fn of<T: Copy>(&mut self, values: &[T]) -> T {
        values[self.below(values.len())]
    }
}

/// Does one of many bad things to a file.
fn damage(file: &mut Vec<u8>, random: &mut Random) {
    let at = random.below(file.len() + 1);
    let insert = |file: &mut Vec<u8>, what: &[u8]| drop(file.splice(at..at, what.iter().copied()));
    match random.below(16) {
        0 => file.truncate(at),
        1 => (0..=random.below(8)).for_each(|_| {
            let at = random.below(file.len());
            if let Some(byte) = file.get_mut(at) {
                *byte ^= 1 << random.below(8);
            }
        }),
        2 => lines(file, |lines, random| drop(lines.remove(random.below(lines.len()))), random),
        3 => lines(file, |lines, random| lines.push(lines[random.below(lines.len())].clone()), random),
        4 => lines(file, |lines, random| swap(lines, random), random),
        5 => {
            let garbage: Vec<u8> = (0..random.below(200)).map(|_| random.0.u8(..)).collect();
            insert(file, &garbage);
        }
        6 => {
            let open = random.of(&["[", "{a=", "a.", "[[", "[a.", "\"", "'''", "x = [[", "{"]);
            insert(file, open.repeat(random.below(20_000)).as_bytes());
        }
        7 => {
            let deep = 1 + random.below(10_000);
            insert(file, format!("\nx = {}{}\n", "[".repeat(deep), "]".repeat(deep)).as_bytes());
        }
        8 => {
            let path = vec!["a"; 1 + random.below(10_000)].join(".");
            insert(file, format!("\n{path} = 1\n[{path}.b]\n").as_bytes());
        }
        9 => numbers(file, &"9".repeat(1 + random.below(400))),
        10 => {
            insert(file, random.of(&[b"\xff\xfe".as_slice(), b"\xc3", b"\xed\xa0\x80", b"\xf4\x90\x80\x80"]));
        }
        11 => insert(
            file,
            random.of(&[b"\0".as_slice(), b"\0\0\0\0", b"\x1b[31m", b"\r", b"\x7f", b"\xc2\x85"]),
        ),
        12 => insert(file, format!("\n{} = 1\n", "k".repeat(random.below(100_000))).as_bytes()),
        13 => file.extend_from_within(at..),
        14 => file.clear(),
        _ => insert(
            file,
            random.of(&["=", "\n[", "]]", "\"", "{", "#", ",", "-", "1e999", "\\u", "nan"]).as_bytes(),
        ),
    }
}

fn lines(file: &mut Vec<u8>, change: impl Fn(&mut Vec<Vec<u8>>, &mut Random), random: &mut Random) {
    let mut lines: Vec<Vec<u8>> = file.split_inclusive(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect();
    if !lines.is_empty() {
        change(&mut lines, random);
    }
    *file = lines.concat();
}

fn swap(lines: &mut [Vec<u8>], random: &mut Random) {
    let (a, b) = (random.below(lines.len()), random.below(lines.len()));
    lines.swap(a, b);
}

/// The first number becomes another.
fn numbers(file: &mut Vec<u8>, number: &str) {
    let Some(first) = file.windows(2).position(|pair| pair[0] == b' ' && pair[1].is_ascii_digit()) else {
        return;
    };
    let len = file[first + 1..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    file.splice(first + 1..first + 1 + len, number.bytes());
}

/// What `seed` makes of a set, on the disk; the names of its files.
fn write(folder: &Path, seed: u64) -> BTreeMap<String, Vec<u8>> {
    let mut random = Random(fastrand::Rng::with_seed(seed));
    let set = random.of(&SETS);
    let mut files: Vec<Vec<u8>> = set.iter().map(|text| text.as_bytes().to_vec()).collect();
    for _ in 0..=random.below(3) {
        let chosen = random.below(files.len());
        damage(&mut files[chosen], &mut random);
    }
    let _ = fs::remove_dir_all(folder.join("conf.d"));
    fs::create_dir(folder.join("conf.d")).unwrap();
    let path = |number: usize| match number {
        0 => folder.join("f.toml"),
        more => folder.join(format!("conf.d/{more}.toml")),
    };
    let files = files.into_iter().enumerate().map(|(number, bytes)| (path(number), bytes));
    files
        .map(|(path, bytes)| {
            fs::write(&path, &bytes).unwrap();
            (source::shown(&path), bytes)
        })
        .collect()
}

/// What is said of a set that is refused; `true` if it is taken.
fn check(folder: &Path, files: &BTreeMap<String, Vec<u8>>) -> bool {
    match load(&folder.join("f.toml")) {
        Ok(loaded) => {
            accepted(&loaded);
            true
        }
        Err(Error::Invalid(report)) => {
            refused(&report, files);
            false
        }
        Err(error) => panic!("{error}"),
    }
}

fn accepted(loaded: &Loaded) {
    // What it comes to on a host without that interface: an error with a place, no panic.
    if let Err(error) = fit(loaded, &Host::default()) {
        assert!(!error.to_string().is_empty());
    }
    let effective = Effective::of(loaded.sources());
    let text = Effective { origins: BTreeMap::new(), ..effective.clone() }.to_toml();
    let again = parse(Source { path: "again".to_owned(), text }).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(Effective::of(again.sources()).config, effective.config);
}

fn refused(report: &Report, files: &BTreeMap<String, Vec<u8>>) {
    let records = report.records();
    assert!(records.iter().any(|record| record.severity == Severity::Error));
    for record in &records {
        let bytes = files.get(&record.file).unwrap_or_else(|| panic!("no file {}", record.file));
        let lines = bytes.split(|byte| *byte == b'\n').count();
        assert!(record.line <= lines && (record.line == 0) == (record.column == 0), "{record:?}");
        assert!(!record.message.is_empty());
        // About all files: a table that is nowhere. About one: it is empty.
        let whole = record.line == 0 && record.severity == Severity::Error;
        assert!(!whole || bytes.is_empty() || record.message.contains("no interface"), "{record:?}");
    }
    let said = report.render(false);
    assert!(said.len() < 1 << 20, "{} bytes", said.len());
    assert!(!said.contains(['\x1b', '\0']), "{said}");
    for record in records.iter().filter(|record| record.severity == Severity::Error).take(1) {
        let place = format!("{}:{}:{}", record.file, record.line, record.column);
        assert!(record.line == 0 || said.contains(&place), "{place}\n{said}");
    }
}

/// As deep as the parser goes: 79 parts of a key in each of 79 brackets.
#[test]
fn what_is_nested_deepest_is_refused() {
    let key = vec!["a"; 79].join(".");
    let text = format!("{}1{}", format!("{key}={{").repeat(79).trim_end_matches('{'), "}".repeat(78));
    for text in [text.clone(), format!("[{key}]\n{text}\n"), format!("[[service]]\n{text}\n")] {
        let said = parse(Source { path: "f.toml".to_owned(), text }).unwrap_err().to_string();
        assert!(
            said.contains("nested too deeply") && said.contains("f.toml:"),
            "{}",
            &said[..said.len().min(500)]
        );
    }
    let text = format!("schema = 1\n{key}.a.a = 1\n");
    let said = parse(Source { path: "f.toml".to_owned(), text }).unwrap_err().to_string();
    assert!(said.contains("too many parts") && said.contains("f.toml:2:1"), "{said}");
}

#[test]
fn a_thousand_damaged_configurations_are_refused_with_a_place_or_taken() {
    let folder = tempfile::tempdir().unwrap();
    let (mut taken, mut wrong) = (0, Vec::new());
    for seed in 0..NUMBER {
        let files = write(folder.path(), seed);
        match catch_unwind(AssertUnwindSafe(|| check(folder.path(), &files))) {
            Ok(is_taken) => taken += u64::from(is_taken),
            Err(_) => wrong.push(seed),
        }
    }
    assert!(wrong.is_empty(), "seeds {wrong:?}");
    // Most damage is found: what is taken has lost a remark, a line, or got a value that fits.
    eprintln!("{taken} of {NUMBER} are taken");
    assert!(taken > NUMBER / 50 && taken < NUMBER / 2, "{taken} are taken");
}
