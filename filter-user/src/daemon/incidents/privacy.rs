//! How much of a source's address is kept on the disk.

use std::{
    hash::Hasher as _,
    net::{IpAddr, Ipv6Addr},
    path::Path,
};

use anyhow::Result;
use ipnet::IpNet;
use siphasher::sip::SipHasher24;

use crate::{
    config::schema::Addresses,
    detect::attack::{prefix, reworded},
    store::Folder,
};

/// The key of pseudonyms in `daemon.state`.
pub(in crate::daemon) const KEY: &str = "pseudonym-key";
/// Two numbers in JSON.
const LARGEST: u64 = 100;
/// Pseudonyms are addresses that nobody has: the discard prefix 100::/64 (RFC 6666).
const DISCARD: u128 = 0x0100 << 112;

/// What becomes of a source's address.
#[derive(Clone, Copy, Default)]
pub(in crate::daemon) enum Privacy {
    /// Its /24 or /48 stays.
    #[default]
    Truncated,
    /// All of it stays.
    Full,
    /// A keyed hash stays (SipHash-2-4), the same for the same address as long as the key is the same.
    Pseudonym([u64; 2]),
}

impl Privacy {
    /// As the configuration says; the key is made when it is first needed.
    pub(in crate::daemon) fn new(addresses: Addresses, state: &Path) -> Result<Self> {
        Ok(match addresses {
            Addresses::Truncated => Self::Truncated,
            Addresses::Full => Self::Full,
            Addresses::Pseudonym => Self::Pseudonym(key(state)?),
        })
    }

    /// Pseudonyms that may have been given before, if there still is their key; none is made.
    pub(in crate::daemon) fn of_before(state: &Path) -> Result<Option<Self>> {
        Ok(Folder::existing(state)?.read(KEY, LARGEST)?.map(Self::Pseudonym))
    }

    /// What is kept of an address.
    pub(in crate::daemon) fn address(&self, address: IpAddr) -> IpAddr {
        match self {
            Self::Truncated => prefix(address).addr(),
            Self::Full => address,
            Self::Pseudonym(_) => self.net(address.into()).addr(),
        }
    }

    /// What is kept of a prefix.
    pub(in crate::daemon) fn net(&self, net: IpNet) -> IpNet {
        match self {
            Self::Truncated => {
                let kept = prefix(net.addr());
                if net.prefix_len() <= kept.prefix_len() { net } else { kept }
            }
            Self::Full => net,
            Self::Pseudonym([first, second]) => {
                let mut hasher = SipHasher24::new_with_keys(*first, *second);
                match net.addr() {
                    IpAddr::V4(address) => hasher.write(&address.octets()),
                    IpAddr::V6(address) => hasher.write(&address.octets()),
                }
                hasher.write_u8(net.prefix_len());
                IpAddr::from(Ipv6Addr::from(DISCARD | u128::from(hasher.finish()))).into()
            }
        }
    }

    /// A text, and what is kept of the addresses and prefixes among its words.
    pub(in crate::daemon) fn text(&self, text: &str) -> String {
        reworded(text, |net| Some(self.net(net).to_string()))
    }
}

fn key(state: &Path) -> Result<[u64; 2]> {
    let mut folder = Folder::open(state)?;
    if let Some(key) = folder.read(KEY, LARGEST)? {
        return Ok(key);
    }
    let key = [getrandom::u64()?, getrandom::u64()?];
    folder.write(KEY, &key)?;
    Ok(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn net(text: &str) -> IpNet {
        text.parse().unwrap()
    }

    #[test]
    fn as_much_is_kept_as_is_asked_for() {
        for (privacy, kept) in [
            (Privacy::Truncated, ["192.31.196.0/24", "2620:4f:8000::/48", "10.0.0.0/8"]),
            (Privacy::Full, ["192.31.196.9/32", "2620:4f:8000:1::/64", "10.0.0.0/8"]),
        ] {
            let nets = ["192.31.196.9/32", "2620:4f:8000:1::/64", "10.0.0.0/8"];
            assert_eq!(nets.map(|text| privacy.net(net(text)).to_string()), kept);
            assert_eq!(
                privacy.text("banned 192.31.196.9/32 for 600 s: auto/syn#7"),
                format!("banned {} for 600 s: auto/syn#7", kept[0])
            );
        }
        assert_eq!(Privacy::Truncated.address("192.31.196.9".parse().unwrap()).to_string(), "192.31.196.0");
        assert_eq!(Privacy::Truncated.text("from 2620:4f:8000::1"), "from 2620:4f:8000::/48");
    }

    #[test]
    fn pseudonyms_are_stable_and_keyed() {
        let parent = tempfile::tempdir().unwrap();
        let [one, other] = ["one", "other"].map(|name| parent.path().join(name));
        let named = |state: &Path, text: &str| {
            Privacy::new(Addresses::Pseudonym, state).unwrap().net(net(text)).to_string()
        };
        let first = named(&one, "192.31.196.9/32");
        assert!(first.starts_with("100::") && first.ends_with("/128"), "{first}");
        assert_eq!(named(&one, "192.31.196.9/32"), first, "by the next daemon as well");
        assert_ne!(named(&one, "192.31.196.8/32"), first);
        assert_ne!(named(&one, "192.31.196.0/24"), named(&one, "192.31.196.0/32"));
        assert_ne!(named(&other, "192.31.196.9/32"), first, "another installation");
        let privacy = Privacy::new(Addresses::Pseudonym, &one).unwrap();
        assert_eq!(privacy.address("192.31.196.9".parse().unwrap()).to_string() + "/128", first);
    }
}
