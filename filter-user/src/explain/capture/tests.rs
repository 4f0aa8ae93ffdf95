//! Files as tcpdump and Wireshark write them, and as nobody should.

use proptest::{collection::vec, prelude::*};

use super::*;

fn pcap(link: u32, packets: &[(&[u8], u32)]) -> Vec<u8> {
    let mut file = vec![0xd4, 0xc3, 0xb2, 0xa1, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    file.extend([65_535_u32.to_le_bytes(), link.to_le_bytes()].concat());
    for (bytes, length) in packets {
        file.extend([0; 8]);
        file.extend([(bytes.len() as u32).to_le_bytes(), length.to_le_bytes()].concat());
        file.extend(*bytes);
    }
    file
}

fn block(kind: u32, body: &[u8]) -> Vec<u8> {
    let mut body = body.to_vec();
    body.resize(body.len().next_multiple_of(4), 0);
    let length = (body.len() as u32 + 12).to_be_bytes();
    [kind.to_be_bytes().as_slice(), &length, &body, &length].concat()
}

/// Big-endian: a section, an Ethernet interface, a packet of each kind, and a block that nobody knows.
fn pcapng(frame: &[u8]) -> Vec<u8> {
    let mut section = 0x1a2b_3c4d_u32.to_be_bytes().to_vec();
    section.extend([0, 1, 0, 0]);
    section.extend([0xff; 8]);
    let length = (frame.len() as u32).to_be_bytes();
    let enhanced = [&[0; 12], length.as_slice(), &length, frame].concat();
    [
        block(0x0a0d_0d0a, &section),
        block(1, &[0, 1, 0, 0, 0, 0, 0, 0]),
        block(6, &enhanced),
        block(0xbad, b"what"),
        block(3, &[&length, frame].concat()),
    ]
    .concat()
}

fn read(file: &[u8]) -> Vec<Result<Captured, Damaged>> {
    match Capture::new(file) {
        Ok(capture) => capture.collect(),
        Err(damaged) => vec![Err(damaged)],
    }
}

fn frames(file: &[u8]) -> Vec<Result<Vec<u8>, Skipped>> {
    read(file).into_iter().map(|captured| captured.unwrap().frame).collect()
}

#[test]
fn both_formats_are_read() {
    let frame = [7; 60];
    let all = read(&pcap(1, &[(&frame, 60), (&frame, 60)]));
    assert_eq!(all[1], Ok(Captured { number: 2, frame: Ok(frame.to_vec()), cut: false }));
    assert_eq!(frames(&pcapng(&frame)), [Ok(frame.to_vec()), Ok(frame.to_vec())]);
    let twice = [pcapng(&frame), pcapng(&frame)].concat();
    assert_eq!(frames(&twice).len(), 4, "sections may follow each other");
}

#[test]
fn what_was_cut_is_filled_up_and_told() {
    let all = read(&pcap(1, &[(&[7; 20], 1000)]));
    let Ok(Captured { frame: Ok(frame), cut: true, .. }) = &all[0] else { panic!("{all:?}") };
    assert_eq!((frame.len(), frame[19], frame[20]), (1000, 7, 0));
    let all = read(&pcap(1, &[(&[7; 20], u32::MAX)]));
    assert!(matches!(&all[0], Ok(Captured { frame: Ok(frame), .. }) if frame.len() == LONGEST), "bounded");
}

#[test]
fn other_links_become_ethernet() {
    let mut cooked = vec![0, 0, 0, 1, 0, 6, 9, 9, 9, 9, 9, 9, 0, 0, 0x08, 0x00];
    cooked.extend([0x45; 20]);
    let expected = [&[2, 0, 0, 0, 0, 2, 9, 9, 9, 9, 9, 9, 8, 0], [0x45; 20].as_slice()].concat();
    assert_eq!(frames(&pcap(113, &[(&cooked, 36)])), [Ok(expected)]);
    cooked[1] = 4;
    assert_eq!(frames(&pcap(113, &[(&cooked, 36)])), [Err(Skipped::Outgoing)]);
    let mut cooked = vec![0x86, 0xdd, 0, 0, 0, 0, 0, 2, 0, 1, 0, 6, 9, 9, 9, 9, 9, 9, 0, 0];
    cooked.extend([0x60; 40]);
    let expected = [&[2, 0, 0, 0, 0, 2, 9, 9, 9, 9, 9, 9, 0x86, 0xdd], [0x60; 40].as_slice()].concat();
    assert_eq!(frames(&pcap(276, &[(&cooked, 60)])), [Ok(expected)]);
    for (link, first, ethertype) in [(101, 0x45, [8, 0]), (12, 0x60, [0x86, 0xdd]), (229, 0, [0x86, 0xdd])] {
        let all = frames(&pcap(link, &[(&[first; 20], 20)]));
        assert_eq!(all[0].as_ref().unwrap()[12..14], ethertype);
    }
    assert_eq!(frames(&pcap(105, &[(&[0; 60], 60)])), [Err(Skipped::LinkType)]);
    assert_eq!(frames(&pcap(1, &[(&[0; 13], 13)])), [Err(Skipped::Short)]);
    assert_eq!(frames(&pcap(113, &[(&[0; 13], 13)])), [Err(Skipped::Short)]);
}

#[test]
fn damage_is_told_with_the_packet_before_it() {
    let damaged = |file: &[u8]| read(file).pop().unwrap().unwrap_err();
    assert_eq!(damaged(b"").why, "an empty file");
    assert_eq!(damaged(b"GIF89a").why, "neither pcap nor pcapng");
    let whole = pcap(1, &[(&[7; 60], 60), (&[7; 60], 60)]);
    let found = damaged(&whole[..whole.len() - 1]);
    assert_eq!((found.behind, found.why.as_str()), (1, "the file ends in the middle of a packet"));
    let mut huge = pcap(1, &[(&[7; 60], 60)]);
    huge[32..36].copy_from_slice(&u32::MAX.to_le_bytes());
    assert!(damaged(&huge).to_string().contains("behind packet 0: a packet of 4294967295 bytes"));
    let mut ng = pcapng(&[7; 60]);
    let end = ng.len() - 4;
    ng[end] = 9;
    assert_eq!(damaged(&ng).behind, 1);
}

proptest! {
    #[test]
    fn no_file_is_a_panic(bytes in vec(any::<u8>(), 0..400)) {
        let _ = read(&bytes);
    }

    #[test]
    fn nor_is_a_damaged_one(at in 0_usize..300, byte: u8, length in 0_usize..300, ng: bool) {
        let mut file = if ng { pcapng(&[7; 60]) } else { pcap(113, &[(&[7; 60], 60), (&[7; 60], 90)]) };
        if let Some(place) = file.get_mut(at) {
            *place = byte;
        }
        file.truncate(length);
        prop_assert!(read(&file).len() <= 40);
    }
}
