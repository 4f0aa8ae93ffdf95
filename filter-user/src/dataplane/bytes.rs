//! Shared structures as the bytes that the loader writes, and addresses as map keys.
#![expect(unsafe_code, reason = "a byte view of repr(C) structures")]

use std::{net::IpAddr, slice};

use aya::maps::lpm_trie::Key;
use filter_common::{
    config::{Config, Ports, Prefix, Summary},
    list::Listed,
    rules::Rules,
};
use ipnet::IpNet;

/// A `repr(C)` type without padding.
///
/// # Safety
/// Every byte of every value is initialised.
pub(super) unsafe trait Plain {}

// SAFETY: repr(C), and its size is asserted to be the sum of its fields' (filter_common::config).
unsafe impl Plain for Config {}
// SAFETY: repr(C), bytes only.
unsafe impl Plain for Ports {}
// SAFETY: repr(C), words only.
unsafe impl Plain for Summary {}
// SAFETY: repr(C), words only.
unsafe impl Plain for Listed {}
// SAFETY: repr(C), and its size is asserted to be the sum of its fields' (filter_common::rules).
unsafe impl Plain for Rules {}

/// The bytes of a shared structure.
pub(super) fn bytes_of<T: Plain>(value: &T) -> &[u8] {
    // SAFETY: `T` has no padding, so all `size_of::<T>()` bytes are initialised.
    unsafe { slice::from_raw_parts((&raw const *value).cast(), size_of::<T>()) }
}

/// A [`Plain`] type of integers only.
///
/// # Safety
/// Any bytes are a value.
pub(super) unsafe trait FromBytes: Plain {}

// SAFETY: integers and arrays of them (filter_common::config).
unsafe impl FromBytes for Config {}
// SAFETY: as above.
unsafe impl FromBytes for Ports {}
// SAFETY: integers and arrays of them (filter_common::rules).
unsafe impl FromBytes for Rules {}

/// The shared structure that these bytes are, if they are as many as it has.
pub(super) fn from_bytes<T: FromBytes>(bytes: &[u8]) -> Option<Box<T>> {
    if bytes.len() != size_of::<T>() {
        return None;
    }
    let mut value = Box::<T>::new_uninit();
    // SAFETY: both are `size_of::<T>()` bytes long, the box is nobody else's, and any bytes are a value.
    unsafe {
        value.as_mut_ptr().cast::<u8>().copy_from_nonoverlapping(bytes.as_ptr(), bytes.len());
        Some(value.assume_init())
    }
}

/// An address as the data path keeps it: v4-mapped, words as they lie in a packet.
pub(super) fn address_key(address: IpAddr) -> [u32; 4] {
    let octets = match address {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().octets(),
        IpAddr::V6(v6) => v6.octets(),
    };
    let mut words = [0; 4];
    for (word, part) in words.iter_mut().zip(octets.as_chunks().0) {
        *word = u32::from_ne_bytes(*part);
    }
    words
}

/// A prefix as the key of an LPM trie over such addresses.
pub(super) fn prefix_key(prefix: IpNet) -> Key<[u32; 4]> {
    let length = match prefix {
        IpNet::V4(_) => 96 + u32::from(prefix.prefix_len()),
        IpNet::V6(_) => u32::from(prefix.prefix_len()),
    };
    Key::new(length, address_key(prefix.network()))
}

/// The prefix of such a key: a network and a mask.
pub(super) fn prefix(length: u32, network: [u32; 4]) -> Prefix {
    let bits = u128::MAX.checked_shl(128 - length.min(128)).unwrap_or(0);
    let mut mask = [0; 4];
    for (word, part) in mask.iter_mut().zip(bits.to_be_bytes().as_chunks().0) {
        *word = u32::from_ne_bytes(*part);
    }
    Prefix { network, mask }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_lie_as_on_the_wire() {
        let bytes = |text: &str| -> Vec<u8> {
            address_key(text.parse().expect("address")).iter().flat_map(|word| word.to_ne_bytes()).collect()
        };
        assert_eq!(bytes("192.0.9.1"), [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 192, 0, 9, 1]);
        assert_eq!(bytes("2001::5")[..2], [0x20, 1]);
    }

    #[test]
    fn prefixes_count_from_the_mapped_one_on() {
        let key = prefix_key("192.31.196.9/24".parse().expect("prefix"));
        assert_eq!(key.prefix_len(), 120);
        assert_eq!({ key.data() }, address_key("192.31.196.0".parse().expect("address")));
        let whole = prefix(key.prefix_len(), key.data());
        let holds = |text: &str| {
            whole.contains(&filter_common::packet::Address(address_key(text.parse().expect("address"))))
        };
        assert!(holds("192.31.196.9") && !holds("192.31.197.9") && !holds("2001::1"));
        assert_eq!(prefix(0, [0; 4]).mask, [0; 4]);
        assert_eq!(prefix_key("2001::/16".parse().expect("prefix")).prefix_len(), 16);
    }

    #[test]
    fn bytes_follow_the_fields() {
        let config = Config { abi: 1, ..Config::EMPTY };
        assert_eq!(bytes_of(&config)[..4], 1_u32.to_ne_bytes());
        assert_eq!(bytes_of(&config).len(), size_of::<Config>());
        assert_eq!(from_bytes::<Config>(bytes_of(&config)).as_deref(), Some(&config));
        assert_eq!(from_bytes::<Config>(&bytes_of(&config)[1..]), None);
    }
}
