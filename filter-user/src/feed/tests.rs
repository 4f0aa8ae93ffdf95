//! Every format, every way in which a feed can be poisoned, from files and over HTTP.

mod combined;
mod formats;
mod sources;

use super::{
    Counts, Fault, Format, Limits, Packed, check,
    entries::{Entries, Ranges},
    format,
};

pub(super) const LIMITS: Limits =
    Limits { bytes: 1 << 20, entries: 10_000, shortest: [8, 20], shrink: 50, cover: 10 };

pub(super) fn read(text: impl AsRef<[u8]>, format: Format) -> Result<(Entries, Format), Fault> {
    format::read(text.as_ref(), format, &LIMITS)
}

/// What a text of a format that is recognised by itself comes to.
pub(super) fn take(text: impl AsRef<[u8]>, before: Option<&Counts>) -> Result<(Packed, Counts), Fault> {
    check::checked(read(text, Format::Auto)?.0, &LIMITS, before, false)
}

/// As prefixes or ranges, for comparison.
pub(super) fn shown(ranges: &Ranges) -> Vec<String> {
    use crate::config::lists::compare::prefixes;
    let v4 = ranges
        .v4
        .iter()
        .map(|(a, b)| prefixes(std::net::Ipv4Addr::from(*a).into(), std::net::Ipv4Addr::from(*b).into()));
    let v6 = ranges
        .v6
        .iter()
        .map(|(a, b)| prefixes(std::net::Ipv6Addr::from(*a).into(), std::net::Ipv6Addr::from(*b).into()));
    v4.chain(v6).collect()
}

pub(super) fn each(range: std::ops::Range<u32>, line: impl Fn(u32) -> String) -> String {
    range.map(line).collect()
}

pub(super) fn lines(count: u32) -> String {
    each(0..count, |i| format!("{}\n", std::net::Ipv4Addr::from(0x2c00_0000 + i * 256)))
}

/// The cases of "half empty", "0.0.0.0/0", "garbage", "wrong charset", once more in one place.
#[test]
fn what_is_poisoned_is_refused_or_cut() {
    let good = take(lines(100), None).unwrap().1;
    let refused = |text: &[u8], words: &str| {
        let fault = take(text, Some(&good)).expect_err(words);
        assert!(fault.is_refusal() && fault.to_string().contains(words), "{fault}");
    };
    refused(lines(49).as_bytes(), "49 entries instead of 100");
    refused(b"", "no entry");
    refused(b"# nothing\n", "no entry");
    refused(b"0.0.0.0/0\n", "no entry");
    refused(b"<!DOCTYPE html>\n<html><body>down for maintenance</body></html>\n", "make no sense");
    refused(&[0xff, 0xfe, b'1', 0, b'.', 0], "UTF-16");
    refused(&[0xfe, 0xff, 0, b'1'], "UTF-16");
    refused(b"\x1f\x8b\x08\x00rest", "compressed");
    refused(b"44.0.0.1\n\x00\x00", "zero bytes");
    refused(b"44.0.0.\xe9\n", "make no sense");
    refused(&vec![b'1'; 100_000], "longer than");
    refused("44.0.0.1\n".repeat(10_001).as_bytes(), "more than 10000 entries");
    refused(&vec![b'\n'; (1 << 20) + 1], "larger than");
    // A /0 in pieces.
    let pieces = each(1..224, |i| format!("{i}.0.0.0/8\n"));
    refused(pieces.as_bytes(), "of the public IPv4");
    let pieces = each(0..201, |i| format!("{:x}::/20\n", 0x2a00 + i * 16));
    assert!(take(&pieces, None).is_ok(), "0.2 % of 2000::/3");
    // What is too wide is left out, and the rest is taken.
    let text =
        format!("{}0.0.0.0/0\n128.0.0.0/1\n::/0\n2000::/3\n64.0.0.0/7\n0.0.0.0-255.255.255.255\n", lines(60));
    let (packed, counts) = take(&text, Some(&good)).unwrap();
    assert_eq!((packed.counts(), counts.wide, counts.first_wide.as_deref()), ([60, 0], 6, Some("0.0.0.0/0")));
    // One of a hundred may be wrong.
    let (_, counts) = take(format!("{}garbage\n", lines(100)), Some(&good)).unwrap();
    assert_eq!(
        (counts.bad, counts.first_bad.unwrap()),
        (1, "line 101: \"garbage\" is no address and no prefix".to_owned())
    );
    refused(format!("{}garbage\nmore\n", lines(100)).as_bytes(), "2 of 102 entries make no sense; line 101");
    // Somebody who insists.
    let entries = read(lines(1), Format::Auto).unwrap().0;
    assert!(check::checked(entries, &LIMITS, Some(&good), true).is_ok());
    // Exactly as many bytes as are taken.
    let mut text = lines(60).into_bytes();
    text.resize(1 << 20, b' ');
    let fault = take(&text, Some(&good)).unwrap_err();
    assert!(fault.to_string().contains("longer than"), "{fault}");
    let mut text = lines(60).into_bytes();
    text.resize(1 << 20, b'\n');
    assert!(take(&text, Some(&good)).is_ok());
}

/// A source without an end is left behind its limit.
#[test]
fn what_never_ends_is_cut_off() {
    struct Endless(u8, u64);
    impl std::io::Read for Endless {
        fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
            buffer.fill(self.0);
            self.1 += buffer.len() as u64;
            Ok(buffer.len())
        }
    }
    for byte in *b"\n 1#{[\"" {
        for name in [
            Format::Auto,
            Format::Plain,
            Format::Spamhaus,
            Format::Ipset,
            Format::Nft,
            Format::Cscli,
            Format::Crowdsec,
        ] {
            let mut source = Endless(byte, 0);
            let read = format::read(&mut source, name, &LIMITS);
            assert!(read.is_err(), "{byte:?} {name:?}: {read:?}");
            assert!(source.1 <= LIMITS.bytes + (1 << 17), "{} bytes", source.1);
        }
    }
}
