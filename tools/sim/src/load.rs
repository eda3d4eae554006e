//! The load: what clients ask of the cluster, and when.

use crate::schedule::{Datagram, Happening};
use crate::world::{CLIENT, WALL_NS, World, address};
use std::rc::Rc;
use syncom_seam::{MS, Time};
use syncom_wire::{Boot, PeerId};

impl World {
    /// Clients ask for new things while the run lasts, and again for what was not answered.
    pub(crate) fn client_acts(&mut self) {
        let pace = 1_000 * MS / self.scenario.load_per_s.max(1);
        if !self.is_quiet() {
            let index = usize::try_from(self.rng.below(self.members.len() as u64)).unwrap_or(0);
            if self.members[index].is_agent() {
                let life = self.members[index].life;
                let question = self.client.report(self.now, (index, life));
                self.ask(index, &question);
            }
            if self.rng.chance(1, 8) {
                self.new_order();
            }
        }
        if self.scenario.has_policy
            && let Some(question) = self.client.ask_policy()
        {
            for replica in 0..self.options.replicas {
                self.ask(replica, &question);
            }
        }
        for ((agent, life), question) in
            self.client.repeat_reports(Time(self.now.0.saturating_sub(500 * MS)))
        {
            if self.members[agent].life == life {
                self.ask(agent, &question);
            }
        }
        for question in self.client.repeat_orders() {
            for replica in self.replicas() {
                self.ask(replica, &question);
            }
        }
        if let Some(question) = self.client.repeat_replacements() {
            for replica in self.replicas() {
                self.ask(replica, &question);
            }
        }
        let next = pace.max(if self.is_quiet() { 500 * MS } else { 0 });
        self.schedule.at(self.now.after(next), Happening::Client);
    }

    fn new_order(&mut self) {
        let nodes = self.options.nodes as u64;
        let share = 1 + self.rng.below(100);
        let slots: Vec<u32> = (0..u32::try_from(nodes).unwrap_or(0))
            .filter(|_| self.rng.chance(share, 100))
            .collect();
        if slots.is_empty() {
            return;
        }
        let (_, question) = self.client.order(slots);
        for replica in self.replicas() {
            self.ask(replica, &question);
        }
    }

    /// A client asks a member.
    pub(crate) fn ask(&mut self, to: usize, question: &[u8]) {
        let datagram = Datagram {
            from: address(CLIENT),
            peer: PeerId::client(self.seed),
            boot: Boot(WALL_NS),
            is_brief: false,
            bytes: Rc::from(question),
        };
        self.launch(CLIENT, to, datagram);
    }
}
