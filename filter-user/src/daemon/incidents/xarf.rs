//! Reports in XARF 4 (<https://xarf.org>, category `connection`, type `ddos`): one for each prefix of heavy proven sources.
//!
//! Whoever only seems to have sent something is never named: packets of a flood are forged. Proof is a handshake, so it counts for TCP alone.
//! Visitors complete handshakes, too: only who did so more than `detect.heavy` times a second is named, as only such a source is banned.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use ipnet::IpNet;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::form::{Incident, utc};
use crate::{config::schema::Addresses, daemon::detect::Heavy, explain::frame::to_hex};

/// Version of the format.
const VERSION: &str = "4.2.0";
/// What the reader is told.
const NAMED: &str = "Sources in this prefix completed TCP handshakes with the attacked host far more often than its users do, during the \
                     attack, so their addresses were not forged. Packets of others during the same attack may have been.";

/// Who reports.
#[derive(Clone, Debug)]
pub struct Reporter {
    /// The organization.
    pub org: String,
    /// Its mail address.
    pub contact: String,
    /// Its domain.
    pub domain: String,
}

/// Vectors of TCP, by label.
fn tcp(incident: &Incident) -> impl Iterator<Item = String> {
    incident
        .vectors()
        .into_iter()
        .filter(|label| matches!(label.as_str(), "syn" | "ack" | "rst_fin" | "syn_ack"))
}

/// The reports; none if nobody can be named, as with pseudonyms.
#[must_use]
pub fn reports(incident: &Incident, reporter: &Reporter) -> Vec<Value> {
    let has_names = incident.addresses != Addresses::Pseudonym;
    let Some(vector) = tcp(incident).next().filter(|_| has_names) else { return Vec::new() };
    incident.heavy.iter().map(|source| report(incident, reporter, source, &vector)).collect()
}

fn report(incident: &Incident, reporter: &Reporter, source: &Heavy<IpNet>, vector: &str) -> Value {
    let Incident { attack, .. } = incident;
    let contact = json!({ "org": reporter.org, "contact": reporter.contact, "domain": reporter.domain });
    let evidence = json!({
        "incident": incident.id, "service": attack.service, "vectors": attack.vectors, "source": source,
        "began": utc(attack.began), "ended": attack.ended.map(utc),
    });
    let evidence = evidence.to_string();
    let mut report = json!({
        "xarf_version": VERSION,
        "report_id": uuid(&format!("{} {}", incident.id, source.who)),
        "timestamp": utc(attack.began),
        "reporter": contact,
        "sender": contact,
        "source_identifier": source.who.to_string(),
        "category": "connection",
        "type": "ddos",
        "protocol": "tcp",
        "attack_vector": format!("{vector}_flood"),
        "first_seen": utc(attack.began),
        "last_seen": utc(attack.ended.unwrap_or(incident.written)),
        "duration_seconds": incident.seconds().max(1),
        "peak_pps": attack.peak_pps.max(1),
        "peak_bps": attack.peak_bps.max(1),
        "mitigation_applied": !attack.acts.is_empty(),
        "evidence_source": "traffic_monitoring",
        "description": format!("{} packets of handshakes, estimated from samples. {NAMED}", source.packets),
        "evidence": [{
            "content_type": "application/json",
            "description": "What is known of this prefix and of the attack",
            "payload": STANDARD.encode(&evidence),
            "hash": format!("sha256:{}", to_hex(&Sha256::digest(&evidence))),
            "size": evidence.len(),
        }],
        "tags": [format!("attack:{vector}_flood")],
    });
    let target =
        incident.samples.iter().find_map(|line| line.packet.as_ref().filter(|p| p.protocol == "tcp"));
    if let Some(packet) = target {
        report["destination_ip"] = packet.destination.to_string().into();
        if let Some([_, port]) = packet.ports.filter(|ports| ports[1] != 0) {
            report["destination_port"] = port.into();
        }
    }
    report
}

/// The same for the same name: a report that is sent twice can be told.
fn uuid(name: &str) -> String {
    let sum = Sha256::digest(name);
    let mut bytes: [u8; 16] = std::array::from_fn(|place| sum[place]);
    // Version 4, the variant of RFC 9562.
    (bytes[6], bytes[8]) = (bytes[6] & 0x0f | 0x40, bytes[8] & 0x3f | 0x80);
    let hex = to_hex(&bytes);
    [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-")
}

#[cfg(test)]
mod tests {
    use super::{super::form::tests::incident, *};

    fn reporter() -> Reporter {
        let [org, contact, domain] = ["Example", "abuse@example.net", "example.net"].map(str::to_owned);
        Reporter { org, contact, domain }
    }

    /// What schemas/v4/xarf-core.json and types/connection-ddos.json require.
    #[test]
    fn only_proven_sources_are_named() {
        let incident = incident(1_795_374_900, 7);
        let reports = reports(&incident, &reporter());
        let named: Vec<_> =
            reports.iter().map(|report| report["source_identifier"].as_str().unwrap()).collect();
        // Not 192.31.197.0/24, which has visitors.
        assert_eq!(named, ["2620:4f:8000::/48", "192.31.196.0/24"]);
        for report in &reports {
            for field in ["xarf_version", "report_id", "timestamp", "protocol", "first_seen"] {
                assert!(report[field].is_string(), "{field}: {report}");
            }
            for who in ["reporter", "sender"] {
                assert_eq!(
                    report[who],
                    json!({ "org": "Example", "contact": "abuse@example.net", "domain": "example.net" })
                );
            }
            assert_eq!((&report["category"], &report["type"]), (&json!("connection"), &json!("ddos")));
            assert_eq!(report["destination_port"], 80);
            assert!(report["description"].as_str().unwrap().len() <= 1000);
            let item = &report["evidence"][0];
            let payload = STANDARD.decode(item["payload"].as_str().unwrap()).unwrap();
            assert_eq!(item["hash"], format!("sha256:{}", to_hex(&Sha256::digest(&payload))));
            let text = String::from_utf8(payload).unwrap();
            assert!(
                text.contains(report["source_identifier"].as_str().unwrap()) && !text.contains("44.0.0"),
                "{text}"
            );
        }
        let ids: Vec<_> = reports.iter().map(|report| report["report_id"].as_str().unwrap()).collect();
        assert!(ids[0] != ids[1] && ids[0].len() == 36 && &ids[0][14..15] == "4", "{ids:?}");
    }

    #[test]
    fn nobody_is_named_for_packets_that_anybody_can_forge() {
        let mut udp = incident(1_795_374_900, 7);
        udp.attack.vectors[0].vector = "udp".to_owned();
        assert!(reports(&udp, &reporter()).is_empty());
        let mut forged = incident(1_795_374_900, 7);
        forged.heavy.clear();
        assert!(reports(&forged, &reporter()).is_empty());
        let nameless = Incident { addresses: Addresses::Pseudonym, ..incident(1_795_374_900, 7) };
        assert!(reports(&nameless, &reporter()).is_empty());
    }
}
