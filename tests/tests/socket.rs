//! The control socket: who may ask for what, and what it makes of nonsense.

use std::{
    fs,
    io::{ErrorKind, Read as _, Write as _},
    os::unix::{fs::PermissionsExt as _, net::UnixStream},
    path::PathBuf,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use filter_tests::{
    config::Config,
    noise::Noise,
    pair::SERVER_V4,
    stand::{Stand, wait_for},
};
use filter_user::daemon::api::{Right, routes};

/// Numbers that no user and no group of a test machine has.
const STRANGER: u32 = 61_230;
const LOOKERS: u32 = 61_231;
const ADMINS: u32 = 61_232;

/// Somebody with these groups; `None`: could not even connect.
fn ask(socket: PathBuf, uid: u32, groups: &[u32], request: &str) -> Result<Option<String>> {
    let (groups, request) = (groups.to_vec(), request.to_owned());
    // Only this thread becomes another user: the raw calls are per thread, glibc's are not.
    thread::spawn(move || -> Result<Option<String>> {
        become_user(uid, &groups)?;
        let mut stream = match UnixStream::connect(&socket) {
            Err(error) if error.kind() == ErrorKind::PermissionDenied => return Ok(None),
            stream => stream?,
        };
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        stream.write_all(request.as_bytes())?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(Some(answer))
    })
    .join()
    .map_err(|_| anyhow::anyhow!("the client panicked"))?
}

fn become_user(uid: u32, groups: &[u32]) -> Result<()> {
    let gid = groups.first().copied().unwrap_or(STRANGER);
    // SAFETY: plain numbers, and a list that outlives the call.
    let results = unsafe {
        [
            libc::syscall(libc::SYS_setgroups, groups.len(), groups.as_ptr()),
            libc::syscall(libc::SYS_setresgid, gid, gid, gid),
            libc::syscall(libc::SYS_setresuid, uid, uid, uid),
        ]
    };
    ensure!(results == [0; 3], "become user {uid}: {}", std::io::Error::last_os_error());
    Ok(())
}

fn request(method: &str, path: &str) -> String {
    let body = if method == "GET" { "" } else { "{\"entries\":[]}" };
    format!(
        "{method} {path} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
}

fn status(answer: &str) -> u32 {
    answer.split_whitespace().nth(1).and_then(|word| word.parse().ok()).unwrap_or(0)
}

/// Requests about one thing that is not there.
const ABSENT: [&str; 4] = ["/v1/feeds/show", "/v1/attacks/{id}", "/v1/incidents/{id}", "/v1/events/last"];

/// A path with what it cannot do without.
fn asked_of(path: &str) -> String {
    let query = match path {
        "/v1/allow/test" => "?address=192.31.196.9",
        "/v1/feeds/show" => "?name=none",
        "/v1/events/last" => "?source=192.31.196.9",
        _ => "",
    };
    path.replace("{number}", "1").replace("{id}", "1") + query
}

/// Every request that there is, by users of every kind.
#[test]
fn another_user_is_refused_on_every_verb() -> Result<()> {
    let groups = format!("group = \"{LOOKERS}\"\nadmin_group = \"{ADMINS}\"\n");
    let stand = Stand::new(&Config::default().daemon(&groups))?;
    let socket = stand.floodwall.socket();
    let folder = socket.parent().context("folder")?;
    ensure!(fs::metadata(folder)?.permissions().mode() & 0o777 == 0o750, "the folder is 0750");
    ensure!(fs::metadata(&socket)?.permissions().mode() & 0o777 == 0o660, "the socket is 0660");
    let get = request("GET", "/v1/status");
    ensure!(ask(socket.clone(), STRANGER, &[STRANGER], &get)?.is_none(), "others can't connect");
    ensure!(ask(socket.clone(), STRANGER, &[STRANGER, LOOKERS], &get)?.is_some(), "the group can");

    // Even where somebody has opened both.
    fs::set_permissions(folder, fs::Permissions::from_mode(0o755))?;
    fs::set_permissions(&socket, fs::Permissions::from_mode(0o666))?;
    let mut asked = 0;
    for route in routes() {
        let path = asked_of(route.path);
        let text = request(route.method.as_str(), &path);
        let code = |groups: &[u32]| -> Result<u32> {
            let answer = ask(socket.clone(), STRANGER, groups, &text)?.context("connected")?;
            let said = answer.contains("\"kind\":\"permission\"");
            ensure!(said == (status(&answer) == 403), "{answer}");
            Ok(status(&answer))
        };
        let looks = route.right == Right::Look;
        for (groups, may) in [
            (&[STRANGER][..], false),
            (&[STRANGER, 0, 1, 100], false),
            (&[LOOKERS], looks),
            (&[STRANGER, LOOKERS], looks),
            (&[STRANGER, ADMINS], true),
        ] {
            let code = code(groups)?;
            // What changes something has a body of its own, and this one is often none: 409 and 422 come behind the right.
            let fine = if !may {
                code == 403
            } else if looks {
                // There is no such feed and no such attack, but that is told to those only who may know.
                code == 200 || (ABSENT.contains(&route.path) && code != 403)
            } else {
                code != 403 && code != 404
            };
            ensure!(fine, "{} {} by {groups:?}: {code}", route.method, route.path);
            asked += 1;
        }
        let unlisted = request(if looks { "PUT" } else { "DELETE" }, route.path);
        let answer = ask(socket.clone(), STRANGER, &[LOOKERS], &unlisted)?.context("connected")?;
        ensure!(status(&answer) == 403, "what is not listed changes something, as far as we know: {answer}");
    }
    // Data of others is not for those who only look.
    for (group, expected) in [(LOOKERS, 403), (ADMINS, 200)] {
        let answer = ask(socket.clone(), STRANGER, &[group], &request("GET", "/v1/events?frames=true"))?;
        ensure!(status(&answer.context("connected")?) == expected, "frames for {group}");
    }
    eprintln!("{asked} requests by users of five kinds");
    stand.visit_well(10)
}

/// One client that keeps all the places it can get does not keep root out.
#[test]
fn nobody_takes_all_places() -> Result<()> {
    let stand = Stand::new(&Config::default().daemon(&format!("group = \"{LOOKERS}\"\n")))?;
    let socket = stand.floodwall.socket();
    let held = thread::spawn(move || -> Result<_> {
        become_user(STRANGER, &[LOOKERS])?;
        let held: Vec<_> = (0..64).map(|_| UnixStream::connect(&socket)).collect::<Result<_, _>>()?;
        Ok(held)
    });
    let held = held.join().map_err(|_| anyhow::anyhow!("the client panicked"))??;
    stand.floodwall.succeed("cookie rotate --force --socket {socket}")?;
    drop(held);
    Ok(())
}

/// A million frames of nonsense: the daemon lives, its memory is bounded, the filter does not notice.
#[test]
fn a_million_frames_of_nonsense() -> Result<()> {
    const FRAMES: u64 = 1_000_000;
    let stand = Stand::new(&Config::default())?;
    let socket = stand.floodwall.socket();
    let programs = || -> Result<Vec<_>> {
        let dataplane = stand.floodwall.pinned()?;
        let attached = stand.pair.server.namespace.run(|| dataplane.interfaces())?;
        Ok(attached.into_iter().map(|i| (i.xdp_program, i.tc_program, i.egress_program)).collect())
    };
    let (before, memory) = (programs()?, stand.floodwall.memory()?);
    let (began, mut sent, mut connections, mut asked) = (Instant::now(), 0, 0_u64, 0_u64);
    let mut noise = Noise::new(0x5eed);
    while sent < FRAMES {
        sent += noise.converse(&socket)?;
        connections += 1;
        if connections.is_multiple_of(500) {
            let status = stand.floodwall.succeed("status --json --pins {pins} --socket {socket}")?;
            let status: serde_json::Value = serde_json::from_str(&status)?;
            ensure!(status["daemon"]["mode"] == "enforce", "after {sent} frames: {status}");
            asked += 1;
        }
    }
    eprintln!("{sent} frames on {connections} connections, {asked} honest requests, {:?}", began.elapsed());
    let now = stand.floodwall.memory()?;
    ensure!(now < memory + (64 << 20), "resident: {memory} bytes before, {now} after");
    eprintln!("resident: {} KiB before, {} KiB after", memory >> 10, now >> 10);
    ensure!(programs()? == before, "the same programs run");
    ensure!(
        stand.floodwall.succeed("ban list --json --pins {pins}")?.contains("\"bans\": []"),
        "nobody was banned"
    );
    let tried = stand.visit(SERVER_V4.into(), 200, 100)?;
    ensure!(tried.failed() == 0, "{}", tried.summary());
    stand.visit_well(50)
}

/// Whoever is slow is cut off; who is fast is answered meanwhile.
#[test]
fn slow_clients_are_cut_off() -> Result<()> {
    let stand = Stand::new(&Config::default())?;
    let socket = stand.floodwall.socket();
    let mut head = UnixStream::connect(&socket)?;
    head.write_all(b"GET /v1/status HTTP/1.1\r\nx: ")?;
    let mut body = UnixStream::connect(&socket)?;
    body.write_all(
        b"POST /v1/bans HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 99\r\n\r\n",
    )?;
    let began = Instant::now();
    stand.floodwall.succeed("cookie rotate --force --socket {socket}")?;
    for (stream, at_most) in [(&mut head, 4), (&mut body, 13)] {
        stream.set_read_timeout(Some(Duration::from_secs(15)))?;
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        ensure!(began.elapsed() < Duration::from_secs(at_most), "held for {:?}", began.elapsed());
        ensure!(!answer.starts_with(b"HTTP/1.1 200"), "an answer to half a request");
    }
    Ok(())
}

/// A loop that hangs (here: in a reload, on the lock of the pins) tells systemd nothing; one that turns does.
#[test]
fn a_hung_loop_stops_the_keepalives() -> Result<()> {
    let mut stand = Stand::new(&Config::default())?;
    stand.floodwall.end(nix::sys::signal::Signal::SIGTERM)?;
    let notify = stand.floodwall.run_watched(Duration::from_millis(200))?;
    let alive = |time: Duration| -> Result<usize> {
        let (until, mut seen) = (Instant::now() + time, 0);
        let mut message = [0; 512];
        while Instant::now() < until {
            if let Ok(len) = notify.recv(&mut message) {
                seen += usize::from(message[..len].starts_with(b"WATCHDOG=1"));
            }
        }
        Ok(seen)
    };
    let turning = alive(Duration::from_secs(1))?;
    ensure!(turning >= 5, "{turning} keepalives in a second");
    let pins = fs::File::open(stand.floodwall.pins())?;
    pins.lock()?;
    stand.floodwall.configure(&Config { mode: "observe", ..Config::default() })?;
    stand.floodwall.signal(nix::sys::signal::Signal::SIGHUP)?;
    alive(Duration::from_millis(500))?;
    let hung = alive(Duration::from_secs(1))?;
    ensure!(hung == 0, "{hung} keepalives of a loop that hangs");
    pins.unlock()?;
    wait_for("the loop turns again", Duration::from_secs(10), || Ok(alive(Duration::from_millis(300))? > 0))
}

/// What would be done is told; nothing is done. And a bundle of a running daemon holds what it should.
#[test]
fn dry_runs_change_nothing() -> Result<()> {
    let stand = Stand::new(&Config::default())?;
    let floodwall = &stand.floodwall;
    let said = floodwall.succeed("ban add -n 192.31.198.7 192.31.198.0/24 --socket {socket}")?;
    ensure!(said.contains("2 would be banned, 2 of them anew"), "{said}");
    ensure!(floodwall.succeed("ban list --json --pins {pins}")?.contains("\"bans\": []"), "nobody is banned");
    let refused = floodwall.cli(&format!("ban add -n {SERVER_V4} --socket {{socket}}"))?;
    ensure!(refused.status.code() == Some(6), "the guard rails are asked: {:?}", refused.status);
    floodwall.succeed("ban add 192.31.198.7 --socket {socket}")?;
    let said = floodwall.succeed("ban del -n 192.31.198.7 --socket {socket}")?;
    ensure!(said.contains("1 bans would end"), "{said}");
    floodwall.succeed("ban test 192.31.198.7 --pins {pins}")?;
    let epoch = || floodwall.succeed("cookie status --json --pins {pins}");
    let epoch = || -> Result<_> {
        Ok(serde_json::from_str::<serde_json::Value>(&epoch()?)?["cookie"]["epoch"].clone())
    };
    let before = epoch()?;
    ensure!(floodwall.succeed("cookie rotate -n --force --socket {socket}")?.contains("would issue"), "told");
    ensure!(epoch()? == before, "no rotation");
    let said = floodwall.succeed("detach -n --pins {pins}")?;
    ensure!(said.contains("would detach XDP from"), "{said}");
    stand.visit_well(20)?;

    let folder = filter_tests::cleanup::Folder::files()?;
    let file = folder.path().join("bundle.json");
    let line = format!("support dump --out {} --config {{config}} --socket {{socket}}", file.display());
    let said = floodwall.succeed(&line)?;
    let text = fs::read_to_string(&file)?;
    let bundle: serde_json::Value = serde_json::from_str(&text)?;
    for part in ["configuration", "daemon", "status", "doctor", "kernel", "interfaces", "programs", "metrics"]
    {
        ensure!(!bundle[part].is_null(), "no {part}: {said}");
    }
    ensure!(text.contains("192.31.196.0") && !text.contains(&SERVER_V4.to_string()), "addresses are cut");
    Ok(())
}
