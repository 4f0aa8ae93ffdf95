//! Whatever happens between an apply and its confirmation, the next start knows what to do.

use std::time::Duration;

use super::*;
use crate::config::{Loaded, Source, parse};

fn config(pps: u32) -> Loaded {
    let text = format!("schema = 1\n[[interface]]\nname = \"x{pps}\"\n");
    parse(Source { path: "f.toml".to_owned(), text }).unwrap()
}

fn at(boot: &str, up: u64) -> Moment {
    Moment { boot: boot.to_owned(), up, wall: 1_000_000 + up }
}

fn of(loaded: &Loaded) -> String {
    sum(&texts(loaded))
}

/// A ledger with revision 1 in force.
fn started() -> (tempfile::TempDir, Ledger) {
    let folder = tempfile::tempdir().unwrap();
    let mut ledger = Ledger::open(&folder.path().join("state"));
    assert_eq!(ledger.problem(), None);
    let (loaded, begin) = ledger.begin(config(1), true, &at("a", 1));
    assert_eq!(begin, Begin::File);
    settle(&mut ledger, How::Start, &loaded);
    (folder, ledger)
}

fn settle(ledger: &mut Ledger, how: How, loaded: &Loaded) -> u64 {
    let number = ledger.draft(how, Some(0), "", texts(loaded));
    ledger.settle(number, &of(loaded));
    number
}

/// Revision 2 waits for five minutes from `now` on.
fn pending(ledger: &mut Ledger, now: &Moment) {
    let number = ledger.draft(How::Apply, Some(0), "a try", texts(&config(2)));
    assert_eq!(number, 2);
    let deadline = Deadline::after(now, Duration::from_mins(5));
    let change = |commit: &mut Commit| {
        commit.pending = Some(Pending { revision: number, deadline, probes: Vec::new() });
        commit.active = Some(number);
    };
    ledger.change_for_sure(change).unwrap();
}

fn again(folder: &tempfile::TempDir) -> Ledger {
    Ledger::open(&folder.path().join("state"))
}

#[test]
fn the_same_content_is_one_revision() {
    let (folder, mut ledger) = started();
    assert_eq!(settle(&mut ledger, How::Reload, &config(1)), 1);
    assert_eq!(settle(&mut ledger, How::Reload, &config(2)), 2);
    assert_eq!(settle(&mut ledger, How::Reload, &config(1)), 3);
    let ledger = again(&folder);
    let numbers: Vec<_> = ledger.revisions().map(|revision| (revision.number, revision.how)).collect();
    assert_eq!(numbers, [(1, How::Start), (2, How::Reload), (3, How::Reload)]);
    assert_eq!(ledger.active().map(|active| active.number), Some(3));
}

#[test]
fn a_restart_in_time_goes_on_waiting() {
    let (folder, mut ledger) = started();
    pending(&mut ledger, &at("a", 100));
    drop(ledger);
    let mut ledger = again(&folder);
    let (loaded, begin) = ledger.begin(config(1), false, &at("a", 399));
    assert_eq!((of(&loaded), begin), (of(&config(2)), Begin::Revision(2)));
    assert!(ledger.commit().pending.is_some());
}

#[test]
fn a_restart_too_late_a_boot_and_empty_pins_take_it_back() {
    for (now, fresh) in
        [(at("a", 400), false), (at("b", 110), false), (at("b", 999), true), (at("a", 101), true)]
    {
        let (folder, mut ledger) = started();
        pending(&mut ledger, &at("a", 100));
        drop(ledger);
        let mut ledger = again(&folder);
        // The operator had written the new one into the file.
        let (loaded, begin) = ledger.begin(config(2), fresh, &now);
        assert_eq!((of(&loaded), begin), (of(&config(1)), Begin::Revision(3)), "{now:?}");
        let Commit { pending, reverted, active, confirmed, .. } = ledger.commit().clone();
        assert_eq!((pending, active, confirmed), (None, Some(3), Some(3)));
        assert_eq!(reverted.map(|reverted| reverted.revision), Some(2));
        // The next start still does not take the file that was taken back, but takes a changed one.
        drop(ledger);
        let mut ledger = again(&folder);
        assert_eq!(ledger.begin(config(2), true, &at("c", 5)).1, Begin::Revision(3));
        assert_eq!(ledger.begin(config(4), true, &at("c", 5)).1, Begin::File);
        assert_eq!(ledger.commit().passed_over, None);
    }
}

