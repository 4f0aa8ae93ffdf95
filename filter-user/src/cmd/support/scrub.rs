//! What a bundle leaves out: addresses beyond their network, and values that look like secrets.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use serde_json::Value;

/// Cuts every address in every text down to its /24 or /48.
pub(super) fn addresses(value: &mut Value) {
    match value {
        Value::String(text) => *text = cut_all(text),
        Value::Array(all) => all.iter_mut().for_each(addresses),
        Value::Object(all) => all.values_mut().for_each(addresses),
        _ => {}
    }
}

fn cut_all(text: &str) -> String {
    let is_part = |c: char| c.is_ascii_hexdigit() || c == '.' || c == ':';
    let (mut cut, mut rest) = (String::with_capacity(text.len()), text);
    while let Some(start) = rest.find(is_part) {
        let (before, from) = rest.split_at(start);
        let (word, after) = from.split_at(from.find(|c| !is_part(c)).unwrap_or(from.len()));
        cut += before;
        // The middle of an ordinary word is none.
        let inside = before.ends_with(|c: char| c.is_alphanumeric() || c == '_');
        cut += &if inside { word.to_owned() } else { cut_word(word) };
        rest = after;
    }
    cut + rest
}

/// An address, with a port or the end of a sentence behind it; anything else stays.
fn cut_word(word: &str) -> String {
    let trimmed = word.trim_end_matches(['.', ':']);
    let candidates = [Some(word), Some(trimmed), trimmed.rsplit_once(':').map(|(address, _)| address)];
    let found = candidates.into_iter().flatten().find_map(|text| Some((text, text.parse::<IpAddr>().ok()?)));
    found
        .map_or_else(|| word.to_owned(), |(text, address)| format!("{}{}", cut(address), &word[text.len()..]))
}

fn cut(address: IpAddr) -> IpAddr {
    match address {
        address if address.is_loopback() || address.is_unspecified() => address,
        IpAddr::V4(v4) => Ipv4Addr::from_bits(v4.to_bits() & !0xff).into(),
        IpAddr::V6(v6) => match v6.to_ipv4_mapped() {
            Some(v4) => Ipv4Addr::from_bits(v4.to_bits() & !0xff).to_ipv6_mapped().into(),
            None => Ipv6Addr::from_bits(v6.to_bits() & !0 << 80).into(),
        },
    }
}

/// The lines of a configuration; values of keys that sound secret are left out, in case somebody has put them there.
pub(super) fn secrets(text: &str) -> Vec<String> {
    let line = |line: &str| {
        let Some((key, _)) = line.split_once('=') else { return line.to_owned() };
        let name = key.trim().to_ascii_lowercase();
        let secret = ["secret", "password", "token"].iter().any(|word| name.contains(word));
        if secret || name == "key" { format!("{key}= (left out)") } else { urls(line) }
    };
    text.lines().map(line).collect()
}

/// URLs without what follows the server: it may be a secret, as with webhooks.
fn urls(line: &str) -> String {
    let (mut cut, mut rest) = (String::with_capacity(line.len()), line);
    while let Some(start) = rest.find("://") {
        let (before, from) = rest.split_at(start + 3);
        let (url, after) = from.split_at(from.find(['"', '\'', ' ', ',']).unwrap_or(from.len()));
        let (server, path) = url.split_once('/').unwrap_or((url, ""));
        cut += before;
        cut += server;
        cut += if path.is_empty() { "" } else { "/(left out)" };
        rest = after;
    }
    cut + rest
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn addresses_lose_their_host() {
        for (text, wanted) in [
            ("ban of 192.31.196.77 ended.", "ban of 192.31.196.0 ended."),
            ("192.31.196.77/32, 10.1.2.3:443", "192.31.196.0/32, 10.1.2.0:443"),
            ("from 192.31.196.77.", "from 192.31.196.0."),
            ("2620:4f:8000:1::9/64", "2620:4f:8000::/64"),
            ("[2620:4f:8000:1::9]:443", "[2620:4f:8000::]:443"),
            ("::ffff:192.31.196.77", "::ffff:192.31.196.0"),
            ("127.0.0.1:9980 and ::1", "127.0.0.1:9980 and ::1"),
            (
                "at 12:30:01, Linux 6.18.44, std::face, 02:00:00:00:99:01",
                "at 12:30:01, Linux 6.18.44, std::face, 02:00:00:00:99:01",
            ),
        ] {
            assert_eq!(cut_all(text), wanted);
        }
        let mut value = json!({ "a": ["x 9.9.9.9", { "b": "8.8.8.8" }], "n": 7 });
        addresses(&mut value);
        assert_eq!(value, json!({ "a": ["x 9.9.9.0", { "b": "8.8.8.0" }], "n": 7 }));
    }

    #[test]
    fn what_sounds_secret_is_left_out() {
        let hook = secrets("to = \"https://hooks.example/T0/B0/x\" # http://a/b, http://c").join("");
        assert_eq!(hook, "to = \"https://hooks.example/(left out)\" # http://a/(left out), http://c");
        let text = "[cookie]\nkey_file = \"/etc/floodwall/key\"\nsecret = \"hunter2\"\napi_token=\"x\"";
        let shown = secrets(text).join("\n");
        assert!(
            shown.contains("/etc/floodwall/key") && !shown.contains("hunter2") && !shown.contains("\"x\"")
        );
    }
}
