//! The rehearsal: what it says, and that it leaves no trace. (That it says what the live program then does, every fixture of `verdicts`
//! asserts: see `filter_tests::filter`.)

use anyhow::{Context as _, Result, ensure};
use filter_common::reason::{Action, Reason};
use filter_tests::{config::Config, filter::Filter, packet::ip};
use filter_user::{
    config::{self, Host},
    dataplane::{
        self, Plan,
        rehearsal::{Outcome, Rehearsal, Start},
    },
};

/// Two packets a minute from a source to UDP port 90; a rule; a ban.
fn configuration() -> Config {
    let mut config = Config::default().also(
        "[udp]\nclosed = \"off\"\nreflection = \"off\"\n[[rule]]\nname = \"first\"\nsrc = \"9.9.0.0/16\"\naction = \"pass\"\n\
         observe = true\n[[rule]]\nname = \"no\"\nsrc = \"9.9.9.9\"\naction = \"drop\"",
    );
    config.services.push((
        "limited".to_owned(),
        "ports = [\"udp/90\"]\nrate = { per_source = \"2/m burst 2\" }".to_owned(),
    ));
    config
}

fn udp(source: &str) -> Vec<u8> {
    ip(source, "192.31.196.2").udp(9, 90, b"").bytes()
}

fn plan(filter: &Filter) -> Result<Plan> {
    filter.pair.server.namespace.run(|| {
        let loaded = config::load(&filter.floodwall.config())?;
        Ok(config::fit(&loaded, &Host::read()?)?.0)
    })
}

/// What a candidate would do with these.
fn candidate(filter: &Filter, plan: &Plan, frames: &[Vec<u8>]) -> Result<Vec<Outcome>> {
    filter.pair.server.namespace.run(|| {
        let interface = &plan.interfaces.first().context("an interface")?.name;
        let mut rehearsal = Rehearsal::of_plan(plan, interface, Start::Live)?;
        frames.iter().map(|frame| rehearsal.run(frame)).collect()
    })
}

#[test]
fn a_candidate_is_rehearsed_on_what_the_live_one_knows() -> Result<()> {
    let filter = Filter::new(&configuration())?;
    filter.expect("one of two", &udp("8.8.8.1"), Reason::Pass)?;
    filter.floodwall.succeed("ban add 8.8.8.8 --socket {socket}")?;
    let frames = ["8.8.8.1", "8.8.8.1", "8.8.8.8", "9.9.9.9", "7.7.7.7"].map(udp);
    let reasons = |outcomes: &[Outcome]| outcomes.iter().map(|outcome| outcome.reason).collect::<Vec<_>>();
    let before = filter.floodwall.pinned()?;
    // What the host itself sends is not in it.
    let counters = |dataplane: &dataplane::Dataplane| -> Result<Vec<_>> {
        let counts = filter.pair.server.namespace.run(|| dataplane.counters())?;
        Ok(counts.into_iter().filter(|count| !count.plane.is_sent() && count.packets > 0).collect())
    };
    let counted = counters(&before)?;

    let same = candidate(&filter, &plan(&filter)?, &frames)?;
    let expected = [Reason::Pass, Reason::SourceRate, Reason::Banned, Reason::RuleDrop, Reason::Pass];
    ensure!(reasons(&same) == expected, "{same:#?}");
    ensure!(same[3].rule() == Some(1) && same[3].rules.len() == 2, "{:?}", same[3]);

    let other = configuration().interface("observe = true");
    let other = other.also(
        "[lists]\nblock = [\"7.7.0.0/16\"]\n[limits]\nsource_buckets = 65536\nbans = 4096\n[udp]\nclosed = \"off\"",
    );
    filter.floodwall.configure(&other)?;
    let other = candidate(&filter, &plan(&filter)?, &frames)?;
    let expected = [Reason::Pass, Reason::Pass, Reason::Banned, Reason::Pass, Reason::BlockList];
    ensure!(reasons(&other) == expected, "{other:#?}");
    ensure!(other.iter().all(|outcome| outcome.observed && outcome.action() == Action::Pass), "{other:#?}");

    let now = counters(&before)?;
    ensure!(now == counted, "the live filter has counted: {counted:?} {now:?}");
    for folder in std::fs::read_dir(filter.floodwall.pins())? {
        ensure!(!folder?.path().join("rehearsal").exists(), "maps of the rehearsal are left");
    }
    filter.expect("nothing was spent", &udp("8.8.8.1"), Reason::Pass)?;
    filter.expect("now it was", &udp("8.8.8.1"), Reason::SourceRate)?;
    Ok(())
}

/// A candidate on a host where nothing has run yet.
#[test]
fn a_first_configuration_is_rehearsed() -> Result<()> {
    let pair = filter_tests::pair::Pair::new(filter_tests::pair::Wire::Cable)?;
    let floodwall = filter_tests::daemon::Floodwall::stopped(&pair.server, &configuration())?;
    let outcome = pair.server.namespace.run(|| -> Result<Outcome> {
        let (plan, _) = config::fit(&config::load(&floodwall.config())?, &Host::read()?)?;
        Rehearsal::of_plan(&plan, &pair.server.device, Start::Live)?.run(&udp("10.0.0.1"))
    })?;
    ensure!(outcome.reason == Reason::Bogon && outcome.action() == Action::Drop, "{outcome:?}");
    ensure!(!floodwall.pins().exists(), "something is left behind");
    Ok(())
}
