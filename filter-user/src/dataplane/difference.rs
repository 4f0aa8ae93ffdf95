//! What makes the programs of one plan others than those of another: what [`super::apply`] hashes, part by part.

use super::{
    bytes::bytes_of,
    plan::{InterfacePlan, Plan},
};

impl Plan {
    /// Why `new` needs other programs than this plan, in words; nothing: they are adopted as they are.
    #[must_use]
    pub fn other_programs(&self, new: &Self) -> Vec<String> {
        let mut why = Vec::new();
        for interface in &new.interfaces {
            let Some(old) = self.interfaces.iter().find(|old| old.name == interface.name) else {
                why.push(format!("interface {} is new", interface.name));
                continue;
            };
            let hooks = (old.attach, old.ingress, old.egress, old.frags);
            if hooks != (interface.attach, interface.ingress, interface.egress, interface.frags) {
                why.push(format!("how {} is attached", interface.name));
            }
            let next = |plan: &InterfacePlan| plan.next.as_ref().map(|next| (next.path.clone(), next.id()));
            if next(old) != next(interface) {
                why.push(format!("what {} hands on to", interface.name));
            }
            if old.config != interface.config {
                why.push(format!("constants of {}", interface.name));
            }
        }
        let gone = |name: &String| new.interfaces.iter().all(|interface| interface.name != *name);
        let gone = self.interfaces.iter().map(|interface| &interface.name).filter(|name| gone(name));
        why.extend(gone.map(|name| format!("interface {name} is let go")));
        let words = |plan: &Self| plan.words.by_map().map(|(_, prefixes)| prefixes.clone());
        let parts = [
            ("ports of services", bytes_of(&*self.ports) != bytes_of(&*new.ports)),
            ("rules", bytes_of(&*self.rules) != bytes_of(&*new.rules)),
            ("prefixes of rules and services", words(self) != words(new)),
            ("management prefixes", self.management != new.management),
            ("lists", self.lists.digest != new.lists.digest),
            ("table sizes", self.tables != new.tables),
        ];
        why.extend(parts.into_iter().filter(|(_, differs)| *differs).map(|(part, _)| part.to_owned()));
        why
    }
}
