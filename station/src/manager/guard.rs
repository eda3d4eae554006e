//! Do no harm: what a rule may take away.

use super::thought::Thought;
use syncom_group::Entry as Member;
use syncom_wire::member::MemberState;

impl Thought<'_> {
    /// Says why a node must not be fenced or drained by a rule, if it must not.
    pub(super) fn harm(&self, node: &Member) -> Result<(), String> {
        let head = self.machine.rules.head();
        let harmed = self.harmed();
        if harmed.contains(&node.slot()) {
            return Ok(());
        }
        let counts = self.machine.membership.members().counts();
        let nodes = counts.alive + counts.gray + counts.dead;
        let part = (nodes * usize::from(head.guard_permille) / 1_000).max(1);
        let limit = part.min(head.guard_nodes as usize);
        if harmed.len() >= limit {
            let window = head.guard_window_ms / 1_000;
            return Err(format!(
                "refused, do no harm: {} of {nodes} nodes were fenced or drained within {window} s, \
                 and {limit} is the limit",
                harmed.len()
            ));
        }
        if head.guard_last == 1 && node.is_present() {
            return self.last_instance(node);
        }
        Ok(())
    }

    /// Says so if a living node runs the last instance of a service.
    fn last_instance(&self, node: &Member) -> Result<(), String> {
        let graph = &self.machine.graph;
        let runs = graph.services_of(&node.name).filter(|(_, state)| *state == "up");
        for (service, _) in runs {
            let elsewhere = graph.runners_of(service).any(|(other, state)| {
                other != &*node.name && state == "up" && self.may_work(other)
            });
            if !elsewhere {
                return Err(format!("refused, do no harm: {} runs the last {service}", node.name));
            }
        }
        Ok(())
    }

    fn may_work(&self, name: &str) -> bool {
        let node = self.machine.membership.members().named(name);
        node.is_some_and(|node| node.state() == MemberState::Alive && self.gets_work(node.slot()))
    }
}