#[test]
fn a_bounded_number_is_kept_and_never_those_in_use() {
    let (folder, mut ledger) = started();
    let apart = ledger.draft(How::Apply, None, "", texts(&config(2)));
    ledger.change(|commit| commit.active = Some(apart));
    for number in 0..150 {
        let draft = ledger.draft(How::Apply, None, "", texts(&config(10 + number)));
        ledger.change(|commit| commit.active = Some(draft));
    }
    let count = |ledger: &Ledger| ledger.revisions().count();
    assert_eq!(count(&ledger), KEPT);
    assert!(ledger.get(1).is_some(), "the confirmed one stays");
    assert!(ledger.get(apart).is_none());
    assert_eq!(count(&again(&folder)), KEPT);
}

#[test]
fn large_ones_are_bounded_in_bytes() {
    let (_folder, mut ledger) = started();
    for number in 0..40 {
        let text = Source { path: String::new(), text: format!("{number}").repeat(1 << 20) };
        let draft = ledger.draft(How::Apply, None, "", vec![text]);
        ledger.change(|commit| commit.active = Some(draft));
    }
    let bytes: usize = ledger.revisions().map(Revision::bytes).sum();
    assert!(bytes <= KEPT_BYTES && ledger.get(1).is_some(), "{bytes}");
}

#[test]
fn without_its_folder_it_works_in_memory_and_says_so() {
    let parent = tempfile::tempdir().unwrap();
    let file = parent.path().join("file");
    std::fs::write(&file, "").unwrap();
    let mut ledger = Ledger::open(&file);
    assert!(ledger.problem().is_some_and(|problem| problem.contains("file")));
    let (loaded, _) = ledger.begin(config(1), true, &at("a", 1));
    let number = settle(&mut ledger, How::Start, &loaded);
    assert_eq!(ledger.active().map(|active| active.number), Some(number));
    let refused = ledger.change_for_sure(|commit| commit.active = None);
    assert!(refused.is_err() && ledger.commit().active == Some(number));
}

#[test]
fn what_waits_waits_though_a_file_is_damaged() {
    for name in ["commit", "commit-copy"] {
        let (folder, mut ledger) = started();
        pending(&mut ledger, &at("a", 100));
        let before = ledger.commit().clone();
        drop(ledger);
        std::fs::write(folder.path().join("state").join(name), "garbage").unwrap();
        let ledger = again(&folder);
        assert_eq!(ledger.commit(), &before, "{name}");
        assert!(before.pending.is_some());
    }
}

#[test]
fn lost_files_lose_no_more_than_themselves() {
    let (folder, mut ledger) = started();
    pending(&mut ledger, &at("a", 100));
    drop(ledger);
    let path = |name: &str| folder.path().join("state").join(name);
    std::fs::write(path("revision-00000002"), "garbage").unwrap();
    let mut ledger = again(&folder);
    assert_eq!((ledger.quarantined(), ledger.commit().pending.clone()), (1, None));
    assert_eq!(ledger.begin(config(5), false, &at("a", 120)).1, Begin::File);
    drop(ledger);
    for name in ["commit", "commit-copy"] {
        std::fs::write(path(name), "garbage").unwrap();
    }
    let mut ledger = again(&folder);
    assert_eq!(ledger.draft(How::Apply, None, "", texts(&config(9))), 2, "numbers go on after what is left");
}
