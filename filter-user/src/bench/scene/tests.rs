use filter_common::config::syn_mode;

use super::*;
use crate::bench::Case;

fn plan(scene: Scene) -> (Plan, Facts) {
    let case = Case::built_in().expect("the built-in configuration is valid");
    let facts = Facts::of(&case.loaded.settings, &case.host, &case.interface);
    let plan = scene.plan(&case.loaded, &case.host, &case.interface, &facts, 2048).expect("a plan");
    (plan, facts)
}

fn config(plan: &Plan) -> &Config {
    &plan.interfaces[0].config
}

#[test]
fn nothing_goes_near_the_hosts_interfaces() {
    let (plan, facts) = plan(Scene::Calm);
    let [only] = plan.interfaces.as_slice() else { panic!("one interface") };
    assert_eq!(
        (only.name.as_str(), only.attach, only.ingress, only.egress),
        ("lo", Attach::Generic, None, None)
    );
    assert!(!only.frags);
    assert!(plan.local.contains(&facts.v4.into()) && plan.local.contains(&facts.v6.into()));
    assert_eq!(config(&plan).flags & flags::OBSERVE, 0);
    assert!(plan.lists.v4.is_empty());
}

#[test]
fn limits_stay_and_are_out_of_reach() {
    let (plan, _) = plan(Scene::Calm);
    let config = config(&plan);
    let web = &config.services[1];
    assert_eq!((web.syn_mode, web.per_source), (syn_mode::AUTO, LIFTED));
    assert_eq!(web.per_source_syn, Limit::NONE, "what is off stays off");
    assert!(web.on.is_some() && web.on != LIFTED, "a flood arms");
    assert_eq!((config.reply_total, config.reply_per_prefix), (LIFTED, LIFTED));
    assert_ne!(config.unknown_acks, LIFTED);
    let (tight, _) = self::plan(Scene::Tight);
    assert_eq!(self::config(&tight).services[1].per_source, TIGHT);
}

#[test]
fn scenes_have_what_their_packets_meet() {
    let (always, _) = plan(Scene::Always);
    assert_eq!(config(&always).services[1].syn_mode, syn_mode::COOKIE);
    let (gateway, _) = plan(Scene::Gateway);
    assert_eq!((config(&gateway).protected_len, config(&gateway).protected_service[0]), (1, 1));
    let (one, many) = (plan(Scene::BlockOne).0, plan(Scene::BlockMany).0);
    assert_eq!((one.lists.prefixes[1].v4, many.lists.prefixes[1].v4), (1, 2048));
    let bans = plan(Scene::BanMany).0.tables.bans;
    assert!(bans >= 2048);
    assert_eq!((Scene::BanFew.bans(9), Scene::BanMany.bans(9), Scene::Calm.bans(9)), (FEW, 9, 0));
}
