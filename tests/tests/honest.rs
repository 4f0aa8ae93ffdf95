//! What honest clients might notice, and must not.

use std::{
    io::{ErrorKind, Read as _, Write as _},
    net::{IpAddr, SocketAddr, TcpListener, TcpStream},
    os::fd::AsRawFd as _,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use filter_common::reason::Reason;
use filter_tests::{
    config::Config,
    device,
    pair::{SERVER_V4, SERVER_V6, Wire},
    server::Kind,
    stand::{PACKETS, Stand},
};

/// How long the server's device collects frames: an ACK and the request behind it come up together.
const COALESCE: Duration = Duration::from_millis(2);

/// From the request to the whole answer, on connections of their own; sorted.
fn waits(stand: &Stand, server: IpAddr, number: usize) -> Result<Vec<Duration>> {
    let once = || -> Result<Duration> {
        let mut stream = TcpStream::connect_timeout(&SocketAddr::new(server, 80), Duration::from_secs(4))?;
        stream.set_read_timeout(Some(Duration::from_secs(4)))?;
        let sent = Instant::now();
        stream.write_all(b"GET / HTTP/1.0\r\n\r\n")?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer)?;
        ensure!(!answer.is_empty(), "no answer");
        Ok(sent.elapsed())
    };
    let mut waits: Vec<_> =
        stand.pair.client.namespace.run(|| (0..number).map(|_| once()).collect::<Result<_>>())?;
    waits.sort_unstable();
    Ok(waits)
}

/// The ACK that completes a handshake and the request behind it carry the same cookie: one of them makes the
/// connection, and the request is not lost as a second one.
fn requests_arrive_at_once(config: &Config) -> Result<()> {
    const NUMBER: usize = 50;
    let stand = Stand::with(config, Wire::Veth, Kind::Tcp)?;
    let end = &stand.pair.server;
    end.namespace.run(|| device::coalesce(&end.device, COALESCE))?;
    for server in [IpAddr::from(SERVER_V4), SERVER_V6.into()] {
        let before = stand.floodwall.scrape()?;
        let waits = waits(&stand, server, NUMBER)?;
        let median = waits[NUMBER / 2];
        // A lost request is sent again after 200 ms at the earliest.
        ensure!(
            median < Duration::from_millis(100),
            "{server}: half of the answers took {median:?} or longer"
        );
        let after = stand.floodwall.scrape()?;
        let handed = after.risen(&before, "floodwall_syn_cookie_handover_total", "result");
        let packets = after.risen(&before, PACKETS, "reason");
        ensure!(handed.get("ok").is_some_and(|ok| *ok >= NUMBER as u64), "{handed:?} {packets:?}");
    }
    Ok(())
}

#[test]
fn requests_right_behind_the_ack() -> Result<()> {
    requests_arrive_at_once(&Config::default())
}

#[test]
fn requests_right_behind_an_ack_decoded_in_tc() -> Result<()> {
    requests_arrive_at_once(&Config::default().interface("handover = \"decode\""))
}

/// A connection that the server has forgotten without a word, as after a reboot, is reset at the client's next
/// segment and doesn't hang.
#[test]
fn forgotten_connections_are_reset() -> Result<()> {
    let service = "ports = [\"tcp/81\"]\nsyn = { mode = \"cookie\" }";
    let config = Config::default().cookie("grace = \"0s\"").service(service);
    let stand = Stand::with(&config, Wire::Cable, Kind::Tcp)?;
    let server = SocketAddr::new(SERVER_V4.into(), 81);
    let listener = stand.pair.server.namespace.run(|| TcpListener::bind(server))?;
    let mut client = stand
        .pair
        .client
        .namespace
        .run(|| TcpStream::connect_timeout(&server, Duration::from_secs(4)))
        .context("connect")?;
    let (mut accepted, _) = listener.accept()?;
    // From here on the client's segments carry no cookie any more.
    client.write_all(b"hello")?;
    accepted.read_exact(&mut [0; 5])?;
    forget(accepted)?;
    // Longer than a handshake counts as recent.
    thread::sleep(Duration::from_millis(2200));
    let before = stand.floodwall.packets(Reason::UnknownAck)?;
    client.set_read_timeout(Some(Duration::from_secs(4)))?;
    client.write_all(b"are you there?")?;
    let error = client.read(&mut [0; 16]).expect_err("the server has forgotten us");
    ensure!(error.kind() == ErrorKind::ConnectionReset, "{error}");
    ensure!(stand.floodwall.packets(Reason::UnknownAck)? > before);
    Ok(())
}

/// Closes a connection without FIN or RST: a socket in repair mode goes silently (tcp(7), `TCP_REPAIR`).
fn forget(stream: TcpStream) -> Result<()> {
    const TCP_REPAIR: libc::c_int = 19;
    let on: libc::c_int = 1;
    // SAFETY: an option of int size on a socket of ours.
    let result = unsafe {
        libc::setsockopt(
            stream.as_raw_fd(),
            libc::IPPROTO_TCP,
            TCP_REPAIR,
            (&raw const on).cast(),
            size_of::<libc::c_int>() as libc::socklen_t,
        )
    };
    nix::errno::Errno::result(result).context("TCP_REPAIR")?;
    drop(stream);
    Ok(())
}
