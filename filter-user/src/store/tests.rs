//! Files are whole, or put aside and named; nothing that was damaged is ever believed.

use std::{
    fs,
    os::unix::fs::{PermissionsExt as _, symlink},
    path::Path,
};

use fastrand::Rng;
use serde::{Deserialize, Serialize};

use super::*;

const LARGEST: u64 = 4096;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Thing {
    number: u64,
    text: String,
}

fn thing(number: u64) -> Thing {
    Thing { number, text: "schema = 1\n".repeat(20) }
}

fn folder() -> (tempfile::TempDir, Folder) {
    let parent = tempfile::tempdir().unwrap();
    let folder = Folder::open(&parent.path().join("state")).unwrap();
    (parent, folder)
}

#[test]
fn what_is_written_is_read() {
    let (_parent, mut folder) = folder();
    assert_eq!(folder.read::<Thing>("thing", LARGEST).unwrap(), None);
    for number in 0..3 {
        folder.write("thing", &thing(number)).unwrap();
        assert_eq!(folder.read("thing", LARGEST).unwrap(), Some(thing(number)));
    }
    assert_eq!(folder.names().unwrap(), ["thing"]);
    let mode = fs::metadata(folder.path().join("thing")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    folder.remove("thing").unwrap();
    folder.remove("thing").unwrap();
    assert_eq!((folder.read::<Thing>("thing", LARGEST).unwrap(), folder.quarantined()), (None, 0));
}

/// One way of damaging `good`, by `kind`; `other` is a whole file of another name.
fn damage(kind: usize, good: &[u8], other: &[u8], random: &mut Rng) -> Vec<u8> {
    let mut bytes = good.to_vec();
    match kind {
        0 => {
            for _ in 0..=random.usize(..3) {
                let at = random.usize(..bytes.len());
                bytes[at] ^= 1 << random.usize(..8);
            }
        }
        1 => bytes.truncate(random.usize(..bytes.len())),
        2 => bytes.extend((0..=random.usize(..64)).map(|i| i as u8)),
        3 => bytes = (0..random.usize(..600)).map(|_| random.u8(..)).collect(),
        4 => bytes[8..12].copy_from_slice(&((2 + random.usize(..1 << 20)) as u32).to_le_bytes()),
        5 => bytes = other.to_vec(),
        // Two files mixed: head of one, content of the other.
        6 => {
            let at = 1 + random.usize(..good.len() - 1);
            bytes = [&good[..at], &other[at.min(other.len())..]].concat();
        }
        // A hole, as after a crash of a file system without ordered data.
        _ => {
            let from = random.usize(..bytes.len());
            bytes[from..].fill(0);
        }
    }
    bytes
}

#[test]
fn ten_thousand_damaged_files_are_refused() {
    let good = frame::encode("thing", &serde_json::to_vec(&thing(7)).unwrap());
    let another = Thing { number: 8, text: "y".repeat(260) };
    let other = frame::encode("other", &serde_json::to_vec(&another).unwrap());
    let mut random = Rng::with_seed(0x9e37_79b9_7f4a_7c15);
    let mut kinds = std::collections::BTreeMap::<String, u32>::new();
    for number in 0..10_000 {
        let bytes = damage(number % 8, &good, &other, &mut random);
        match frame::decode("thing", &bytes) {
            Ok(content) => assert_eq!(bytes, good, "damage {number} was believed: {content:?}"),
            Err(damage) => {
                let word = format!("{damage:?}");
                *kinds.entry(word.split([' ', '(']).next().unwrap().to_owned()).or_default() += 1;
            }
        }
    }
    for kind in ["Foreign", "Version", "Length", "Checksum"] {
        assert!(kinds.get(kind).is_some_and(|count| *count > 100), "{kind}: {kinds:?}");
    }
    assert!(kinds.values().sum::<u32>() > 9_900, "{kinds:?}");
}

#[test]
fn a_damaged_file_is_put_aside_and_a_bounded_number_is_kept() {
    let (_parent, mut folder) = folder();
    let path = folder.path().join("thing");
    let mut random = Rng::with_seed(99);
    let other = frame::encode("other", b"{}");
    for number in 0..200 {
        folder.write("thing", &thing(number)).unwrap();
        let good = fs::read(&path).unwrap();
        let bytes = damage(number as usize % 8, &good, &other, &mut random);
        fs::write(&path, &bytes).unwrap();
        if bytes != good {
            assert_eq!(folder.read::<Thing>("thing", LARGEST).unwrap(), None);
            assert!(!path.exists());
        }
    }
    let aside = folder.aside().unwrap();
    assert!(folder.quarantined() > 190, "{}", folder.quarantined());
    assert_eq!(aside.len(), 8, "{aside:?}");
    assert!(aside.iter().all(|name| name.starts_with("thing.quarantined-")));
    let last = format!("thing.quarantined-{}", folder.quarantined());
    assert!(aside.contains(&last), "the latest is kept: {aside:?}");
}

/// What a complaint says, and how to deserve it.
type Odd<'a> = (&'a str, &'a dyn Fn(&Path));

#[test]
fn odd_things_are_put_aside_too() {
    let (parent, mut folder) = folder();
    let target = parent.path().join("target");
    fs::write(&target, frame::encode("thing", &serde_json::to_vec(&thing(1)).unwrap())).unwrap();
    let path = folder.path().join("thing");
    let make: [Odd<'_>; 5] = [
        ("symbolic link", &|path| symlink(&target, path).unwrap()),
        ("regular file", &|path| fs::create_dir(path).unwrap()),
        ("larger than", &|path| fs::write(path, vec![7; LARGEST as usize + frame::HEAD + 1]).unwrap()),
        ("makes no sense", &|path| fs::write(path, frame::encode("thing", b"{\"number\":true}")).unwrap()),
        ("regular file", &|path| nix::unistd::mkfifo(path, nix::sys::stat::Mode::S_IRWXU).unwrap()),
    ];
    for (number, (words, make)) in make.into_iter().enumerate() {
        make(&path);
        let told = folder.inspect::<Thing>("thing", LARGEST).unwrap().unwrap_err().to_string();
        assert!(told.contains(words), "{told}");
        assert_eq!(folder.read::<Thing>("thing", LARGEST).unwrap(), None, "{words}");
        assert_eq!(folder.quarantined(), number as u64 + 1);
    }
    folder.write("thing", &thing(3)).unwrap();
    assert_eq!(folder.read("thing", LARGEST).unwrap(), Some(thing(3)));
}

#[test]
fn the_folder_is_ours_alone() {
    let parent = tempfile::tempdir().unwrap();
    let path = parent.path().join("a/state");
    drop(Folder::open(&path).unwrap());
    let mode = || fs::metadata(&path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(), 0o700);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    assert!(Folder::existing(&path).is_err(), "looking changes nothing");
    drop(Folder::open(&path).unwrap());
    assert_eq!(mode(), 0o700);
    let link = parent.path().join("link");
    symlink(&path, &link).unwrap();
    assert!(Folder::open(&link).is_err());
    assert!(Folder::existing(&link).is_err());
    let file = parent.path().join("file");
    fs::write(&file, "").unwrap();
    assert!(Folder::open(&file).is_err());
    assert!(Folder::open(Path::new("relative")).is_err());
    let shared = parent.path().join("shared");
    fs::create_dir(&shared).unwrap();
    fs::set_permissions(&shared, fs::Permissions::from_mode(0o777)).unwrap();
    assert!(Folder::open(&shared.join("state")).is_err(), "others could put another in its place");
}

/// A full disk: the old file stays.
#[test]
fn what_cannot_be_written_leaves_the_old_file() {
    let (_parent, mut folder) = folder();
    folder.write("thing", &thing(1)).unwrap();
    // A folder in the temporary's place that is not empty can neither be removed nor replaced.
    fs::create_dir_all(folder.path().join(".thing.new/x")).unwrap();
    let error = folder.write("thing", &thing(2)).unwrap_err();
    assert!(format!("{error:#}").contains("thing"), "{error:#}");
    assert_eq!(folder.read("thing", LARGEST).unwrap(), Some(thing(1)));
}
