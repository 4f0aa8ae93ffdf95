//! What a handshake negotiates with cookies is what it negotiates without Floodwall.

use std::{
    collections::BTreeSet,
    net::{IpAddr, SocketAddr, TcpStream},
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use filter_tests::{
    bulk,
    config::Config,
    daemon::Floodwall,
    pair::{Pair, SERVER_V4, SERVER_V6, Wire},
    server::{Kind, listen},
    stand::{PACKETS, Stand},
};

const PATIENCE: Duration = Duration::from_secs(5);
const FAMILIES: [IpAddr; 2] = [IpAddr::V4(SERVER_V4), IpAddr::V6(SERVER_V6)];

/// What `ss -tino` shows on the server of one fresh connection.
fn negotiated(pair: &Pair, listener: &socket2::Socket, server: IpAddr) -> Result<BTreeSet<String>> {
    let client =
        pair.client.namespace.run(|| TcpStream::connect_timeout(&SocketAddr::new(server, 80), PATIENCE));
    let client = client.context("connect")?;
    let accepted = listener.accept().context("accept")?;
    let shown =
        pair.server.namespace.output("ss", &["-tinoH", "state", "established", "sport", "=", ":80"])?;
    drop((client, accepted));
    Ok(shown.split_whitespace().filter(|word| is_negotiated(word)).map(str::to_owned).collect())
}

fn is_negotiated(word: &str) -> bool {
    let prefixes = ["wscale:", "mss:", "advmss:", "pmtu:"];
    ["ts", "sack", "ecn", "ecnseen"].contains(&word) || prefixes.iter().any(|prefix| word.starts_with(prefix))
}

/// Compares clients with these `net.ipv4` settings with and without Floodwall; `lost` is what cookies are
/// documented to lose for them.
fn compare(settings: &[(&str, &str)], lost: &[&str]) -> Result<()> {
    let pair = Pair::new(Wire::Veth)?;
    for (name, value) in settings {
        pair.client.namespace.sysctl(&[(&format!("net.ipv4.{name}"), value)])?;
    }
    let listener = listen(&pair.server.namespace, 80, Kind::Tcp)?;
    listener.set_read_timeout(Some(PATIENCE))?;
    let look =
        || FAMILIES.iter().map(|server| negotiated(&pair, &listener, *server)).collect::<Result<Vec<_>>>();
    let bare = look()?;
    let floodwall = Floodwall::start(&pair.server, &Config::default())?;
    let before = floodwall.scrape()?;
    let guarded = look()?;
    let risen = floodwall.scrape()?.risen(&before, PACKETS, "reason");
    ensure!(risen.get("cookie_sent") == Some(&2), "both handshakes went through cookies: {risen:?}");
    for (mut bare, guarded) in bare.into_iter().zip(guarded) {
        bare.retain(|word| !lost.iter().any(|lost| word.starts_with(lost)));
        ensure!(bare == guarded, "{settings:?}: without {bare:?}, with Floodwall {guarded:?}");
    }
    Ok(())
}

#[test]
fn all_options() -> Result<()> {
    compare(&[], &[])
}

#[test]
fn without_sack() -> Result<()> {
    compare(&[("tcp_sack", "0")], &[])
}

#[test]
fn without_window_scaling() -> Result<()> {
    compare(&[("tcp_window_scaling", "0")], &[])
}

/// The cookie has room for the MSS only.
#[test]
fn without_timestamps() -> Result<()> {
    compare(&[("tcp_timestamps", "0")], &["sack", "wscale:"])
}

#[test]
fn with_ecn() -> Result<()> {
    compare(&[("tcp_ecn", "1")], &[])
}

#[test]
fn transfers_arrive_whole() -> Result<()> {
    let stand = Stand::new(&Config::default().service("ports = [\"tcp/81\"]\nsyn = { mode = \"cookie\" }"))?;
    for server in FAMILIES {
        let served = bulk::serve(listen(&stand.pair.server.namespace, 81, Kind::Tcp)?);
        stand.pair.client.namespace.run(|| bulk::exchange(SocketAddr::new(server, 81)))?;
        served.join().expect("the server does not panic")?;
    }
    let accepted = stand.floodwall.scrape()?.sum(PACKETS, &["reason=\"cookie_accepted\""]);
    ensure!(accepted >= 2.0, "{accepted} cookies");
    Ok(())
}

#[test]
fn curl_notices_nothing() -> Result<()> {
    let stand = Stand::new(&Config::default())?;
    for url in [format!("http://{SERVER_V4}/"), format!("http://[{SERVER_V6}]/")] {
        let page = stand.pair.client.namespace.output("curl", &["-sS", "-g", "--max-time", "5", &url])?;
        ensure!(page == "ok\n", "{url}: {page:?}");
    }
    Ok(())
}

/// 10,000 handshakes while the secrets change 50 times.
#[test]
fn rotation_loses_nobody() -> Result<()> {
    const ROTATIONS: u64 = 50;
    let stand = Stand::new(&Config::default())?;
    let before = stand.floodwall.scrape()?;
    let tried = thread::scope(|scope| {
        let visit = scope.spawn(|| stand.visit(SERVER_V4.into(), 500, 10_000));
        for _ in 0..ROTATIONS {
            stand.floodwall.succeed("cookie rotate --force --socket {socket}")?;
            thread::sleep(Duration::from_millis(350));
        }
        visit.join().expect("the client does not panic")
    })?;
    ensure!(tried.tried == 10_000 && tried.failed() == 0, "{}", tried.summary());
    let after = stand.floodwall.scrape()?;
    let epochs = after.sum("floodwall_cookie_epoch", &[]) - before.sum("floodwall_cookie_epoch", &[]);
    ensure!(epochs >= 50.0, "{epochs} rotations");
    ensure!(stand.risen(&before, "cookie_accepted")? >= 10_000, "they went through cookies");
    Ok(())
}
