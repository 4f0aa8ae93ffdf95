//! Lists of prefixes with a word for each: whose it is, one bit for each owner.

use ipnet::IpNet;

/// What an LPM trie says of any address.
pub(super) struct Words {
    /// Prefixes and the words of the addresses for which they are the longest.
    pub(super) prefixes: Vec<(IpNet, u64)>,
    /// Addresses in no prefix.
    pub(super) elsewhere: u64,
}

/// Puts together owners (a bit each) and the prefixes that they are confined to; no prefix at all means everywhere.
pub(super) fn words(owners: &[(u64, &[IpNet])]) -> Words {
    let elsewhere =
        owners.iter().filter(|(_, prefixes)| prefixes.is_empty()).fold(0, |word, (bit, _)| word | bit);
    let mut all: Vec<IpNet> = owners.iter().flat_map(|(_, prefixes)| prefixes.iter().copied()).collect();
    // IPv4 lies in ::ffff:0:0/96 of the trie, where a wider IPv6 prefix would be found for it.
    if all.iter().any(|prefix| matches!(prefix, IpNet::V6(v6) if v6.contains(&mapped_v4()))) {
        all.push(IpNet::V4(ipnet::Ipv4Net::default()));
    }
    all.sort_unstable();
    all.dedup();
    let word = |prefix: &IpNet| {
        let holding = owners.iter().filter(|(_, own)| own.iter().any(|own| own.contains(prefix)));
        holding.fold(elsewhere, |word, (bit, _)| word | bit)
    };
    Words { prefixes: all.iter().map(|prefix| (*prefix, word(prefix))).collect(), elsewhere }
}

/// Where the data path keeps IPv4 addresses.
fn mapped_v4() -> ipnet::Ipv6Net {
    ipnet::Ipv6Net::new_assert(std::net::Ipv4Addr::UNSPECIFIED.to_ipv6_mapped(), 96)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nets(list: &[&str]) -> Vec<IpNet> {
        list.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn nested_prefixes_belong_to_all_that_hold_them() {
        let (wide, narrow) = (nets(&["9.0.0.0/8", "2620::/16"]), nets(&["9.9.0.0/16"]));
        let lists = words(&[(1, &wide), (2, &narrow), (4, &[])]);
        assert_eq!(lists.elsewhere, 4);
        let found: Vec<_> = lists.prefixes.iter().map(|(prefix, word)| (prefix.to_string(), *word)).collect();
        let wanted = [("9.0.0.0/8", 5), ("9.9.0.0/16", 7), ("2620::/16", 5)];
        assert_eq!(found, wanted.map(|(prefix, word)| (prefix.to_owned(), word)));
    }

    #[test]
    fn all_of_ipv6_is_not_ipv4() {
        let lists = words(&[(1, &nets(&["::/0"])), (2, &[])]);
        let v4 = lists.prefixes.iter().find(|(prefix, _)| matches!(prefix, IpNet::V4(_))).unwrap();
        assert_eq!((v4.0.prefix_len(), v4.1), (0, 2));
    }
}
