//! Configurations whose verdicts depend on the frame alone: limits are there, and nobody reaches them.

use filter_tests::config::Config;

/// Far above what a test sends.
const RATE: &str = "1000000/s burst 1000000";
const BYTES: &str = "10GB/s burst 10GB";

/// What is not limited unless it is told to be.
const OPEN: &str = "[fragments]\npolicy = \"pass\"\n[ip]\noptions = \"pass\"\nrouting = \"pass\"\nheaders = \"pass\"\n\
                    [icmp]\nerrors = \"off\"\nerrors_per_source = \"off\"\necho = \"pass\"\necho_replies = \"off\"";

/// Ports with a TCP listener.
pub(crate) const LISTENERS: [u16; 2] = [80, 90];
/// Ports with a UDP socket.
pub(crate) const UDP_SOCKETS: [u16; 2] = [53, 5000];

fn base(mode: &'static str, profile: &str, rest: &str) -> Config {
    Config {
        mode,
        interface: format!("profile = \"{profile}\""),
        management: ["198.51.100.7/32", "45.77.0.0/16", "2001:db8:7::/48", "2a00:77::9/128"]
            .map(str::to_owned)
            .to_vec(),
        services: Vec::new(),
        cookie: "unknown_ack = \"off\"\nsyn_ack = { per_prefix = \"off\", total = \"off\" }".into(),
        rest: format!("[stray]\nscope = \"off\"\n{rest}"),
        ..Config::default()
    }
}

fn service(config: &mut Config, name: &str, lines: &str) {
    config.services.push((name.into(), lines.into()));
}

fn limits() -> String {
    format!(
        "per_source = \"{RATE}\", per_source_syn = \"{RATE}\", per_source_bytes = \"{BYTES}\", \
         per_source_flows = \"{RATE}\", per_prefix = \"{RATE}\", total = \"{RATE}\", total_bytes = \"{BYTES}\", \
         flows = \"{RATE}\""
    )
}

/// Nearly every stage that does not answer.
pub(crate) fn main(mode: &'static str) -> Config {
    let rest = format!(
        "[udp]\nclosed = \"{RATE}\"\nreflection_except = [\"udp/5353\"]\n\
         [spoofing]\negress = \"off\"\nown = [\"44.7.0.0/16\", \"2a00:7::/32\"]\n\
         [lists]\nallow = [\"45.10.0.0/16\", \"2a00:10::/32\"]\nblock = [\"45.9.0.0/16\", \"45.10.0.0/15\", \"2a00:9::/32\"]\n\
         [ip]\noptions = \"drop\"\nrouting = \"drop\"\nheaders = \"drop\"\n\
         [fragments]\ntotal = \"{RATE}\"\nper_source = \"{RATE}\"\n\
         [icmp]\nerrors = \"{RATE}\"\nerrors_per_source = \"{RATE}\"\necho_per_source = \"{RATE}\"\n\
         echo_total = \"{RATE}\"\necho_replies = \"{RATE}\"\n\
         [protocols]\nallow = [\"gre\"]\nrate = \"{RATE}\"\n\
         [host]\ntotal = \"{RATE}\"\ntotal_bytes = \"{BYTES}\"\nrate = {{ {} }}",
        limits()
    );
    let mut config = base(mode, "internet", &rest);
    let limited = format!("ports = [\"tcp/80\", \"udp/53\", \"udp/123\"]\nrate = {{ {} }}", limits());
    service(&mut config, "limited", &limited);
    service(&mut config, "bgp", "ports = [\"tcp/179\"]\nttl_security = 1");
    let plain = "ports = [\"tcp/90\"]\nsyn = { mode = \"limit\", on = 10000000, data = \"drop\" }";
    service(&mut config, "plain", plain);
    config
}

/// Cookies, challenges, forwarded prefixes.
pub(crate) fn answers(mode: &'static str) -> Config {
    let mut config = base(
        mode,
        "cloud",
        &format!("[udp]\nclosed = \"off\"\nreflection = \"drop\"\n{OPEN}\n[protocols]\nother = \"drop\""),
    );
    service(&mut config, "cookies", "ports = [\"tcp/80\", \"tcp/81\"]\nsyn = { mode = \"cookie\" }");
    let challenged = "ports = [\"tcp/90\"]\nsyn = { mode = \"challenge\" }\nprotect = [\"44.1.2.0/24\"]";
    service(&mut config, "challenged", challenged);
    config
}

/// As little as there can be.
pub(crate) fn bare() -> Config {
    let off = format!(
        "[udp]\nclosed = \"off\"\nreflection = \"off\"\n{OPEN}\n\
         [spoofing]\negress = \"off\"\nown_sources = \"pass\"\ndirected_broadcast = \"pass\""
    );
    Config { management: Vec::new(), ..base("enforce", "lan", &off) }
}
