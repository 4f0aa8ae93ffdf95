//! The running loop.
//!
//! The major components are:
//! - [`live`]: what runs now: the configuration, the data path, the keys; reload and refresh.
//! - [`links`]: word of changes on the host.
//! - [`secrets`]: the cookie keys.
//! - [`api`], [`peer`] and [`server`]: the control socket, and who may ask it for what.
//! - [`scrape`]: `/metrics` and whether it is healthy, over TCP.
//! - [`config`]: the configuration, and what another one would change, on request.
//! - [`allow`]: who is let through for a while, on request.
//! - [`bans`]: bans on request, and what is never banned.
//! - [`detect`]: attacks: what the detector reads, what it arms and bans, what is asked about it.
//! - [`events`]: sampled packets on request; [`incidents`]: attacks as they are kept.
//! - [`notify`]: who is told of attacks, and how.
//! - [`forget`]: somebody who is not to be remembered any more.
//! - [`feeds`]: when feeds are looked at, and the requests about them.
//! - [`ledger`]: revisions of the configuration, kept in `daemon.state`; [`deadline`]: time limits that outlive a boot.
//! - [`commit`]: apply, confirm, roll back, bypass on request; [`probes`]: what has to work meanwhile.
//! - [`kernel_log`]: what the kernel programs have to say.
//! - [`lock`], [`signals`], [`log`], [`systemd`]: a process among others.
//!
//! The filter does not need any of it: when the daemon ends, by a signal or by accident, the filter goes on.
//! What stops is the rotation of keys, so cookies step down when the last key has aged out.

pub mod allow;
pub mod api;
pub mod bans;
pub mod commit;
pub mod config;
pub mod deadline;
pub mod detect;
pub mod events;
pub mod feeds;
pub mod forget;
pub mod incidents;
pub mod kernel_log;
pub mod ledger;
pub mod links;
pub mod live;
pub mod lock;
pub mod log;
pub mod notify;
pub mod peer;
pub mod probes;
pub mod scrape;
pub mod secrets;
pub mod server;
pub mod signals;
pub mod systemd;

use std::{path::Path, sync::Arc, time::Duration};

use tokio::time::{MissedTickBehavior, interval, sleep};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use self::{
    deadline::Moment, ledger::Ledger, live::Live, lock::Lock, peer::Access, scrape::Scrape, signals::Hangups,
};
use crate::{
    cmd::failure::{Failure, Kind},
    config::Loaded,
    detect::TURN,
    observe::metrics,
};

/// Name of the control socket in the runtime folder.
pub const SOCKET: &str = "floodwall.sock";

/// Name of the file in the runtime folder that keeps the filter off: `floodwall panic` makes it.
pub const PANIC: &str = "panic";

/// Refuses while `floodwall panic` is in force.
pub(crate) fn refuse_in_panic(runtime: &Path) -> anyhow::Result<()> {
    if runtime.join(PANIC).symlink_metadata().is_err() {
        return Ok(());
    }
    let message = format!("floodwall panic has taken the filter off ({})", runtime.join(PANIC).display());
    Err(Failure::new(Kind::GuardRail, message, "floodwall panic --end lets it be attached again").into())
}

/// How often the host's addresses and sysctls are looked at without word of a change.
const REFRESH: Duration = Duration::from_secs(2);
/// How often deadlines are looked at.
const DEADLINES: Duration = Duration::from_secs(1);
/// How often ports that stepped down get another try.
const RETRY: Duration = Duration::from_mins(1);

/// Runs until `stop` is cancelled. The filter stays attached. With `replace`, somebody else's XDP programs give way at the start.
pub async fn run(
    path: &Path,
    loaded: Loaded,
    replace: bool,
    stop: CancellationToken,
    hangups: Hangups,
) -> anyhow::Result<()> {
    secrets::forbid_core_dumps().unwrap_or_else(|error| warn!("core dumps stay possible: {error:#}"));
    let folder = loaded.settings.daemon.runtime.as_ref().clone();
    let _lock = Lock::take(&folder)?;
    refuse_in_panic(&folder)?;
    let mut ledger = Ledger::open(loaded.settings.daemon.state.as_ref());
    let pins = loaded.settings.daemon.pins.as_ref();
    let fresh = pins.symlink_metadata().is_err();
    let (loaded, begin) = ledger.begin(loaded, fresh, &Moment::now());
    // Bound before anything is attached: an address in use is an error while nothing has happened yet.
    let socket = folder.join(SOCKET);
    let access = Access::new(&loaded.settings.daemon)?;
    lock::share(&folder, access.socket_group())?;
    let control = server::bind_unix(&socket, access.socket_group())?;
    let scrape = Scrape::bind(&loaded.settings.metrics).await?;
    let live = Arc::new(Live::start(path, loaded, ledger, begin, replace)?);

    let children = stop.child_token();
    tokio::spawn(server::serve_unix(control, api::router(live.clone()), access, children.clone()));
    serve_metrics(&live, scrape, &children)?;
    tokio::spawn(probes::watch(live.clone(), children.clone()));
    tokio::spawn(feeds::watch(live.clone(), children.clone()));
    tokio::spawn(notify::watch(live.clone(), children.clone()));
    systemd::ready(&live.summary());
    info!("ready: {}", live.summary());
    turn(&live, &stop, hangups).await;
    children.cancel();
    live.keep_bans(true);
    live.keep_usual(true);
    live.keep_incidents(true);
    live.keep_notices();
    let _ = std::fs::remove_file(&socket);
    systemd::stopping();
    info!("stopped; the filter stays attached, `floodwall detach` removes it");
    Ok(())
}

fn serve_metrics(live: &Arc<Live>, scrape: Option<Scrape>, stop: &CancellationToken) -> anyhow::Result<()> {
    if let Some(scrape) = scrape {
        let (source, ready) = (live.clone(), live.clone());
        let registry = metrics::registry(move || source.sample())?;
        let router = scrape::router(registry, move || ready.unready());
        let router = router.merge(scrape::page::router(live.clone()));
        tokio::spawn(scrape.serve(router, stop.clone()));
    }
    Ok(())
}

/// The loop itself.
async fn turn(live: &Arc<Live>, stop: &CancellationToken, mut hangups: Hangups) {
    let every = |period| {
        let mut interval = interval(period);
        interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
        interval
    };
    let mut refresh = every(REFRESH);
    let mut retry = every(RETRY);
    let changed = links::watch();
    let mut deadlines = every(DEADLINES);
    let mut detect = every(TURN);
    let mut watchdog = every(systemd::watchdog_period());
    loop {
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            () = sleep(live.until_rotation()) => live.rotate_if_due(),
            _ = deadlines.tick() => live.follow_deadlines(),
            () = hangups.next() => live.reload(),
            () = changed.notified() => live.follow(),
            _ = refresh.tick() => {
                live.refresh();
                let live = live.clone();
                tokio::task::spawn_blocking(move || {
                    live.keep_bans(false);
                    live.keep_usual(false);
                    live.keep_incidents(false);
                    live.keep_notices();
                });
            }
            _ = retry.tick() => live.retry_stepped_down(),
            _ = detect.tick() => live.detect(),
            _ = watchdog.tick() => systemd::alive(),
        }
    }
}
